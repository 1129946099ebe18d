package netx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"
)

// Limit: connections served at once by one listener.
const MaxConns = 10_000

// Limit: time that connections have to end by themselves when the server stops.
const DrainTime = 30 * time.Second

// Pace: longest pause after the system refused to accept (out of file descriptors).
const maxAcceptPause = time.Second

// refuseTime bounds what is said to a connection that is one too many: a line
// fits the socket's buffer, so this is never waited for.
const refuseTime = time.Second

// Options bound what Serve does.
type Options struct {
	// MaxConns is how many connections are served at once; MaxConns of this package if 0.
	MaxConns int
	// MaxPerHost is how many of them may come from one client address (IPv6:
	// one /64); no limit if 0.
	MaxPerHost int
	// Drain is how long connections may go on after ctx ended; DrainTime if 0.
	Drain time.Duration
	// Refuse says a last word to a connection over a limit; it must not read.
	// The connection is closed after it. It may be nil.
	Refuse func(net.Conn)
	Log    *slog.Logger
}

// Serve accepts connections and runs handle for each in its own goroutine,
// until ctx ends; handle's connection is closed when handle returns.
//
// When ctx ends, accepting stops and the handlers' contexts end, which tells
// them to finish: to bring to an end what the client was promised, take no new
// work, say goodbye. What they still do must go by Work(ctx), which ends with
// the drain time; then connections are closed under their handlers. Serve
// returns nil when all have returned.
func Serve(ctx context.Context, l net.Listener, o Options, handle func(context.Context, net.Conn)) error {
	if o.MaxConns <= 0 {
		o.MaxConns = MaxConns
	}
	if o.Drain <= 0 {
		o.Drain = DrainTime
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	work, endWork := context.WithCancel(context.WithoutCancel(ctx))
	defer endWork()
	s := &server{o: o, handle: handle, conns: make(map[net.Conn]netip.Addr), hosts: make(map[netip.Addr]int)}
	s.ctx = context.WithValue(ctx, workKey{}, work)

	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	err := s.accept(ctx, l)
	l.Close()

	all := make(chan struct{})
	go func() { s.wg.Wait(); close(all) }()
	if err == nil {
		t := time.NewTimer(o.Drain)
		defer t.Stop()
		select {
		case <-all:
			return nil
		case <-t.C:
		}
	}
	endWork()
	s.closeAll()
	<-all
	return err
}

type workKey struct{}

// Work is the context for work that must be brought to an end although the
// server is stopping: it outlives ctx until the drain time of Serve is over.
// For a context that is not of Serve it is one that never ends.
func Work(ctx context.Context) context.Context {
	work, ok := ctx.Value(workKey{}).(context.Context)
	if !ok {
		return context.WithoutCancel(ctx)
	}
	return work
}

type server struct {
	o      Options
	ctx    context.Context
	handle func(context.Context, net.Conn)
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]netip.Addr
	hosts map[netip.Addr]int
}

func (s *server) accept(ctx context.Context, l net.Listener) error {
	var pause time.Duration
	for {
		c, err := l.Accept()
		if err == nil {
			pause = 0
			s.take(c)
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("listener %s was closed: %w", l.Addr(), err)
		}
		// Out of descriptors or memory: others end meanwhile, so wait a little.
		pause = min(max(2*pause, 5*time.Millisecond), maxAcceptPause)
		s.o.Log.Warn("accept failed", "listener", l.Addr().String(), "err", err.Error(), "pause", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// take serves c, or refuses it at once if it is one too many.
func (s *server) take(c net.Conn) {
	host := hostOf(c)
	s.mu.Lock()
	full := len(s.conns) >= s.o.MaxConns || s.o.MaxPerHost > 0 && s.hosts[host] >= s.o.MaxPerHost
	if !full {
		s.conns[c] = host
		s.hosts[host]++
	}
	s.mu.Unlock()
	if full {
		if s.o.Refuse != nil {
			c.SetDeadline(time.Now().Add(refuseTime))
			s.o.Refuse(c)
		}
		c.Close()
		return
	}
	s.wg.Go(func() { s.run(c) })
}

func (s *server) run(c net.Conn) {
	defer func() {
		if p := recover(); p != nil {
			s.o.Log.Error("a connection panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		c.Close()
		s.mu.Lock()
		host := s.conns[c]
		delete(s.conns, c)
		if s.hosts[host]--; s.hosts[host] <= 0 {
			delete(s.hosts, host)
		}
		s.mu.Unlock()
	}()
	s.handle(s.ctx, c)
}

func (s *server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// hostOf is what connections are counted by: the address, for IPv6 its /64,
// which is what one customer gets.
func hostOf(c net.Conn) netip.Addr {
	a := ClientAddr(c).Addr()
	if a.Is6() {
		p, _ := a.Prefix(64)
		return p.Addr()
	}
	return a
}
