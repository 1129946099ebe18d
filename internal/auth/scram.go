package auth

import (
	"context"
	"net/netip"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/secret"
)

// Scram is a login by SCRAM under way: what is kept of the password, to be
// proved against. Where there is no such account it looks as if there were.
type Scram struct {
	Verifier account.Verifier
	acct     mailstore.Account
	rec      *account.Record
	who      slot
	key      string // the account tried
	trusted  bool   // the peer is
}

// StartScram begins a login. It costs the same two reads for every name.
func (a *Auth) StartScram(ctx context.Context, peer netip.Addr, login string) (*Scram, error) {
	key := a.loginKey(login)
	acct, rec, err := a.find(ctx, key)
	if err != nil {
		return nil, err
	}
	s := &Scram{acct: acct, rec: rec, who: a.slot(peer, key), key: key, trusted: a.trusted(peer.Unmap())}
	if rec != nil && len(rec.Scram.Salt) > 0 {
		s.Verifier = rec.Scram
		return s, nil
	}
	s.rec, s.Verifier = nil, a.strawman(key)
	return s, nil
}

// strawman is the verifier of an account that is not there: always the same,
// on all nodes, and no password fits.
func (a *Auth) strawman(key string) account.Verifier {
	k, ok := a.rings.For(secret.Password, 1)
	if !ok {
		k = a.rings.Current(secret.Password)
	}
	part := func(what string) []byte { return k.MAC([]byte("scram"), []byte(what), []byte(key)) }
	return account.Verifier{Iterations: account.Iterations, Salt: part("salt")[:16],
		StoredKey: part("stored")[:32], ServerKey: part("server")[:32]}
}

// EndScram says who has proved to know the password, or counts the failure, as
// Password does: at the account and at the peer.
func (a *Auth) EndScram(ctx context.Context, s *Scram, proved bool) (Identity, error) {
	wrong := !proved || s.rec == nil
	if s.rec == nil && s.trusted {
		return Identity{}, ErrNoAccount
	}
	if wrong || s.rec.Class == account.Chosen {
		if !a.count(ctx, s.who, s.key) {
			return Identity{}, ErrThrottled
		}
		if wrong {
			return Identity{}, refusal(s.rec)
		}
		a.uncount(ctx, s.who, s.key)
	}
	if s.acct.Disabled {
		return Identity{}, ErrDisabled
	}
	a.fails.clear(s.who)
	a.markUsed(ctx, s.acct)
	return identityOf(s.acct), nil
}
