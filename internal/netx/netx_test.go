package netx_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/netx"
)

func TestListen_Localhost(t *testing.T) {
	t.Parallel()
	l, err := netx.Listen(t.Context(), "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "hello\n")
			c.Close()
		}
	}()
	addrs := netx.Addrs(l)
	_, port, _ := net.SplitHostPort(addrs[0].String())
	for _, a := range addrs {
		if _, p, _ := net.SplitHostPort(a.String()); p != port {
			t.Errorf("ports differ: %v", addrs)
		}
		c, err := net.Dial("tcp", a.String())
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(c).ReadString('\n')
		if line != "hello\n" || err != nil {
			t.Errorf("%v: got %q, %v", a, line, err)
		}
		c.Close()
	}
	if six, err := net.Listen("tcp", "[::1]:0"); err == nil {
		six.Close()
		if len(addrs) != 2 {
			t.Errorf("this machine has IPv6, but only %v are listened on", addrs)
		}
	}
}

func TestListen_CloseBeforeAccept(t *testing.T) {
	t.Parallel()
	l, err := netx.Listen(t.Context(), "0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
}

func TestListen_Errors(t *testing.T) {
	t.Parallel()
	l, err := netx.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	_, port, _ := net.SplitHostPort(taken)
	for _, tt := range []struct {
		addr string
		is   error
		says string
	}{
		{taken, netx.ErrTaken, taken},
		{"localhost:" + port, netx.ErrTaken, taken},
		{port, netx.ErrTaken, taken},
		{"192.0.2.1:0", netx.ErrNotLocal, "192.0.2.1:0"},
		{"localhost", nil, "want HOST:PORT"},
		{"localhost:smtp", nil, "number"},
		{"localhost:65536", nil, "number"},
	} {
		_, err := netx.Listen(t.Context(), tt.addr)
		if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("Listen(%q): %v", tt.addr, err)
		}
	}
}

// serve runs Serve until the test ends and returns the address and what stops it.
func serve(t *testing.T, o netx.Options, h func(context.Context, net.Conn)) (string, func() error) {
	t.Helper()
	l, err := netx.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- netx.Serve(ctx, l, o, h) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { stop() })
	return l.Addr().String(), stop
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func readLine(c net.Conn) string {
	s, _ := bufio.NewReader(c).ReadString('\n')
	return s
}

func echo(_ context.Context, c net.Conn) {
	io.WriteString(c, "ready\n")
	io.Copy(c, c)
}

func refuse(c net.Conn) { io.WriteString(c, "busy\n") }

func TestServe_MaxConns(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, netx.Options{MaxConns: 2, Refuse: refuse}, echo)
	a, b := dial(t, addr), dial(t, addr)
	if readLine(a) != "ready\n" || readLine(b) != "ready\n" {
		t.Fatal("the first two are not served")
	}
	for range 100 {
		c := dial(t, addr)
		if got := readLine(c); got != "busy\n" {
			t.Fatalf("one too many got %q", got)
		}
		c.Close()
	}
	a.Close()
	for { // a's place is free once its handler has returned
		c := dial(t, addr)
		got := readLine(c)
		if got == "ready\n" {
			break
		}
		if got != "busy\n" {
			t.Fatalf("got %q", got)
		}
	}
}

func TestServe_MaxPerHost(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, netx.Options{MaxPerHost: 1, Refuse: refuse}, echo)
	a := dial(t, addr)
	if readLine(a) != "ready\n" {
		t.Fatal("first is not served")
	}
	if got := readLine(dial(t, addr)); got != "busy\n" {
		t.Errorf("second of one host got %q", got)
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Log("this machine has no second loopback address:", err)
		return
	}
	defer c.Close()
	if got := readLine(c); got != "ready\n" {
		t.Errorf("other host got %q", got)
	}
}

func TestServe_Panic(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, netx.Options{}, func(_ context.Context, c net.Conn) {
		if readLine(c) == "panic\n" {
			panic("as told")
		}
		io.WriteString(c, "fine\n")
	})
	a := dial(t, addr)
	io.WriteString(a, "panic\n")
	if _, err := a.Read(make([]byte, 1)); err == nil {
		t.Error("the connection that panicked goes on")
	}
	b := dial(t, addr)
	io.WriteString(b, "go\n")
	if got := readLine(b); got != "fine\n" {
		t.Errorf("another connection got %q", got)
	}
}

func TestServe_Drain(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	addr, stop := serve(t, netx.Options{}, func(ctx context.Context, c net.Conn) {
		close(begun)
		<-ctx.Done()
		if netx.Work(ctx).Err() != nil {
			t.Error("work ends with the context")
		}
		io.WriteString(c, "bye\n")
	})
	c := dial(t, addr)
	<-begun
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if got := readLine(c); got != "bye\n" {
		t.Errorf("got %q", got)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("still accepts after the drain")
	}
}

func TestServe_DrainDeadline(t *testing.T) {
	t.Parallel()
	var workEnded atomic.Bool
	begun := make(chan struct{})
	addr, stop := serve(t, netx.Options{Drain: 10 * time.Millisecond}, func(ctx context.Context, c net.Conn) {
		close(begun)
		c.Read(make([]byte, 1)) // never gets one
		<-netx.Work(ctx).Done()
		workEnded.Store(true)
	})
	dial(t, addr)
	<-begun
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if !workEnded.Load() {
		t.Error("Serve returned before its handler")
	}
}

// failing is a listener that runs out of descriptors a few times.
type failing struct {
	net.Listener
	left atomic.Int32
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

func TestServe_AcceptFails(t *testing.T) {
	t.Parallel()
	l, err := netx.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &failing{Listener: l}
	f.left.Store(3)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- netx.Serve(ctx, f, netx.Options{Drain: time.Millisecond}, echo) }()
	if got := readLine(dial(t, l.Addr().String())); got != "ready\n" {
		t.Errorf("got %q", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestServe_ListenerClosed(t *testing.T) {
	t.Parallel()
	l, err := netx.Listen(t.Context(), "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := netx.Serve(t.Context(), l, netx.Options{}, echo); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve on a closed listener: %v", err)
	}
}
