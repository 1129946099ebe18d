// Package sasl has the server side of the SASL mechanisms PLAIN (RFC 4616)
// and LOGIN, for SMTP (RFC 4954), IMAP (RFC 9051 §6.2.2) and POP3 (RFC 5034)
// alike.
//
// A mechanism is a small state machine: it is fed the client's responses and
// hands out challenges, both without base64, and in the end the credentials.
// It never checks a password and never keeps one longer than the exchange.
package sasl

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"unicode/utf8"
)

// The names of the mechanisms.
const (
	Plain = "PLAIN"
	Login = "LOGIN"
)

// Limit: bytes of a user name or an authorization identity; RFC 4616 asks for 255.
const MaxUser = 512

// Limit: bytes of a password; RFC 4616 asks for 255.
const MaxPassword = 1024

// The ways an exchange can fail. All end it; the client may start another.
var (
	// ErrMalformed: the response is not what the mechanism's RFC says (SMTP 501, IMAP BAD).
	ErrMalformed = errors.New("sasl: malformed response")
	// ErrTooLong: a line or a field is over its limit (SMTP 500).
	ErrTooLong = errors.New("sasl: response too long")
	// ErrAuthzid: the client asks to act as somebody else (SMTP 535).
	ErrAuthzid = errors.New("sasl: acting for another user is not offered")
	// ErrCancelled: the client sent "*" (SMTP 501, IMAP BAD).
	ErrCancelled = errors.New("sasl: cancelled by the client")
	// ErrDone: the exchange is over.
	ErrDone = errors.New("sasl: exchange is over")
)

// Credentials are what an exchange brings. They print without the password.
type Credentials struct{ User, Password string }

// String hides the password.
func (c Credentials) String() string { return "credentials of " + c.User }

// GoString hides the password.
func (c Credentials) GoString() string { return c.String() }

// LogValue hides the password.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.User) }

// Server is the server side of one exchange.
type Server interface {
	// Next takes the client's response, decoded. The first call takes the
	// initial response, or nil if the client sent none (an empty one is not
	// nil). While done is false the challenge, maybe empty, is to be sent.
	Next(response []byte) (challenge []byte, done bool, err error)
	// Credentials are valid once Next returned done without an error.
	Credentials() Credentials
}

// Mechanisms lists what New knows, in the order to be advertised.
func Mechanisms() []string { return []string{Plain, Login} }

// New starts an exchange; the name is matched without case.
func New(mechanism string) (Server, bool) {
	switch strings.ToUpper(mechanism) {
	case Plain:
		return &plain{}, true
	case Login:
		return &login{}, true
	}
	return nil, false
}

// plain is RFC 4616: one message "authzid NUL authcid NUL passwd".
type plain struct {
	asked, over bool
	c           Credentials
}

func (p *plain) Credentials() Credentials { return p.c }

func (p *plain) Next(response []byte) ([]byte, bool, error) {
	if p.over {
		return nil, true, ErrDone
	}
	if response == nil && !p.asked {
		p.asked = true
		return []byte{}, false, nil
	}
	p.over = true
	f := bytes.Split(response, []byte{0})
	if len(f) != 3 {
		return nil, true, ErrMalformed
	}
	if len(f[0]) > MaxUser {
		return nil, true, ErrTooLong
	}
	c, err := credentials(f[1], f[2])
	if err != nil {
		return nil, true, err
	}
	// RFC 4616 §2: an empty authzid means the authcid. Only oneself may be asked for.
	if len(f[0]) > 0 && !strings.EqualFold(string(f[0]), c.User) {
		return nil, true, ErrAuthzid
	}
	p.c = c
	return nil, true, nil
}

// login is the LOGIN mechanism that many clients still speak: the server asks
// "Username:" and "Password:". An initial response is the user name.
type login struct {
	asked, haveUser, over bool
	user                  []byte
	c                     Credentials
}

func (l *login) Credentials() Credentials { return l.c }

func (l *login) Next(response []byte) ([]byte, bool, error) {
	switch {
	case l.over:
		return nil, true, ErrDone
	case response == nil && !l.asked:
		l.asked = true
		return []byte("Username:"), false, nil
	case !l.haveUser:
		if len(response) > MaxUser {
			l.over = true
			return nil, true, ErrTooLong
		}
		l.asked, l.haveUser = true, true
		l.user = bytes.Clone(response)
		return []byte("Password:"), false, nil
	}
	l.over = true
	if bytes.IndexByte(response, 0) >= 0 {
		return nil, true, ErrMalformed
	}
	c, err := credentials(l.user, response)
	if err != nil {
		return nil, true, err
	}
	l.c = c
	return nil, true, nil
}

// credentials checks the limits and the form of a pair. The password may be
// any bytes but NUL: a wrong charset is a wrong password, not a wrong line.
func credentials(user, password []byte) (Credentials, error) {
	switch {
	case len(user) > MaxUser || len(password) > MaxPassword:
		return Credentials{}, ErrTooLong
	case len(user) == 0 || !utf8.Valid(user) || bytes.IndexByte(user, 0) >= 0:
		return Credentials{}, ErrMalformed
	}
	return Credentials{User: string(user), Password: string(password)}, nil
}
