package provision

import (
	"context"
	"errors"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/secret"
)

// CatchAllName is the local part of the catch-all's address.
const CatchAllName = "catch-all"

// CatchAll is the account that gets the mail of trusted peers for which there
// is no account.
type CatchAll struct {
	auth.Identity
	// Password is "" if somebody set another than we know.
	Password string
}

// String hides the password.
func (c CatchAll) String() string { return "account " + c.Address }

// GoString hides the password.
func (c CatchAll) GoString() string { return c.String() }

// CatchAll finds the catch-all account, or makes it. Its password is derived
// from a secret of the store, so that all nodes and all starts know it; it is
// Options.CatchAllPassword if that is set.
func (p *Provisioner) CatchAll(ctx context.Context) (CatchAll, error) {
	address := CatchAllName + "@" + p.o.Domain
	for range 2 { // a second time if another node made it meanwhile
		id, err := p.o.Store.Lookup(ctx, address)
		if err == nil {
			return p.openCatchAll(ctx, id)
		}
		if mailstore.KindOf(err) != mailstore.NotExist {
			return CatchAll{}, err
		}
		password, class, err := p.catchAllPassword()
		if err != nil {
			return CatchAll{}, err
		}
		cred, err := p.o.Auth.Seal(ctx, password, class)
		if err != nil {
			return CatchAll{}, err
		}
		acct, err := p.o.Store.CreateAccount(ctx, mailstore.NewAccount{
			Address: address, Name: "Catch-all", Label: "mail for no account", Credential: cred, CatchAll: true,
		})
		if err == nil {
			return catchAll(acct, password), nil
		}
		if mailstore.KindOf(err) != mailstore.Exist {
			return CatchAll{}, err
		}
	}
	return CatchAll{}, &mailstore.Error{Op: "catch-all", Kind: mailstore.Transient,
		Err: errors.New("made and gone at once")}
}

// catchAllPassword is the password it should have.
func (p *Provisioner) catchAllPassword() (string, account.Class, error) {
	if p.o.CatchAllPassword != "" {
		return p.o.CatchAllPassword, account.Chosen, nil
	}
	// The first key, not the current one: the password must not turn with the ring.
	k, ok := p.o.Rings.For(secret.CatchAll, 1)
	if !ok {
		return "", 0, &mailstore.Error{Op: "catch-all", Kind: mailstore.Corrupt,
			Err: errors.New("its key is not in the store")}
	}
	return account.DerivePassword(k.MAC([]byte("catch-all password"))), account.Generated, nil
}

// openCatchAll finds out whether the password is the one we know.
func (p *Provisioner) openCatchAll(ctx context.Context, id mailstore.AcctID) (CatchAll, error) {
	acct, cred, err := p.o.Store.Credential(ctx, id)
	if err != nil {
		return CatchAll{}, err
	}
	password, class, err := p.catchAllPassword()
	if err != nil {
		return CatchAll{}, err
	}
	ok, err := p.o.Auth.Opens(ctx, cred, password)
	if err != nil {
		return CatchAll{}, err
	}
	if ok {
		return catchAll(acct, password), nil
	}
	if p.o.CatchAllPassword == "" {
		return catchAll(acct, ""), nil // somebody set it, and it is theirs
	}
	cred, err = p.o.Auth.Seal(ctx, password, class)
	if err != nil {
		return CatchAll{}, err
	}
	if err := p.o.Store.SetCredential(ctx, id, cred); err != nil {
		return CatchAll{}, err
	}
	if acct, err = p.o.Store.Account(ctx, id); err != nil {
		return CatchAll{}, err
	}
	return catchAll(acct, password), nil
}

func catchAll(acct mailstore.Account, password string) CatchAll {
	return CatchAll{Password: password, Identity: auth.Identity{Acct: acct.ID, Address: acct.Address,
		Generated: acct.Generated, CredEpoch: acct.CredEpoch, LinkEpoch: acct.LinkEpoch}}
}
