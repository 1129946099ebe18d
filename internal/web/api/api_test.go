package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/provision"
	"github.com/eidermail/eider/internal/secret"
	"github.com/eidermail/eider/internal/spool"
	"github.com/eidermail/eider/internal/web/api"
)

// world is an API over the real store, and one account.
type world struct {
	t    testing.TB
	kv   kv.Store
	mail *mailstore.Store
	auth *auth.Auth
	api  *api.API
	o    api.Options
	pool *spool.Pool
	me   provision.Created
}

func newWorld(t testing.TB) *world { return newWorldOn(t, memkv.New(), nil) }

func newWorldOn(t testing.TB, store kv.Store, _ func() error) *world {
	t.Helper()
	return newWorldAt(t, store, advert.Ports{HTTP: 8025, SMTP: 1025, IMAP: 1143, POP3: 1110})
}

func newWorldAt(t testing.TB, store kv.Store, ports advert.Ports) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t, kv: store, pool: spool.New(spool.Options{})}
	bus := membus.New()
	t.Cleanup(func() { bus.Close(); store.Close() })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	w.mail, err = mailstore.Open(ctx, mailstore.Options{KV: store, Bus: bus, MessageLimit: 1 << 20,
		Defaults: mailstore.AccountLimits{Retention: time.Hour, Bytes: 1e8, Messages: 1e5}})
	must(err)
	rings, err := secret.Open(ctx, secret.Options{KV: store})
	must(err)
	ad, err := advert.New(advert.Options{Ports: ports})
	must(err)
	w.auth, err = auth.New(ctx, auth.Options{Store: w.mail, Rings: rings, Domain: "eider.test",
		Trusted: func(netip.Addr) bool { return true }})
	must(err)
	po := provision.Options{Store: w.mail, Auth: w.auth, Rings: rings, Advert: ad, Spool: w.pool, Domain: "eider.test",
		Cursor: func(a mailstore.Account) string { return api.StartCursor(a.ID) }}
	prov := provision.New(po)
	w.o = api.Options{Store: w.mail, Auth: w.auth, Provision: prov, Advert: ad}
	w.api, err = api.New(w.o)
	must(err)
	w.me, err = prov.Create(ctx, provision.Request{})
	must(err)
	return w
}

// reopen makes the API anew, with a clock of its own.
func (w *world) reopen(now func() time.Time) {
	w.t.Helper()
	w.o.Now = now
	var err error
	if w.api, err = api.New(w.o); err != nil {
		w.t.Fatal(err)
	}
}

// put deposits a message and returns its id.
func (w *world) put(to, subject, body string) string {
	w.t.Helper()
	return w.putIn("INBOX", to, subject, body)
}

func (w *world) putIn(mailbox, to, subject, body string) string {
	w.t.Helper()
	m := w.pool.Message()
	defer m.Close()
	fmt.Fprintf(m, "From: App <app@example.com>\r\nTo: %s\r\nSubject: %s\r\n\r\n%s\r\n", to, subject, body)
	d, err := w.mail.Deposit(w.t.Context(), []mailstore.AcctID{w.me.Identity.Acct}, mailstore.Deposit{Mailbox: mailbox,
		Envelope: mailstore.Envelope{From: "bounce@example.com", To: []string{to}, ToCount: 1}}, m)
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprint(d[0].Msg)
}

// request makes a request as the account, unless change takes that away.
func (w *world) request(method, target, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	w.t.Helper()
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(w.t.Context(), method, target, rd)
	r.Host = "localhost:8025"
	r.SetBasicAuth(w.me.User, w.me.Pass)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, f := range change {
		f(r)
	}
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	return rec
}

func anonymous(r *http.Request) { r.Header.Del("Authorization") }

func header(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }

// get reads JSON and wants a status.
func (w *world) get(status int, target string, to any) {
	w.t.Helper()
	w.call(status, "GET", target, "", to)
}

func (w *world) call(status int, method, target, body string, to any) {
	w.t.Helper()
	rec := w.request(method, target, body)
	if rec.Code != status {
		w.t.Fatalf("%s %s: status %d, want %d: %s", method, target, rec.Code, status, rec.Body)
	}
	if to != nil {
		if err := json.Unmarshal(rec.Body.Bytes(), to); err != nil {
			w.t.Fatalf("%s %s: %v in %s", method, target, err, rec.Body)
		}
	}
}

