package abuse_test

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// made is an answer of POST /user.
type made struct {
	harness.Account
	RetryAfter int64
	Expires    time.Time
}

// makeAs asks for an account from another loopback address.
func (s *target) makeAs(t testing.TB, addr, body string, headers ...string) (m made, took time.Duration) {
	t.Helper()
	req, err := http.NewRequest("POST", "http://"+s.HTTP+"/user", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	start := time.Now()
	resp, err := from(addr).Do(req)
	text := read(t, resp, err)
	took = time.Since(start)
	if resp.StatusCode != 200 {
		t.Errorf("POST /user: %d: Nodemailer would show no reason", resp.StatusCode)
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if h := resp.Header.Get("Retry-After"); (h != "") != (m.RetryAfter != 0) {
		t.Errorf("Retry-After %q, retryAfter %d", h, m.RetryAfter)
	}
	return m, took
}

// refusedWith makes sure of a refusal: quick, with its reason and, if it may
// help, when to try again.
func (s *target) refusedWith(t *testing.T, addr, body, reason string, retry bool, headers ...string) {
	t.Helper()
	// A busy machine may take long once, but not each time.
	var m made
	var took time.Duration
	for range 10 {
		if m, took = s.makeAs(t, addr, body, headers...); took < 100*time.Millisecond {
			break
		}
	}
	if took >= 100*time.Millisecond {
		t.Errorf("a refusal takes %v", took)
	}
	if m.Status != "error" || !strings.Contains(m.Error, reason) || (m.RetryAfter > 0) != retry || m.User != "" {
		t.Errorf("%+v, want an error with %q", m, reason)
	}
}

// operate is eider admin.
func (s *target) operate(t *testing.T, args ...string) map[string]any {
	t.Helper()
	out := harness.Run(t, time.Minute, harness.Binary(t), append(append([]string{"admin"}, args...), "--data", s.Dir)...)
	var v map[string]any
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("admin %q: %v\n%s", args, err, out)
	}
	return v
}

// TestCreate_Limits reaches every limit on making accounts.
func TestCreate_Limits(t *testing.T) {
	t.Parallel()
	s := start(t, "--public-host", "mail.abuse.test", "--https", "off", "--create-rate", "2/1h", "--create-rate-net", "4/1h",
		"--create-rate-all", "7/1h") // start has made one
	ok := func(addr string) {
		t.Helper()
		if m, _ := s.makeAs(t, addr, ""); m.Status != "success" {
			t.Errorf("%s: %+v", addr, m)
		}
	}
	ok("127.0.1.1")
	ok("127.0.1.1")
	s.refusedWith(t, "127.0.1.1", `{}`, "from 127.0.1.1 (2 in 1 hour are allowed); try again in", true)
	ok("127.0.1.2")
	ok("127.0.1.2")
	s.refusedWith(t, "127.0.1.3", `{}`, "from 127.0.1.0/24", true)
	ok("127.0.2.1")
	ok("127.0.2.1")
	s.refusedWith(t, "127.0.3.1", `{}`, "on this server", true)
	if a := s.ask(t, "POST", "/create", "Host", "127.0.0.1"); a.StatusCode != 429 || !strings.Contains(a.body, "on this server") {
		t.Errorf("the button: %d %.300s", a.StatusCode, a.body)
	}
	// The operator's own command is not bounded by it.
	if out := harness.Run(t, time.Minute, harness.Binary(t), "account", "create", "--data", s.Dir); !strings.Contains(out, `"success"`) {
		t.Error(out)
	}
}

// TestCreate_Caps: so many accounts and so many bytes, then no more, until some go.
func TestCreate_Caps(t *testing.T) {
	t.Parallel()
	s := start(t, "--max-accounts", "4") // the catch-all, start's, and two more
	var last made
	for range 2 {
		if last, _ = s.makeAs(t, "127.0.0.1", ""); last.Status != "success" {
			t.Fatalf("%+v", last)
		}
	}
	s.refusedWith(t, "127.0.0.1", "", "has all the 4 accounts", true)
	if a := s.ask(t, "DELETE", "/v1/account", "Authorization", basic(last.Account)); a.StatusCode != 204 {
		t.Fatal(a.StatusCode, a.body)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if m, _ := s.makeAs(t, "127.0.0.1", ""); m.Status == "success" {
			break
		} else if time.Now().After(end) {
			t.Fatalf("after one went: %+v", m)
		}
	}
	full := start(t, "--store", "memory", "--store-max-bytes", "200KB")
	for i := range 30 {
		w := dial(t, full.SMTP)
		w.talk(full.acct, smtpLogin)
		w.send("MAIL FROM:<a@b.test>\r\n")
		if said := w.until(""); strings.HasPrefix(said, "452 ") {
			w.Close()
			full.refusedWith(t, "127.0.0.1", "", "no room", true)
			return
		}
		noise := make([]byte, 15_000) // what no compression makes smaller
		_, _ = rand.Read(noise)
		w.talk(full.acct, "> RCPT TO:<a@b.test>\n< 250")
		w.send("BDAT 30000 LAST\r\n" + hex.EncodeToString(noise))
		w.talk(full.acct, "< 250")
		w.Close()
		if time.Sleep(100 * time.Millisecond); i == 29 {
			t.Error("the store grows without end")
		}
	}
}

// TestCreate_Wishes: ttl, quota and label, and what is none of them.
func TestCreate_Wishes(t *testing.T) {
	t.Parallel()
	s := start(t)
	m, _ := s.makeAs(t, "127.0.0.1", `{"requestor":"x","ttl":"90s","quota":"100KB","label":"ci job"}`)
	if m.Status != "success" || time.Until(m.Expires) > 91*time.Second || time.Until(m.Expires) < 30*time.Second {
		t.Errorf("%+v", m)
	}
	show := s.operate(t, "account", "show", m.User)
	if show["label"] != "ci job" || show["quota"] != 1e5 {
		t.Errorf("%v", show)
	}
	if m, _ := s.makeAs(t, "127.0.0.1", `{"ttl":3600,"quota":1048576}`); m.Status != "success" ||
		time.Until(m.Expires) > time.Hour+time.Second {
		t.Errorf("numbers: %+v", m)
	}
	for body, want := range map[string]string{
		`{"ttl":"1s"}`: "ttl must be from", `{"ttl":"3000d"}`: "ttl must be from", `{"ttl":"soon"}`: "ttl makes no sense",
		`{"ttl":-5}`: "ttl makes no sense", `{"ttl":[1]}`: "ttl makes no sense", `{"quota":"1GB"}`: "quota must be from",
		`{"quota":1}`: "quota must be from", `{"quota":"much"}`: "quota makes no sense",
	} {
		s.refusedWith(t, "127.0.0.1", body, want, false)
	}
	for _, body := range []string{``, `{}`, `[`, `{"requestor":7}`, `"x"`, `null`, `{"ttl":null,"quota":0,"ttl":""}`} {
		if m, _ := s.makeAs(t, "127.0.0.1", body); m.Status != "success" {
			t.Errorf("%s: %+v", body, m)
		}
	}
}

// TestAccountEnds: an account goes at its ttl with all of its mail, used or not.
func TestAccountEnds(t *testing.T) {
	t.Parallel()
	s := start(t, "--public-host", "mail.abuse.test", "--https", "off", "--account-idle", "1s") // unused ones go after that
	before := s.operate(t, "stats")["accounts"].(float64)
	m, _ := s.makeAs(t, "127.0.5.1", ``)
	if m.Expires.IsZero() {
		t.Error("nobody is told that an unused account goes")
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if n := s.operate(t, "stats")["accounts"].(float64); n <= before-1 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%v accounts, %v before", n, before)
		}
	}
	if a := s.ask(t, "GET", "/v1/account", "Authorization", basic(m.Account)); a.StatusCode != 401 {
		t.Errorf("after its end: %d", a.StatusCode)
	}
	s.census(t)
}

