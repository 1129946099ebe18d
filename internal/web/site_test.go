package web_test

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/policy"
	"github.com/eidermail/eider/internal/provision"
	"github.com/eidermail/eider/internal/secret"
	"github.com/eidermail/eider/internal/spool"
	"github.com/eidermail/eider/internal/web"
)

const domain = "eider.test"

// rig is a site over the true store, in memory.
type rig struct {
	t     testing.TB
	store *mailstore.Store
	auth  *auth.Auth
	prov  *provision.Provisioner
	spool *spool.Pool
	site  *web.Site
	http  *httptest.Server
	catch provision.CatchAll
}

// setup changes the options of a rig.
type setup struct {
	public  bool
	trusted []netip.Prefix
	kv      func(kv.Store) kv.Store
	edit    func(*web.Options)
	ports   advert.Ports
}

func newRig(t testing.TB, o setup) *rig {
	t.Helper()
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var db kv.Store = memkv.New()
	if o.kv != nil {
		db = o.kv(db)
	}
	limits := mailstore.AccountLimits{Retention: 7 * 24 * time.Hour, Bytes: 100e6, Messages: 50000}
	r := &rig{t: t, spool: spool.New(spool.Options{Dir: t.TempDir()})}
	var err error
	r.store, err = mailstore.Open(ctx, mailstore.Options{KV: db, Bus: membus.New(), Defaults: limits,
		MessageLimit: 64e6})
	must(err)
	rings, err := secret.Open(ctx, secret.Options{KV: db})
	must(err)
	r.auth, err = auth.New(ctx, auth.Options{Store: r.store, Rings: rings, Domain: domain})
	must(err)
	if o.ports == (advert.Ports{}) {
		o.ports = advert.Ports{HTTP: 8025, SMTP: 1025, IMAP: 1143, POP3: 1110}
	}
	host := ""
	if o.public {
		host = "mail.example.com"
	}
	ad, err := advert.New(advert.Options{Ports: o.ports, PublicHost: host})
	must(err)
	r.prov = provision.New(provision.Options{Store: r.store, Auth: r.auth, Rings: rings, Advert: ad, Spool: r.spool,
		Domain: domain, Retention: limits.Retention})
	if !o.public {
		r.catch, err = r.prov.CatchAll(ctx)
		must(err)
	}
	if o.trusted == nil {
		o.trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	pol := policy.New(policy.Options{Public: o.public, PublicHost: host, Trusted: o.trusted, Store: r.store,
		CatchAll: r.catch.Acct, MessageLimit: 64e6, Retention: limits.Retention})
	opts := web.Options{Store: r.store, Auth: r.auth, Policy: pol, Provision: r.prov, Advert: ad, Limits: limits,
		Domain: domain, Version: "test"}
	if o.edit != nil {
		o.edit(&opts)
	}
	r.site, err = web.New(opts)
	must(err)
	r.http = httptest.NewServer(r.site)
	t.Cleanup(func() { r.site.Close(); r.http.Close() })
	return r
}

// faulty makes the store fail on demand.
func faulty(f **faultkv.Store) func(kv.Store) kv.Store {
	return func(s kv.Store) kv.Store { *f = faultkv.Wrap(s, 1); return *f }
}

// deposit puts a message into an account, as SMTP does.
func (r *rig) deposit(id mailstore.AcctID, raw string) mailstore.Deposited {
	r.t.Helper()
	m := r.spool.Message()
	defer m.Close()
	if _, err := io.WriteString(m, raw); err != nil {
		r.t.Fatal(err)
	}
	d, err := r.store.Deposit(context.Background(), []mailstore.AcctID{id}, mailstore.Deposit{
		Keywords: []string{mailstore.DeliveryKeyword},
		Envelope: mailstore.Envelope{From: "app@example.com", To: []string{"ada@example.com"}, ToCount: 1,
			Helo: "laptop", Protocol: "ESMTPA", Client: "127.0.0.1", User: "u@" + domain, Received: time.Now()},
	}, m)
	if err != nil {
		r.t.Fatal(err)
	}
	return d[0]
}

// link is a message's MSGID.
func (r *rig) link(d mailstore.Deposited) string { return r.auth.Permalink(d.Acct, d.LinkEpoch, d.Msg) }

// browser is an HTTP client with cookies that follows redirects.
type browser struct {
	*http.Client
	t    testing.TB
	base string
}

func (r *rig) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return &browser{Client: &http.Client{Jar: jar, Transport: r.http.Client().Transport}, t: r.t, base: r.http.URL}
}

// page is an answer, read.
type page struct {
	*http.Response
	text string
}

func (b *browser) do(method, path string, form url.Values, head ...string) page {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequest(method, b.base+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(head); i += 2 {
		if head[i] == "Host" {
			req.Host = head[i+1]
		}
		req.Header.Set(head[i], head[i+1])
	}
	res, err := b.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{res, string(text)}
}

func (b *browser) get(path string, head ...string) page { return b.do("GET", path, nil, head...) }

func (b *browser) post(path string, form url.Values, head ...string) page {
	if form == nil {
		form = url.Values{}
	}
	return b.do("POST", path, form, head...)
}

// stay stops following redirects.
func (b *browser) stay() *browser {
	c := *b.Client
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{Client: &c, t: b.t, base: b.base}
}

// account makes an account through the page and returns a browser that is logged in.
func (r *rig) account() (*browser, mailstore.Account) {
	r.t.Helper()
	b := r.browser()
	if p := b.post("/create", nil); p.StatusCode != 200 || p.Request.URL.Path != "/account" {
		r.t.Fatalf("create: %d at %s\n%.300s", p.StatusCode, p.Request.URL.Path, p.text)
	}
	var id auth.Identity
	u, _ := url.Parse(r.http.URL)
	for _, k := range b.Jar.Cookies(u) {
		if got, err := r.auth.ParseCookie(context.Background(), k.Value); err == nil {
			id = got
		}
	}
	a, err := r.store.Account(context.Background(), id.Acct)
	if err != nil {
		r.t.Fatal("no session after create:", err)
	}
	return b, a
}

const plainMail = "From: Acme Shop <shop@acme.example>\r\nTo: ada@example.com\r\nSubject: Your code\r\n" +
	"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@acme.example>\r\n\r\n" +
	"Your verification code is 482913. See https://acme.example/a?b=1&c=2.\r\n"

const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

// richMail has HTML with an inline and a remote image, and a file.
const richMail = "From: =?utf-8?q?Bj=C3=B6rk?= <b@example.com>\r\nTo: Ada <ada@example.com>, bob@example.com\r\n" +
	"Subject: Invoice\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n" +
	"--m\r\nContent-Type: multipart/related; boundary=r\r\n\r\n" +
	"--r\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<h1>Hello</h1><script>alert(1)</script>" +
	"<img src=\"cid:logo@x\" alt=logo><img src=\"https://tracker.example/p.gif\" alt=t>" +
	"<a href=\"https://example.com/pay\">Pay</a>\r\n" +
	"--r\r\nContent-Type: image/png\r\nContent-ID: <logo@x>\r\nContent-Transfer-Encoding: base64\r\n\r\n" + png + "\r\n" +
	"--r--\r\n--m\r\nContent-Type: text/html; name=\"../../evil.html\"\r\nContent-Transfer-Encoding: base64\r\n" +
	"Content-Disposition: attachment; filename=\"../../evil.html\"\r\n\r\nPHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==\r\n--m--\r\n"
