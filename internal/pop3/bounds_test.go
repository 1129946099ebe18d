package pop3_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/netx"
	"github.com/eidermail/eider/internal/netx/netxtest"
	"github.com/eidermail/eider/internal/pop3"
)

// ended serves a connection that is closed for a fault, and then does what rest says.
func ended(t *testing.T, rest func(nc net.Conn)) (h *netxtest.Half, after time.Duration) {
	t.Helper()
	b := &box{clear: true}
	ours, theirs := net.Pipe()
	h = &netxtest.Half{Conn: theirs}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		pop3.New(b.options()).ServeConn(context.Background(), h)
	}()
	c := &client{t: t, nc: ours, r: bufio.NewReader(ours)}
	c.play([][2]string{{"", "+OK…"}})
	c.play(repeat([2]string{"NONSENSE\r\n", "-ERR…"}, pop3.MaxBadCommands+1))
	ours.SetDeadline(time.Time{})
	start := time.Now()
	rest(ours)
	<-done
	return h, time.Since(start)
}

// TestLinger: after its last reply the server reads on for a moment, and not for ever.
func TestLinger(t *testing.T) {
	t.Parallel()
	t.Run("LingerTime", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if _, after := ended(t, func(net.Conn) {}); after != pop3.LingerTime {
				t.Errorf("a silent client is kept for %v", after)
			}
		})
	})
	t.Run("MaxLinger", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, _ := ended(t, func(nc net.Conn) {
				for err := error(nil); err == nil; {
					_, err = io.WriteString(nc, strings.Repeat("x", 1000))
				}
			})
			if h.Late > pop3.MaxLinger {
				t.Errorf("%d bytes are read of a client that goes on", h.Late)
			}
		})
	})
}

// TestEndlessLine: a line that does not end is skipped up to a limit.
func TestEndlessLine(t *testing.T) {
	t.Parallel()
	b := &box{clear: true}
	c := pipe(t, b.options())
	c.play([][2]string{{"", "+OK…"}, {strings.Repeat("x", pop3.MaxSkipped-1000) + "\r\n", "-ERR…"}, {"CAPA\r\n", "+OK…"}})
	for c.line() != "." {
	}
	sent := make(chan int)
	go func() {
		n := 0
		for err := error(nil); err == nil; {
			var k int
			k, err = io.WriteString(c.nc, strings.Repeat("x", 10_000))
			n += k
		}
		sent <- n
	}()
	c.play([][2]string{{"", "-ERR…|EOF"}})
	c.nc.Close()
	if n := <-sent; n < pop3.MaxSkipped || n > 2*pop3.MaxSkipped {
		t.Errorf("%d bytes were taken", n)
	}
}

// TestStory: what is kept of a connection is bounded.
func TestStory(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{pop3.MaxLogin: pop3.MaxLogin, pop3.MaxLogin + 1: pop3.MaxLogin} {
		b := &box{clear: true}
		c := pipe(t, b.options())
		user := "\x00" + strings.Repeat("u", n) + "\x00p"
		c.play([][2]string{{"", "+OK…"}, {"AUTH PLAIN\r\n", "+ "}, {base64.StdEncoding.EncodeToString([]byte(user)) + "\r\n", "-ERR…"}, {"QUIT\r\n", "+OK…|EOF"}})
		<-c.done
		if got := len(b.record.Login); got != want {
			t.Errorf("%d bytes are kept of a login of %d", got, n)
		}
	}
	b := &box{}
	c := pipe(t, b.options())
	c.play([][2]string{{"", "+OK…"}})
	c.play(repeat([2]string{"USER u\r\n", "-ERR…"}, pop3.MaxCauses+5))
	c.play([][2]string{{"QUIT\r\n", "+OK…|EOF"}})
	<-c.done
	if got := len(b.record.Causes); got != pop3.MaxCauses {
		t.Errorf("%d causes are kept", got)
	}
}

// TestTimeouts_Slow: a client that takes nothing, or shakes no hands, is given up.
func TestTimeouts_Slow(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		tls   bool
		after time.Duration
		cause pop3.Cause
	}{
		"write":     {false, pop3.WriteTimeout, ""},
		"handshake": {true, pop3.HandshakeTimeout, pop3.Cause(netx.PlainOnTLS)},
	} {
		t.Run(name, func(t *testing.T) {
			var conf *tls.Config
			if tt.tls {
				conf = certificate(t)
			}
			synctest.Test(t, func(t *testing.T) {
				b := &box{}
				o := b.options()
				o.TLS, o.ImplicitTLS = conf, tt.tls
				start := time.Now()
				c := pipe(t, o)
				<-c.done
				if d := time.Since(start); d < tt.after || d > 2*tt.after+pop3.LingerTime {
					t.Errorf("after %v", d)
				}
				if tt.cause != "" && (len(b.record.Causes) != 1 || b.record.Causes[0] != tt.cause) {
					t.Errorf("causes %q", b.record.Causes)
				}
			})
		})
	}
}
