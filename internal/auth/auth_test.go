package auth_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/secret"
)

// counting counts reads, and can be away.
type counting struct {
	kv.Store
	reads atomic.Int64
	away  atomic.Bool
}

func (c *counting) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	c.reads.Add(1)
	if c.away.Load() {
		return nil, kv.ErrUnavailable
	}
	return c.Store.GetMulti(ctx, keys...)
}

func (c *counting) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	c.reads.Add(1)
	return c.Store.Scan(ctx, r)
}

// world is a store with its keys and a clock.
type world struct {
	t     testing.TB
	kv    *counting
	store *mailstore.Store
	rings *secret.Rings
	auth  *auth.Auth
	mu    sync.Mutex
	clock time.Time
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

var (
	far  = netip.MustParseAddr("192.0.2.7")
	near = netip.MustParseAddr("127.0.0.1")
)

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, kv: &counting{Store: memkv.New()}, clock: time.Unix(1_800_000_000, 0)}
	b := membus.New()
	t.Cleanup(func() { b.Close() })
	var err error
	w.store, err = mailstore.Open(t.Context(), mailstore.Options{KV: w.kv, Bus: b, Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	if w.rings, err = secret.Open(t.Context(), secret.Options{KV: w.kv, Now: w.now}); err != nil {
		t.Fatal(err)
	}
	w.auth = w.node()
	return w
}

// node is one more server over the same store.
func (w *world) node() *auth.Auth {
	a, err := auth.New(w.t.Context(), auth.Options{
		Store: w.store, Rings: w.rings, Domain: "d.example", Now: w.now,
		Trusted: func(p netip.Addr) bool { return p.IsLoopback() },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// account makes one and marks it used, so that logins only read.
func (w *world) account(address, password string, class account.Class) mailstore.Account {
	w.t.Helper()
	c, err := w.auth.Seal(w.t.Context(), password, class)
	if err != nil {
		w.t.Fatal(err)
	}
	acct, err := w.store.CreateAccount(w.t.Context(), mailstore.NewAccount{Address: address, Credential: c})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.store.MarkUsed(w.t.Context(), acct.ID); err != nil {
		w.t.Fatal(err)
	}
	return acct
}

func (w *world) login(peer netip.Addr, login, password string) (auth.Identity, error) {
	return w.auth.Password(w.t.Context(), peer, login, password)
}

func TestPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gen := w.account("gen.user@d.example", "generated-password", account.Generated)
	cho := w.account("chosen@d.example", "a chosen one", account.Chosen)
	for _, c := range []struct {
		login, pass string
		acct        mailstore.AcctID
		err         error
	}{
		{"gen.user@d.example", "generated-password", gen.ID, nil},
		{"GENUSER+x@D.example", "generated-password", gen.ID, nil},
		{" gen.user ", "generated-password", gen.ID, nil},
		{"chosen@d.example", "a chosen one", cho.ID, nil},
		{"gen.user@d.example", "Generated-password", 0, auth.ErrBadCredentials},
		{"gen.user@d.example", "", 0, auth.ErrBadCredentials},
		{"gen.user@d.example", "a chosen one", 0, auth.ErrBadCredentials},
		{"chosen@d.example", "generated-password", 0, auth.ErrBadCredentials},
		{"chosen@d.example", strings.Repeat("x", 5000), 0, auth.ErrBadCredentials},
		{"nobody@d.example", "generated-password", 0, auth.ErrNoAccount},
		{"gen.user@other.example", "generated-password", 0, auth.ErrNoAccount},
		{"", "", 0, auth.ErrNoAccount},
		{"a b@@", "x", 0, auth.ErrNoAccount},
		{strings.Repeat("x", 5000), "x", 0, auth.ErrNoAccount},
		{"\x00\xff", "\x00", 0, auth.ErrNoAccount},
	} {
		for range 2 { // the second time from memory
			id, err := w.login(far, c.login, c.pass)
			if !errors.Is(err, c.err) || id.Acct != c.acct {
				t.Errorf("%.20q %.20q: %+v, %v; want %d, %v", c.login, c.pass, id, err, c.acct, c.err)
			}
		}
	}
	id, err := w.login(far, "gen.user", "generated-password")
	if err != nil || !id.Generated || id.Address != "gen.user@d.example" || id.CredEpoch != gen.CredEpoch {
		t.Errorf("%+v %v", id, err)
	}
}

// A remembered login costs one read, a refusal the same reads for all.
func TestPassword_Reads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("g@d.example", "generated-password", account.Generated)
	w.account("c@d.example", "a chosen one", account.Chosen)
	reads := func(login, pass string) int64 {
		before := w.kv.reads.Load()
		w.login(far, login, pass)
		return w.kv.reads.Load() - before
	}
	for _, c := range [][2]string{{"g", "generated-password"}, {"c", "a chosen one"}} {
		if n := reads(c[0], c[1]); n != 2 {
			t.Errorf("%s: first login %d reads, want 2", c[0], n)
		}
		if n := reads(c[0], c[1]); n != 1 {
			t.Errorf("%s: second login %d reads, want 1", c[0], n)
		}
	}
	for range 2 {
		for _, login := range []string{"g", "c", "nobody"} {
			if n := reads(login, "wrong"); n != 2 {
				t.Errorf("%s: a refusal takes %d reads, want 2", login, n)
			}
		}
	}
}

// Who changes the password is believed at once, whatever was remembered.
func TestPassword_Changed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acct := w.account("g@d.example", "generated-password", account.Generated)
	if _, err := w.login(far, "g", "another password"); !errors.Is(err, auth.ErrBadCredentials) {
		t.Fatal(err)
	}
	old, err := w.login(far, "g", "generated-password")
	if err != nil {
		t.Fatal(err)
	}
	cookie, token := w.auth.Cookie(old, time.Hour), w.auth.Token(old)
	c, err := w.auth.Seal(t.Context(), "another password", account.Chosen)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.SetCredential(t.Context(), acct.ID, c); err != nil {
		t.Fatal(err)
	}
	if _, err := w.login(far, "g", "generated-password"); !errors.Is(err, auth.ErrBadCredentials) {
		t.Errorf("old password: %v", err)
	}
	id, err := w.login(far, "g", "another password")
	if err != nil || id.CredEpoch == old.CredEpoch || id.Generated {
		t.Errorf("new password: %+v %v", id, err)
	}
	if _, err := w.auth.ParseCookie(t.Context(), cookie); !errors.Is(err, auth.ErrBadCredentials) {
		t.Errorf("old cookie: %v", err)
	}
	if _, err := w.auth.Bearer(t.Context(), token); !errors.Is(err, auth.ErrBadCredentials) {
		t.Errorf("old token: %v", err)
	}
	if err := w.store.DeleteAccount(t.Context(), acct.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.login(far, "g", "another password"); !errors.Is(err, auth.ErrNoAccount) {
		t.Errorf("deleted: %v", err)
	}
	if _, err := w.auth.Bearer(t.Context(), w.auth.Token(id)); !errors.Is(err, auth.ErrNoAccount) {
		t.Errorf("token of a deleted account: %v", err)
	}
}

func TestPassword_Throttle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("g@d.example", "generated-password", account.Generated)
	w.account("c@d.example", "a chosen one", account.Chosen)
	for _, login := range []string{"g", "c", "nobody"} {
		for i := range auth.FailBurst {
			if _, err := w.login(far, login, "wrong"); errors.Is(err, auth.ErrThrottled) || err == nil {
				t.Fatalf("%s: failure %d: %v", login, i, err)
			}
		}
		if _, err := w.login(far, login, "wrong"); !errors.Is(err, auth.ErrThrottled) {
			t.Errorf("%s: %v, want throttled", login, err)
		}
		if _, err := w.login(netip.MustParseAddr("192.0.2.8"), login, "wrong"); errors.Is(err, auth.ErrThrottled) {
			t.Errorf("%s: another peer is throttled too", login)
		}
	}
	if _, err := w.login(far, "c", "a chosen one"); !errors.Is(err, auth.ErrThrottled) {
		t.Errorf("chosen password while throttled: %v", err)
	}
	if _, err := w.login(far, "g", "generated-password"); err != nil {
		t.Errorf("a right generated password is never throttled: %v", err)
	}
	w.wait(auth.FailEvery)
	if _, err := w.login(far, "c", "a chosen one"); err != nil {
		t.Errorf("after the delay: %v", err)
	}
	for range 3 * auth.FailBurst {
		if _, err := w.login(far, "c", "a chosen one"); err != nil {
			t.Fatalf("successes are throttled: %v", err)
		}
	}
}

// Guesses at the same time are counted before they are checked.
func TestPassword_ThrottleAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("c@d.example", "a chosen one", account.Chosen)
	var tried, busy atomic.Int64
	var wg sync.WaitGroup
	for i := range 3 * auth.FailBurst {
		wg.Go(func() {
			_, err := w.login(far, "c", fmt.Sprintf("guess %d", i))
			switch {
			case errors.Is(err, auth.ErrBadCredentials):
				tried.Add(1)
			case mailstore.KindOf(err) == mailstore.Transient: // a slow machine: it waited too long for its turn
				busy.Add(1)
			case !errors.Is(err, auth.ErrThrottled):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := tried.Load(); n > auth.FailBurst || n+busy.Load() < auth.FailBurst {
		t.Errorf("%d guesses were checked and %d gave up waiting, want %d", n, busy.Load(), auth.FailBurst)
	}
}

// An IPv6 client has a whole /64 to come from.
func TestPassword_ThrottleIPv6(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range auth.FailBurst {
		if _, err := w.login(netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)), "x", "wrong"); !errors.Is(err, auth.ErrNoAccount) {
			t.Fatal(err)
		}
	}
	if _, err := w.login(netip.MustParseAddr("2001:db8::ffff"), "x", "wrong"); !errors.Is(err, auth.ErrThrottled) {
		t.Errorf("%v, want throttled", err)
	}
	if _, err := w.login(netip.MustParseAddr("2001:db8:0:1::1"), "x", "wrong"); errors.Is(err, auth.ErrThrottled) {
		t.Error("the next /64 is throttled too")
	}
}

// A trusted peer that names no account is told so, always: dev mode gives such
// mail to the catch-all.
func TestPassword_TrustedPeer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("g@d.example", "generated-password", account.Generated)
	for range 5 * auth.FailBurst {
		if _, err := w.login(near, "any@body", "x"); !errors.Is(err, auth.ErrNoAccount) {
			t.Fatal(err)
		}
	}
	for range auth.FailBurst {
		if _, err := w.login(near, "g", "x"); !errors.Is(err, auth.ErrBadCredentials) {
			t.Fatal(err)
		}
	}
	if _, err := w.login(near, "g", "x"); !errors.Is(err, auth.ErrThrottled) {
		t.Errorf("a trusted peer guesses at an account: %v", err)
	}
}

// A store that is away is never a wrong password.
func TestPassword_StoreAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("g@d.example", "generated-password", account.Generated)
	id, err := w.login(far, "g", "generated-password")
	if err != nil {
		t.Fatal(err)
	}
	w.kv.away.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, pass := range []string{"generated-password", "wrong"} {
		_, err := w.auth.Password(ctx, far, "g", pass)
		if mailstore.KindOf(err) != mailstore.Transient {
			t.Errorf("%s: %v, want transient", pass, err)
		}
	}
	if _, err := w.auth.Bearer(ctx, w.auth.Token(id)); mailstore.KindOf(err) != mailstore.Transient {
		t.Errorf("bearer: %v, want transient", err)
	}
}

// Logging in notes the use of the account.
func TestPassword_MarksUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acct := w.account("g@d.example", "generated-password", account.Generated)
	w.wait(48 * time.Hour)
	if _, err := w.login(far, "g", "generated-password"); err != nil {
		t.Fatal(err)
	}
	got, err := w.store.Account(t.Context(), acct.ID)
	if err != nil || w.now().Sub(got.LastUsed) > 24*time.Hour {
		t.Errorf("last used %v (%v)", got.LastUsed, err)
	}
}
