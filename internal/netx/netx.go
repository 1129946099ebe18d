// Package netx opens listeners and serves their connections within bounds;
// nothing else. It knows no protocol: what is said to a client that is one too
// many is the caller's function.
//
// It promises that a listener on "localhost" answers on both loopback
// addresses, that no number of clients starts more than Options.MaxConns
// handlers, that one connection's panic ends that connection only, and that
// Serve returns after every handler has returned.
package netx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"syscall"
)

// The reasons why an address cannot be listened on; test with errors.Is. Who
// calls Listen adds which setting changes the address.
var (
	// ErrTaken: another program has the port.
	ErrTaken = errors.New("another program is using this address")
	// ErrNotPermitted: this user may not open the port.
	ErrNotPermitted = errors.New("this user may not open the port (ports below 1024 need rights)")
	// ErrNotLocal: this machine does not have the address.
	ErrNotLocal = errors.New("this machine does not have the address")
)

// ListenError tells which address could not be listened on, and why.
type ListenError struct {
	Addr string
	Err  error
}

func (e *ListenError) Error() string { return fmt.Sprintf("cannot listen on %s: %v", e.Addr, e.Err) }

func (e *ListenError) Unwrap() error { return e.Err }

// freePortTries is how often a port that is free in both address families is sought.
const freePortTries = 20

// Listen opens a TCP listener. "localhost:PORT", or a bare "PORT", is
// 127.0.0.1 and ::1 together, with the same port in both also for port 0; a
// machine that lacks one of the families has the other. ":PORT" is every
// address of the machine, "HOST:PORT" that one.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	host, port, err := splitAddress(address)
	if err != nil {
		return nil, &ListenError{Addr: address, Err: err}
	}
	if host != "localhost" {
		return listenOne(ctx, net.JoinHostPort(host, port))
	}
	for try := 1; ; try++ {
		l, err := listenLoopback(ctx, port)
		// A port that was free in one family and taken in the other: take another.
		if err != nil && port == "0" && errors.Is(err, ErrTaken) && try < freePortTries {
			continue
		}
		return l, err
	}
}

func splitAddress(address string) (host, port string, err error) {
	if _, err := strconv.ParseUint(address, 10, 16); err == nil {
		return "localhost", address, nil
	}
	host, port, err = net.SplitHostPort(address)
	if err != nil {
		return "", "", errors.New("want HOST:PORT")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", "", errors.New("the port must be a number from 0 to 65535")
	}
	return host, port, nil
}

func listenOne(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &ListenError{Addr: address, Err: reason(err)}
	}
	return l, nil
}

func listenLoopback(ctx context.Context, port string) (net.Listener, error) {
	four, err4 := listenOne(ctx, net.JoinHostPort("127.0.0.1", port))
	if err4 != nil && !noFamily(err4) {
		return nil, err4
	}
	if four != nil {
		_, port, _ = net.SplitHostPort(four.Addr().String())
	}
	six, err6 := listenOne(ctx, net.JoinHostPort("::1", port))
	switch {
	case err6 == nil && four == nil:
		return six, nil
	case err6 == nil:
		return join(four, six), nil
	case four == nil:
		return nil, err4
	case noFamily(err6):
		return four, nil
	}
	four.Close()
	return nil, err6
}

// winsock's numbers, which package syscall does not map to the names of Unix.
const (
	wsaEACCES       = syscall.Errno(10013)
	wsaEAFNOSUPPORT = syscall.Errno(10047)
	wsaEADDRINUSE   = syscall.Errno(10048)
	wsaENOTAVAIL    = syscall.Errno(10049)
)

// reason maps what the system said to one of the reasons above.
func reason(err error) error {
	var e syscall.Errno
	if !errors.As(err, &e) {
		return err
	}
	win := runtime.GOOS == "windows"
	switch {
	case e == syscall.EADDRINUSE, win && e == wsaEADDRINUSE:
		return ErrTaken
	case e == syscall.EACCES, win && e == wsaEACCES:
		return ErrNotPermitted
	case e == syscall.EADDRNOTAVAIL, win && e == wsaENOTAVAIL:
		return ErrNotLocal
	}
	return err
}

// noFamily tells that the machine does not speak this address family.
func noFamily(err error) bool {
	return errors.Is(err, ErrNotLocal) || errors.Is(err, syscall.EAFNOSUPPORT) ||
		runtime.GOOS == "windows" && errors.Is(err, wsaEAFNOSUPPORT)
}

// joined is two listeners as one. Its goroutines start with the first Accept,
// and Close waits for them.
type joined struct {
	parts  []net.Listener
	start  sync.Once
	close  sync.Once
	wg     sync.WaitGroup
	conns  chan accepted
	closed chan struct{}
}

type accepted struct {
	conn net.Conn
	err  error
}

func join(parts ...net.Listener) *joined {
	return &joined{parts: parts, conns: make(chan accepted), closed: make(chan struct{})}
}

// Accept returns the next connection of either listener.
func (j *joined) Accept() (net.Conn, error) {
	j.start.Do(func() {
		for _, l := range j.parts {
			j.wg.Go(func() { j.run(l) })
		}
	})
	select {
	case a := <-j.conns:
		return a.conn, a.err
	case <-j.closed:
		return nil, net.ErrClosed
	}
}

func (j *joined) run(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		select {
		case j.conns <- accepted{c, err}:
		case <-j.closed:
			if c != nil {
				c.Close()
			}
			return
		}
	}
}

// Close closes both listeners.
func (j *joined) Close() error {
	j.close.Do(func() {
		close(j.closed)
		for _, l := range j.parts {
			l.Close()
		}
	})
	j.start.Do(func() {}) // an Accept that comes later starts nothing
	j.wg.Wait()
	return nil
}

// Addr is the first listener's address; the others have the same port.
func (j *joined) Addr() net.Addr { return j.parts[0].Addr() }

// Addrs returns every address that a listener of this package accepts on.
func Addrs(l net.Listener) []net.Addr {
	j, ok := l.(*joined)
	if !ok {
		return []net.Addr{l.Addr()}
	}
	var all []net.Addr
	for _, p := range j.parts {
		all = append(all, p.Addr())
	}
	return all
}

// ClientAddr is the address of a connection's peer, IPv4 written as IPv4; not
// valid for what is no TCP connection. Protocols keep it as a field and look
// at no net.Conn for it, since behind a proxy the two differ.
func ClientAddr(c net.Conn) netip.AddrPort {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
