package imap

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// Options configure a Server.
type Options struct {
	// NewSession makes the Session of a connection.
	NewSession func(ConnInfo) Session
	// TLS is the certificate for STARTTLS; listeners with TLS bring theirs.
	TLS *tls.Config
	// StartTLS offers STARTTLS on connections without TLS.
	StartTLS bool
	// MessageLimit is the largest message that APPEND takes, in bytes.
	MessageLimit int64
	// Version is told by ID, and may be "".
	Version string
	Log     *slog.Logger
}

// ConnInfo is what the listener knows of a connection.
type ConnInfo struct {
	Remote netip.Addr
	// TLS says that the connection is a *tls.Conn, or came over TLS to a proxy.
	TLS bool
	// Trusted peers may log in without TLS.
	Trusted bool
}

// Server serves IMAP connections.
type Server struct {
	o Options
}

// New returns a Server.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.TLS == nil {
		o.StartTLS = false
	}
	return &Server{o: o}
}

// Refuse says goodbye to a connection that is one too many.
func (s *Server) Refuse(c net.Conn) {
	c.SetWriteDeadline(time.Now().Add(time.Second))
	c.Write([]byte("* BYE [UNAVAILABLE] too many connections\r\n"))
}

// ServeConn serves one connection and closes it. When ctx ends, the command
// that runs is brought to its end and the client is told goodbye.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn, info ConnInfo) {
	c := newConn(s, nc, info)
	defer c.close()
	if t, ok := nc.(*tls.Conn); ok {
		nc.SetDeadline(time.Now().Add(HandshakeTime))
		if t.HandshakeContext(ctx) != nil {
			return
		}
		nc.SetDeadline(time.Time{})
	}
	stop := context.AfterFunc(ctx, c.interrupt)
	defer stop()
	c.serve(ctx)
}