// TestOperator: each order has its effect at once and leaves an audit line.
func TestOperator(t *testing.T) {
	t.Parallel()
	s := start(t, "--log-format", "json")
	msg := s.submit(t, []byte("Subject: bad\r\n\r\nbad\r\n"))
	token, _ := s.operate(t, "create", "token")["token"].(string)
	s.refusedWith(t, "127.0.0.1", "", "ETHEREAL_API_KEY", false)
	s.refusedWith(t, "127.0.0.1", "", "ETHEREAL_API_KEY", false, "Authorization", "Bearer nonsense")
	if m, _ := s.makeAs(t, "127.0.0.1", "", "Authorization", "Bearer "+token); m.Status != "success" {
		t.Errorf("with the token: %+v", m)
	}
	s.operate(t, "token", "--new")
	s.refusedWith(t, "127.0.0.1", "", "ETHEREAL_API_KEY", false, "Authorization", "Bearer "+token)
	s.operate(t, "create", "off")
	s.refusedWith(t, "127.0.0.1", "", "operator", false)
	if a := s.ask(t, "POST", "/create"); a.StatusCode != 403 {
		t.Errorf("the button: %d", a.StatusCode)
	}
	s.operate(t, "create", "open")

	// A block ends connections that are there, and lets none in.
	d := dialFrom(t, "127.0.7.7", s.SMTP)
	d.until("220")
	s.operate(t, "block", "127.0.7.0/24", "--reason", "test", "--for", "1h")
	if rest := d.rest(); rest != "" {
		t.Errorf("a blocked client is told %q", rest)
	}
	for _, p := range []string{s.SMTP, s.IMAP, s.POP3, s.MX, s.HTTP} {
		w := dialFrom(t, "127.0.7.8", p)
		w.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if said := w.rest(); said != "" {
			t.Errorf("%s: a blocked client is told %q", p, said)
		}
	}
	if got := s.operate(t, "blocks")["blocks"].([]any); len(got) != 1 {
		t.Errorf("%v", got)
	}
	s.operate(t, "unblock", "127.0.7.0/24")
	dialFrom(t, "127.0.7.8", s.SMTP).until("220")

	if a := s.ask(t, "GET", "/message/"+msg); a.StatusCode != 200 {
		t.Fatal(a.StatusCode)
	}
	s.operate(t, "message", "purge", "http://x.test/message/"+msg)
	s.messages--
	if a := s.ask(t, "GET", "/message/"+msg); a.StatusCode != 404 {
		t.Errorf("a purged message: %d", a.StatusCode)
	}
	s.disable(t)
	log := s.Output()
	for _, want := range []string{`"order":"create","by":"control socket","mode":"token"`, `"net":"127.0.7.0/24"`, `"order":"message-purge"`,
		`"order":"account-disable"`, `"order":"account-purge"`} {
		if !strings.Contains(log, want) {
			t.Errorf("no audit line with %s", want)
		}
	}
	if strings.Contains(log, msg) || strings.Contains(log, token) {
		t.Error("the log has a secret")
	}
	s.census(t)
}

