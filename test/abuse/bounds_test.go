package abuse_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/server"
)

// TestBounds: limits that are reached from outside, on a server as it is:
// MaxAppend, MaxIDFields and maxTraceName (128) by their protocols; those of
// HTTP are in TestBounds_HTTP.
func TestBounds(t *testing.T) {
	t.Parallel()
	s := start(t)
	fields := func(n int) string { return "(" + strings.TrimSuffix(strings.Repeat(`"a" "b" `, n), " ") + ")" }
	messages := func(n int) string { return strings.Repeat(" {1+}\\r\\nx", n) }
	for _, c := range []struct{ name, script string }{
		{"MaxIDFields", imapLogin + "> a ID " + fields(imap.MaxIDFields) + "\n< a OK\n" +
			"> b ID " + fields(imap.MaxIDFields+1) + "\n< b BAD\n" + imapQuit},
		{"MaxAppend", imapLogin + ">> a APPEND INBOX" + messages(imap.MaxAppend) + "\\r\\n\n< a OK\n" +
			">> b APPEND INBOX" + messages(imap.MaxAppend+1) + "\\r\\n\n< b \n" + imapQuit},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := dial(t, s.IMAP)
			w.talk(s.acct, c.script)
		})
	}
	if n := s.census(t); n != imap.MaxAppend {
		t.Errorf("%d messages are there", n)
	}
	w := dial(t, s.MX)
	w.talk(s.acct, "< 220\n> EHLO "+strings.Repeat("h", 500)+"\n< 250 \n> MAIL FROM:<a@b.test>\n< 250\n"+
		"> RCPT TO:<{user}>\n< 250\n> DATA\n< 354\n>> Subject: trace\\r\\n\\r\\nx\\r\\n.\\r\\n\n< 250\n"+smtpQuit)
	var list struct{ Messages []struct{ ID string } }
	a := s.ask(t, "GET", "/v1/messages?limit=1", "Authorization", basic(s.acct))
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || len(list.Messages) != 1 {
		t.Fatalf("%v: %s", err, a.body)
	}
	raw := string(s.raw(t, list.Messages[0].ID))
	if !strings.Contains(raw, strings.Repeat("h", 128)) || strings.Contains(raw, strings.Repeat("h", 129)) {
		t.Errorf("maxTraceName: %.500s", raw)
	}
}

// TestBounds_HTTP: a header too large gets 431; who tries keys of the operator
// is looked at only so often, and an order has a size.
func TestBounds_HTTP(t *testing.T) {
	t.Parallel()
	s := start(t, "--admin", "localhost:0")
	do := func(addr, path, key, body string, fill int) int {
		req, err := http.NewRequest("POST", "http://"+addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("X-Fill", strings.Repeat("f", fill))
		resp, err := from("127.0.0.1").Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if code := do(s.HTTP, "/user", "x", "", server.MaxHeader/2); code != 200 {
		t.Errorf("MaxHeader: half of it: %d", code)
	}
	if code := do(s.HTTP, "/user", "x", "", 2*server.MaxHeader); code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("MaxHeader: twice of it: %d", code)
	}
	key, _ := s.operate(t, "key")["key"].(string)
	if code := do(s.Admin, "/operate", key, `{"do":"stats"`+strings.Repeat(" ", server.MaxOrder)+"}", 0); code != 400 {
		t.Errorf("MaxOrder: %d", code)
	}
	for i := range server.MaxWrongKeys + 1 {
		want := http.StatusUnauthorized
		if i == server.MaxWrongKeys {
			want = http.StatusTooManyRequests
		}
		if code := do(s.Admin, "/operate", "wrong", "{}", 0); code != want {
			t.Errorf("MaxWrongKeys: try %d: %d", i+1, code)
		}
	}
	if code := do(s.Admin, "/operate", key, `{"do":"stats"}`, 0); code != 200 {
		t.Errorf("the right key, after wrong ones: %d", code)
	}
}
