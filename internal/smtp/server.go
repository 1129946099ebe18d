package smtp

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/eidermail/eider/internal/netx"
)

// Limit: recipients of one transaction (RFC 5321 §4.5.3.1.8 asks for 100).
const MaxRecipients = 10_000

// Limit: bytes of one SMTP command line with its CRLF (RFC 5321 §4.5.3.1.4 asks for 512).
const MaxLine = 2048

// Limit: bytes of an AUTH command or response line with its CRLF (RFC 4954 §4).
const MaxAuthLine = 12_288

// Limit: bytes of one over-long command line that are skipped before the connection is closed.
const MaxSkipped = 1 << 20

// Limit: wrong commands of one SMTP connection before it is closed.
const MaxBadCommands = 25

// Limit: failed AUTH commands of one SMTP connection before it is closed.
const MaxAuthFailures = 5

// Limit: how many times the message limit is read and thrown away before the connection is closed.
const DiscardFactor = 4

// Limit: message bytes by default.
const DefaultMaxSize = 64 << 20

// Limit: wait for the first SMTP command.
const GreetingTimeout = time.Minute

// Limit: wait for a whole command line (RFC 5321 §4.5.3.2.7 asks for 5 minutes).
const CommandTimeout = 5 * time.Minute

// Limit: wait for more of a message (RFC 5321 §4.5.3.2.5 has 3 minutes for a client's writing).
const DataTimeout = 2 * time.Minute

// Limit: time for a whole message.
const MessageTimeout = time.Hour

// Limit: wait for the client to take a reply.
const WriteTimeout = time.Minute

// Limit: time for a TLS handshake.
const HandshakeTimeout = 30 * time.Second

// Limit: wait for the next command of a client that was not finished when the server stops.
const DrainGrace = 5 * time.Second

// Limit: time to read what a client still sends when its connection is closed for a fault.
const LingerTime = 2 * time.Second

// Options configure a Server.
type Options struct {
	Mode Mode
	// Hostname is what the server calls itself.
	Hostname string
	// TLS makes STARTTLS offered; nil: off.
	TLS *tls.Config
	// ImplicitTLS makes connections begin with the handshake; STARTTLS is then off.
	ImplicitTLS bool
	// MaxSize is the largest message; DefaultMaxSize if 0.
	MaxSize int64
	// MaxRecipients of a transaction; the package's if 0.
	MaxRecipients int
	// Conns bounds the connections.
	Conns netx.Options
	// NewSession begins the meaning of a connection. An error refuses it.
	NewSession func(ctx context.Context, c *Client) (Session, error)
	// Done gets the story of each connection when it ends; it may be nil.
	Done func(Record)
	Log  *slog.Logger
}

// Server speaks SMTP or LMTP on connections.
type Server struct {
	o    Options
	pool buffers
}

// New returns a Server.
func New(o Options) *Server {
	if o.MaxSize <= 0 {
		o.MaxSize = DefaultMaxSize
	}
	if o.MaxRecipients <= 0 {
		o.MaxRecipients = MaxRecipients
	}
	if o.Hostname == "" {
		o.Hostname = "localhost"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{o: o}
}

// Serve serves the connections of a listener until ctx ends and they have
// ended, too; see netx.Serve.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	n := s.o.Conns
	if n.Log == nil {
		n.Log = s.o.Log
	}
	if n.Refuse == nil && !s.o.ImplicitTLS {
		n.Refuse = func(c net.Conn) { c.Write(appendReply(nil, replyBusy, s.enhanced())) }
	}
	return netx.Serve(ctx, l, n, func(ctx context.Context, nc net.Conn) { s.ServeConn(ctx, nc) })
}

// ServeConn serves one connection and returns when it is over. The caller closes nc.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) {
	s.serve(ctx, nc, Client{Addr: netx.ClientAddr(nc), Proxied: netx.ViaProxy(nc), Mode: s.o.Mode})
}

// enhanced tells whether replies carry the codes of RFC 2034. The exact reply
// that submission clients look for has no room for one.
func (s *Server) enhanced() bool { return s.o.Mode != Submission }
