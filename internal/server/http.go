package server

import (
	"context"
	"crypto/tls"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/obs"
)

// Limit: time for an HTTP request's header.
const HeaderTime = 10 * time.Second

// Limit: time that an idle HTTP connection is kept.
const IdleTime = 2 * time.Minute

// Limit: bytes of an HTTP request's header.
const MaxHeader = 64 << 10

// Limit: time for an HTTP request's body.
const BodyTime = time.Minute

// Limit: time that a client may take for one write of an HTTP answer.
const WriteTime = time.Minute

// Limit: requests under way at once on one HTTP/2 connection; clients know it,
// and keep the others or open another connection.
const MaxHTTPStreams = 24

// Limit: HTTP connections open at once, per listener.
const MaxHTTPConns = 10_000

// newHTTP makes a server that holds to the limits. Long answers (waits, event
// streams, downloads) have no deadline as a whole, but each of their writes has.
func (s *Server) newHTTP(name string, h http.Handler, t *tls.Config) *http.Server {
	return &http.Server{
		Handler:           deadlines(h),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: MaxHTTPStreams},
		TLSConfig:         t,
		ReadHeaderTimeout: HeaderTime,
		IdleTimeout:       IdleTime,
		MaxHeaderBytes:    MaxHeader,
		ErrorLog:          log.New(&httpLog{s.o.Log.With("listener", name)}, "", 0),
	}
}

// deadlines bounds the time in which a request's body must come, and each write
// of its answer. The connection has the latter for HTTP/1 (see metered).
func deadlines(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if r.ContentLength != 0 {
			// An error only means that this kind of connection has no deadlines.
			_ = rc.SetReadDeadline(time.Now().Add(BodyTime))
		}
		if r.ProtoMajor < 2 {
			h.ServeHTTP(w, r)
			return
		}
		p := &paced{ResponseWriter: w, rc: rc}
		h.ServeHTTP(p, r)
		p.set() // for what net/http still holds
	})
}

// paced gives each write of an HTTP/2 answer its time. There a client stops an
// answer by taking nothing of its stream (RFC 9113 §5.2), which no deadline of
// the connection notices: nothing is written to it. A stream that is late is reset.
type paced struct {
	http.ResponseWriter
	rc  *http.ResponseController
	own bool // the handler has set a deadline itself
}

func (p *paced) set() {
	if !p.own {
		_ = p.rc.SetWriteDeadline(time.Now().Add(WriteTime))
	}
}

// unset lets an answer pause between its writes.
func (p *paced) unset() {
	if !p.own {
		_ = p.rc.SetWriteDeadline(time.Time{})
	}
}

func (p *paced) Write(b []byte) (int, error) {
	p.set()
	defer p.unset()
	return p.ResponseWriter.Write(b)
}

// FlushError sends what was written, for http.ResponseController.
func (p *paced) FlushError() error {
	p.set()
	defer p.unset()
	return p.rc.Flush()
}

// SetWriteDeadline leaves the time of writes to the handler, until it takes its deadline back.
func (p *paced) SetWriteDeadline(t time.Time) error {
	p.own = !t.IsZero()
	return p.rc.SetWriteDeadline(t)
}

// Unwrap lets http.ResponseController find the rest.
func (p *paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// serveHTTP serves until ctx ends, then lets requests finish for drain.
func serveHTTP(ctx context.Context, srv *http.Server, l net.Listener, drain time.Duration) error {
	done := make(chan error, 1)
	go func() {
		if srv.TLSConfig != nil {
			done <- srv.ServeTLS(l, "", "")
		} else {
			done <- srv.Serve(l)
		}
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if srv.Shutdown(end) != nil {
		srv.Close()
	}
	<-done
	return nil
}

// httpLog takes the lines of net/http: a panic is our defect, the rest
// (handshakes that failed, odd requests) is the business of clients.
type httpLog struct{ log *slog.Logger }

func (l *httpLog) Write(b []byte) (int, error) {
	text := strings.TrimSpace(string(b))
	if strings.Contains(text, "panic serving") {
		l.log.Error("an http handler panicked", "stack", strings.Split(text, "\n"))
	} else {
		l.log.Debug("http", "text", text)
	}
	return len(b), nil
}

// meter counts a listener's connections, bounds them, and gives each write a deadline.
type meter struct {
	net.Listener
	name  string
	m     *obs.Metrics
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
}

func newMeter(l net.Listener, name string, m *obs.Metrics) *meter {
	return &meter{Listener: l, name: name, m: m, slots: make(chan struct{}, MaxHTTPConns), done: make(chan struct{})}
}

func (l *meter) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	l.m.Connections.WithLabelValues(l.name).Inc()
	l.m.ConnectionsOpen.WithLabelValues(l.name).Inc()
	return &metered{Conn: c, l: l}, nil
}

// Close ends an Accept that waits for a slot, too.
func (l *meter) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type metered struct {
	net.Conn
	l    *meter
	once sync.Once
}

func (c *metered) Write(b []byte) (int, error) {
	_ = c.Conn.SetWriteDeadline(time.Now().Add(WriteTime))
	return c.Conn.Write(b)
}

func (c *metered) Close() error {
	c.once.Do(func() {
		<-c.l.slots
		c.l.m.ConnectionsOpen.WithLabelValues(c.l.name).Dec()
	})
	return c.Conn.Close()
}

// counted counts the connections of a listener whose server bounds them itself.
type counted struct {
	net.Listener
	name string
	m    *obs.Metrics
}

func (l *counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.m.Connections.WithLabelValues(l.name).Inc()
	open := l.m.ConnectionsOpen.WithLabelValues(l.name)
	open.Inc()
	return &countedConn{Conn: c, closed: sync.OnceFunc(open.Dec)}, nil
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}
