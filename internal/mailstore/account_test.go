package mailstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
)

func TestAccounts(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{Defaults: mailstore.AccountLimits{Bytes: 10, Messages: 20, Retention: time.Hour}})
	ctx := context.Background()
	a, err := e.CreateAccount(ctx, mailstore.NewAccount{Address: "First.Last+x@Ex.test", Name: "F", Label: "l",
		Credential: account.Credential("secret"), CatchAll: true, Limits: mailstore.AccountLimits{Bytes: 99}})
	must(t, err)
	if a.Limits != (mailstore.AccountLimits{Bytes: 99, Messages: 20, Retention: time.Hour}) || !a.ExpiresAt.IsZero() {
		t.Errorf("account %+v", a)
	}
	for _, same := range []string{"first.last@ex.test", "FIRSTLAST+y@EX.TEST", "firstlast@ex.test"} {
		id, err := e.Lookup(ctx, same)
		must(t, err)
		if id != a.ID {
			t.Errorf("%s is another account", same)
		}
		_, err = e.CreateAccount(ctx, mailstore.NewAccount{Address: same, Credential: []byte("c")})
		wantKind(t, err, mailstore.Exist)
	}
	for _, none := range []string{"", "x@ex.test", "\x00", "@"} {
		_, err = e.Lookup(ctx, none)
		wantKind(t, err, mailstore.NotExist)
	}
	_, err = e.CreateAccount(ctx, mailstore.NewAccount{Address: "a@b\x00", Credential: []byte("c")})
	wantKind(t, err, mailstore.Invalid)
	_, err = e.CreateAccount(ctx, mailstore.NewAccount{Address: "a@b", Name: string(make([]byte, 1000))})
	wantKind(t, err, mailstore.Invalid)
	must(t, e.SetCredential(ctx, a.ID, account.Credential("other")))
	must(t, e.EndLinks(ctx, a.ID))
	must(t, e.SetDisabled(ctx, a.ID, true))
	got, cred, err := e.Credential(ctx, a.ID)
	must(t, err)
	if string(cred) != "other" || got.CredEpoch != 1 || got.LinkEpoch != 1 || !got.Disabled || !got.CatchAll ||
		got.Address != "First.Last+x@Ex.test" || got.Name != "F" || got.Label != "l" {
		t.Errorf("account %+v", got)
	}
	m := e.pool.Message()
	defer m.Close()
	_, err = e.Deposit(ctx, []mailstore.AcctID{a.ID}, mailstore.Deposit{}, m)
	wantKind(t, err, mailstore.Permission)
	must(t, e.SetDisabled(ctx, a.ID, false))
	if d := e.deposit(t, nil, mailstore.Deposit{}, a.ID); d[0].LinkEpoch != 1 {
		t.Error("a deposit does not know the link epoch")
	}
	for i := range 5 {
		e.account(t, fmt.Sprintf("n%d@x", i))
	}
	n := 0
	must(t, e.Accounts(ctx, func(mailstore.Account) bool { n++; return n < 4 }))
	if n != 4 {
		t.Errorf("%d accounts were shown", n)
	}
	_, err = e.Account(ctx, 1)
	wantKind(t, err, mailstore.NotExist)
	_, _, err = e.Credential(ctx, 1)
	wantKind(t, err, mailstore.NotExist)
	e.check(t)
}

// Of many who want the same address at once, one gets it.
func TestOneAddressOneAccount(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open openFunc) {
		e := newEnv(t, open(t), mailstore.Options{})
		var wg sync.WaitGroup
		var mu sync.Mutex
		made := 0
		for range 20 {
			wg.Go(func() {
				_, err := e.CreateAccount(context.Background(), mailstore.NewAccount{Address: "a@b", Credential: []byte("c")})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					made++
				case mailstore.KindOf(err) != mailstore.Exist:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if made != 1 {
			t.Errorf("%d accounts have the same address", made)
		}
		e.check(t)
	})
}

func TestDeleteAccount(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open openFunc) {
		e := newEnv(t, open(t), mailstore.Options{Defaults: mailstore.AccountLimits{Retention: time.Hour}})
		ctx := context.Background()
		id := e.account(t, "a@b")
		must(t, e.EnsureDefaults(ctx, id))
		e.fill(t, id, 1200)
		e.deposit(t, mail(1), mailstore.Deposit{Mailbox: "Sent"}, id)
		d := e.deposit(t, make([]byte, 400_000), mailstore.Deposit{}, id)[0]
		must(t, e.RenameMailbox(ctx, id, "INBOX", "large"))
		must(t, e.DeleteMailbox(ctx, id, "large"))
		must(t, e.DeleteAccount(ctx, id))
		wantKind(t, e.DeleteAccount(ctx, id), mailstore.NotExist)
		_, err := e.Lookup(ctx, "a@b")
		wantKind(t, err, mailstore.NotExist)
		_, err = e.tryDeposit(t, nil, mailstore.Deposit{}, id)
		wantKind(t, err, mailstore.NotExist)
		_, err = e.Mailboxes(ctx, id)
		wantKind(t, err, mailstore.NotExist)
		other := e.account(t, "A@B") // the address is free at once
		e.check(t)
		e.clock.add(time.Minute)
		e.collect(t)
		_, err = e.Content(ctx, id, d.Msg)
		wantKind(t, err, mailstore.NotExist)
		sum := e.check(t)
		if sum.Accounts != 1 || sum.Rows+sum.Messages+sum.Deadlines+sum.Blobs+sum.Chunks+sum.Uploads+sum.Candidates != 0 {
			t.Errorf("left behind: %+v", sum)
		}
		if _, err := e.Account(ctx, other); err != nil {
			t.Error(err)
		}
	})
}

