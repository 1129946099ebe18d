package abuse_test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/eidermail/eider/test/harness"
)

// escape is what takes over a terminal that shows it: colours, a title, a new
// line that looks like another record, direction marks.
const escape = "\x1b[31m\x1b]0;owned\x07\x9b2J\u202e\u2028"

// TestLogs: whatever comes from outside, the log holds no secret and no control
// character, in any format and at the most talkative level.
func TestLogs(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "text"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			v := newVisit(t, "--log-level", "debug", "--log-format", format, "--starttls", "on")
			v.shout(t)
			v.survives(t, 0)
			v.Stop(t)
			out := v.Output()
			for i, line := range strings.Split(strings.TrimSuffix(out, "\n"), "\n") {
				if bad := strings.IndexFunc(line, hidden); bad >= 0 {
					t.Errorf("line %d has a control character: %q", i+1, line)
				}
				if format == "json" && !json.Valid([]byte(line)) {
					t.Errorf("line %d is no JSON: %q", i+1, line)
				}
				if len(line) > 4096 {
					t.Errorf("line %d has %d bytes: %.200q", i+1, len(line), line)
				}
			}
			for name, secret := range v.secrets(t) {
				if strings.Contains(out, secret) {
					t.Errorf("the log has %s %q", name, secret)
				}
			}
			if !strings.Contains(out, "handshake") {
				t.Errorf("the level is not the most talkative one:\n%s", out)
			}
		})
	}
}

// hidden is a character that makes a line look like what it is not.
func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar
}

// secrets are what opens something, as they are and as they go over the wire.
func (v *visit) secrets(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{
		"the password": v.acct.Pass, "AUTH PLAIN": plain(v.acct), "Basic": basic(v.acct)[6:],
		"AUTH LOGIN": base64.StdEncoding.EncodeToString([]byte(v.acct.Pass)),
		"the token":  v.acct.Token, "a MSGID": v.msgid, "a wrong password": "hunter2-wrong", "a forged MSGID": v.msgid[:30],
	}
	catchAll, _ := v.Raw["catchAll"].(map[string]any)
	all["the catch-all's password"], _ = catchAll["pass"].(string)
	for _, c := range strings.Split(strings.TrimSuffix(v.cookie, "; "), "; ") {
		_, all["the cookie"], _ = strings.Cut(c, "=")
	}
	for name, secret := range all {
		if len(secret) < 10 {
			t.Fatalf("%s is %q", name, secret)
		}
	}
	return all
}

// shout says escapes and secrets in every place that takes text.
func (v *visit) shout(t *testing.T) {
	t.Helper()
	wrong := v.acct
	wrong.Pass = "hunter2-wrong"
	esc := harness.Account{User: escape + "@" + escape, Pass: escape + "hunter2-wrong"}
	for _, script := range []string{
		">> EHLO {E}\\r\\n\n>> MAIL FROM:<{E}@x>\\r\\n\n>> RCPT TO:<{E}@x>\\r\\n\n" +
			">> {E}\\r\\n\n>> AUTH {E}\\r\\n\n>> BDAT {E}\\r\\n\n",
		"> EHLO x\n> AUTH PLAIN {plain}\n> MAIL FROM:<a@b>\n> RCPT TO:<c@d>\n> DATA\n>> Subject: {E}\\r\\n\n",
		"> STARTTLS\n>> {E}\\r\\n\n", "> EHLO x\n> AUTH LOGIN\n>> {E}\\r\\n\n", ">> GET /{E} HTTP/1.1\\r\\nHost: {E}\\r\\n\n",
		">> \\x16\\x03\\x01{E}\n",
	} {
		for _, a := range []harness.Account{v.acct, wrong, esc} {
			for _, addr := range []string{v.SMTP, v.MX, v.LMTP, v.SMTPS} {
				v.say(t, addr, a, script)
			}
		}
	}
	for _, a := range []harness.Account{v.acct, wrong, esc} {
		for _, addr := range []string{v.IMAP, v.IMAPS} {
			v.say(t, addr, a, "> a LOGIN {user} {pass}\n"+
				">> b SELECT \\\"{E}\\\"\\r\\n\n>> c CREATE \\\"{E}\\\"\\r\\n{E} {E}\\r\\n\n>> d ID (\\\"name\\\" \\\"{E}\\\")\\r\\n\n")
			v.say(t, addr, a, "> a AUTHENTICATE PLAIN {plain}\n> b STARTTLS\n")
		}
		for _, addr := range []string{v.POP3, v.POP3S} {
			v.say(t, addr, a, "> USER {user}\n> PASS {pass}\n>> RETR {E}\\r\\n{E}\\r\\n\n")
			v.say(t, addr, a, "> AUTH PLAIN {plain}\n> STLS\n")
		}
		v.ask(t, "GET", "/v1/account", "Authorization", basic(a))
		v.post(t, "/login", "user="+a.User+"&pass="+a.Pass)
	}
	for _, path := range []string{
		"/message/" + v.msgid, "/message/" + v.msgid[:30], "/message/" + v.msgid + "/attachments/%1b[31m", "/%1b[31m%0a%0d",
		"/v1/messages/" + v.msgid, "/v1/messages?text=%1b[31m", "/v1/events?after=%1b", "/f/" + v.msgid + "~n~x/",
	} {
		v.ask(t, "GET", path, "User-Agent", "\u202e\u2028%1b", "Authorization", basic(v.acct), "Cookie", v.cookie)
		v.ask(t, "GET", path, "Authorization", "Bearer "+v.acct.Token, "Referer", "http://x/message/"+v.msgid)
	}
	raw := "GET /message/" + v.msgid + "?" + escape + " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: " + escape +
		"\r\nCookie: " + v.cookie + "\r\n" + escape + ": x\r\n\r\n"
	for _, addr := range []string{v.HTTP, v.Admin} {
		v.say(t, addr, v.acct, ">> {E}\n")
		w := dial(t, addr)
		w.send(raw)
		w.Close()
	}
	// A client that gives up the handshake, and one that does not trust us.
	_ = tls.Client(dial(t, v.SMTPS).Conn, &tls.Config{ServerName: "localhost"}).Handshake()
	_ = tls.Client(dial(t, v.POP3S).Conn, &tls.Config{ServerName: "localhost", NextProtos: []string{escape}}).Handshake()
}

// say sends a script at once and hangs up; {E} in it is the escape.
func (v *visit) say(t *testing.T, addr string, a harness.Account, script string) {
	t.Helper()
	w := dial(t, addr)
	w.talk(a, strings.ReplaceAll(script, "{E}", strings.Trim(fmt.Sprintf("%+q", escape), `"`)))
	if c, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
	w.rest()
}