// disable stops an account everywhere, and purges it.
func (s *target) disable(t *testing.T) {
	t.Helper()
	m, _ := s.makeAs(t, "127.0.0.1", "")
	w := dial(t, s.SMTP)
	w.talk(m.Account, smtpLogin)
	s.operate(t, "account", "disable", m.User)
	w.talk(m.Account, "> MAIL FROM:<a@b.test>\n< 421 This account\n<.\n")
	w = dial(t, s.SMTP)
	w.talk(m.Account, smtpHello+"> AUTH PLAIN {plain}\n< 535")
	dial(t, s.IMAP).talk(m.Account, "< * OK\n> a LOGIN {user} {pass}\n< a NO")
	dial(t, s.POP3).talk(m.Account, "< +OK\n> USER {user}\n< +OK\n> PASS {pass}\n< -ERR")
	for _, a := range []answer{s.ask(t, "GET", "/v1/account", "Authorization", basic(m.Account)),
		s.ask(t, "GET", "/v1/account", "Authorization", "Bearer "+m.Token)} {
		if a.StatusCode != 401 {
			t.Errorf("a disabled account: %d", a.StatusCode)
		}
	}
	s.operate(t, "account", "enable", m.User)
	dial(t, s.POP3).talk(m.Account, "< +OK\n> USER {user}\n< +OK\n> PASS {pass}\n< +OK\n> QUIT\n< +OK")
	s.operate(t, "account", "purge", m.User)
	dial(t, s.POP3).talk(m.Account, "< +OK\n> USER {user}\n< +OK\n> PASS {pass}\n< -ERR")
}

