package imap_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/imap/rate"
)

// mailbox is a Session with messages 1 to n, that notes how many tasks it is given at once.
type mailbox struct {
	imap.Session
	n      uint32
	groups []int
}

func (*mailbox) Close()                                           {}
func (*mailbox) Login(context.Context, string, string) error      { return nil }
func (*mailbox) CheckAppend(context.Context, string, int64) error { return nil }
func (*mailbox) Unselect(context.Context)                         {}

func (*mailbox) Poll(context.Context, bool) (imap.Update, error) { return imap.Update{}, nil }

func (m *mailbox) Do(_ context.Context, tasks []imap.Task) { m.groups = append(m.groups, len(tasks)) }

func (m *mailbox) Select(context.Context, string, bool) (imap.Selected, error) {
	return imap.Selected{Mailbox: imap.Mailbox{UIDNext: m.n + 1, Messages: m.n, HighestModSeq: 1},
		UIDs: imapwire.Set{{Start: 1, Stop: m.n}}}, nil
}

func (*mailbox) Receive(_ context.Context, r io.Reader) (imap.Draft, error) {
	n, err := io.Copy(io.Discard, r)
	return draft(n), err
}

type draft int64

func (d draft) Size() int64 { return int64(d) }
func (draft) Close() error  { return nil }

// piped is a client of a server that serves it alone, in a bubble of fake time.
type piped struct {
	t    *testing.T
	nc   net.Conn
	r    *bufio.Reader
	done chan struct{} // closed when the server has ended the connection
	stop context.CancelFunc
}

func pipe(t *testing.T, m *mailbox, o imap.Options) *piped {
	t.Helper()
	mine, theirs := net.Pipe()
	o.NewSession = func(imap.ConnInfo, imap.Progress) imap.Session { return m }
	c := &piped{t: t, nc: mine, r: bufio.NewReader(mine), done: make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	c.stop = stop
	go func() {
		defer close(c.done)
		imap.New(o).ServeConn(ctx, theirs, imap.ConnInfo{Trusted: true})
	}()
	t.Cleanup(func() { stop(); mine.Close(); <-c.done })
	c.until("*")
	return c
}

// until reads up to a line that begins with tag.
func (c *piped) until(tag string) string {
	c.t.Helper()
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		if strings.HasPrefix(line, tag+" ") {
			return line
		}
	}
}

// play sends what may be many commands, and waits for the one that is named.
func (c *piped) play(text, last string) {
	c.t.Helper()
	go io.WriteString(c.nc, text)
	if line := c.until(last); !strings.HasPrefix(line, last+" OK") {
		c.t.Fatalf("%q", line)
	}
}

// TestCommandRate: rate.Burst commands are answered at once, what comes then
// at rate.PerSecond; the wait ends at once when the server stops, and soon when
// the client goes away.
func TestCommandRate(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"the server stops", "the client is gone"} {
		synctest.Test(t, func(t *testing.T) {
			c := pipe(t, &mailbox{n: 1}, imap.Options{})
			c.play("l LOGIN x y\r\n", "l")
			noops := func(n int) string { return strings.Repeat("a NOOP\r\n", n-1) + "b NOOP\r\n" }
			start := time.Now()
			c.play(noops(rate.Burst-1), "b")
			if d := time.Since(start); d != 0 {
				t.Errorf("%d commands took %v", rate.Burst, d)
			}
			c.play(noops(3*rate.PerSecond), "b")
			if d := time.Since(start); d < 3*time.Second-rate.Pause || d > 3*time.Second+rate.Pause {
				t.Errorf("three times rate.PerSecond took %v", d)
			}
			start = time.Now()
			go io.WriteString(c.nc, noops(10*rate.PerSecond))
			c.until("a")
			if end == "the server stops" {
				c.stop()
				go io.Copy(io.Discard, c.r)
			} else {
				c.nc.Close()
			}
			<-c.done
			if d := time.Since(start); d > 2*rate.Pause {
				t.Errorf("%s, and the session lasts %v", end, d)
			}
		})
	}
	// A client that takes its time is never slowed down.
	synctest.Test(t, func(t *testing.T) {
		c := pipe(t, &mailbox{n: 1}, imap.Options{})
		start := time.Now()
		for range 20 {
			c.play(strings.Repeat("a NOOP\r\n", rate.PerSecond-1)+"b NOOP\r\n", "b")
			time.Sleep(time.Second)
		}
		if d := time.Since(start); d != 20*time.Second {
			t.Errorf("20 times rate.PerSecond in 20 seconds took %v", d)
		}
	})
}

