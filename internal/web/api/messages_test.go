package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/web/api"
)

func subjects(p api.Page) []string {
	var out []string
	for _, m := range p.Messages {
		out = append(out, m.Subject)
	}
	return out
}

func TestListAndSearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("ada@example.com", "One", "alpha")
	w.put("notada@example.com", "Two", strings.Repeat("x ", 300)+"needle-in-the-body")
	third := w.put("bob@example.com", "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "gamma")
	w.call(200, "PATCH", "/v1/messages/"+third, `{"seen":true}`, nil)
	var mid api.Page
	w.get(200, "/v1/messages", &mid)
	w.put("ada@example.com", "Late", "delta")
	for _, c := range []struct {
		query string
		want  []string
	}{
		{"", []string{"Late", "Grüße", "Two", "One"}},
		{"to=ada@example.com", []string{"Late", "One"}},
		{"to=ADA@EXAMPLE.COM", []string{"Late", "One"}},
		{"to=ada", []string{"Late", "Two", "One"}},
		{"from=bounce@example.com", []string{"Late", "Grüße", "Two", "One"}},
		{"from=App&subject=GR%C3%9C%C3%9FE", []string{"Grüße"}},
		{"from=App&subject=none", nil},
		{"subject=gr%C3%BC%C3%9F", []string{"Grüße"}},
		{"text=NEEDLE", []string{"Two"}},
		{"text=gamma", []string{"Grüße"}},
		{"unseen=true", []string{"Late", "Two", "One"}},
		{"attachments=true", nil},
		{"after=" + mid.Cursor, []string{"Late"}},
		{"after=" + w.me.Cursor, []string{"Late", "Grüße", "Two", "One"}},
		{"to=ada@example.com&subject=one", []string{"One"}},
		{"limit=2", []string{"Late", "Grüße"}},
		{"mailbox=inbox&limit=1", []string{"Late"}},
	} {
		var p api.Page
		w.get(200, "/v1/messages?"+c.query, &p)
		if got := subjects(p); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.query, got, c.want)
		}
	}
}

func TestPaging(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 150 {
		w.put("a@b.test", fmt.Sprintf("n%03d", i), "x")
	}
	for _, q := range []string{"limit=7", "limit=50&subject=n", "limit=3&to=a@b.test", "limit=150"} {
		var got []string
		next := ""
		for range 200 {
			var p api.Page
			w.get(200, "/v1/messages?"+q+next, &p)
			got = append(got, subjects(p)...)
			if p.Next == "" {
				break
			}
			next = "&before=" + p.Next
		}
		if len(got) != 150 || got[0] != "n149" || got[149] != "n000" {
			t.Errorf("%s: %d messages", q, len(got))
		}
	}
}

func TestMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.put("ada@example.com", "Code 771204", "Your code is 338112.\r\nSee https://app.test/go?a=1&b=2 now.")
	var m api.Message
	w.get(200, "/v1/messages/"+id, &m)
	if m.Subject != "Code 771204" || len(m.From) != 1 || m.From[0] != (api.Address{Name: "App", Address: "app@example.com"}) ||
		!strings.Contains(m.Text, "338112") || !slices.Contains(m.Codes, "338112") || len(m.Links) != 1 ||
		m.Links[0].URL != "https://app.test/go?a=1&b=2" || m.Envelope.From != "bounce@example.com" || m.Seen {
		t.Errorf("%+v", m)
	}
	msgid := m.URL[strings.LastIndexByte(m.URL, '/')+1:]
	var same api.Message
	w.get(200, "/v1/messages/"+msgid, &same)
	if same.ID != id {
		t.Errorf("by MSGID: %q", same.ID)
	}
	raw := w.request("GET", "/v1/messages/"+id+"/raw", "")
	want := "From: App <app@example.com>\r\nTo: ada@example.com\r\nSubject: Code 771204\r\n\r\n" +
		"Your code is 338112.\r\nSee https://app.test/go?a=1&b=2 now.\r\n"
	if raw.Code != 200 || sha256.Sum256(raw.Body.Bytes()) != sha256.Sum256([]byte(want)) ||
		raw.Header().Get("Content-Length") != fmt.Sprint(len(want)) {
		t.Errorf("raw %d %q", raw.Code, raw.Body)
	}
	if p := w.request("GET", "/v1/messages/"+id+"/parts/1", ""); p.Code != 200 || !bytes.Contains(p.Body.Bytes(), []byte("338112")) {
		t.Errorf("part 1: %d %q", p.Code, p.Body)
	}
	for _, path := range []string{"999", "0", "-1", "x", msgid[:len(msgid)-1], msgid + "A", id + "/parts/2", id + "/parts/ATT00001",
		id + "/parts/1.1.1", id + "/parts/99999999999", "999/raw", "18446744073709551616"} {
		if rec := w.request("GET", "/v1/messages/"+path, ""); rec.Code != 404 {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
}

// TestOthersMail: an account reaches nothing of another one.
func TestOthersMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.put("a@b.test", "secret", "x")
	var m api.Message
	w.get(200, "/v1/messages/"+id, &m)
	msgid := m.URL[strings.LastIndexByte(m.URL, '/')+1:]
	var other struct{ User, Pass, Cursor string }
	rec := w.request("POST", "/user", "{}", anonymous)
	if err := json.Unmarshal(rec.Body.Bytes(), &other); err != nil {
		t.Fatal(err)
	}
	as := func(r *http.Request) { r.SetBasicAuth(other.User, other.Pass) }
	for _, c := range []struct{ method, path, body string }{
		{"GET", id, ""}, {"GET", msgid, ""}, {"GET", msgid + "/raw", ""}, {"GET", id + "/parts/1", ""},
		{"DELETE", id, ""}, {"DELETE", msgid, ""}, {"PATCH", msgid, `{"seen":true}`},
	} {
		if rec := w.request(c.method, "/v1/messages/"+c.path, c.body, as); rec.Code != 404 {
			t.Errorf("%s %s: %d %s", c.method, c.path, rec.Code, rec.Body)
		}
	}
	if rec := w.request("GET", "/v1/messages/wait?timeout=0s&after="+w.me.Cursor, "", as); rec.Code != 422 {
		t.Errorf("another's cursor: %d", rec.Code)
	}
	w.get(200, "/v1/messages/"+id, nil)
}

func TestFlagsAndDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, c := w.put("a@b.test", "A", "x"), w.put("a@b.test", "B", "x"), w.put("a@b.test", "C", "x")
	w.call(200, "PATCH", "/v1/messages/"+a, `{"seen":true,"flagged":true,"add":["todo","later"]}`, nil)
	w.call(200, "PATCH", "/v1/messages/"+a, `{"flagged":false,"remove":["LATER"]}`, nil)
	var m api.Message
	w.get(200, "/v1/messages/"+a, &m)
	if !m.Seen || m.Flagged || !slices.Equal(m.Keywords, []string{"todo"}) {
		t.Errorf("%v %v %v", m.Seen, m.Flagged, m.Keywords)
	}
	var n api.Changed
	w.call(200, "PATCH", "/v1/messages", fmt.Sprintf(`{"ids":[%q,%q,"777"],"flags":{"answered":true}}`, b, c), &n)
	if n.Count != 2 {
		t.Errorf("changed %d", n.Count)
	}
	for _, bad := range []string{`{"add":["a b"]}`, `{"add":[""]}`, `{"add":["x\r\ny"]}`, `{"add":["\\Seen"]}`, `{"nope":1}`, `{`,
		`{"add":` + strings.Repeat("[", 1000)} {
		if rec := w.request("PATCH", "/v1/messages/"+a, bad); rec.Code != 422 && rec.Code != 400 {
			t.Errorf("%q: %d", bad, rec.Code)
		}
	}
	w.call(200, "DELETE", "/v1/messages/"+a, "", nil)
	w.call(404, "DELETE", "/v1/messages/"+a, "", nil)
	w.call(422, "DELETE", "/v1/messages", "", nil)
	w.call(422, "DELETE", "/v1/messages?all=true&id="+b, "", nil)
	w.call(200, "DELETE", "/v1/messages?id="+b+"&id=777", "", &n)
	if n.Count != 1 {
		t.Errorf("deleted %d", n.Count)
	}
	w.call(200, "DELETE", "/v1/messages?all=true", "", &n)
	if n.Count != 1 {
		t.Errorf("deleted %d", n.Count)
	}
	var p api.Page
	w.get(200, "/v1/messages", &p)
	if p.Total != 0 {
		t.Errorf("%d left", p.Total)
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		status int
		target string
	}{
		{422, "/v1/messages?limit=0"}, {422, "/v1/messages?limit=251"}, {422, "/v1/messages?limit=x"},
		{422, "/v1/messages?after=x"}, {422, "/v1/messages?before=x"}, {422, "/v1/messages?before=0"},
		{422, "/v1/messages?to=" + strings.Repeat("a", 501)}, {404, "/v1/messages?mailbox=none"},
		{422, "/v1/messages?nonsense=1"}, {422, "/v1/messages/wait?timeout=301s"}, {422, "/v1/messages/wait?timeout=-1s"},
		{422, "/v1/messages/wait?timeout=soon"}, {422, "/v1/messages/wait?timeout=NaN"}, {422, "/v1/messages/wait?after=%00"},
		{404, "/v1/nothing"}, {404, "/v1/"}, {404, "/v1/messages/1/nothing"}, {422, "/v1/events?after=x"},
		{404, "/v1/events?mailbox=none"},
	} {
		rec := w.request("GET", c.target, "")
		if rec.Code != c.status || rec.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%.60s: %d %q %.100s", c.target, rec.Code, rec.Header().Get("Content-Type"), rec.Body)
		}
	}
}

func TestAccountAndMailboxes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("a@b.test", "A", "x")
	var a api.Account
	w.get(200, "/v1/account", &a)
	if a.User != w.me.User || a.Messages != 1 || a.Limits.RetentionSeconds != 3600 || a.Web != "http://localhost:8025" {
		t.Errorf("%+v", a)
	}
	var ms struct{ Mailboxes []api.Mailbox }
	w.get(200, "/v1/mailboxes", &ms)
	if len(ms.Mailboxes) == 0 || ms.Mailboxes[0].Name != "INBOX" || ms.Mailboxes[0].Messages != 1 {
		t.Errorf("%+v", ms)
	}
	w.call(204, "DELETE", "/v1/account", "", nil)
	w.call(401, "GET", "/v1/account", "", nil)
}

func TestDescription(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rec := w.request("GET", "/openapi.json", "", anonymous)
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("%d %v %q", rec.Code, err, doc.OpenAPI)
	}
	for path, methods := range map[string]string{
		"/user": "post", "/v1/account": "get delete", "/v1/mailboxes": "get", "/v1/messages": "get patch delete",
		"/v1/messages/wait": "get", "/v1/messages/{id}": "get patch delete", "/v1/messages/{id}/raw": "get",
		"/v1/messages/{id}/parts/{part}": "get", "/v1/events": "get",
	} {
		for m := range strings.FieldsSeq(methods) {
			if doc.Paths[path][m] == nil {
				t.Errorf("%s %s is not described", m, path)
			}
		}
	}
}
