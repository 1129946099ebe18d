// Package auth answers who a client is: by password, by cookie, by token, and
// by permalink. It never says more than yes, no, or try again later.
//
// Implementation notes.
//
// A refused password costs the same for a wrong password and for an account
// that does not exist, for generated and for chosen passwords: two reads of the
// store, one keyed hash, one argon2id (see package account). A right generated
// password costs no argon2id, and is taken even where failures are throttled:
// with more than 100 bits nobody comes upon one by trying.
//
// Failures are counted per peer network and account, so that nobody can lock a
// stranger out. A trusted peer of dev mode is told "no such account" at once
// and uncounted: such mail goes to the catch-all.
//
// Cookies, tokens and permalinks are checked before any read of the store; the
// keys are those of package secret, in memory.
package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/secret"
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
	Rings *secret.Rings
	// Domain is added to a login without one.
	Domain string
	// Trusted tells the peers of dev trust, normally policy.Trusted of a peer
	// that came directly; nil: nobody.
	Trusted func(netip.Addr) bool
	// Limiter counts failed logins of several servers together; nil: each alone.
	Limiter bus.Limiter
	Log     *slog.Logger
	Now     func() time.Time
}

// Auth checks credentials. All methods may be called at once.
type Auth struct {
	store   *mailstore.Store
	rings   *secret.Rings
	domain  string
	trusted func(netip.Addr) bool
	log     *slog.Logger
	now     func() time.Time
	hasher  *account.Hasher
	fails   *throttle
	memos   *memory
	// together are the failures at all servers.
	together together
	links    linkKeys
	link     *base64.Encoding
	pepper   [32]byte // of this process only: names memos and throttled accounts
	// markAgain is the second from which uses are noted again.
	markAgain atomic.Int64
}

// New returns an Auth.
func New(_ context.Context, o Options) (*Auth, error) {
	if o.Store == nil || o.Rings == nil {
		return nil, errors.New("auth: needs a store and key rings")
	}
	a := &Auth{store: o.Store, rings: o.Rings, domain: o.Domain, trusted: o.Trusted, log: o.Log, now: o.Now,
		hasher: account.NewHasher(), fails: newThrottle(), memos: newMemory(), link: linkEncoding(),
		together: together{o.Limiter}}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.trusted == nil {
		a.trusted = func(netip.Addr) bool { return false }
	}
	rand.Read(a.pepper[:])
	return a, nil
}

// Seal makes the stored form of a password: of class Generated only for one
// that package account made.
func (a *Auth) Seal(ctx context.Context, password string, class account.Class) (account.Credential, error) {
	if class == account.Generated {
		return a.hasher.Generated(password, a.keys())
	}
	c, err := a.hasher.Chosen(ctx, password)
	if err != nil && !errors.Is(err, account.ErrPassword) {
		return nil, busy(err)
	}
	return c, err
}

// Opens tells whether a password is the one of a credential. It is for our own
// use (the catch-all's password), not for clients: nothing is throttled.
func (a *Auth) Opens(ctx context.Context, c account.Credential, password string) (bool, error) {
	r, err := c.Decode()
	if err != nil {
		return false, &mailstore.Error{Op: "auth", Kind: mailstore.Corrupt, Err: err}
	}
	if a.hasher.Fast(&r, password, a.keys()) {
		return true, nil
	}
	if r.Class == account.Generated {
		return false, nil
	}
	ok, err := a.hasher.Slow(ctx, &r, password)
	if err != nil {
		return false, busy(err)
	}
	return ok, nil
}

// keys lends the password keys to package account.
func (a *Auth) keys() account.Pepper {
	return account.Pepper{
		Current: uint32(a.rings.Current(secret.Password).ID),
		MAC: func(key uint32, message []byte) []byte {
			if key == 0 || key > secret.MaxKeys {
				return nil
			}
			k, ok := a.rings.For(secret.Password, secret.KID(key))
			if !ok {
				return nil
			}
			return k.MAC([]byte("password"), message)
		},
	}
}

// busy is trouble that passes: the client may try again.
func busy(err error) error { return &mailstore.Error{Op: "auth", Kind: mailstore.Transient, Err: err} }
