package faces_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/policy"
	"github.com/eidermail/eider/internal/secret"
	"github.com/eidermail/eider/internal/spool"
	"github.com/eidermail/eider/internal/web/faces"
)

const (
	password = "correct horse battery"
	sendRate = 50 // messages of one account in an hour
)

type world struct {
	t       testing.TB
	store   *mailstore.Store
	pool    *spool.Pool
	h       http.Handler
	all, me mailstore.AcctID
}

func newWorld(t testing.TB, public bool) *world { return newWorldOn(t, memkv.New(), public) }

func newWorldOn(t testing.TB, db kv.Store, public bool) *world {
	t.Helper()
	hints := membus.New()
	t.Cleanup(func() { hints.Close() })
	w := &world{t: t, pool: spool.New(spool.Options{})}
	var err error
	if w.store, err = mailstore.Open(t.Context(), mailstore.Options{KV: db, Bus: hints, MessageLimit: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	rings, err := secret.Open(t.Context(), secret.Options{KV: db})
	if err != nil {
		t.Fatal(err)
	}
	a, err := auth.New(t.Context(), auth.Options{Store: w.store, Rings: rings, Domain: "d.test"})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name string
		to   *mailstore.AcctID
	}{{"all@d.test", &w.all}, {"me@d.test", &w.me}} {
		cred, err := a.Seal(t.Context(), password, account.Generated)
		if err != nil {
			t.Fatal(err)
		}
		acct, err := w.store.CreateAccount(t.Context(), mailstore.NewAccount{Address: x.name, Credential: cred})
		if err != nil {
			t.Fatal(err)
		}
		*x.to = acct.ID
	}
	o := policy.Options{Public: public, Store: w.store, MessageLimit: 1 << 20, CatchAll: w.all,
		Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Limiter: membus.NewLimits(time.Now),
		Strangers: policy.Strangers{Send: bus.Rate{Limit: sendRate, Per: time.Hour}}}
	w.h = faces.New(faces.Options{Store: w.store, Auth: a, Policy: policy.New(o), Spool: w.pool, Version: "test"})
	return w
}

func (w *world) deposit(id mailstore.AcctID, text string) {
	w.t.Helper()
	m := w.pool.Message()
	defer m.Close()
	_, _ = m.Write([]byte(text))
	if _, err := w.store.Deposit(w.t.Context(), []mailstore.AcctID{id}, mailstore.Deposit{}, m); err != nil {
		w.t.Fatal(err)
	}
}

// do sends a request; with are pairs of header name and value.
func (w *world) do(method, target, body string, with ...string) (int, string) {
	w.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr, r.Host = "127.0.0.1:4000", "localhost:8025"
	for i := 0; i < len(with); i += 2 {
		switch with[i] {
		case "login":
			r.SetBasicAuth(with[i+1], password)
		case "peer":
			r.RemoteAddr = with[i+1]
		default:
			r.Header.Set(with[i], with[i+1])
		}
	}
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	b, _ := io.ReadAll(rec.Body)
	return rec.Code, string(b)
}

// Without credentials it is the catch-all, for trusted peers of dev mode, and
// never for a page of another site.
func TestWho(t *testing.T) {
	t.Parallel()
	w, pub := newWorld(t, false), newWorld(t, true)
	w.deposit(w.all, "Subject: for all\r\n\r\nx\r\n")
	w.deposit(w.me, "Subject: for me\r\n\r\nx\r\n")
	for _, c := range []struct {
		name string
		w    *world
		with []string
		code int
		has  string
	}{
		{"trusted", w, nil, 200, "for all"},
		{"login", w, []string{"login", "me@d.test"}, 200, "for me"},
		{"far", w, []string{"peer", "192.0.2.1:4000"}, 401, "Authorization"},
		{"proxy", w, []string{"X-Forwarded-For", "127.0.0.1"}, 401, ""},
		{"public", pub, nil, 401, ""},
		{"page of another site", w, []string{"Origin", "https://evil.example"}, 401, "another site"},
		{"opaque page", w, []string{"Origin", "null"}, 401, ""},
		{"image of another site", w, []string{"Sec-Fetch-Site", "cross-site"}, 401, ""},
		{"another port", w, []string{"Sec-Fetch-Site", "same-site"}, 401, ""},
		{"login by another site", w, []string{"Origin", "https://evil.example", "login", "me@d.test"}, 401, ""},
		{"typed by hand", w, []string{"Sec-Fetch-Site", "none"}, 200, "for all"},
		{"own page", w, []string{"Origin", "http://localhost:8025", "Sec-Fetch-Site", "same-origin"}, 200, "for all"},
		{"wrong user", w, []string{"login", "you@d.test"}, 401, ""},
		{"odd scheme", w, []string{"Authorization", "Digest x"}, 401, ""},
	} {
		for _, path := range []string{"/api/v1/messages", "/api/v2/messages"} {
			if code, text := c.w.do("GET", path, "", c.with...); code != c.code || !strings.Contains(text, c.has) {
				t.Errorf("%s %s: %d %.200s", c.name, path, code, text)
			}
		}
		if c.code == 401 {
			if code, _ := c.w.do("DELETE", "/api/v1/messages", "", c.with...); code != 401 {
				t.Errorf("%s: deletes: %d", c.name, code)
			}
		}
	}
	if code, text := w.do("GET", "/api/v1/messages", ""); code != 200 || strings.Contains(text, "for me") ||
		!strings.Contains(text, "for all") {
		t.Errorf("after all that: %d %s", code, text)
	}
}

func TestOthersMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	for i := range 20 {
		w.deposit(w.me, fmt.Sprintf("Subject: secret %d\r\n\r\nx\r\n", i))
	}
	for id := range 25 {
		for _, path := range []string{"/api/v1/message/%d", "/api/v1/message/%d/raw", "/api/v1/message/%d/headers",
			"/api/v1/messages/%d", "/api/v1/messages/%d/download", "/view/%d.txt", "/api/v1/message/%d/part/1"} {
			if code, text := w.do("GET", fmt.Sprintf(path, id), ""); code != 404 || strings.Contains(text, "secret") {
				t.Errorf("%s of %d: %d %s", path, id, code, text)
			}
		}
	}
}

