package imap

import (
	"context"
	"crypto/tls"
	"hash/maphash"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/eidermail/eider/internal/imap/deflate"
	"github.com/eidermail/eider/internal/imap/memo"
)

// Options configure a Server.
type Options struct {
	// NewSession makes the Session of a connection. Long operations may call
	// Progress now and then.
	NewSession func(ConnInfo, Progress) Session
	// ProgressEvery is how often a client is told that its command goes on;
	// ProgressEvery of this package if 0.
	ProgressEvery time.Duration
	// TLS is the certificate for STARTTLS; listeners with TLS bring theirs.
	TLS *tls.Config
	// StartTLS offers STARTTLS on connections without TLS.
	StartTLS bool
	// MessageLimit is the largest message that APPEND takes, in bytes.
	MessageLimit int64
	// Bearer offers OAUTHBEARER.
	Bearer bool
	// Version is told by ID, and may be "".
	Version string
	Log     *slog.Logger
}

// Progress says how much of a command's work is done.
type Progress func(done, goal int)

// ConnInfo is what the listener knows of a connection.
type ConnInfo struct {
	Remote netip.Addr
	// TLS says that the connection is a *tls.Conn, or came over TLS to a proxy.
	TLS bool
	// Trusted peers may log in without TLS.
	Trusted bool
	// Note is told of logins ("login", "denied"), steps ("asked", "secured") and faults; nil: nobody is.
	Note func(what, login string)
}

// Server serves IMAP connections.
type Server struct {
	o       Options
	packers deflate.Pool // for COMPRESS
	written *memo.Cache[string]
	seed    maphash.Seed
}

// New returns a Server.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.ProgressEvery == 0 {
		o.ProgressEvery = ProgressEvery
	}
	if o.TLS == nil {
		o.StartTLS = false
	}
	return &Server{o: o, written: memo.New[string](maxWritten), seed: maphash.MakeSeed()}
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
	stop := context.AfterFunc(ctx, c.interrupt)
	defer stop()
	c.serve(ctx)
}
