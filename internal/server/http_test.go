package server

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/obs"
)

// pipes is a listener that gives out ends of pipes.
type pipes struct {
	conns chan net.Conn
	ctx   context.Context
	end   context.CancelFunc
}

func newPipes() *pipes {
	p := &pipes{conns: make(chan net.Conn)}
	p.ctx, p.end = context.WithCancel(context.Background())
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.end(); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial opens a connection that no deadline of the client's ends.
func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// TestHTTPTimes: a client that does not go on is given up after the time that
// each step has.
func TestHTTPTimes(t *testing.T) {
	t.Parallel()
	get, post := "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
	for name, c := range map[string]struct {
		say  string
		want time.Duration
		read bool // what comes
		big  bool // it comes without an end
	}{
		"HeaderTime": {"GET / HTTP/1.1\r\n", HeaderTime, true, false},
		"IdleTime":   {get, IdleTime, true, false},
		"BodyTime":   {post, BodyTime, true, false},
		"WriteTime":  {get, WriteTime, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, gone := newPipes(), make(chan time.Duration, 1)
				start := time.Now()
				h := func(w http.ResponseWriter, r *http.Request) {
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						gone <- time.Since(start)
						panic(http.ErrAbortHandler)
					}
					for err := error(nil); c.big && err == nil; {
						if _, err = io.WriteString(w, strings.Repeat("x", 10_000)); err != nil {
							gone <- time.Since(start)
						}
					}
				}
				srv := (&Server{core: &core{o: Options{Log: slog.New(slog.DiscardHandler)}}}).newHTTP("http", http.HandlerFunc(h), nil)
				done := make(chan error, 1)
				go func() { done <- srv.Serve(newMeter(l, "http", obs.NewMetrics())) }()
				nc := l.dial()
				if _, err := io.WriteString(nc, c.say); err != nil {
					t.Fatal(err)
				}
				if c.read {
					_, _ = io.Copy(io.Discard, bufio.NewReader(nc)) // until the server closes
				} else {
					<-gone
				}
				if d := time.Since(start); d < c.want || d > c.want+time.Second {
					t.Errorf("given up after %v", d)
				}
				nc.Close()
				srv.Close()
				<-done
			})
		})
	}
}

// TestHTTPConns: with MaxHTTPConns open, the next waits until one ends.
func TestHTTPConns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		m := newMeter(l, "http", obs.NewMetrics())
		accepted := make(chan net.Conn)
		go func() {
			for c, err := m.Accept(); err == nil; c, err = m.Accept() {
				accepted <- c
			}
			close(accepted)
		}()
		var first net.Conn
		for i := range MaxHTTPConns {
			l.dial()
			if c := <-accepted; i == 0 {
				first = c
			}
		}
		go l.dial()
		synctest.Wait()
		select {
		case <-accepted:
			t.Error("one more is accepted")
		default:
		}
		first.Close()
		<-accepted
		m.Close()
		<-accepted
	})
}