// TestUser is the contract of Nodemailer's createTestAccount.
func TestUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		name, path, body string
		change           []func(*http.Request)
	}{
		{"nodemailer", "/user", `{"requestor":"nodemailer","version":"7.0.0"}`, nil},
		{"empty object", "/user", `{}`, nil},
		{"no body", "/user", "", nil},
		{"no content type", "/user", `{}`, []func(*http.Request){func(r *http.Request) { r.Header.Del("Content-Type") }}},
		{"odd content type", "/user", `a=b`, []func(*http.Request){header("Content-Type", "application/x-www-form-urlencoded")}},
		{"broken json", "/user", `{"requestor":`, nil},
		{"not an object", "/user", `[1,2]`, nil},
		{"trailing", "/user", `{"requestor":"x"} and more`, nil},
		{"double slash", "//user", `{}`, nil},
		{"final slash", "/user/", `{}`, nil},
		{"bearer", "/user", `{}`, []func(*http.Request){header("Authorization", "Bearer some-key")}},
		{"wrong basic", "/user", `{}`, []func(*http.Request){header("Authorization", "Basic eDp5")}},
		{"gzip", "/user", `{}`, []func(*http.Request){header("Accept-Encoding", "gzip,deflate")}},
		{"cookie", "/user", `{}`, []func(*http.Request){header("Cookie", "s=1")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rec := w.request("POST", "http://localhost:8025"+c.path, c.body, append([]func(*http.Request){anonymous}, c.change...)...)
			if rec.Code != 200 || !strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json") {
				t.Fatalf("status %d, type %q: %s", rec.Code, rec.Header().Get("Content-Type"), rec.Body)
			}
			checkCreated(t, w, rec.Body.Bytes())
		})
	}
}

func checkCreated(t *testing.T, w *world, body []byte) {
	t.Helper()
	var a struct {
		Status, User, Pass, Web, API, Token, Cursor string
		MXEnabled                                   *bool
		SMTP, IMAP, POP3                            struct {
			Host   string
			Port   int
			Secure *bool
		}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&a); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	local, domain, _ := strings.Cut(a.User, "@")
	if a.Status != "success" || len(local) != 16 || domain != "eider.test" || len(a.Pass) != 18 || a.MXEnabled == nil {
		t.Errorf("answer %s", body)
	}
	if a.Web != "http://localhost:8025" || a.API != a.Web+"/v1" || a.Token == "" || a.Cursor == "" {
		t.Errorf("answer %s", body)
	}
	for _, s := range []struct {
		Host   string
		Port   int
		Secure *bool
	}{a.SMTP, a.IMAP, a.POP3} {
		if s.Host != "localhost" || s.Port == 0 || s.Secure == nil || *s.Secure {
			t.Errorf("service %+v", s)
		}
	}
	for _, login := range []func(*http.Request){
		func(r *http.Request) { r.SetBasicAuth(a.User, a.Pass) },
		header("Authorization", "Bearer "+a.Token),
		header("Authorization", "bearer  "+a.Token),
	} {
		if rec := w.request("GET", "/v1/messages/wait?timeout=0s&after="+a.Cursor, "", login); rec.Code != 200 {
			t.Errorf("the new login is refused: %d %s", rec.Code, rec.Body)
		}
	}
}

func TestUserRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		name, method, body string
		status             int
		change             func(*http.Request)
	}{
		{"get", "GET", "", 405, anonymous},
		{"foreign page", "POST", "{}", 403, header("Origin", "https://evil.example")},
		{"foreign fetch", "POST", "{}", 403, header("Sec-Fetch-Site", "cross-site")},
		{"huge body", "POST", strings.Repeat("x", api.MaxUserBody+1), 200, anonymous},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rec := w.request(c.method, "/user", c.body, c.change)
			var a struct{ Status, Error, User string }
			if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil || a.Status != "error" || a.Error == "" || a.User != "" {
				t.Errorf("answer %s (%v)", rec.Body, err)
			}
			if rec.Code != c.status {
				t.Errorf("status %d, want %d", rec.Code, c.status)
			}
		})
	}
}