// TestPipelineLimits: what waits to be committed together is at most
// MaxPipelined commands, and MaxPipelinedBytes and what passes it; a command
// that concerns more than maxPipelinedUIDs messages goes alone.
func TestPipelineLimits(t *testing.T) {
	t.Parallel()
	stores := func(n int) string { return strings.Repeat("a STORE 1 FLAGS ()\r\n", n) }
	appended := func(sizes ...int) (out string) {
		for _, n := range sizes {
			out += fmt.Sprintf("a APPEND INBOX {%d+}\r\n%s\r\n", n, strings.Repeat("x", n))
		}
		return out
	}
	const half = imap.MaxPipelinedBytes / 2
	for _, c := range []struct {
		name, text string
		want       []int
	}{
		{"MaxPipelined", stores(imap.MaxPipelined), []int{imap.MaxPipelined}},
		{"one more", stores(imap.MaxPipelined + 1), []int{imap.MaxPipelined, 1}},
		{"MaxPipelinedBytes", appended(half, half, 9), []int{2, 1}},
		{"one byte less", appended(half, half-1, 9, 9), []int{3, 1}},
		{"one message of MaxPipelinedBytes", appended(9, 2*half, 9), []int{2, 1}},
		{"a larger one", appended(9, 2*half+1, 9), []int{1, 1, 1}},
		{"maxPipelinedUIDs", stores(1) + fmt.Sprintf("a STORE 1:%d FLAGS ()\r\n", imap.MaxPipelinedUIDs), []int{2}},
		{"one message more", stores(1) + fmt.Sprintf("a COPY 1:%d Work\r\n", imap.MaxPipelinedUIDs+1), []int{1, 1}},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := &mailbox{n: imap.MaxPipelinedUIDs + 1}
			p := pipe(t, m, imap.Options{})
			p.play("l LOGIN x y\r\n", "l")
			p.play("s SELECT INBOX\r\n", "s")
			p.play(c.text+"n NOOP\r\n", "n")
			if !slices.Equal(m.groups, c.want) {
				t.Errorf("%s: groups of %v, not %v", c.name, m.groups, c.want)
			}
		})
	}
}

// TestTimes: a client that does not read is given up after WriteTime, a TLS
// handshake that does not go on after HandshakeTime.
func TestTimes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		last string
		want time.Duration
	}{"WriteTime": {"a NOOP\r\n", imap.WriteTime}, "HandshakeTime": {"a STARTTLS\r\n", imap.HandshakeTime}} {
		synctest.Test(t, func(t *testing.T) {
			p := pipe(t, &mailbox{n: 1}, imap.Options{TLS: new(tls.Config), StartTLS: true})
			start := time.Now()
			if _, err := io.WriteString(p.nc, c.last); err != nil {
				t.Fatal(err)
			}
			if name == "HandshakeTime" {
				p.until("a")
			}
			<-p.done
			if d := time.Since(start); d != c.want {
				t.Errorf("%s: the connection ended after %v, not %v", name, d, c.want)
			}
		})
	}
}

// TestWritten: an item of maxWrittenItem bytes is kept as it was written, a
// larger one is not, and all together are no more than maxWritten.
func TestWritten(t *testing.T) {
	t.Parallel()
	w := imap.NewWritten()
	for bytes, want := range map[int]int{imap.MaxWrittenItem: imap.MaxWrittenItem, imap.MaxWrittenItem + 1: 0} {
		if err := w.Write(uint64(bytes), bytes); err != nil || w.Kept(uint64(bytes)) != want {
			t.Errorf("%d bytes: %d are kept; %v", bytes, w.Kept(uint64(bytes)), err)
		}
	}
	const n = 2 * imap.MaxWritten / imap.MaxWrittenItem
	for msg := range uint64(n) {
		if err := w.Write(msg, imap.MaxWrittenItem); err != nil {
			t.Fatal(err)
		}
	}
	kept := 0
	for msg := range uint64(n) {
		kept += w.Kept(msg)
	}
	if kept > imap.MaxWritten || kept < imap.MaxWritten/3 {
		t.Errorf("%d bytes are kept, at most %d", kept, imap.MaxWritten)
	}
}
