package web_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/mailstore"
)

func has(t *testing.T, p page, code int, words ...string) {
	t.Helper()
	if p.StatusCode != code {
		t.Errorf("%s %s: %d, want %d\n%.400s", p.Request.Method, p.Request.URL, p.StatusCode, code, p.text)
	}
	for _, w := range words {
		if !strings.Contains(p.text, w) {
			t.Errorf("%s %s: no %q in\n%.1500s", p.Request.Method, p.Request.URL, w, p.text)
		}
	}
}

func TestFromTheButtonToTheMail(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b, a := r.account()
	p := b.get("/account?new")
	has(t, p, 200, "Your account is ready", a.Address, "Keep the password now", "Waiting for the first message", "1025")
	csv := b.get("/account/credentials.csv")
	has(t, csv, 200, `"Service","Name","Username","Password","Hostname","Port","Security"`, `"SMTP","`, `"1025","none"`)
	password := strings.Split(strings.Split(csv.text, "\n")[1], `","`)[3]
	if _, err := r.auth.Password(context.Background(), r.peer(), a.Address, password); err != nil {
		t.Fatal("the password of the CSV does not log in:", err)
	}
	if !strings.Contains(p.text, password) {
		t.Error("the account page does not show the password")
	}
	d := r.deposit(a.ID, richMail)
	has(t, b.get("/messages"), 200, "Björk", "Invoice", "row unread")
	has(t, b.get("/account"), 200, "2 messages caught so far")
	id := "/messages/" + num(d.Msg)
	has(t, b.get(id), 200, "Invoice", "bob@example.com", "<iframe", "evil.html", "/message/"+r.link(d))
	has(t, b.get("/messages"), 200, "Invoice")
	e, err := r.store.EntriesByUID(context.Background(), a.ID, d.Mailbox, []mailstore.UID{d.UID})
	if err != nil || len(e) != 1 || e[0].Flags&mailstore.Seen == 0 {
		t.Errorf("opened, but not seen: %v %v", e, err)
	}
	for tab, word := range map[string]string{"text": "This message has no text", "headers": "Björk &lt;b@example.com&gt;",
		"source": "=?utf-8?q?Bj=C3=B6rk?=", "parts": "multipart/related", "envelope": "app@example.com"} {
		has(t, b.get(id+"?tab="+tab), 200, word)
	}
	// Another browser logs in with the password.
	other := r.browser()
	has(t, other.get("/messages"), 200, "Log in")
	has(t, other.post("/login", url.Values{"user": {a.Address}, "pass": {"wrong"}}), 422, "Address or password is wrong")
	p = other.post("/login", url.Values{"user": {a.Address}, "pass": {password}, "next": {"/messages?q=invoice"}})
	has(t, p, 200, "Invoice", "Found")
	has(t, other.post("/logout", nil), 200, "You are logged out")
	if p := other.stay().get("/messages"); p.StatusCode != 303 {
		t.Errorf("after logout: %d", p.StatusCode)
	}
}

func TestMailboxActions(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b, a := r.account()
	d1, d2 := r.deposit(a.ID, plainMail), r.deposit(a.ID, richMail)
	box := num(d1.Mailbox)
	flags := func(uid mailstore.UID) (mailstore.Flags, bool) {
		es, err := r.store.EntriesByUID(context.Background(), a.ID, d1.Mailbox, []mailstore.UID{uid})
		if err != nil {
			t.Fatal(err)
		}
		if len(es) == 0 {
			return 0, false
		}
		return es[0].Flags, true
	}
	act := func(do string, uids ...mailstore.UID) page {
		f := url.Values{"do": {do}, "box": {box}}
		for _, u := range uids {
			f.Add("uid", num(u))
		}
		return b.post("/messages", f)
	}
	has(t, act("read", d1.UID, d2.UID), 200, "Marked as read")
	if f, _ := flags(d1.UID); f&mailstore.Seen == 0 {
		t.Error("not read")
	}
	has(t, act("unread", d1.UID), 200, "Marked as unread")
	if f, _ := flags(d1.UID); f&mailstore.Seen != 0 {
		t.Error("not unread")
	}
	has(t, act("delete", d1.UID), 200, "Deleted")
	if _, there := flags(d1.UID); there {
		t.Error("not deleted")
	}
	has(t, act("delete"), 200, "Nothing was selected")
	has(t, act("explode", d2.UID), 400)
	has(t, b.post("/messages", url.Values{"do": {"delete"}, "box": {"x"}}), 400)
	has(t, b.get("/messages/"+num(d1.Msg)), 404, "No such message")
	if p := b.post("/messages", url.Values{"do": {"read"}, "box": {box}, "uid": {num(d2.UID)}}, "X-Frag", "1"); p.StatusCode != 204 {
		t.Errorf("script's action: %d", p.StatusCode)
	}
}

