package server

import (
	"net"
	"net/netip"
	"sync"

	"github.com/eidermail/eider/internal/netx"
	"github.com/eidermail/eider/internal/policy"
)

// gates stand before the listeners: a client from a network that the operator
// blocked gets no word, and those that are connected when it is blocked are
// cut off. They bound the connections of one address, too, for the listeners
// whose server does not.
type gates struct {
	blocked func(netip.Addr) bool // nil: nobody is

	mu    sync.Mutex
	conns map[*gated]struct{}
}

func newGates() *gates { return &gates{conns: map[*gated]struct{}{}} }

// gate is one listener behind its gate.
type gate struct {
	net.Listener
	g       *gates
	perHost int

	mu    sync.Mutex
	hosts map[string]int
}

// listen puts a gate before a listener; perHost bounds the connections of one
// address at once, 0: no bound.
func (g *gates) listen(l net.Listener, perHost int) net.Listener {
	return &gate{Listener: l, g: g, perHost: perHost, hosts: map[string]int{}}
}

// Accept returns the next connection that may come in.
func (l *gate) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := netx.ClientAddr(c).Addr()
		if l.g.blocked != nil && l.g.blocked(addr) {
			c.Close()
			continue
		}
		gc := &gated{Conn: c, gate: l, addr: addr, host: policy.Network(addr, 32, 64)}
		if !l.enter(gc) {
			c.Close()
			continue
		}
		return gc, nil
	}
}

func (l *gate) enter(c *gated) bool {
	if l.perHost > 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.hosts[c.host] >= l.perHost {
			return false
		}
		l.hosts[c.host]++
	}
	l.g.mu.Lock()
	defer l.g.mu.Unlock()
	l.g.conns[c] = struct{}{}
	return true
}

func (l *gate) leave(c *gated) {
	l.g.mu.Lock()
	delete(l.g.conns, c)
	l.g.mu.Unlock()
	if l.perHost <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hosts[c.host]--; l.hosts[c.host] <= 0 {
		delete(l.hosts, c.host)
	}
}

// drop cuts off who is connected and may no longer be.
func (g *gates) drop() {
	if g.blocked == nil {
		return
	}
	g.mu.Lock()
	var out []*gated
	for c := range g.conns {
		if g.blocked(c.addr) {
			out = append(out, c)
		}
	}
	g.mu.Unlock()
	for _, c := range out {
		c.Close()
	}
}

// gated is a connection that came in by a gate.
type gated struct {
	net.Conn
	gate *gate
	addr netip.Addr
	host string
	once sync.Once
}

// NetConn is the connection itself, for who asks how it came.
func (c *gated) NetConn() net.Conn { return c.Conn }

// Close leaves the gate, too.
func (c *gated) Close() error {
	c.once.Do(func() { c.gate.leave(c) })
	return c.Conn.Close()
}
