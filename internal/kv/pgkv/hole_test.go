package pgkv_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv"
)

// hole is a way to a server that can be made to swallow all that is sent over
// it, as a network does that is cut: nothing is closed and nothing answers.
type hole struct {
	net.Listener
	shut atomic.Bool
}

func newHole(t testing.TB, to string) *hole {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hole{Listener: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go h.serve(c, to)
		}
	}()
	return h
}

func (h *hole) serve(client net.Conn, to string) {
	server, err := net.Dial("tcp", to)
	if err != nil {
		client.Close()
		return
	}
	pass := func(from, to net.Conn) {
		defer to.Close()
		b := make([]byte, 64<<10)
		for {
			n, err := from.Read(b)
			if err != nil {
				return
			}
			if h.shut.Load() {
				_, _ = io.Copy(io.Discard, from)
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
	go pass(client, server)
	pass(server, client)
}

// TestCutNetwork: calls end with their contexts although what is sent to the
// server is swallowed in the midst of a load.
func TestCutNetwork(t *testing.T) {
	t.Parallel()
	uri := fresh(t)
	h := newHole(t, address(server.Port))
	s := open(t, strings.Replace(uri, address(server.Port), h.Addr().String(), 1))
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for i := range 40 {
		load.Go(func() {
			for ctx.Err() == nil {
				c, cancel := context.WithTimeout(ctx, 25*time.Second)
				key := string(rune('a' + i%5))
				_ = add(c, s, key)
				_, _ = s.GetMulti(c, []byte(key))
				cancel()
			}
		})
	}
	time.Sleep(500 * time.Millisecond)
	h.shut.Store(true)
	const budget = 500 * time.Millisecond
	var calls sync.WaitGroup
	for range 3 {
		for what, f := range map[string]func(context.Context) error{
			"Update":      func(c context.Context) error { return add(c, s, "x") },
			"busy Update": func(c context.Context) error { return add(c, s, "a") },
			"GetMulti":    func(c context.Context) error { _, err := s.GetMulti(c, []byte("x")); return err },
			"View": func(c context.Context) error {
				return s.View(c, nil, func(kv.Reader, []kv.Item) error { return nil })
			},
		} {
			calls.Go(func() {
				c, cancel := context.WithTimeout(t.Context(), budget)
				defer cancel()
				began := time.Now()
				err := f(c)
				if d := time.Since(began); err == nil || d > 4*budget {
					t.Errorf("%s: %v after %v", what, err, d)
				}
			})
		}
		time.Sleep(300 * time.Millisecond)
	}
	calls.Wait()
	stop()
	load.Wait()
}
