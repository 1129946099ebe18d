package pop3

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/eidermail/eider/internal/netx"
)

// Limit: bytes of one POP3 command line with its CRLF (RFC 2449 §4 asks for 255).
const MaxLine = 1024

// Limit: bytes of a line of a POP3 AUTH exchange with its CRLF (RFC 5034 §4).
const MaxAuthLine = 12_288

// Limit: bytes of one over-long command line that are skipped before the connection is closed.
const MaxSkipped = 1 << 20

// Limit: wrong commands of one POP3 connection before it is closed.
const MaxBadCommands = 25

// Limit: failed logins of one POP3 connection before it is closed.
const MaxAuthFailures = 5

// Limit: time a POP3 client has to log in.
const LoginTimeout = 2 * time.Minute

// Limit: wait for the next command of a logged in POP3 client (RFC 1939 §3 asks for 10 minutes).
const IdleTimeout = 10 * time.Minute

// Limit: wait for a POP3 client to take more of what is sent.
const WriteTimeout = time.Minute

// Limit: time for a TLS handshake.
const HandshakeTimeout = 30 * time.Second

// Limit: wait for the next command of a POP3 client when the server stops.
const DrainGrace = 5 * time.Second

// Limit: time to read what a client still sends when its connection is closed for a fault.
const LingerTime = 2 * time.Second

// Options configure a Server.
type Options struct {
	// Hostname is what the server calls itself.
	Hostname string
	// TLS makes STLS offered; nil: off.
	TLS *tls.Config
	// ImplicitTLS makes connections begin with the handshake; STLS is then off.
	ImplicitTLS bool
	// Conns bounds the connections.
	Conns netx.Options
	// NewSession begins the meaning of a connection. An error refuses it.
	NewSession func(ctx context.Context, c *Client) (Session, error)
	// Done gets the story of each connection when it ends; it may be nil.
	Done func(Record)
	Log  *slog.Logger
}

// Cause names why something did not work, for people who look for the mistake.
type Cause string

// The causes.
const (
	CauseHTTP        Cause = "http"                // spoke HTTP
	CauseTLSOnPlain  Cause = "tls-on-plain"        // began with a TLS handshake on a plain port
	CauseNoSTLS      Cause = "no-starttls"         // asked for STLS, which is off here
	CauseHandshake   Cause = "tls-handshake"       // the TLS handshake failed; see also the faults of package netx
	CauseCertRefused Cause = "certificate-refused" // left after the handshake without a word
	CauseInjection   Cause = "injection"           // sent commands behind STLS
	CauseAuthClear   Cause = "auth-in-clear"       // a login without TLS where that is not allowed
	CauseAuthFailed  Cause = "auth-failed"         // a login was refused
	CauseBadCommands Cause = "bad-commands"        // too many wrong commands
	CauseLeft        Cause = "left"                // asked for the capabilities, and did not log in
	CauseTimeout     Cause = "timeout"             // the client was too slow
)

// Limit: bytes kept of a login that was tried by POP3.
const maxLogin = 255

// Limit: causes kept of one POP3 connection.
const maxCauses = 16

// Record is the story of one connection. It holds no secret and no message.
type Record struct {
	Client     Client
	Start, End time.Time
	Retrieved  int
	Deleted    int
	Login      string // the last one that was tried
	Causes     []Cause
}

// Server speaks POP3 on connections.
type Server struct{ o Options }

// New returns a Server.
func New(o Options) *Server {
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
		n.Refuse = func(c net.Conn) { io.WriteString(c, "-ERR [SYS/TEMP] Too many connections\r\n") }
	}
	return netx.Serve(ctx, l, n, s.ServeConn)
}

// ServeConn serves one connection and returns when it is over. The caller closes nc.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) {
	s.serve(ctx, nc, Client{Addr: netx.ClientAddr(nc), Proxied: netx.ViaProxy(nc)})
}
