package auth_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/secret"
)

// forgeries are texts near a good one: each byte changed, cut, longer, spaced.
func forgeries(good string) []string {
	out := []string{"", good[:len(good)-1], good[1:], good + "A", good + "=", " " + good, good + "\n", good[:10] + "\n" + good[10:],
		good[:10] + "\n" + good[11:], strings.ToUpper(good), strings.Repeat("A", len(good)), strings.Repeat("A", 1<<16)}
	for i := range good {
		for _, c := range []byte{'A', 'B', '-', '.', '_', '=', 0, 0xff} {
			if good[i] != c {
				out = append(out, good[:i]+string(c)+good[i+1:])
			}
		}
	}
	// The last character codes fewer than six bits: other spellings of the same bytes.
	for c := range 128 {
		if byte(c) != good[len(good)-1] {
			out = append(out, good[:len(good)-1]+string(rune(c)))
		}
	}
	return out
}

func TestCookie(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("g@d.example", "generated-password", account.Generated)
	id, err := w.login(far, "g", "generated-password")
	if err != nil {
		t.Fatal(err)
	}
	c := w.auth.Cookie(id, time.Hour)
	for _, a := range []*auth.Auth{w.auth, w.node()} {
		got, err := a.ParseCookie(t.Context(), c)
		if err != nil || got != id {
			t.Errorf("%+v %v", got, err)
		}
	}
	before := w.kv.reads.Load()
	for _, f := range append(forgeries(c), w.auth.Token(id), strings.TrimPrefix(w.auth.Token(id), "eider_")) {
		if _, err := w.auth.ParseCookie(t.Context(), f); !errors.Is(err, auth.ErrBadCredentials) {
			t.Errorf("forged %.80q: %v", f, err)
		}
	}
	w.wait(time.Hour)
	if _, err := w.auth.ParseCookie(t.Context(), c); !errors.Is(err, auth.ErrBadCredentials) {
		t.Errorf("expired: %v", err)
	}
	if n := w.kv.reads.Load() - before; n != 0 {
		t.Errorf("forgeries caused %d reads", n)
	}
}

func TestBearer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("g@d.example", "generated-password", account.Generated)
	id, err := w.login(far, "g", "generated-password")
	if err != nil {
		t.Fatal(err)
	}
	tok := w.auth.Token(id)
	w.wait(10 * 365 * 24 * time.Hour)
	got, err := w.node().Bearer(t.Context(), tok)
	if err != nil || got != id {
		t.Errorf("%+v %v", got, err)
	}
	before := w.kv.reads.Load()
	for _, f := range append(forgeries(tok), w.auth.Cookie(id, time.Hour), "eider_"+w.auth.Cookie(id, time.Hour)) {
		if _, err := w.auth.Bearer(t.Context(), f); !errors.Is(err, auth.ErrBadCredentials) {
			t.Errorf("forged %.80q: %v", f, err)
		}
	}
	if n := w.kv.reads.Load() - before; n != 0 {
		t.Errorf("forgeries caused %d reads", n)
	}
}

func TestSign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.auth.Sign("frame", "msg 1", w.now().Add(time.Minute))
	if !w.auth.Verify("frame", "msg 1", s) || !w.node().Verify("frame", "msg 1", s) {
		t.Error("good signature refused")
	}
	if w.auth.Verify("frame", "msg 2", s) || w.auth.Verify("csrf", "msg 1", s) || w.auth.Verify("frame", "", s) {
		t.Error("signature holds for something else")
	}
	for _, f := range forgeries(s) {
		if w.auth.Verify("frame", "msg 1", f) {
			t.Errorf("forged %q", f)
		}
	}
	w.wait(time.Minute)
	if w.auth.Verify("frame", "msg 1", s) {
		t.Error("expired signature holds")
	}
}

func TestPermalink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	form := regexp.MustCompile(`^[A-Za-z0-9.-]{50}$`)
	seen := map[string]bool{}
	for i := range mailstore.MsgID(2000) {
		p := w.auth.Permalink(7, 1, i)
		if !form.MatchString(p) || seen[p] || strings.ContainsAny(p[len(p)-1:], ".-") {
			t.Fatalf("%q", p)
		}
		seen[p] = true
		if l, ok := w.auth.ParsePermalink(p); !ok || l != (auth.Link{Acct: 7, Msg: i, Epoch: 1}) {
			t.Fatalf("%q: %+v %v", p, l, ok)
		}
	}
	p := w.auth.Permalink(7, 1, 1)
	if p != w.node().Permalink(7, 1, 1) {
		t.Error("two nodes name one message differently")
	}
	// Nothing but the key id is alike in the names of neighbours.
	q := w.auth.Permalink(7, 1, 2)
	same := 0
	for i := range p {
		if p[i] == q[i] {
			same++
		}
	}
	if same > 12 {
		t.Errorf("%q and %q share %d characters", p, q, same)
	}
	before := w.kv.reads.Load()
	for _, f := range forgeries(p) {
		if _, ok := w.auth.ParsePermalink(f); ok {
			t.Errorf("forged %.80q", f)
		}
	}
	if n := w.kv.reads.Load() - before; n != 0 {
		t.Errorf("forgeries caused %d reads", n)
	}
}

