package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/addr"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
)

const (
	// markBudget is how long a login waits for the note that the account is used.
	markBudget = 2 * time.Second
	// markPause is how long nobody waits for it after it failed.
	markPause = time.Minute
)

// Password checks a login from a peer. Failures are throttled per (address, account).
func (a *Auth) Password(ctx context.Context, peer netip.Addr, login, password string) (Identity, error) {
	now := a.now()
	key := a.loginKey(login)
	who := a.slot(peer, key)
	memo := a.memo(key, password)
	known, seen := a.memos.get(memo, now)
	if seen && known.good && !a.fails.blocked(who, now) {
		id, err := a.identity(ctx, known.acct, known.epoch)
		if err == nil || !Stale(err) {
			return id, err
		}
		a.memos.drop(memo)
	}
	acct, rec, err := a.find(ctx, key)
	if err != nil {
		return Identity{}, err
	}
	if a.hasher.Fast(rec, password, a.keys()) {
		return a.admit(ctx, acct, memo, who)
	}
	if rec == nil && a.trusted(peer.Unmap()) {
		return Identity{}, ErrNoAccount
	}
	if !a.count(ctx, who, key) {
		return Identity{}, ErrThrottled
	}
	// The same wrong pair again, and nothing has changed: the work was done.
	if seen && !known.good && known.acct == acct.ID && known.epoch == acct.CredEpoch {
		return Identity{}, refusal(rec)
	}
	ok, err := a.hasher.Slow(ctx, rec, cut(password))
	switch {
	case err != nil:
		a.uncount(ctx, who, key)
		return Identity{}, busy(err)
	case ok:
		a.uncount(ctx, who, key)
		return a.admit(ctx, acct, memo, who)
	}
	a.memos.put(memo, verdict{acct: acct.ID, epoch: acct.CredEpoch, until: now.Add(memoLife)}, now)
	return Identity{}, refusal(rec)
}

// count counts a failure before it has happened: of the peer at the account, of
// the peer at any, and at all servers. It tells whether one more was allowed.
func (a *Auth) count(ctx context.Context, who slot, key string) bool {
	now := a.now()
	return !a.fails.blocked(who, now) && a.fails.take(slot{peer: who.peer}, now) && a.fails.take(who, now) &&
		a.together.take(ctx, who, key)
}

// uncount takes a count back: it was no failure.
func (a *Auth) uncount(ctx context.Context, who slot, key string) {
	a.fails.giveBack(who)
	a.fails.giveBack(slot{peer: who.peer})
	a.together.giveBack(ctx, who, key)
}

// refusal is the error for a wrong password, or for no account.
func refusal(rec *account.Record) error {
	if rec == nil {
		return ErrNoAccount
	}
	return ErrBadCredentials
}

// cut keeps a password that is over the limit from being an error of its own:
// no account has one so long, so any other wrong password does as well.
func cut(password string) string {
	if len(password) > account.MaxPassword {
		return ""
	}
	return password
}

// admit lets in who has proved to be acct, and remembers it for a moment.
func (a *Auth) admit(ctx context.Context, acct mailstore.Account, memo memoKey, who slot) (Identity, error) {
	if acct.Disabled {
		return Identity{}, ErrDisabled
	}
	now := a.now()
	a.fails.clear(who)
	a.memos.put(memo, verdict{acct: acct.ID, epoch: acct.CredEpoch, good: true, until: now.Add(memoLife)}, now)
	a.markUsed(ctx, acct)
	return identityOf(acct), nil
}

// find reads an account and its credential by login. Without such an account
// the record is nil, no error is returned, and as much was read.
func (a *Auth) find(ctx context.Context, key string) (mailstore.Account, *account.Record, error) {
	id, err := a.store.Lookup(ctx, key)
	if err != nil && !absent(err) {
		return mailstore.Account{}, nil, err
	}
	acct, cred, err := a.store.Credential(ctx, id) // of account 0 where there is none
	if err != nil {
		if absent(err) {
			return mailstore.Account{}, nil, nil
		}
		return mailstore.Account{}, nil, err
	}
	r, err := cred.Decode()
	if err != nil {
		return mailstore.Account{}, nil, &mailstore.Error{Op: "auth", Kind: mailstore.Corrupt, Err: err}
	}
	return acct, &r, nil
}

