package smtp

import (
	"context"
	"crypto/tls"
	"io"
	"net/netip"

	"github.com/eidermail/eider/internal/addr"
	"github.com/eidermail/eider/internal/sasl"
)

// Mode is what a listener is for.
type Mode int

// The modes.
const (
	Submission Mode = iota // RFC 6409: clients send, AUTH is offered
	MX                     // RFC 5321: servers deliver
	LMTP                   // RFC 2033: a mail system delivers, one reply per recipient
)

// Client is what is known of a connection's other end. The package changes it
// while commands come in; a Session reads it within its calls only.
type Client struct {
	// Addr is the client's address: never taken from the net.Conn but when
	// the connection begins, since a proxy may speak for the client.
	Addr netip.AddrPort
	// Proxied is set when Addr was told by a proxy: nobody is trusted by it.
	Proxied bool
	Mode    Mode
	// TLS is nil in clear.
	TLS   *tls.ConnectionState
	Helo  string // what EHLO, HELO or LHLO named
	ESMTP bool   // it was not HELO
	User  string // the login, once AUTH succeeded
	// Nobody is set by the Session: it took a login that names no account.
	Nobody bool
	UTF8   bool // the transaction asked for SMTPUTF8
}

// Protocol is the name of RFC 3848 and RFC 6531 §4.3 for the transaction: "ESMTPSA".
func (c *Client) Protocol() string {
	base := "SMTP"
	if c.Mode == LMTP {
		base = "LMTP"
	}
	switch {
	case c.UTF8:
		base = "UTF8" + base
	case c.ESMTP && c.Mode != LMTP:
		base = "ESMTP"
	}
	if !c.ESMTP && !c.UTF8 {
		return base
	}
	if c.TLS != nil {
		base += "S"
	}
	if c.User != "" {
		base += "A"
	}
	return base
}

// Mail is what MAIL said.
type Mail struct {
	From addr.Addr // zero: the null sender
	Size int64     // as declared, 0 if not
	Body string    // "7BIT", "8BITMIME" or ""
	UTF8 bool      // SMTPUTF8 was asked for
}

// Session is the meaning of one connection. Its methods are called by one
// goroutine, one at a time. Errors that are a Reply are sent as they are; any
// other becomes 451. After a Reply 421 of Mail or Rcpt the connection ends.
type Session interface {
	// Mechanisms lists the SASL mechanisms on offer for the connection as it
	// is now, in clear or with TLS; none means that AUTH is refused.
	Mechanisms() []string
	// Auth checks a login.
	Auth(ctx context.Context, mechanism string, c sasl.Credentials) error
	// Mail begins a transaction.
	Mail(ctx context.Context, m Mail) error
	// Rcpt adds a recipient.
	Rcpt(ctx context.Context, to addr.Addr) error
	// Data takes the message. It must read r up to io.EOF before it stores
	// anything; an error of r means that there is no message, and nothing that
	// Data returns is then sent. It answers with one Reply, for LMTP with one
	// for each accepted recipient, in their order; an error stands for all of
	// them. The context outlives a stop of the server until its drain time ends.
	// r is an io.WriterTo, so io.Copy takes the message without a buffer.
	Data(ctx context.Context, r io.Reader) ([]Reply, error)
	// Reset ends a transaction; it is called after Data, too.
	Reset()
	// Close ends the session.
	Close()
}
