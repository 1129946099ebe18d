package auth_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/mailstore/account"
)

// scram is a login by SCRAM that proves to know the password, or not.
func (w *world) scram(peer netip.Addr, login string, proved bool) error {
	w.t.Helper()
	s, err := w.auth.StartScram(w.t.Context(), peer, login)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = w.auth.EndScram(w.t.Context(), s, proved)
	return err
}

// Guesses by SCRAM count for their peer, whatever the accounts, as those of
// Password do, and together with these; right proofs do not.
func TestScram_ThrottlePeer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("c@d.example", "a chosen one", account.Chosen)
	w.account("g@d.example", "generated-password", account.Generated)
	for range 2 * auth.PeerBurst {
		if err := w.scram(far, "c", true); err != nil {
			t.Fatal(err)
		}
	}
	for i := range auth.PeerBurst {
		if err := w.scram(far, fmt.Sprintf("ghost%d", i), false); !errors.Is(err, auth.ErrNoAccount) {
			t.Fatalf("guess %d: %v", i, err)
		}
	}
	if err := w.scram(far, "another", false); !errors.Is(err, auth.ErrThrottled) {
		t.Errorf("one more account: %v", err)
	}
	if _, err := w.login(far, "yet.another", "x"); !errors.Is(err, auth.ErrThrottled) {
		t.Errorf("by password: %v", err)
	}
	if err := w.scram(far, "c", true); !errors.Is(err, auth.ErrThrottled) {
		t.Errorf("a right guess of a chosen password: %v", err)
	}
	if err := w.scram(far, "g", true); err != nil {
		t.Errorf("a generated password: %v", err)
	}
	if err := w.scram(netip.MustParseAddr("192.0.2.8"), "c", true); err != nil {
		t.Errorf("another peer: %v", err)
	}
	for range 2 * auth.PeerBurst { // as with Password, dev mode asks for what is not there
		if err := w.scram(near, "ghost", false); !errors.Is(err, auth.ErrNoAccount) {
			t.Fatal(err)
		}
	}
}

// Who logged in may go on until the password is another or the account is not
// for logging in; that costs one read.
func TestStill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acct := w.account("g@d.example", "generated-password", account.Generated)
	id, err := w.login(far, "g", "generated-password")
	if err != nil {
		t.Fatal(err)
	}
	still := func(want error) {
		t.Helper()
		before := w.kv.reads.Load()
		err := w.auth.Still(t.Context(), id)
		if n := w.kv.reads.Load() - before; n != 1 || !errors.Is(err, want) || auth.Stale(err) != (want != nil) {
			t.Errorf("%v after %d reads, want %v after 1", err, n, want)
		}
	}
	still(nil)
	if err := w.store.SetDisabled(t.Context(), acct.ID, true); err != nil {
		t.Fatal(err)
	}
	still(auth.ErrDisabled)
	if err := w.store.SetDisabled(t.Context(), acct.ID, false); err != nil {
		t.Fatal(err)
	}
	still(nil)
	c, err := w.auth.Seal(t.Context(), "another password", account.Chosen)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.SetCredential(t.Context(), acct.ID, c); err != nil {
		t.Fatal(err)
	}
	still(auth.ErrBadCredentials)
	if err := w.store.DeleteAccount(t.Context(), acct.ID); err != nil {
		t.Fatal(err)
	}
	still(auth.ErrNoAccount)
}
