package smtp_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/netx"
	"github.com/eidermail/eider/internal/netx/netxtest"
	"github.com/eidermail/eider/internal/smtp"
)

// A line without end is not read for ever.
func TestLimits_EndlessLine(t *testing.T) {
	t.Parallel()
	b := &backend{}
	c := pipe(t, b.options())
	c.reply()
	sent := 0
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		chunk := strings.Repeat("x", 64<<10)
		for {
			n, err := io.WriteString(c.nc, chunk)
			if sent += n; err != nil {
				return
			}
		}
	}()
	c.play([][2]string{{"", "500 Line too long"}, {"", "EOF"}})
	c.nc.Close()
	<-ended
	if sent < smtp.MaxSkipped || sent > 2*smtp.MaxSkipped {
		t.Errorf("%d bytes were read", sent)
	}
}

// A message that drips in is given up in the end.
func TestLimits_DrippingMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		o := b.options()
		o.MaxSize = 1 << 20
		c := pipe(t, o)
		c.play([][2]string{{"", "220 "}, {hello, "250-"}, {"MAIL FROM:<a@b>\r\n", "250 "}, {"RCPT TO:<c@d>\r\n", "250 "},
			{"DATA\r\n", "354 "}})
		start := time.Now()
		c.nc.SetDeadline(time.Time{})
		dripped := make(chan struct{})
		go func() {
			defer close(dripped)
			for {
				if _, err := io.WriteString(c.nc, "x"); err != nil {
					return
				}
				time.Sleep(smtp.DataTimeout / 2)
			}
		}()
		line, _ := c.r.ReadString('\n')
		if d := time.Since(start); !strings.HasPrefix(line, "421 ") || d != smtp.MessageTimeout {
			t.Errorf("%q after %v", line, d)
		}
		c.nc.Close()
		<-c.done
		<-dripped
		if len(b.messages) != 0 {
			t.Error("half a message was stored")
		}
	})
}

// A handshake that does not go on is given up.
func TestLimits_Handshake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		o := b.options()
		o.TLS, o.ImplicitTLS = certificate(t), true
		start := time.Now()
		c := pipe(t, o)
		<-c.done
		if d := time.Since(start); d != smtp.HandshakeTimeout {
			t.Errorf("after %v", d)
		}
		if e := b.record.Events; len(e) != 1 || e[0].Cause != smtp.Cause(netx.PlainOnTLS) {
			t.Errorf("events %+v", e)
		}
	})
}

// One connection too many is told so; the last word reaches a client over TCP
// although it is still sending.
func TestServe_Refusals(t *testing.T) {
	t.Parallel()
	b := &backend{}
	o := b.options()
	o.Mode = smtp.MX
	o.Conns.MaxConns = 1
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- smtp.New(o).Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done })
	dial := func() *client {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		return &client{t: t, nc: nc, r: bufio.NewReader(nc)}
	}
	first := dial()
	first.play([][2]string{{"", "220 "}})
	dial().play([][2]string{{"", "421 4.3.2 Too many connections"}, {"", "EOF"}})
	go io.WriteString(first.nc, "POST / HTTP/1.1\r\nHost: x\r\n\r\n"+strings.Repeat(toData+"x\r\n.\r\n", 2000))
	first.play([][2]string{{"", "554 5.5.1 This is an SMTP port"}, {"", "EOF"}})
	if len(b.messages) != 0 {
		t.Error("a browser had a message stored")
	}
}

// TestBounds: of what a client says so much is kept, and a message may be as
// large as EHLO says.
func TestBounds(t *testing.T) {
	t.Parallel()
	b := &backend{}
	o := b.options()
	o.MaxSize = 0 // DefaultMaxSize
	c := pipe(t, o)
	const maxHelo, maxEvents = 255, 16 // those of the package
	c.play([][2]string{{"", "220 "}})
	c.send("EHLO " + strings.Repeat("h", 1000) + "\r\n")
	if got := c.reply(); !strings.Contains(got, fmt.Sprintf("SIZE %d", smtp.DefaultMaxSize)) {
		t.Errorf("EHLO: %s", got)
	}
	for range smtp.MaxBadCommands - 1 {
		c.play([][2]string{{"RCPT TO:nobody\r\n", "50"}})
	}
	c.play([][2]string{{"QUIT\r\n", "221 "}})
	<-c.done
	if n := len(b.record.Client.Helo); n != maxHelo {
		t.Errorf("a name of %d bytes is kept", n)
	}
	if n := len(b.record.Events); n > maxEvents {
		t.Errorf("%d events are kept", n)
	}
}

// After its last reply the server reads on, for LingerTime and of at most MaxLinger bytes.
func TestLimits_Linger(t *testing.T) {
	t.Parallel()
	for name, endless := range map[string]bool{"silent": false, "endless": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				h, b, done := &netxtest.Half{Conn: theirs}, &backend{}, make(chan struct{})
				go func() {
					defer close(done)
					defer theirs.Close()
					smtp.New(b.options()).ServeConn(context.Background(), h)
				}()
				c := &client{t: t, nc: ours, r: bufio.NewReader(ours)}
				c.play(append([][2]string{{"", "220 "}}, repeat([2]string{"WHAT\r\n", "500 "}, smtp.MaxBadCommands)...))
				c.play([][2]string{{"WHAT\r\n", "421 "}})
				ours.SetDeadline(time.Time{})
				start := time.Now()
				for err := error(nil); endless && err == nil; {
					_, err = io.WriteString(ours, strings.Repeat("x", 10_000))
				}
				<-done
				if d := time.Since(start); !endless && d != smtp.LingerTime || h.Late > smtp.MaxLinger {
					t.Errorf("%d bytes are read in %v", h.Late, d)
				}
			})
		})
	}
}

// So many logins may fail on one connection.
func TestLimits_FailedLogins(t *testing.T) {
	t.Parallel()
	b := &backend{clear: true}
	c := pipe(t, b.options())
	c.play([][2]string{{"", "220 "}, {hello, "250-"}})
	wrong := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00u\x00wrong")) + "\r\n"
	c.play(repeat([2]string{wrong, "535 "}, smtp.MaxAuthFailures))
	c.play([][2]string{{"", "421 "}, {"", "EOF"}})
	if len(b.logins) != smtp.MaxAuthFailures {
		t.Errorf("%d logins were tried", len(b.logins))
	}
}