func TestAuthorization(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		name      string
		status    int
		challenge bool
		change    []func(*http.Request)
	}{
		{"basic", 200, false, nil},
		{"none", 401, true, []func(*http.Request){anonymous}},
		{"wrong password", 401, true, []func(*http.Request){func(r *http.Request) { r.SetBasicAuth(w.me.User, "x") }}},
		{"unknown user", 401, true, []func(*http.Request){func(r *http.Request) { r.SetBasicAuth("nobody", "x") }}},
		{"wrong token", 401, true, []func(*http.Request){header("Authorization", "Bearer eider_AAAA")}},
		{"other scheme", 401, true, []func(*http.Request){header("Authorization", "Digest x")}},
		{"huge", 401, true, []func(*http.Request){header("Authorization", "Basic "+strings.Repeat("QUFB", 1000))}},
		{"two", 401, true, []func(*http.Request){func(r *http.Request) { r.Header.Add("Authorization", "Bearer x") }}},
		{"cookie only", 401, true, []func(*http.Request){anonymous, header("Cookie", "s="+w.auth.Cookie(w.me.Identity, time.Hour))}},
		{"browser", 401, false, []func(*http.Request){anonymous, header("Sec-Fetch-Mode", "navigate")}},
		{"page", 401, false, []func(*http.Request){anonymous, header("Origin", "http://localhost:8025")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rec := w.request("GET", "/v1/account", "", c.change...)
			if rec.Code != c.status || (rec.Header().Get("WWW-Authenticate") != "") != c.challenge {
				t.Errorf("status %d challenge %q", rec.Code, rec.Header().Get("WWW-Authenticate"))
			}
			if rec.Header().Get("Access-Control-Allow-Origin") != "" || rec.Header().Get("Set-Cookie") != "" {
				t.Errorf("headers %v", rec.Header())
			}
		})
	}
	for _, m := range []string{"DELETE", "PATCH"} {
		rec := w.request(m, "/v1/messages/1", `{"seen":true}`, header("Origin", "https://evil.example"))
		if rec.Code != 403 {
			t.Errorf("%s of a foreign page: %d", m, rec.Code)
		}
	}
}

func TestBodyThatNeverEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	srv := httptest.NewServer(w.api)
	defer srv.Close()
	start := time.Now()
	pr, pw := io.Pipe()
	defer pw.Close()
	resp, err := http.Post(srv.URL+"/user", "application/json", pr)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct{ Status string }
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || a.Status != "error" || resp.StatusCode != 200 {
		t.Errorf("status %d %q %v", resp.StatusCode, a.Status, err)
	}
	if d := time.Since(start); d < api.UserBodyTime || d > 2*api.UserBudget {
		t.Errorf("answered after %v", d)
	}
}

// TestUserServices: a service that is off is not named, but for the one that
// every caller of createTestAccount reads.
func TestUserServices(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, memkv.New(), advert.Ports{HTTP: 8025, IMAP: 1143})
	var a map[string]json.RawMessage
	rec := w.request("POST", "http://localhost:8025/user", "{}", anonymous)
	if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil || string(a["status"]) != `"success"` {
		t.Fatalf("%v %s", err, rec.Body)
	}
	for name, want := range map[string]string{"smtp": `{"host":"localhost","port":0,"secure":false}`,
		"imap": `{"host":"localhost","port":1143,"secure":false}`, "pop3": ""} {
		if string(a[name]) != want {
			t.Errorf("%s is %s", name, a[name])
		}
	}
	for _, name := range []string{"user", "pass", "web", "mxEnabled", "api", "token", "cursor"} {
		if len(a[name]) == 0 {
			t.Errorf("%s is missing", name)
		}
	}
}

// TestDescribesWishes: ttl and quota are described as they are taken.
func TestDescribesWishes(t *testing.T) {
	t.Parallel()
	var d struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct {
					Type  any
					OneOf []struct{ Type string }
				}
			}
		}
	}
	w := newWorld(t)
	if err := json.Unmarshal(w.request("GET", "/openapi.json", "", anonymous).Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ttl", "quota"} {
		p := d.Components.Schemas["Wish"].Properties[name]
		if fmt.Sprint(p) != "{<nil> [{integer} {string}]}" {
			t.Errorf("%s: %v", name, p)
		}
	}
}
