package provision_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/textproto"
	"regexp"
	"strings"
	"testing"
	"time"

	"bufio"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/provision"
	"github.com/eidermail/eider/internal/secret"
	"github.com/eidermail/eider/internal/spool"
)

var far = netip.MustParseAddr("192.0.2.7")

// world is everything below provision, for real.
type world struct {
	store *mailstore.Store
	auth  *auth.Auth
	o     provision.Options
}

func newWorld(t testing.TB) *world {
	t.Helper()
	st := memkv.New()
	b := membus.New()
	t.Cleanup(func() { b.Close() })
	ms, err := mailstore.Open(t.Context(), mailstore.Options{KV: st, Bus: b})
	if err != nil {
		t.Fatal(err)
	}
	rings, err := secret.Open(t.Context(), secret.Options{KV: st})
	if err != nil {
		t.Fatal(err)
	}
	a, err := auth.New(t.Context(), auth.Options{Store: ms, Rings: rings, Domain: "eider.test"})
	if err != nil {
		t.Fatal(err)
	}
	ad, err := advert.New(advert.Options{Ports: advert.Ports{HTTP: 8025, SMTP: 1025, MX: 1026, IMAP: 1143, POP3: 1110}})
	if err != nil {
		t.Fatal(err)
	}
	return &world{store: ms, auth: a, o: provision.Options{
		Store: ms, Auth: a, Rings: rings, Advert: ad, Spool: spool.New(spool.Options{Dir: t.TempDir()}),
		Domain: "eider.test", Retention: 7 * 24 * time.Hour,
		Cursor: func(a mailstore.Account) string { return fmt.Sprintf("c%d", a.ModSeq) },
	}}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := provision.New(w.o)
	c, err := p.Create(t.Context(), provision.Request{Requestor: "nodemailer", Host: "localhost:8025"})
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[a-z][a-z2-7]{15}@eider\.test$`).MatchString(c.User) ||
		!regexp.MustCompile(`^[A-Za-z0-9]{18}$`).MatchString(c.Pass) {
		t.Errorf("%q %q", c.User, c.Pass)
	}
	id, err := w.auth.Password(t.Context(), far, c.User, c.Pass)
	if err != nil || id != c.Identity || !id.Generated {
		t.Errorf("login: %+v %v, want %+v", id, err, c.Identity)
	}
	if id, err := w.auth.Bearer(t.Context(), c.Token); err != nil || id.Acct != c.Identity.Acct {
		t.Errorf("token: %+v %v", id, err)
	}
	acct, err := w.store.Account(t.Context(), id.Acct)
	if err != nil || acct.Label != "nodemailer" || acct.Messages != 0 {
		t.Errorf("%+v %v", acct, err)
	}
}

// The answer is the object that createTestAccount's users know, field by field.
func TestCreated_JSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, err := provision.New(w.o).Create(t.Context(), provision.Request{Host: "127.0.0.1:8025"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"status":"success","user":%q,"pass":%q,`+
		`"smtp":{"host":"127.0.0.1","port":1025,"secure":false},"imap":{"host":"127.0.0.1","port":1143,"secure":false},`+
		`"pop3":{"host":"127.0.0.1","port":1110,"secure":false},"web":"http://127.0.0.1:8025","mxEnabled":false,`+
		`"api":"http://127.0.0.1:8025/v1","token":%q,"cursor":"c1"}`, c.User, c.Pass, c.Token)
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v", c, c), c.LogValue().String()} {
		if strings.Contains(s, c.Pass) || strings.Contains(s, c.Token) {
			t.Errorf("secrets shown: %s", s)
		}
	}
}