// TestOperator_Network: over --admin with the key, and what it says to mistakes.
func TestOperator_Network(t *testing.T) {
	t.Parallel()
	s := start(t)
	key, _ := s.operate(t, "key")["key"].(string)
	t.Logf("key of %d characters", len(key))
	out, err := harness.TryRun(time.Minute, "env", "EIDER_ADMIN_KEY="+key, harness.Binary(t), "admin", "stats", "--url", "http://"+s.Admin)
	if err != nil || !strings.Contains(out, `"accounts": 2`) {
		t.Errorf("%v %s", err, out)
	}
	for _, c := range []struct{ args, want string }{
		{"admin block 300.1.2.3/8", "is not a network"}, {"admin account show nobody@x.test", "there is no account"},
		{"admin account purge catch-all@eider.test", "the server's own"}, {"admin message purge nonsense", "no MSGID"},
		{"admin unblock 192.0.2.0/24", "not blocked"}, {"admin create sometimes", "open"},
		{"admin stats --url http://" + s.Admin, "EIDER_ADMIN_KEY"}, {"admin stats --key x --url http://" + s.Admin, "eider admin key prints it"},
	} {
		out, err := harness.TryRun(time.Minute, harness.Binary(t), append(strings.Fields(c.args), "--data", s.Dir)...)
		if err == nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v %s", c.args, err, out)
		}
	}
}

// dialFrom connects from another loopback address.
func dialFrom(t *testing.T, addr, to string) *wire {
	t.Helper()
	nc, err := from(addr).Transport.(*http.Transport).DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	return over(t, nc)
}

// TestMailLimits reaches the limits on unknown recipients, mail for one
// account, mail of one account, and connections of one address.
func TestMailLimits(t *testing.T) {
	t.Parallel()
	s := start(t, "--mx-unknown-rate", "5/1h", "--mx-rate", "6/1h", "--send-rate", "4/1h", "--address-conns", "3")
	mx := dialFrom(t, "127.0.8.1", s.MX)
	mx.talk(s.acct, smtpHello+"> MAIL FROM:<a@b.test>\n< 250")
	for i := range 5 {
		mx.talk(s.acct, fmt.Sprintf("> RCPT TO:<nobody%d@eider.test>\n< 550 5.1.1", i))
	}
	// Known or not: that is told no more.
	mx.talk(s.acct, "> RCPT TO:<nobody@eider.test>\n< 450 4.7.1\n> RCPT TO:<{user}>\n< 450 4.7.1")
	mx.Close()
	other := dialFrom(t, "127.0.8.2", s.MX)
	other.talk(s.acct, smtpHello)
	for range 6 { // a recipient that gets nothing does not count
		other.talk(s.acct, "> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<{user}>\n< 250\n> RSET\n< 250")
		other.talk(s.acct, "> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<{user}>\n< 250\n> BDAT 1 LAST\n>> x\n< 250")
	}
	other.talk(s.acct, "> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<{user}>\n< 450 4.7.1")
	w := dial(t, s.SMTP)
	w.talk(s.acct, smtpLogin)
	for range 4 {
		w.talk(s.acct, "> MAIL FROM:<a@b.test>\n< 250\n> RSET\n< 250")
	}
	w.talk(s.acct, "> MAIL FROM:<a@b.test>\n< 450 Too many messages")
	w.Close()
	other.Close()
	for _, p := range []string{s.SMTP, s.HTTP, s.IMAP, s.POP3} {
		s.manyConns(t, p)
	}
}