func TestNotOffered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	for _, c := range []string{"POST /api/v1/message/1/release", "GET /api/v1/message/1/html-check",
		"GET /api/v1/message/1/link-check", "GET /api/v1/message/1/sa-check", "GET /api/v1/message/1/part/1/thumb",
		"PUT /api/v1/tags", "GET /api/v1/chaos", "POST /api/v1/messages/1/release", "GET /api/v2/websocket", "PUT /api/v2/jim",
		"GET /view/1.png", "GET /api/v1/events"} {
		method, path, _ := strings.Cut(c, " ")
		code, text := w.do(method, path, "{}")
		if want := 501; code != want && code != 405 || !strings.Contains(text, "not offer") && code == want {
			t.Errorf("%s: %d %s", c, code, text)
		}
	}
}

// What is sent cannot begin a header field, and limits answer with their reason.
func TestSend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	code, text := w.do("POST", "/api/v1/send", `{"From":{"Email":"a@b.test","Name":"A\r\nX-Evil: 1"},
		"To":[{"Email":"c@d.test","Name":"C\nX-Evil: 1"}],"Subject":"s\r\nX-Evil: 1","Text":"t",
		"Headers":{"X-A":"b\nX-Evil: 1"},"Attachments":[{"Filename":"f\"\r\nX-Evil: 1","Content":"eA==","ContentID":"c\r\nX-Evil: 1"}]}`)
	var sent struct{ ID string }
	if json.Unmarshal([]byte(text), &sent) != nil || code != 200 {
		t.Fatal(code, text)
	}
	_, raw := w.do("GET", "/api/v1/message/"+sent.ID+"/raw", "")
	if strings.Contains(raw, "\nX-Evil") || !strings.Contains(raw, "\nX-A: ") {
		t.Error(raw)
	}
	for body, want := range map[string]string{
		`{"From":{"Email":"a@b.test"},"To":[]}`:                                                 "recipients",
		`{"From":{"Email":"nonsense"},"To":[{"Email":"c@d.test"}]}`:                             "not a mail address",
		`{"From":{"Email":"a@b.test"},"To":[{"Email":"c@d.test"}],"Headers":{"A: b\r\nC":"d"}}`: "header field",
		`[`: "JSON",
		`{"From":{"Email":"a@b.test"},"To":[{"Email":"c@d.test"}],"Text":"` + strings.Repeat("x", 3<<20) + `"}`: "too large",
	} {
		code, text := w.do("POST", "/api/v1/send", body)
		if code != 400 && code != 413 || !strings.Contains(text, want) {
			t.Errorf("%.60s: %d %s", body, code, text)
		}
	}
	if code, _ := w.do("GET", "/api/v1/messages?limit=x", ""); code != 400 {
		t.Error(code)
	}
}