func TestIdleAccounts(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ctx := context.Background()
	const day = 24 * time.Hour
	make := func(address string) mailstore.AcctID {
		a, err := e.CreateAccount(ctx, mailstore.NewAccount{Address: address, Credential: []byte("c"), ExpireIdle: 30 * day})
		must(t, err)
		if want := e.clock.now().Add(day); a.ExpiresAt.After(want) || a.ExpiresAt.Before(want.Add(-time.Second)) {
			t.Errorf("an account never used expires at %v", a.ExpiresAt)
		}
		return a.ID
	}
	unused, used, often := make("unused@x"), make("used@x"), make("often@x")
	keep := e.account(t, "keep@x")
	pass := func(after time.Duration) {
		e.clock.add(after)
		if r, _ := e.jan.Pass(ctx); r.Failed > 0 {
			t.Fatalf("janitor %+v", r)
		}
		e.check(t)
	}
	alive := func(id mailstore.AcctID) bool {
		_, err := e.Account(ctx, id)
		return err == nil
	}
	must(t, e.MarkUsed(ctx, used))
	must(t, e.MarkUsed(ctx, often))
	writes := e.fault.Calls(faultUpdates)
	must(t, e.MarkUsed(ctx, often))
	if e.fault.Calls(faultUpdates) != writes {
		t.Error("the second use of a day is written")
	}
	pass(23 * time.Hour)
	if !alive(unused) {
		t.Error("gone before a day")
	}
	pass(2 * time.Hour)
	if alive(unused) || !alive(used) || !alive(keep) {
		t.Error("after a day: the unused one stays or another is gone")
	}
	pass(20 * day)
	must(t, e.MarkUsed(ctx, often))
	pass(11 * day)
	if alive(used) || !alive(often) {
		t.Error("after 32 days: the one used on the first stays, or the one used on the 21st is gone")
	}
	pass(40 * day)
	if alive(often) || !alive(keep) {
		t.Error("in the end: one stays that should not, or one is gone that never expires")
	}
	pass(time.Minute)
	if sum := e.check(t); sum.Accounts != 1 || sum.Deadlines != 0 {
		t.Errorf("%+v", sum)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open openFunc) {
		e := newEnv(t, open(t), mailstore.Options{Defaults: mailstore.AccountLimits{Retention: 5 * time.Second}})
		ctx := context.Background()
		id, forever := e.account(t, "a@b"), e.account(t, "c@d")
		must(t, e.SetLimits(ctx, forever, mailstore.AccountLimits{Retention: mailstore.Forever}))
		for i := range 500 {
			e.deposit(t, mail(i), mailstore.Deposit{}, id)
		}
		e.deposit(t, make([]byte, 400_000), mailstore.Deposit{}, id, forever)
		f := &follower{e: e, acct: id, box: 1}
		f.snapshot(t)
		if r, wait := e.jan.Pass(ctx); r.Messages != 0 || wait > 6*time.Second {
			t.Errorf("before time: %+v, wait %v", r, wait)
		}
		e.clock.add(4 * time.Second)
		e.deposit(t, mail(1000), mailstore.Deposit{}, id)
		e.clock.add(2 * time.Second)
		if r, _ := e.jan.Pass(ctx); r.Messages != 501 || r.Failed != 0 {
			t.Errorf("pass %+v", r)
		}
		f.follow(t)
		f.same(t)
		if len(f.rows) != 1 || f.resync != 1 {
			t.Errorf("follower has %d rows, read anew %d times", len(f.rows), f.resync)
		}
		a, err := e.Account(ctx, id)
		must(t, err)
		if a.Messages != 1 || a.Bytes != int64(len(mail(1000))) {
			t.Errorf("account has %d messages, %d bytes", a.Messages, a.Bytes)
		}
		// The blob stays, for the other account has it.
		e.clock.add(time.Hour)
		if r, _ := e.jan.Pass(ctx); r.Messages != 1 || r.Blobs != 0 {
			t.Errorf("pass %+v", r)
		}
		if sum := e.check(t); sum.Blobs != 1 || sum.Rows != 1 {
			t.Errorf("%+v", sum)
		}
	})
}
