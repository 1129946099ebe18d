package server

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

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

// frames is an HTTP/2 client that does only what it is told. A goroutine reads,
// since a pipe has no room of its own.
type frames struct {
	*http2.Framer
	t    *testing.T
	came chan http2.Frame // HEADERS, RST_STREAM and DATA; DATA without its bytes
	most uint32           // streams that the server allows
}

// talk2 opens an HTTP/2 connection to a server of ours that serves h. What a
// stream may send at first is window.
func talk2(t *testing.T, h http.HandlerFunc, window uint32) (f *frames, end func()) {
	l := newPipes()
	srv := (&Server{core: &core{o: Options{Log: slog.New(slog.DiscardHandler)}}}).newHTTP("https", h, nil)
	srv.Protocols = new(http.Protocols) // TLS would only make it known
	srv.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(newMeter(l, "https", obs.NewMetrics())) }()
	nc := l.dial()
	f = &frames{Framer: http2.NewFramer(nc, nc), t: t, came: make(chan http2.Frame, 1000)}
	settled := make(chan bool)
	go f.read(settled)
	_, err := io.WriteString(nc, http2.ClientPreface)
	f.must(err)
	f.must(f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}))
	<-settled
	return f, func() {
		nc.Close()
		srv.Close()
		<-done
	}
}

func (f *frames) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *frames) read(settled chan bool) {
	defer close(f.came)
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch fr := fr.(type) {
		case *http2.SettingsFrame:
			if v, ok := fr.Value(http2.SettingMaxConcurrentStreams); ok {
				f.most = v
				close(settled)
			}
		case *http2.RSTStreamFrame, *http2.HeadersFrame, *http2.DataFrame:
			f.came <- fr
		}
	}
}

// ask sends a request.
func (f *frames) ask(stream uint32) {
	f.t.Helper()
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, h := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "x"}, {":path", "/"}} {
		f.must(e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}))
	}
	f.must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: b.Bytes(), EndStream: true, EndHeaders: true}))
}

// TestHTTP2WriteTime: a client that takes nothing of its streams does not keep
// their handlers, however much or little they write.
func TestHTTP2WriteTime(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"much": 10_000_000, "what net/http holds": 100} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gone := make(chan bool, 3)
				f, end := talk2(t, func(w http.ResponseWriter, r *http.Request) {
					for sent := 0; sent < size; sent += 100_000 {
						if _, err := io.WriteString(w, strings.Repeat("x", min(size, 100_000))); err != nil {
							break
						}
					}
					gone <- true
				}, 0)
				defer end()
				start := time.Now()
				for i := range 3 {
					f.ask(uint32(2*i + 1))
				}
				for resets := 0; resets < 3; {
					fr, ok := <-f.came
					if !ok {
						t.Fatal("the connection ended")
					}
					if fr, ok := fr.(*http2.RSTStreamFrame); ok && fr.ErrCode != http2.ErrCodeNo {
						resets++
					}
				}
				if d := time.Since(start); d < WriteTime || d > WriteTime+time.Second {
					t.Errorf("WriteTime: reset after %v", d)
				}
				for range 3 {
					<-gone
				}
			})
		})
	}
}

// TestHTTP2Pauses: an answer that pauses for longer than one write may take goes
// on, whether its handler sets deadlines or not.
func TestHTTP2Pauses(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]bool{"own deadlines": true, "none": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, end := talk2(t, func(w http.ResponseWriter, r *http.Request) {
					rc := http.NewResponseController(w)
					for range 3 {
						if own {
							_ = rc.SetWriteDeadline(time.Now().Add(time.Second))
						}
						_, err := io.WriteString(w, "data: x\n\n")
						if err != nil || rc.Flush() != nil {
							return
						}
						if own {
							_ = rc.SetWriteDeadline(time.Time{})
						}
						time.Sleep(3 * WriteTime)
					}
				}, 1000)
				defer end()
				f.ask(1)
				events := 0
				for fr := range f.came {
					d, ok := fr.(*http2.DataFrame)
					if _, bad := fr.(*http2.RSTStreamFrame); bad {
						t.Fatal("the stream is reset")
					}
					if ok && d.StreamEnded() {
						break
					}
					if ok {
						events++
					}
				}
				if events != 3 {
					t.Errorf("%d events", events)
				}
			})
		})
	}
}

// TestHTTP2Streams: of so many requests at once on a connection each is served,
// one more is refused until one ends.
func TestHTTP2Streams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int32
		over := make(chan bool)
		f, end := talk2(t, func(http.ResponseWriter, *http.Request) {
			running.Add(1)
			<-over
		}, 1000)
		defer end()
		if f.most != MaxHTTPStreams {
			t.Errorf("MaxHTTPStreams: the client is told %d", f.most)
		}
		for i := range MaxHTTPStreams + 1 {
			f.ask(uint32(2*i + 1))
		}
		fr, ok := (<-f.came).(*http2.RSTStreamFrame)
		if !ok || fr.ErrCode != http2.ErrCodeRefusedStream || fr.StreamID != 2*MaxHTTPStreams+1 {
			t.Errorf("one more: %v", fr)
		}
		synctest.Wait() // the refusal may come before the first of them runs
		if n := running.Load(); n != MaxHTTPStreams {
			t.Errorf("%d run", n)
		}
		close(over)
	})
}