func TestCreate_Friendly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.o.ExpireIdle = 30 * 24 * time.Hour
	p := provision.New(w.o)
	c, err := p.Create(t.Context(), provision.Request{Friendly: true, Label: "by\x00 hand\n" + strings.Repeat("ü", 200)})
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[a-z]+\.[a-z]+@eider\.test$`).MatchString(c.User) || !strings.Contains(c.Name, " ") {
		t.Errorf("%q %q", c.User, c.Name)
	}
	if c.Expires == nil || !c.Expires.After(time.Now()) {
		t.Errorf("expires %v", c.Expires)
	}
	acct, err := w.store.Account(t.Context(), c.Identity.Acct)
	if err != nil || !strings.HasPrefix(acct.Label, "by handü") || len(acct.Label) > provision.MaxLabel || acct.Messages != 1 {
		t.Errorf("%+v %v", acct, err)
	}
	m, err := w.store.Mailbox(t.Context(), acct.ID, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	es, err := w.store.Entries(t.Context(), acct.ID, m.ID, mailstore.Rows{})
	if err != nil || len(es) != 1 || es[0].Flags != mailstore.Flagged {
		t.Fatalf("%+v %v", es, err)
	}
	body, err := w.store.Content(t.Context(), acct.ID, es[0].Msg)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	raw, err := io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
	if err != nil {
		t.Fatal(err)
	}
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(string(raw)))).ReadMIMEHeader()
	if err != nil || !strings.Contains(h.Get("To"), c.User) || h.Get("Message-Id") == "" || h.Get("Date") == "" {
		t.Errorf("%v %v", h, err)
	}
	text := string(raw)
	if strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\n") || strings.Contains(text, c.Pass) ||
		!strings.Contains(text, "7 days") || strings.Contains(text, "%!") {
		t.Errorf("%s", text)
	}
}

// Names that are taken are passed over.
func TestCreate_ManyFriendly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := provision.New(w.o)
	seen := map[string]bool{}
	for range 300 {
		c, err := p.Create(t.Context(), provision.Request{Friendly: true})
		if err != nil {
			t.Fatal(err)
		}
		if seen[c.User] {
			t.Fatalf("%s twice", c.User)
		}
		seen[c.User] = true
	}
}

func TestCreate_Refused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	no := &mailstore.Error{Op: "space", Kind: mailstore.NoSpace}
	w.o.Allow = func(_ context.Context, r provision.Request) error {
		if r.Peer != far || !r.ViaProxy {
			t.Errorf("asked about %+v", r)
		}
		return no
	}
	if _, err := provision.New(w.o).Create(t.Context(), provision.Request{Peer: far, ViaProxy: true}); !errors.Is(err, no) {
		t.Error(err)
	}
	n := 0
	if err := w.store.Accounts(t.Context(), func(mailstore.Account) bool { n++; return true }); err != nil || n != 0 {
		t.Errorf("%d accounts, %v", n, err)
	}
}

func TestCatchAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	results := make(chan provision.CatchAll, 4)
	for range cap(results) { // nodes that start at once
		go func() {
			c, err := provision.New(w.o).CatchAll(t.Context())
			if err != nil {
				t.Error(err)
			}
			results <- c
		}()
	}
	first := <-results
	for range cap(results) - 1 {
		if c := <-results; c != first {
			t.Errorf("%+v and %+v", c.Acct, first.Acct)
		}
	}
	if first.Address != "catch-all@eider.test" || len(first.Password) != account.PasswordLen {
		t.Errorf("%q", first.Address)
	}
	if id, err := w.auth.Password(t.Context(), far, first.Address, first.Password); err != nil || id.Acct != first.Acct {
		t.Errorf("%+v %v", id, err)
	}
	if s := fmt.Sprintf("%v %+v %#v", first, first, first); strings.Contains(s, first.Password) {
		t.Error("password shown")
	}
	p := provision.New(w.o)
	// A person sets another: we no longer know it, and leave it.
	if err := p.SetPassword(t.Context(), first.Acct, "my own words"); err != nil {
		t.Fatal(err)
	}
	if c, err := p.CatchAll(t.Context()); err != nil || c.Password != "" || c.Acct != first.Acct {
		t.Errorf("%q %v", c.Password, err)
	}
	if _, err := w.auth.Password(t.Context(), far, first.Address, "my own words"); err != nil {
		t.Error(err)
	}
	// The configuration sets one: it holds, and stays when asked again.
	w.o.CatchAllPassword = "from the file"
	p = provision.New(w.o)
	a, err := p.CatchAll(t.Context())
	if err != nil || a.Password != "from the file" {
		t.Errorf("%v", err)
	}
	if b, err := p.CatchAll(t.Context()); err != nil || b != a {
		t.Errorf("%v: set again though it was the same", err)
	}
	if _, err := w.auth.Password(t.Context(), far, a.Address, "from the file"); err != nil {
		t.Error(err)
	}
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := provision.New(w.o)
	c, err := p.Create(t.Context(), provision.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SetPassword(t.Context(), c.Identity.Acct, "short"); !errors.Is(err, account.ErrPassword) {
		t.Errorf("%v, want ErrPassword", err)
	}
	fresh, err := p.NewPassword(t.Context(), c.Identity.Acct)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.auth.Password(t.Context(), far, c.User, fresh); err != nil {
		t.Error(err)
	}
	if _, err := w.auth.Bearer(t.Context(), c.Token); !errors.Is(err, auth.ErrBadCredentials) {
		t.Errorf("token after the change: %v", err)
	}
}

func BenchmarkCreate(b *testing.B) {
	w := newWorld(b)
	p := provision.New(w.o)
	for b.Loop() {
		if _, err := p.Create(b.Context(), provision.Request{}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestWishes: a life and a quota within the limits are granted, others are not.
func TestWishes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.o.Quota = 1 << 30
	p := provision.New(w.o)
	quota := func(n int64) provision.Request {
		return provision.Request{Limits: mailstore.AccountLimits{Bytes: n}}
	}
	for _, c := range []struct {
		r  provision.Request
		ok bool
	}{
		{provision.Request{TTL: provision.MinTTL}, true}, {provision.Request{TTL: provision.MinTTL - 1}, false},
		{provision.Request{TTL: provision.MaxTTL}, true}, {provision.Request{TTL: provision.MaxTTL + 1}, false},
		{quota(provision.MinQuota), true}, {quota(provision.MinQuota - 1), false},
		{quota(1 << 30), true}, {quota(1<<30 + 1), false},
	} {
		_, err := p.Create(t.Context(), c.r)
		var wish *provision.WishError
		if (err == nil) != c.ok || err != nil && !errors.As(err, &wish) {
			t.Errorf("%v %d: %v", c.r.TTL, c.r.Limits.Bytes, err)
		}
	}
}