// absent tells that the store has no such account, or can have none.
func absent(err error) bool {
	k := mailstore.KindOf(err)
	return k == mailstore.NotExist || k == mailstore.Invalid
}

// Still says whether who logged in once may go on: the account must be there and
// enabled, with the password of then. Its errors are those of a login; see Stale.
// One read.
func (a *Auth) Still(ctx context.Context, id Identity) error {
	_, err := a.identity(ctx, id.Acct, id.CredEpoch)
	return err
}

// Stale tells that what was proved once no longer holds, from trouble of the store.
func Stale(err error) bool {
	return errors.Is(err, ErrBadCredentials) || errors.Is(err, ErrNoAccount) || errors.Is(err, ErrDisabled)
}

// identity reads the account of something signed or remembered: it must still
// be there, enabled, and have the password of then. One read.
func (a *Auth) identity(ctx context.Context, id mailstore.AcctID, epoch uint32) (Identity, error) {
	acct, err := a.store.Account(ctx, id)
	switch {
	case err != nil && absent(err):
		return Identity{}, ErrNoAccount
	case err != nil:
		return Identity{}, err
	case acct.CredEpoch != epoch:
		return Identity{}, ErrBadCredentials
	case acct.Disabled:
		return Identity{}, ErrDisabled
	}
	a.markUsed(ctx, acct)
	return identityOf(acct), nil
}

func identityOf(acct mailstore.Account) Identity {
	return Identity{Acct: acct.ID, Address: acct.Address, Generated: acct.Generated,
		CredEpoch: acct.CredEpoch, LinkEpoch: acct.LinkEpoch}
}

// markUsed notes the first use of a day. It is no reason to refuse anybody.
func (a *Auth) markUsed(ctx context.Context, acct mailstore.Account) {
	const day = 24 * time.Hour
	now := a.now()
	if acct.LastUsed.Truncate(day).Equal(now.Truncate(day)) || now.Unix() < a.markAgain.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, markBudget)
	defer cancel()
	if err := a.store.MarkUsed(ctx, acct.ID); err != nil && !absent(err) {
		a.markAgain.Store(now.Add(markPause).Unix())
		a.log.Warn("last use of accounts not noted", "err", err, "next_try", markPause.String())
	}
}

// loginKey is the address that a login names, in the form of lookups; "" if it
// can be no address.
func (a *Auth) loginKey(login string) string {
	ad, err := addr.Parse(strings.TrimSpace(login))
	if err != nil {
		return ""
	}
	if ad.Domain == "" {
		ad.Domain = a.domain
	}
	return ad.Key()
}

// slot is who is throttled: the peer's network and the account tried.
func (a *Auth) slot(peer netip.Addr, key string) slot {
	return slot{peer: network(peer), acct: a.name("throttle", key, "")}
}

// memo names a pair of login and password, without being either.
func (a *Auth) memo(key, password string) memoKey { return a.name("memo", key, password) }

// name is a keyed hash under the pepper of this process.
func (a *Auth) name(purpose, key, password string) memoKey {
	h := hmac.New(sha256.New, a.pepper[:])
	for _, s := range []string{purpose, key, password} {
		h.Write([]byte{byte(len(s) >> 24), byte(len(s) >> 16), byte(len(s) >> 8), byte(len(s))})
		h.Write([]byte(s))
	}
	return memoKey(h.Sum(nil)[:16])
}

// network is what one client can be told by: its IPv4 address, or its IPv6 /64.
func network(peer netip.Addr) netip.Addr {
	peer = peer.Unmap().WithZone("")
	if peer.Is6() {
		return netip.PrefixFrom(peer, 64).Masked().Addr()
	}
	return peer
}