// After a rotation old links hold, new ones differ, and nothing signs early.
func TestRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("g@d.example", "generated-password", account.Generated)
	id, err := w.login(far, "g", "generated-password")
	if err != nil {
		t.Fatal(err)
	}
	old := w.auth.Permalink(1, 2, 3)
	cookie, sig := w.auth.Cookie(id, 24*time.Hour), w.auth.Sign("frame", "x", w.now().Add(24*time.Hour))
	for k, keep := range map[secret.Kind]time.Duration{secret.MSGID: 0, secret.Cookie: time.Hour, secret.Frame: time.Hour,
		secret.Password: 0} {
		if err := w.rings.Rotate(t.Context(), k, keep); err != nil {
			t.Fatal(err)
		}
	}
	if w.auth.Permalink(1, 2, 3) != old {
		t.Error("the new key signs before it may")
	}
	w.wait(secret.PublishLead)
	fresh := w.auth.Permalink(1, 2, 3)
	if fresh == old {
		t.Error("the new key does not sign")
	}
	for _, p := range []string{old, fresh} {
		if l, ok := w.auth.ParsePermalink(p); !ok || l != (auth.Link{Acct: 1, Msg: 3, Epoch: 2}) {
			t.Errorf("%q: %+v %v", p, l, ok)
		}
	}
	if _, err := w.auth.ParseCookie(t.Context(), cookie); err != nil {
		t.Errorf("cookie of the old key: %v", err)
	}
	if !w.auth.Verify("frame", "x", sig) {
		t.Error("signature of the old key")
	}
	if _, err := w.node().Password(t.Context(), far, "g", "generated-password"); err != nil {
		t.Errorf("password of the old key: %v", err)
	}
	w.wait(time.Hour)
	if _, err := w.auth.ParseCookie(t.Context(), cookie); err == nil {
		t.Error("cookie of a key that is over")
	}
	if w.auth.Verify("frame", "x", sig) {
		t.Error("signature of a key that is over")
	}
	if _, ok := w.auth.ParsePermalink(old); !ok {
		t.Error("links live as long as their mail")
	}
}

// fuzzAuth is an Auth over an empty store.
func fuzzAuth(f *testing.F) *auth.Auth {
	f.Helper()
	st := memkv.New()
	b := membus.New()
	f.Cleanup(func() { b.Close() })
	ms, err := mailstore.Open(f.Context(), mailstore.Options{KV: st, Bus: b})
	if err != nil {
		f.Fatal(err)
	}
	rings, err := secret.Open(f.Context(), secret.Options{KV: st})
	if err != nil {
		f.Fatal(err)
	}
	a, err := auth.New(f.Context(), auth.Options{Store: ms, Rings: rings})
	if err != nil {
		f.Fatal(err)
	}
	return a
}

// What parses as a permalink was made by us: making it again gives the same text.
func FuzzPermalink(f *testing.F) {
	a := fuzzAuth(f)
	f.Add("")
	f.Add(a.Permalink(1, 1, 1))
	f.Add("YSQgoO7epjDLxzysYSQhPcp.DDGKgisZAAAAAfUby9BASiJwUehOFn3NKPc")
	f.Fuzz(func(t *testing.T, s string) {
		if l, ok := a.ParsePermalink(s); ok && a.Permalink(l.Acct, l.Epoch, l.Msg) != s {
			t.Fatalf("%q parses as %+v, which is another text", s, l)
		}
	})
}

// No text that we did not sign is a cookie, a token or a signature.
func FuzzSealed(f *testing.F) {
	a := fuzzAuth(f)
	f.Add("eider_AAAA")
	f.Add(a.Cookie(auth.Identity{Acct: 1, CredEpoch: 1}, time.Hour))
	f.Add(a.Token(auth.Identity{Acct: 1, CredEpoch: 1}))
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := a.ParseCookie(t.Context(), s); err == nil {
			t.Fatalf("cookie of an account that is not: %q", s)
		}
		if _, err := a.Bearer(t.Context(), s); err == nil {
			t.Fatalf("token of an account that is not: %q", s)
		}
		if a.Verify("p", "d", s) {
			t.Fatalf("signature %q", s)
		}
	})
}