// TestSendRate: who sends more messages than one account may is told when to
// come again, by this door as by SMTP's.
func TestSendRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	for i := range sendRate + 1 {
		r := httptest.NewRequest("POST", "/api/v1/send",
			strings.NewReader(`{"From":{"Email":"a@b.test"},"To":[{"Email":"c@d.test"}],"Text":"t"}`))
		r.RemoteAddr, r.Host = "127.0.0.1:4000", "localhost:8025"
		r.SetBasicAuth("me@d.test", password)
		rec := httptest.NewRecorder()
		w.h.ServeHTTP(rec, r)
		want, retry := 200, ""
		if i == sendRate {
			want, retry = 429, "72"
		}
		if rec.Code != want || rec.Header().Get("Retry-After") != retry {
			t.Fatalf("message %d: %d, Retry-After %q: %s", i, rec.Code, rec.Header().Get("Retry-After"), rec.Body)
		}
	}
	if code, text := w.do("POST", "/api/v1/send", `{"From":{"Email":"a@b.test"},"To":[{"Email":"c@d.test"}]}`); code != 200 {
		t.Errorf("another account: %d %s", code, text)
	}
}

// TestFieldNames: MailHog's clients look for names as they were sent, Mailpit's
// in the form of Go.
func TestFieldNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.deposit(w.all, "Message-ID: <a@b>\r\nDKIM-Signature: v=1\r\nX-MyHeader: one\r\nx-myheader: two\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n"+
		"--B\r\nContent-ID: <p>\r\ncontent-type: text/plain\r\n\r\nx\r\n--B--\r\n")
	var hog struct {
		Items []struct {
			Content struct{ Headers map[string][]string }
			MIME    struct {
				Parts []struct{ Headers map[string][]string }
			}
		}
	}
	_, text := w.do("GET", "/api/v2/messages", "")
	if err := json.Unmarshal([]byte(text), &hog); err != nil || len(hog.Items) != 1 || len(hog.Items[0].MIME.Parts) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	h := hog.Items[0].Content.Headers
	for name, want := range map[string]string{"Message-ID": "[<a@b>]", "DKIM-Signature": "[v=1]", "MIME-Version": "[1.0]",
		"X-MyHeader": "[one two]", "x-myheader": "[]", "X-Myheader": "[]"} {
		if got := fmt.Sprint(h[name]); got != want {
			t.Errorf("MailHog: %s is %s, want %s", name, got, want)
		}
	}
	if p := hog.Items[0].MIME.Parts[0].Headers; len(p) != 2 || len(p["Content-ID"]) != 1 || len(p["content-type"]) != 1 {
		t.Errorf("MailHog: a part has %v", p)
	}
	var pit map[string][]string
	_, text = w.do("GET", "/api/v1/message/latest/headers", "")
	if err := json.Unmarshal([]byte(text), &pit); err != nil || len(pit["Message-Id"]) != 1 || len(pit["X-Myheader"]) != 2 {
		t.Errorf("Mailpit: %v %s", err, text)
	}
}
