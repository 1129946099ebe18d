package web_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/web"
)

func TestPermalink(t *testing.T) {
	t.Parallel()
	var db *faultkv.Store
	r := newRig(t, setup{kv: faulty(&db)})
	_, a := r.account()
	d := r.deposit(a.ID, richMail)
	link := r.link(d)
	b := r.browser()
	p := b.get("/message/" + link)
	has(t, p, 200, "A caught test message", "Björk", "noindex", "evil.html")
	for _, word := range []string{"laptop", "127.0.0.1<", "u@" + domain, `name="do"`, "/messages/"} {
		if strings.Contains(p.text, word) {
			t.Errorf("the public page has %q", word)
		}
	}
	env := b.get("/message/" + link + "?tab=envelope")
	has(t, env, 200, "app@example.com", "RCPT TO")
	if strings.Contains(env.text, "laptop") || strings.Contains(env.text, "Login") {
		t.Error("the public envelope tells about the client")
	}
	es, err := r.store.EntriesByUID(context.Background(), a.ID, d.Mailbox, []mailstore.UID{d.UID})
	if err != nil || es[0].Flags&mailstore.Seen != 0 {
		t.Error("a link marked the message as read", err)
	}
	// Forged, cut, changed: 404 without a read of the store.
	var bodies []string
	flip := []byte(link)
	flip[10] ^= 1
	for _, forged := range []string{"x", link[:len(link)-1], link + "A", string(flip), strings.Repeat("A", 64),
		strings.ToUpper(link), "..%2f..", "%00"} {
		for _, tail := range []string{"", "/source", "/message.eml", "/attachments/ATT00001", "/parts/1"} {
			before := db.Calls(^faultkv.Op(0))
			p := b.get("/message/" + forged + tail)
			if p.StatusCode != 404 {
				t.Errorf("%s%s: %d", forged, tail, p.StatusCode)
			}
			if n := db.Calls(^faultkv.Op(0)) - before; n != 0 {
				t.Errorf("%s%s: %d calls to the store", forged, tail, n)
			}
			if tail == "" {
				bodies = append(bodies, shape(p.text))
			}
		}
	}
	// Deleted: the same answer as forged.
	if _, _, err := r.store.Expunge(context.Background(), a.ID, d.Mailbox, []mailstore.UID{d.UID}, false); err != nil {
		t.Fatal(err)
	}
	p = b.get("/message/" + link)
	has(t, p, 404, "No such message")
	for _, other := range bodies {
		if other != shape(p.text) {
			t.Fatalf("a deleted message's page differs from a forged one's:\n%s\n%s", other, shape(p.text))
		}
	}
}

// shape is a page without what differs in each answer.
func shape(s string) string {
	for _, cutout := range [][2]string{{`nonce="`, `"`}, {`name="back" value="`, `"`}} {
		if v := between(s, cutout[0], cutout[1]); v != "" {
			s = strings.ReplaceAll(s, v, "")
		}
	}
	return s
}

func TestOthersMessagesAreNotThere(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	_, a := r.account()
	b, _ := r.account()
	var last mailstore.Deposited
	for range 5 {
		last = r.deposit(a.ID, plainMail)
	}
	for _, tail := range []string{"", "/source", "/message.eml", "/parts/1"} {
		if p := b.get("/messages/" + num(last.Msg) + tail); strings.Contains(p.text, "482913") {
			t.Errorf("%s shows another account's message", tail)
		}
		if p := r.browser().stay().get("/messages/" + num(last.Msg) + tail); p.StatusCode != 303 {
			t.Errorf("%s without login: %d", tail, p.StatusCode)
		}
	}
	for _, odd := range []string{"0", "-1", "1x", "99999999999999999999999", "1%2f2"} {
		if p := b.get("/messages/" + odd); p.StatusCode != 404 {
			t.Errorf("/messages/%s: %d", odd, p.StatusCode)
		}
	}
}

