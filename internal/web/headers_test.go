package web_test

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/web"
)

// want are the security headers of one kind of answer. "" means: not there.
type want map[string]string

const (
	appCSP = "default-src 'none'; script-src 'nonce-N'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'; " +
		"require-trusted-types-for 'script'; trusted-types frag"
	closedCSP = "default-src 'none'; sandbox"
	frameCSP  = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src 'self' data:; " +
		"style-src 'unsafe-inline'; font-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)

var kinds = map[string]want{
	"app": {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": appCSP,
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
		"X-Robots-Tag": ""},
	"mail": {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": appCSP,
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
		"X-Robots-Tag": "noindex"},
	"frag": {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": closedCSP, "X-Frag": "1",
		"Vary": "X-Frag, Cookie", "Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"},
	"text": {"Content-Type": "text/plain; charset=utf-8", "Content-Security-Policy": closedCSP,
		"Content-Disposition": "", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Cache-Control": "private, no-store", "Cross-Origin-Resource-Policy": "same-origin", "X-Robots-Tag": "noindex"},
	"file": {"Content-Type": "application/octet-stream", "Content-Security-Policy": closedCSP,
		"Content-Disposition": "attachment; *", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Cache-Control": "private, no-store", "Cross-Origin-Resource-Policy": "same-origin"},
	"eml": {"Content-Type": "message/rfc822", "Content-Security-Policy": closedCSP,
		"Content-Disposition": "attachment; *", "X-Content-Type-Options": "nosniff"},
	"csv": {"Content-Type": "text/csv; charset=utf-8", "Content-Security-Policy": closedCSP,
		"Content-Disposition": "attachment; *", "X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store"},
	"pem": {"Content-Type": "application/x-pem-file", "Content-Security-Policy": closedCSP,
		"Content-Disposition": "attachment; *", "X-Content-Type-Options": "nosniff"},
	"frame": {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": frameCSP,
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-DNS-Prefetch-Control": "off",
		"Cache-Control": "private, no-store", "Cross-Origin-Resource-Policy": "same-origin", "Set-Cookie": ""},
	"image": {"Content-Type": "image/png", "Content-Security-Policy": closedCSP, "X-Content-Type-Options": "nosniff",
		"Cross-Origin-Resource-Policy": "cross-origin", "Cache-Control": "private, no-store", "Set-Cookie": ""},
	"json": {"Content-Type": "application/json", "Content-Security-Policy": closedCSP,
		"Cache-Control": "private, no-store, no-transform", "Vary": "Cookie", "X-Content-Type-Options": "nosniff"},
	"css": {"Content-Type": "text/css; charset=utf-8", "Content-Security-Policy": "default-src 'none'",
		"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"},
	"redirect": {"X-Content-Type-Options": "nosniff"},
	"empty":    {"X-Content-Type-Options": "nosniff"},
}

var nonce = regexp.MustCompile(`'nonce-[A-Za-z0-9]{20,}'`)

// check compares an answer with a kind.
func check(t *testing.T, p page, kind string) {
	t.Helper()
	for name, v := range kinds[kind] {
		got := strings.Join(p.Header.Values(name), " | ")
		if name == "Content-Security-Policy" {
			got = nonce.ReplaceAllString(got, "'nonce-N'")
		}
		if prefix, ok := strings.CutSuffix(v, "*"); ok && strings.HasPrefix(got, prefix) {
			continue
		}
		if got != v {
			t.Errorf("%s %s (%s): %s is %q, want %q", p.Request.Method, p.Request.URL.Path, kind, name, got, v)
		}
	}
	if p.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%s: allows other origins", p.Request.URL.Path)
	}
}

// TestHeadersOfEveryRoute walks the whole route table.
func TestHeadersOfEveryRoute(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{edit: func(o *web.Options) { o.CA = []byte("pem") }})
	b, a := r.account()
	d := r.deposit(a.ID, richMail)
	id, link := "/messages/"+num(d.Msg), "/message/"+r.link(d)
	mailPage := b.get(link)
	frame := between(mailPage.text, `src="/f/`, `"`)
	static := between(mailPage.text, `rel="stylesheet" href="`, `"`)
	iframe := []string{"Sec-Fetch-Dest", "iframe"}
	doomed, _ := r.account()

	type visit struct {
		path string
		code int
		kind string
		head []string
	}
	visits := map[string][]visit{
		"GET /{$}":                                {{"/", 200, "app", nil}},
		"GET /create":                             {{"/create", 200, "app", nil}},
		"POST /create":                            {{"/create", 303, "redirect", nil}},
		"POST /catch-all":                         {{"/catch-all", 303, "redirect", nil}},
		"GET /login":                              {{"/login", 303, "redirect", nil}},
		"POST /login":                             {{"/login", 422, "app", nil}},
		"GET /logout":                             {{"/logout", 200, "app", nil}},
		"POST /logout":                            {{"/logout", 303, "redirect", nil}},
		"POST /theme":                             {{"/theme", 303, "redirect", nil}},
		"GET /help":                               {{"/help", 200, "app", nil}},
		"GET /status":                             {{"/status", 200, "app", nil}},
		"GET /account":                            {{"/account", 200, "mail", nil}},
		"GET /account/credentials.csv":            {{"/account/credentials.csv", 200, "csv", nil}},
		"POST /account/password":                  {{"/account/password", 303, "redirect", nil}},
		"POST /account/links":                     {{"/account/links", 303, "redirect", nil}},
		"POST /account/delete":                    {{"/account/delete", 303, "redirect", nil}},
		"GET /messages":                           {{"/messages", 200, "mail", nil}, {"/messages", 200, "frag", []string{"X-Frag", "1"}}},
		"POST /messages":                          {{"/messages", 400, "mail", nil}},
		"GET /messages/{id}":                      {{id, 200, "mail", nil}, {id, 200, "frag", []string{"X-Frag", "1"}}, {id + "9", 404, "mail", nil}},
		"GET /messages/{id}/source":               {{id + "/source", 200, "text", nil}},
		"GET /messages/{id}/message.eml":          {{id + "/message.eml", 200, "eml", nil}},
		"GET /messages/{id}/attachments/{file}":   {{id + "/attachments/ATT00002", 200, "file", nil}, {id + "/attachments/ATT00009", 404, "text", nil}},
		"GET /messages/{id}/parts/{part}":         {{id + "/parts/1.1", 200, "file", nil}, {id + "/parts/7", 404, "text", nil}},
		"GET /message/{msgid}":                    {{link, 200, "mail", nil}, {link + "x", 404, "mail", nil}, {link, 200, "frag", []string{"X-Frag", "1"}}},
		"GET /message/{msgid}/source":             {{link + "/source", 200, "text", nil}},
		"GET /message/{msgid}/message.eml":        {{link + "/message.eml", 200, "eml", nil}},
		"GET /message/{msgid}/attachments/{file}": {{link + "/attachments/ATT00002", 200, "file", nil}},
		"GET /message/{msgid}/parts/{part}":       {{link + "/parts/1.1", 200, "file", nil}},
		"GET /attachment/{msgid}/{file}":          {{"/attachment/" + r.link(d) + "/ATT00002", 200, "file", nil}},
		"GET /f/{token}/{$}":                      {{"/f/" + frame, 200, "frame", iframe}, {"/f/" + frame, 302, "redirect", nil}, {"/f/x~n~y/", 404, "frame", iframe}},
		"GET /f/{token}/cid/{part}":               {{"/f/" + frame + "cid/1.2", 200, "image", []string{"Sec-Fetch-Dest", "image"}}, {"/f/" + frame + "cid/1.1", 415, "text", nil}},
		"GET /events":                             {{"/events?poll=1&box=1", 200, "json", nil}, {"/events?box=x", 400, "text", nil}},
		"GET /static/":                            {{static, 200, "css", nil}},
		"GET /robots.txt":                         {{"/robots.txt", 200, "text", nil}},
		"GET /favicon.ico":                        {{"/favicon.ico", 204, "empty", nil}},
		"GET /ca.crt":                             {{"/ca.crt", 200, "pem", nil}},
	}
	for _, pattern := range r.site.Patterns() {
		vs, ok := visits[pattern]
		if !ok {
			t.Errorf("route %s is not in this test's table", pattern)
		}
		delete(visits, pattern)
		for _, v := range vs {
			method, _, _ := strings.Cut(pattern, " ")
			who := b
			if v.path == "/account/delete" || v.path == "/account/password" || v.path == "/account/links" || v.path == "/logout" && method == "POST" ||
				method == "POST" && (v.path == "/create" || v.path == "/catch-all") {
				who = doomed
			}
			var p page
			if method == "POST" {
				p = who.stay().post(v.path, nil, v.head...)
			} else {
				p = who.stay().get(v.path, v.head...)
			}
			if p.StatusCode != v.code {
				t.Errorf("%s %s: %d, want %d\n%.300s", method, v.path, p.StatusCode, v.code, p.text)
			}
			check(t, p, v.kind)
		}
	}
	for pattern := range visits {
		t.Errorf("%s is in this test's table, but is no route", pattern)
	}
	check(t, b.get("/nowhere"), "app")
}

func TestNonceIsFresh(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	seen := map[string]bool{}
	for range 5 {
		p := r.browser().get("/")
		n := between(p.Header.Get("Content-Security-Policy"), "'nonce-", "'")
		if n == "" || seen[n] || strings.Count(p.text, `nonce="`+n+`"`) != strings.Count(p.text, "<script") {
			t.Fatalf("nonce %q", n)
		}
		seen[n] = true
	}
}

func TestForeignHostsAndOrigins(t *testing.T) {
	t.Parallel()
	api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299) })
	r := newRig(t, setup{edit: func(o *web.Options) { o.API, o.Health = api, api }})
	b, a := r.account()
	d := r.deposit(a.ID, plainMail)
	for host, code := range map[string]int{"localhost:8025": 200, "127.0.0.1:8025": 200, "[::1]:8025": 200, "devbox": 200,
		"devbox:8025": 200, "evil.example": 421, "127.0.0.1.evil.example:8025": 421, "rebind.test:8025": 421} {
		if p := b.get("/", "Host", host); p.StatusCode != code {
			t.Errorf("Host %s: %d, want %d", host, p.StatusCode, code)
		}
		if p := b.get("/user", "Host", host); code == 421 && p.StatusCode != 421 || code == 200 && p.StatusCode != 299 {
			t.Errorf("Host %s, API: %d", host, p.StatusCode)
		}
		if p := b.get("/healthz", "Host", host); p.StatusCode != 299 {
			t.Errorf("Host %s, health: %d", host, p.StatusCode)
		}
	}
	for _, head := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
	} {
		for _, pattern := range r.site.Patterns() {
			method, path, _ := strings.Cut(pattern, " ")
			if method != "POST" {
				continue
			}
			f := url.Values{"do": {"delete"}, "box": {num(d.Mailbox)}, "uid": {num(d.UID)}}
			if p := b.stay().post(path, f, head...); p.StatusCode != 403 {
				t.Errorf("POST %s with %v: %d", path, head, p.StatusCode)
			}
		}
	}
	if _, err := r.store.Account(context.Background(), a.ID); err != nil {
		t.Error("the account is gone:", err)
	}
	es, err := r.store.EntriesByUID(context.Background(), a.ID, d.Mailbox, []mailstore.UID{d.UID})
	if err != nil || len(es) != 1 {
		t.Error("the message is gone:", err)
	}
	if p := b.get("/messages", "X-Frag", "1", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "empty"); p.StatusCode != 403 {
		t.Errorf("fragment for another site: %d", p.StatusCode)
	}
	// The same origin by a plain-HTTP name works (no Sec-Fetch headers there).
	if p := b.stay().post("/theme", url.Values{"theme": {"dark"}}, "Host", "devbox:8025", "Origin", "http://devbox:8025"); p.StatusCode != 303 {
		t.Errorf("same origin: %d", p.StatusCode)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b, _ := r.account()
	big := url.Values{"do": {strings.Repeat("x", web.MaxForm)}, "box": {"1"}}
	has(t, b.post("/messages", big), 413, "Too large")
	has(t, b.post("/login", url.Values{"user": {strings.Repeat("x", web.MaxForm)}}), 413)
	many := url.Values{"do": {"delete"}, "box": {"1"}}
	for range web.MaxPicked + 1 {
		many.Add("uid", "1")
	}
	has(t, b.post("/messages", many), 400)
}