func TestSearchAndPaging(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b, a := r.account()
	for i := range 120 {
		subject := "bulk " + num(i)
		if i%40 == 3 {
			subject = "needle " + num(i)
		}
		r.deposit(a.ID, "From: s"+num(i)+"@example.com\r\nSubject: "+subject+"\r\n\r\nbody "+num(i)+"\r\n")
	}
	// Walk all pages: every message once, newest first.
	seen, pages := map[string]bool{}, 0
	for path := "/messages"; path != ""; pages++ {
		p := b.get(path)
		has(t, p, 200)
		for _, part := range strings.Split(p.text, `<li class="row`)[1:] {
			uid := between(part, `data-uid="`, `"`)
			if uid == "" {
				uid = "0"
			}
			if uid != "0" && seen[uid] {
				t.Fatalf("row %s twice", uid)
			}
			seen[uid] = true
		}
		path = strings.ReplaceAll(between(p.text, `<p class="more"><a href="/messages?before=`, `"`), "&amp;", "&")
		if path != "" {
			path = "/messages?before=" + path
		}
	}
	delete(seen, "0") // the row that scripts copy
	if len(seen) != 121 || pages != 3 {
		t.Errorf("%d rows on %d pages", len(seen), pages)
	}
	for q, n := range map[string]int{"needle": 3, "subject:needle -43": 2, "from:s7@": 1, `"bulk 11"`: 11,
		"is:unread needle": 3, "is:read": 0, "has:attachment": 0, "is:flagged": 1, "body 119": 1, "to:nobody": 0} {
		p := b.get("/messages?q=" + url.QueryEscape(q))
		has(t, p, 200)
		if got := strings.Count(p.text, `<li class="row`) - 1; got != n {
			t.Errorf("%s: %d rows, want %d", q, got, n)
		}
	}
	has(t, b.get("/messages?q=is:purple"), 200, "is not known")
	has(t, b.get("/messages?box=Nope"), 404)
	has(t, b.get("/messages?before=1"), 200)
	frag := b.get("/messages?before=60", "X-Frag", "1")
	if frag.Header.Get("X-Frag") != "1" || strings.Contains(frag.text, "<html") || strings.Count(frag.text, `<li class="row`) != 50 {
		t.Errorf("fragment: %v %.200s", frag.Header, frag.text)
	}
}

func TestOtherMailboxes(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b, a := r.account()
	if _, err := r.store.CreateMailbox(context.Background(), a.ID, "Bills/<b>2026", ""); err != nil {
		t.Fatal(err)
	}
	d := r.deposit(a.ID, plainMail)
	if _, err := r.store.Move(context.Background(), a.ID, d.Mailbox, []mailstore.UID{d.UID}, "Bills/<b>2026"); err != nil {
		t.Fatal(err)
	}
	has(t, b.get("/messages"), 200, "Bills/&lt;b&gt;2026", `aria-label="Mailboxes"`)
	has(t, b.get("/messages?box="+url.QueryEscape("Bills/<b>2026")), 200, "Acme Shop", "482913")
	has(t, b.get("/messages/"+num(d.Msg)), 200, "Bills/&lt;b&gt;2026", "482913")
}

func TestAccountManagement(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b, a := r.account()
	other := r.browser()
	csv := b.get("/account/credentials.csv").text
	password := strings.Split(strings.Split(csv, "\n")[1], `","`)[3]
	other.post("/login", url.Values{"user": {a.Address}, "pass": {password}})
	has(t, other.get("/account"), 200, "not stored in a form that can be shown")
	has(t, other.get("/account/credentials.csv"), 200, "The password is not known any more")

	d := r.deposit(a.ID, plainMail)
	has(t, r.browser().get("/message/"+r.link(d)), 200, "482913")
	has(t, b.post("/account/password", nil), 200, "new password", "Keep the password now")
	if p := other.stay().get("/account"); p.StatusCode != 303 {
		t.Errorf("the other session lives on: %d", p.StatusCode)
	}
	fresh := strings.Split(strings.Split(b.get("/account/credentials.csv").text, "\n")[1], `","`)[3]
	if fresh == password {
		t.Error("the password is the old one")
	}
	has(t, r.browser().get("/message/"+r.link(d)), 200, "482913")
	has(t, b.post("/account/links", nil), 200, "have ended")
	has(t, r.browser().get("/message/"+r.link(d)), 404, "No such message")
	has(t, b.get("/messages/"+num(d.Msg)), 200, "482913")

	has(t, b.post("/account/delete", nil), 200, "are deleted")
	has(t, b.get("/account"), 200, "Log in")
	has(t, r.browser().post("/login", url.Values{"user": {a.Address}, "pass": {fresh}}), 422)
}

func TestCatchAll(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b := r.browser()
	has(t, b.get("/"), 200, "Open the catch-all", "Just send")
	has(t, b.post("/catch-all", nil), 200, "Inbox")
	has(t, b.get("/account"), 200, "The catch-all account", r.catch.Password)
	has(t, b.post("/account/delete", nil), 403)
	has(t, b.post("/account/password", nil), 403)
	// Who comes through a proxy may be anybody.
	p := r.browser()
	if text := p.get("/", "X-Forwarded-For", "10.0.0.1").text; strings.Contains(text, "catch-all") {
		t.Error("offered through a proxy")
	}
	has(t, p.post("/catch-all", nil, "X-Forwarded-For", "10.0.0.1"), 403)
	has(t, p.post("/catch-all", nil, "Sec-Fetch-Site", "cross-site"), 403)
	if text := b.get("/account", "Forwarded", "for=1.2.3.4").text; strings.Contains(text, r.catch.Password) {
		t.Error("password shown through a proxy")
	}
	// Public mode knows no such thing.
	pub := newRig(t, setup{public: true})
	has(t, pub.browser().post("/catch-all", nil), 403)
}