func TestFrame(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	r := newRig(t, setup{edit: func(o *web.Options) {
		o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	}})
	b, a := r.account()
	d := r.deposit(a.ID, richMail)
	p := b.get("/messages/" + num(d.Msg))
	has(t, p, 200, "1 remote image blocked", `sandbox="allow-popups allow-popups-to-escape-sandbox"`)
	src := "/f/" + between(p.text, `src="/f/`, `"`)
	anyone := r.browser().stay()
	f := anyone.get(src, "Sec-Fetch-Dest", "iframe")
	has(t, f, 200, "Hello</h1>", src+"cid/1.2")
	for _, bad := range []string{"<script", "tracker.example", "alert"} {
		if strings.Contains(f.text, bad) {
			t.Errorf("the frame has %q", bad)
		}
	}
	img := anyone.get(src+"cid/1.2", "Sec-Fetch-Dest", "image")
	if want, _ := base64.StdEncoding.DecodeString(png); img.text != string(want) {
		t.Errorf("inline image: %d, %d bytes", img.StatusCode, len(img.text))
	}
	// By itself the frame leads to the message's page; elsewhere it is refused.
	for _, dest := range []string{"document", "frame", "object", ""} {
		q := anyone.get(src, "Sec-Fetch-Dest", dest)
		if q.StatusCode != 302 || q.Header.Get("Location") != "/message/"+r.link(d) {
			t.Errorf("frame as %q: %d to %q", dest, q.StatusCode, q.Header.Get("Location"))
		}
	}
	if q := anyone.get(src+"cid/1.2", "Sec-Fetch-Dest", "document"); q.StatusCode != 403 {
		t.Errorf("image as a document: %d", q.StatusCode)
	}
	// A plain-HTTP name has no Sec-Fetch headers: the signature is enough there.
	has(t, anyone.get(src, "Host", "devbox:8025"), 200, "Hello</h1>")
	// Remote images only when asked for, and then by the reader's browser only.
	loaded := b.get("/messages/" + num(d.Msg) + "?images=1")
	f = anyone.get("/f/"+between(loaded.text, `src="/f/`, `"`), "Sec-Fetch-Dest", "iframe")
	has(t, f, 200, "https://tracker.example/p.gif")
	if csp := f.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "img-src 'self' data: https: http:;") {
		t.Error(csp)
	}
	// The options are signed, and so is the message.
	d2 := r.deposit(a.ID, richMail)
	for _, forged := range []string{strings.Replace(src, "~no~", "~io~", 1),
		strings.Replace(src, "~no~", "~n~", 1), strings.Replace(src, r.link(d), r.link(d2), 1),
		src[:len(src)-3] + "/"} {
		if q := anyone.get(forged, "Sec-Fetch-Dest", "iframe"); q.StatusCode != 410 {
			t.Errorf("forged frame: %d", q.StatusCode)
		}
	}
	if err := r.store.EndLinks(context.Background(), a.ID); err != nil {
		t.Fatal(err)
	}
	if q := anyone.get(src, "Sec-Fetch-Dest", "iframe"); q.StatusCode != 404 {
		t.Errorf("frame after all links ended: %d", q.StatusCode)
	}
}

func TestFrameExpires(t *testing.T) {
	t.Parallel()
	past := func() time.Time { return time.Now().Add(-11 * time.Minute) }
	r := newRig(t, setup{edit: func(o *web.Options) { o.Now = past }})
	_, a := r.account()
	d := r.deposit(a.ID, richMail)
	src := "/f/" + between(r.browser().get("/message/"+r.link(d)).text, `src="/f/`, `"`)
	q := r.browser().get(src, "Sec-Fetch-Dest", "iframe")
	has(t, q, 410, "Preview expired")
	check(t, q, "frame")
}

func TestDownloads(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b, a := r.account()
	d := r.deposit(a.ID, richMail)
	id := "/messages/" + num(d.Msg)
	if p := b.get(id + "/message.eml"); p.text != richMail {
		t.Error("the .eml is not what was sent")
	}
	if p := b.get(id + "/source"); p.text != richMail {
		t.Error("the source is not what was sent")
	}
	p := b.get(id + "/attachments/ATT00002")
	if p.text != "<script>alert(1)</script>" {
		t.Errorf("attachment: %q", p.text)
	}
	if _, params, err := mime.ParseMediaType(p.Header.Get("Content-Disposition")); err != nil || params["filename"] != "_.._evil.html" {
		t.Errorf("file name %q %v", params["filename"], err)
	}
	for _, dest := range []string{"script", "style", "worker", "sharedworker", "serviceworker", "iframe", "frame", "object",
		"embed", "image", "font", "manifest", "audio", "track"} {
		for _, tail := range []string{"/attachments/ATT00002", "/parts/2", "/message.eml", "/source"} {
			if p := b.get(id+tail, "Sec-Fetch-Dest", dest); p.StatusCode != 403 {
				t.Errorf("%s as %s: %d", tail, dest, p.StatusCode)
			}
		}
	}
	if p := b.do("HEAD", id+"/message.eml", nil); p.StatusCode != 200 || p.ContentLength != int64(len(richMail)) {
		t.Errorf("HEAD: %d %d", p.StatusCode, p.ContentLength)
	}
}

func TestNastyFileNames(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b, a := r.account()
	for raw, want := range map[string]string{
		`filename="a b.txt"`:                              "a b.txt",
		`filename="../../etc/passwd"`:                     "_.._etc_passwd",
		`filename*=utf-8''r%C3%A9sum%C3%A9.pdf`:           "résumé.pdf",
		`filename*=utf-8''ann%E2%80%AEfdp.exe`:            "annfdp.exe",
		`filename*=utf-8''a%0D%0AX-Evil:%201.txt`:         "a  X-Evil_ 1.txt",
		`filename="a;b=c.txt"`:                            "a;b=c.txt",
		`filename="...."`:                                 "ATT00001",
		`filename="con\"fig.txt"`:                         "con_fig.txt",
		`filename="` + strings.Repeat("x", 300) + `.tar"`: strings.Repeat("x", 146) + ".tar",
	} {
		d := r.deposit(a.ID, "Subject: n\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n"+
			"Content-Type: application/x-thing\r\nContent-Disposition: attachment; "+raw+"\r\n\r\nx\r\n--m--\r\n")
		p := b.get("/messages/" + num(d.Msg) + "/attachments/ATT00001")
		_, params, err := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
		if err != nil || params["filename"] != want || p.Header.Get("X-Evil") != "" {
			t.Errorf("%s: %q (%v), want %q", raw, params["filename"], err, want)
		}
	}
}

