package netx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Limit: time in which a proxy must send its PROXY header.
const ProxyHeaderTime = 5 * time.Second

// Limit: connections of one listener whose PROXY header has not come yet.
const MaxProxyPending = 1024

// proxyLogEvery is how often a listener tells that it refused connections.
const proxyLogEvery = 10 * time.Second

// ProxyOptions say who stands in front of a listener.
type ProxyOptions struct {
	// From are the addresses of the proxies; connections of others are closed.
	From []netip.Prefix
	// Time for the header; ProxyHeaderTime if 0.
	Time time.Duration
	Log  *slog.Logger
}

// Proxied is a listener behind proxies: each connection must begin with a
// PROXY header of version 2, and has from then on the client's address that
// stands there. Headers are read beside each other, so that a slow one delays
// nobody; Accept returns only connections whose header was good. A stranger,
// and what does not begin with such a header, is closed without a word.
//
// The LOCAL command (health checks) keeps the proxy's own address.
func Proxied(l net.Listener, o ProxyOptions) net.Listener {
	if o.Time <= 0 {
		o.Time = ProxyHeaderTime
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &proxied{Listener: l, o: o, ready: make(chan accepted), slots: make(chan struct{}, MaxProxyPending)}
	p.ctx, p.end = context.WithCancel(context.Background())
	return p
}

// ViaProxy tells whether a connection came through a listener of Proxied: its
// address is what another told, so nobody is trusted by it.
func ViaProxy(c net.Conn) bool {
	for {
		if _, ok := c.(*proxyConn); ok {
			return true
		}
		inner, ok := c.(interface{ NetConn() net.Conn }) // as crypto/tls names it
		if !ok {
			return false
		}
		c = inner.NetConn()
	}
}

// proxied accepts in a goroutine of its own, from the first Accept on, and
// reads each header in one of the connection's own.
type proxied struct {
	net.Listener
	o     ProxyOptions
	start sync.Once
	wg    sync.WaitGroup
	ready chan accepted
	slots chan struct{}
	ctx   context.Context // ends when the listener is closed
	end   context.CancelFunc
	logs  refusals
}

// proxyConn is a connection with the address that its proxy told.
type proxyConn struct {
	net.Conn
	remote net.Addr
}

// RemoteAddr is the client's address.
func (c *proxyConn) RemoteAddr() net.Addr { return c.remote }

// CloseWrite ends one direction.
func (c *proxyConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// Accept returns the next connection whose header was good.
func (p *proxied) Accept() (net.Conn, error) {
	p.start.Do(func() { p.wg.Go(p.run) })
	select {
	case a := <-p.ready:
		return a.conn, a.err
	case <-p.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (p *proxied) run() {
	for {
		c, err := p.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			p.deliver(accepted{err: err})
			return
		}
		if err != nil {
			p.deliver(accepted{err: err}) // who accepts decides how long to pause
			continue
		}
		select {
		case p.slots <- struct{}{}:
			p.wg.Go(func() { p.greet(c) })
		default:
			p.refuse(c, errors.New("too many connections wait for their PROXY header"))
		}
	}
}

// greet reads one header.
func (p *proxied) greet(c net.Conn) {
	pc, err := p.header(c)
	<-p.slots
	if err != nil {
		p.refuse(c, err)
		return
	}
	p.deliver(accepted{conn: pc})
}

// errStranger is a connection that does not come from a proxy.
var errStranger = errors.New("it does not come from a proxy (--proxy-from)")

func (p *proxied) header(c net.Conn) (net.Conn, error) {
	if !p.known(ClientAddr(c).Addr()) {
		return nil, errStranger
	}
	_ = c.SetReadDeadline(time.Now().Add(p.o.Time)) // a connection that is closed already fails to be read
	// The listener's end is not held up by a header that does not come.
	stop := context.AfterFunc(p.ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	h, err := ReadProxyHeader(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, fmt.Errorf("no PROXY header within %v", p.o.Time)
	}
	if err != nil {
		return nil, err
	}
	if !stop() {
		return nil, net.ErrClosed
	}
	_ = c.SetReadDeadline(time.Time{})
	if h.Local {
		return &proxyConn{c, c.RemoteAddr()}, nil
	}
	return &proxyConn{c, net.TCPAddrFromAddrPort(h.Source)}, nil
}

// known tells whether an address is one of the proxies'.
func (p *proxied) known(a netip.Addr) bool {
	for _, n := range p.o.From {
		if n.Contains(a) || a.Is4() && n.Contains(netip.AddrFrom16(a.As16())) {
			return true
		}
	}
	return false
}

// deliver hands a connection to Accept, or closes it.
func (p *proxied) deliver(a accepted) {
	select {
	case p.ready <- a:
	case <-p.ctx.Done():
		if a.conn != nil {
			a.conn.Close()
		}
	}
}

// refuse closes a connection and tells the operator, now and then, why.
func (p *proxied) refuse(c net.Conn, why error) {
	from := ClientAddr(c).Addr()
	c.Close()
	if p.ctx.Err() != nil {
		return
	}
	if n := p.logs.count(time.Now()); n > 0 {
		p.o.Log.Warn("refused at a listener that is behind proxies", "from", from.String(), "why", why.Error(),
			"refused", n)
	}
}

// Close ends the listener, and reading headers.
func (p *proxied) Close() error {
	err := p.Listener.Close()
	p.end()
	p.start.Do(func() {}) // an Accept that comes later starts nothing
	p.wg.Wait()
	return err
}

// refusals counts what was refused since it was told last.
type refusals struct {
	mu   sync.Mutex
	n    int
	told time.Time
}

// count counts one more, and returns how many it is time to tell of, or 0.
func (r *refusals) count(now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	if now.Sub(r.told) < proxyLogEvery {
		return 0
	}
	n := r.n
	r.n, r.told = 0, now
	return n
}