// manyConns opens three connections of one address, which is what it may.
func (s *target) manyConns(t *testing.T, port string) {
	t.Helper()
	greeted := func(addr string) (*wire, string) {
		c := dialFrom(t, addr, port)
		if port == s.HTTP {
			c.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}
		line, _ := c.r.ReadString('\n')
		return c, line
	}
	served := func(line string) bool {
		return strings.HasPrefix(line, "220") || strings.HasPrefix(line, "* OK") || strings.HasPrefix(line, "+OK") ||
			strings.HasPrefix(line, "HTTP/1.1 200")
	}
	for i := range 4 {
		c, line := greeted("127.0.8.3")
		defer c.Close()
		if served(line) != (i < 3) {
			t.Errorf("%s: connection %d of one address: %q", port, i+1, line)
		}
	}
	c, line := greeted("127.0.8.4")
	defer c.Close()
	if !served(line) {
		t.Errorf("%s: another address is told %q", port, line)
	}
}

// TestLinkBytes: strangers read so much of an account a day; its owner, as
// much as they like. The page says where to report, and not who sent.
func TestLinkBytes(t *testing.T) {
	t.Parallel()
	s := start(t, "--link-daily-bytes", "300KB", "--abuse-contact", "abuse@example.test")
	mx := dial(t, s.MX)
	defer mx.Close()
	mx.talk(s.acct, smtpHello+"> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<{user}>\n< 250\n> BDAT 100027 LAST\n>> Subject: from afar\\r\\n\\r\\n{x*100003}\\r\\n\n< 250")
	s.messages++
	var list struct{ Messages []struct{ URL string } }
	if err := json.Unmarshal([]byte(s.ask(t, "GET", "/v1/messages", "Authorization", basic(s.acct)).body), &list); err != nil ||
		len(list.Messages) != 1 {
		t.Fatal(err, list)
	}
	page := list.Messages[0].URL[strings.Index(list.Messages[0].URL, "/message/"):]
	a := s.ask(t, "GET", page+"?tab=headers")
	for _, want := range []string{"caught test message", "mailto:abuse@example.test?subject=Report"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	raw := s.ask(t, "GET", page+"/source").body
	if a.Header.Get("X-Robots-Tag") != "noindex" || strings.Contains(a.body+raw, "[127.0.0.1]") || strings.Contains(a.body, "abuse.test (") {
		t.Errorf("strangers see who sent: %v\n%.400s", a.Header, raw)
	}
	if own := string(s.raw(t, strings.TrimPrefix(page, "/message/"))); !strings.Contains(own, "[127.0.0.1]") ||
		!strings.HasSuffix(raw, own[strings.Index(own, "Subject:"):]) {
		t.Error("the owner does not see who sent, or strangers not what was sent")
	}
	code := 0
	for range 10 {
		if a = s.ask(t, "GET", page+"/message.eml"); a.StatusCode != 200 {
			code = a.StatusCode
			break
		}
	}
	if code != 429 || !strings.Contains(a.body, "too often today") {
		t.Errorf("at last: %d %.200s", code, a.body)
	}
	if a := s.ask(t, "GET", page); a.StatusCode != 429 {
		t.Errorf("the page: %d", a.StatusCode)
	}
	s.raw(t, strings.TrimPrefix(page, "/message/")) // the owner reads on
}

// TestFullAccount_Public: where strangers are served a full account says no, by
// bytes and by number; on a laptop its oldest mail goes.
func TestFullAccount_Public(t *testing.T) {
	t.Parallel()
	s := start(t, "--account-messages", "3")
	for range 5 {
		s.submit(t, []byte("Subject: x\r\n\r\nx\r\n"))
	}
	if n := s.census(t); n != 3 {
		t.Errorf("%d messages are kept, want 3", n)
	}
	pub := start(t, "--public-host", "mail.abuse.test", "--https", "off", "--account-messages", "3")
	mx := dial(t, pub.MX)
	defer mx.Close()
	mx.talk(pub.acct, smtpHello)
	for range 3 {
		mx.talk(pub.acct, "> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<{user}>\n< 250\n> BDAT 1 LAST\n>> x\n< 250")
	}
	mx.talk(pub.acct, "> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<{user}>\n< 452 4.2.2")
}