// TestHostileMessage opens each view of a message whose every field is nasty.
func TestHostileMessage(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b, a := r.account()
	x := `"><img src=x onerror=alert(1)>{{7*7}}`
	d := r.deposit(a.ID, "From: \""+strings.ReplaceAll(x, `"`, `\"`)+"\" <\"<svg onload=alert(1)>\"@x.example>\r\nTo: "+x+"\r\nSubject: "+x+
		"\r\nX-<script>alert(1)</script>: "+x+"\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n"+
		"--m\r\nContent-Type: text/plain\r\n\r\nhttps://x.example/\"onmouseover=alert(1) javascript:alert(1) </pre><script>alert(1)</script>\r\n"+
		"--m\r\nContent-Type: image/svg+xml; name=\"</b><script>alert(1)</script>.svg\"\r\nContent-ID: <<script>alert(1)</script>>\r\n\r\n"+
		"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>\r\n--m--\r\n")
	paths := []string{"/messages", "/messages?q=" + "%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E", "/account", "/message/" + r.link(d)}
	for _, tab := range []string{"text", "headers", "source", "parts", "envelope"} {
		paths = append(paths, "/messages/"+num(d.Msg)+"?tab="+tab)
	}
	for _, path := range paths {
		p := b.get(path)
		has(t, p, 200)
		for _, bad := range []string{"<img", "<script>", "onload=\"", "<svg onload", `href="javascript`, " onmouseover=", "{{"} {
			if strings.Contains(p.text, bad) && bad != "{{" {
				t.Errorf("%s has %s", path, bad)
			}
		}
	}
}

func TestStoreAway(t *testing.T) {
	t.Parallel()
	var db *faultkv.Store
	var log bytes.Buffer
	r := newRig(t, setup{kv: faulty(&db), edit: func(o *web.Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		o.Budget = 2 * time.Second // StoreBudget is longer; a machine that is busy makes an account within it
	}})
	b, a := r.account()
	d := r.deposit(a.ID, plainMail)
	db.Away(true)
	for _, path := range []string{"/messages", "/account", "/message/" + r.link(d), "/messages/" + num(d.Msg)} {
		p := b.get(path)
		has(t, p, 503, "One moment", "Try again", "</html>")
		if p.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
	has(t, b.post("/create", nil), 503, "One moment")
	has(t, b.get("/"), 200, "Create an account")
	has(t, b.get("/help"), 200)
	has(t, b.get("/status"), 503, "Something is wrong", "does not answer")
	db.Away(false)
	has(t, b.get("/messages"), 200, "Acme Shop")
	has(t, b.get("/status"), 200, "Everything works")
	if strings.Contains(log.String(), r.link(d)) {
		t.Error("the log names a permalink")
	}
}

func TestCookies(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for host, name := range map[string]string{"localhost:8025": "eider-8025", "127.0.0.1:8025": "eider-8025", "[::1]:8025": "eider-8025",
		"devbox": "eider", "devbox:80": "eider-80"} {
		p := r.browser().stay().post("/create", nil, "Host", host)
		if p.StatusCode != 303 {
			t.Fatalf("%s: %d", host, p.StatusCode)
		}
		var found bool
		for _, k := range p.Cookies() {
			if !k.HttpOnly || k.Secure || k.SameSite != http.SameSiteLaxMode || k.Domain != "" {
				t.Errorf("%s: cookie %s", host, k.Name)
			}
			if k.Name != name {
				continue
			}
			found = true
			if q := r.browser().stay().get("/account", "Host", host, "Cookie", k.Name+"="+k.Value); q.StatusCode != 200 {
				t.Errorf("%s: logged in, but %d", host, q.StatusCode)
			}
			end := "AA"
			if strings.HasSuffix(k.Value, "A") || strings.HasSuffix(k.Value[:len(k.Value)-1], "A") {
				end = "zz" // another one than it has
			}
			bad := k.Value[:len(k.Value)-2] + end
			if q := r.browser().stay().get("/account", "Host", host, "Cookie", k.Name+"="+bad); q.StatusCode != 303 {
				t.Errorf("%s: forged cookie: %d", host, q.StatusCode)
			}
		}
		if !found {
			t.Errorf("%s: no cookie %s in %v", host, name, p.Cookies())
		}
	}
	// Next never leads away.
	for next, want := range map[string]string{"/messages?q=x": "/messages?q=x", "//evil.example": "/messages",
		"https://evil.example": "/messages", `/\evil.example`: "/messages", "javascript:alert(1)": "/messages", "": "/messages"} {
		b, _ := r.account()
		p := b.stay().get("/login?next=" + strings.ReplaceAll(next, "\\", "%5C"))
		if got := p.Header.Get("Location"); got != want {
			t.Errorf("next=%s leads to %s", next, got)
		}
	}
}
