package pop3

import (
	"context"
	"crypto/tls"
	"io"
	"net/netip"

	"github.com/eidermail/eider/internal/sasl"
)

// Client is what is known of a connection's other end; a Session reads it
// within its calls only.
type Client struct {
	// Addr is the client's address: taken from the net.Conn only when the
	// connection begins, since a proxy may speak for the client.
	Addr netip.AddrPort
	// Proxied is set when Addr was told by a proxy: nobody is trusted by it.
	Proxied bool
	TLS     *tls.ConnectionState // nil in clear
	User    string               // the login, once it succeeded
}

// Error is a -ERR reply.
type Error struct {
	// Code is a response code of RFC 2449 §8 or RFC 3206, "SYS/TEMP", or "".
	Code string
	Text string // ASCII
	// End ends the connection; nothing is updated.
	End bool
}

func (e Error) Error() string { return "pop3: " + e.Text }

// Session is the meaning of one connection. Its methods are called by one
// goroutine. Errors that are an Error are sent as they are; any other becomes
// [SYS/TEMP]. Messages are counted from 0.
type Session interface {
	// Mechanisms lists the SASL mechanisms on offer for the connection as it
	// is now, in clear or with TLS; none means that logins are refused.
	Mechanisms() []string
	// Login checks a login and opens its maildrop: the list of messages that
	// the session has from now on.
	Login(ctx context.Context, mechanism string, c sasl.Credentials) error
	// Sizes are the bytes of each message. The slice is not changed any more.
	Sizes() []int64
	// UID is the unique id of message i: 1 to 70 characters from '!' to '~'
	// that stay the same in later sessions and differ between messages.
	UID(i int) string
	// Open reads message i.
	Open(ctx context.Context, i int) (io.ReadCloser, error)
	// Update is QUIT after a login: messages that were retrieved are marked as
	// seen, those to be deleted are deleted.
	Update(ctx context.Context, retrieved, deleted []int) error
	// Close ends the session.
	Close()
}
