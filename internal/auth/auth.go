// Package auth answers who a client is: by password, by cookie, by token, and
// by permalink. It never says more than yes, no, or try again later.
package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
)

// Identity is a client that proved to be an account.
type Identity struct {
	Acct    mailstore.AcctID
	Address string
	// Generated tells the account page that the password is ours to show once.
	Generated bool
	CredEpoch uint32
	LinkEpoch uint32
}

// The ways to be refused. Anything else is trouble of the store: a mailstore.Error of Kind Transient.
var (
	ErrBadCredentials = errors.New("auth: wrong password")
	// ErrNoAccount is given apart from ErrBadCredentials so that dev mode can
	// route such mail to the catch-all; it costs the same time. Protocols say the same for both.
	ErrNoAccount = errors.New("auth: no such account")
	ErrThrottled = errors.New("auth: too many failures, wait")
	ErrDisabled  = errors.New("auth: account is disabled")
)

// Options configure an Auth.
type Options struct {
	Store *mailstore.Store
	Log   *slog.Logger
	Now   func() time.Time
}

// Auth checks credentials.
type Auth struct{}

// New reads the key rings.
func New(ctx context.Context, o Options) (*Auth, error) { panic("stub") }

// Password checks a login from a peer. Failures are throttled per (address, account).
func (a *Auth) Password(ctx context.Context, peer netip.Addr, login, password string) (Identity, error) {
	panic("stub")
}

// Cookie makes a session cookie's value; ParseCookie checks one (signature,
// age, and that the password was not changed since).
func (a *Auth) Cookie(id Identity, life time.Duration) string { panic("stub") }

// ParseCookie is the inverse of Cookie.
func (a *Auth) ParseCookie(ctx context.Context, value string) (Identity, error) { panic("stub") }

// Token makes a bearer token for the API; it lives until the password changes.
func (a *Auth) Token(id Identity) string { panic("stub") }

// Bearer checks a token.
func (a *Auth) Bearer(ctx context.Context, token string) (Identity, error) { panic("stub") }

// Permalink makes the MSGID of a message: at most 64 characters of
// [A-Za-z0-9.-], showing neither time nor number.
func (a *Auth) Permalink(acct mailstore.AcctID, linkEpoch uint32, msg mailstore.MsgID) string {
	panic("stub")
}

// Link is an opened permalink.
type Link struct {
	Acct  mailstore.AcctID
	Msg   mailstore.MsgID
	Epoch uint32
}

// ParsePermalink checks a MSGID in constant time, without a store read. The
// caller compares Epoch with the account's LinkEpoch when it has read it.
func (a *Auth) ParsePermalink(id string) (Link, bool) { panic("stub") }

// Sign makes a short-lived MAC for a purpose ("frame", "csrf"), and Verify checks it in constant time.
func (a *Auth) Sign(purpose, data string, expires time.Time) string { panic("stub") }

// Verify checks what Sign made, for the same purpose and data.
func (a *Auth) Verify(purpose, data, mac string) bool { panic("stub") }
