package abuse_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// secretMark stands in every mail of the victim, and in nothing else.
const secretMark = "quite-secret-mark"

// victim is somebody with mail, whom others try to read and to harm.
type victim struct {
	*visit
	id string // of the message
}

func newVictim(t *testing.T, flags ...string) *victim {
	t.Helper()
	v := &victim{visit: newVisit(t, flags...)}
	id := v.submit(t, []byte("Subject: "+secretMark+"\r\nMessage-ID: <"+secretMark+"@x>\r\n\r\n"+secretMark+" text\r\n"))
	v.msgid = id
	v.id = "2"
	v.paths = strings.NewReplacer("/v1/messages/{id}", "/v1/messages/"+v.id, "{id}", v.id, "{msgid}", v.msgid,
		"{file}", "ATT00001", "{part}", "1", "{token}", v.msgid+"~n~AAAA", "{name}", v.id+".txt")
	return v
}

// login is the cookie of an account.
func (v *victim) login(t *testing.T, a harness.Account) string {
	t.Helper()
	in := v.post(t, "/login", "user="+url.QueryEscape(a.User)+"&pass="+url.QueryEscape(a.Pass))
	if len(in.Cookies()) == 0 {
		t.Fatalf("login: %d", in.StatusCode)
	}
	return in.Cookies()[0].Name + "=" + in.Cookies()[0].Value
}

// faceRoutes are those of the APIs of other catchers, as their source has them.
func faceRoutes(t *testing.T) []route {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(harness.Root(t), "internal/web/faces/faces.go"))
	if err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("{part}", "1", "{name}", "{id}.html", "/v1/search", "/v1/search?query=x",
		"/v2/search", "/v2/search?kind=containing&query=x")
	all := []route{{"GET", "/view/{id}.txt"}}
	for _, m := range regexp.MustCompile(`\{"([A-Z]+) (/[^"]*)", \(\*Faces\)`).FindAllStringSubmatch(string(src), -1) {
		all = append(all, route{m[1], fill.Replace(m[2])})
	}
	if len(all) < 20 {
		t.Fatalf("only %d routes found", len(all))
	}
	return all
}

// TestOtherAccount_HTTP: with no login, and with one of one's own, no route of
// the API, the pages or the compatible APIs shows or changes anything of
// another account, whatever of its ids is known, but for what its permalink is for.
func TestOtherAccount_HTTP(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	mallory := v.NewAccount(t)
	cookie := v.login(t, mallory)
	before := v.state(t)
	tried := 0
	for _, r := range append(routes(t, v.target), faceRoutes(t)...) {
		if r.path == "/v1/messages/wait" || r.path == "/v1/events" || r.path == "/events" ||
			r.method == "DELETE" && r.path == "/v1/account" || strings.HasPrefix(r.path, "/account/delete") ||
			strings.HasPrefix(r.path, "/account/password") {
			continue // waits, or ends the attacker
		}
		link := strings.Contains(r.path, "{msgid}")
		for _, id := range []string{v.id, "1", v.msgid, v.msgid + "x", "%2e%2e/" + v.id, "latest"} {
			path := v.paths.Replace(strings.Replace(r.path, "{id}", id, 1))
			for who, with := range map[string][]string{"nobody": nil, "another": {"Authorization", basic(mallory)},
				"another's token": {"Authorization", "Bearer " + mallory.Token}, "another's cookie": {"Cookie", cookie},
				"both": {"Cookie", cookie, "Authorization", basic(mallory)}} {
				a := requestBody(t, "http://"+v.HTTP, route{r.method, path}, "box=1&uid="+id+"&do=delete",
					append([]string{"Content-Type", "application/x-www-form-urlencoded"}, with...)...)
				if strings.Contains(a.body, secretMark) && !link {
					t.Errorf("%s reads by %s %s: %d", who, r.method, path, a.StatusCode)
				}
				if who == "nobody" && strings.HasPrefix(path, "/v1/") && a.StatusCode != 401 {
					t.Errorf("%s %s without a login: %d", r.method, path, a.StatusCode)
				}
				tried++
			}
		}
	}
	for _, in := range []string{`{"ids":["` + v.id + `","` + v.msgid + `"],"seen":true}`,
		`{"IDs":["` + v.id + `","` + v.msgid + `"],"Read":true}`} {
		for _, r := range []route{{"PATCH", "/v1/messages"}, {"DELETE", "/v1/messages"}, {"PUT", "/api/v1/messages"},
			{"DELETE", "/api/v1/messages"}} {
			requestBody(t, "http://"+v.HTTP, r, in, "Authorization", basic(mallory), "Content-Type", "application/json")
		}
	}
	if after := v.state(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	t.Logf("%d requests", tried)
}

// TestOtherAccount_Mail: nor by IMAP, POP3 or SMTP.
func TestOtherAccount_Mail(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	mallory := v.NewAccount(t)
	before := v.state(t)
	w := dial(t, v.IMAP)
	w.until("* OK")
	w.send("a LOGIN " + mallory.User + " " + mallory.Pass + "\r\n")
	w.until("a OK")
	names := []string{"../INBOX", "../" + v.acct.User + "/INBOX", "/" + v.acct.User, "#user/" + v.acct.User, "user/" + v.acct.User,
		"Other Users/" + v.acct.User, "~" + v.acct.User, v.acct.User, "INBOX/../../INBOX", "INBOX%", "*"}
	for i, n := range names {
		w.send(fmt.Sprintf("s%d SELECT %q\r\n", i, n))
		if said := w.until(fmt.Sprintf("s%d ", i)); strings.Contains(said, " OK") {
			t.Errorf("SELECT %q: %s", n, said)
		}
	}
	w.send("b LIST \"\" *\r\nc SELECT INBOX\r\nd FETCH 1:* (BODY[])\r\ne UID FETCH 1:* (BODY[])\r\nf UID STORE 1:* +FLAGS (\\Deleted)\r\n" +
		"g EXPUNGE\r\nh UID SEARCH TEXT " + secretMark + "\r\ni GETQUOTAROOT " + v.acct.User + "\r\nj GETACL INBOX\r\nz NOOP\r\n")
	w.until("z ")
	if strings.Contains(strings.ReplaceAll(w.log.String(), "TEXT "+secretMark, ""), secretMark) ||
		strings.Contains(w.log.String(), "* SEARCH 1") {
		t.Errorf("IMAP shows another's mail:\n%s", w.log.String())
	}
	p := dial(t, v.POP3)
	p.talk(mallory, "< +OK\n> USER {user}\n< +OK\n> PASS {pass}\n< +OK\n> STAT\n< +OK 0 0\n> RETR 1\n< -ERR\n> DELE 1\n< -ERR\n"+
		"> TOP 1 10\n< -ERR\n> QUIT\n< +OK")
	// A login sends into its own inbox only, whoever the recipient is.
	m := dial(t, v.SMTP)
	m.talk(mallory, "< 220\n> EHLO x\n< 250 \n> AUTH PLAIN {plain}\n< 235\n> MAIL FROM:<"+v.acct.User+">\n< 250\n> RCPT TO:<"+
		v.acct.User+">\n< 250\n> BDAT 1 LAST\n>> x\n< 250 Accepted\n> QUIT\n< 221")
	if after := v.state(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// opens tells what a permalink's page, files and frame answer.
func (v *victim) opens(t *testing.T, id string) (codes []int) {
	t.Helper()
	for _, path := range []string{"/message/" + id, "/message/" + id + "/source", "/message/" + id + "/message.eml",
		"/message/" + id + "/parts/1"} {
		codes = append(codes, v.ask(t, "GET", path).StatusCode)
	}
	return codes
}

// TestReplay: what is kept from before is worth nothing after: logins, cookies
// and tokens after a change of the password, links after their owner ended or
// switched them off, and everything after expiry and deletion. A change of the
// password does not end links: that is a decision of its own.
func TestReplay(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	all := func(code int) []int { return []int{code, code, code, code} }
	want := func(what, id string, code int) {
		t.Helper()
		if got := v.opens(t, id); !slices.Equal(got, all(code)) {
			t.Errorf("%s: the link answers %v, want %d", what, got, code)
		}
	}
	page := v.ask(t, "GET", "/messages/"+v.id, "Cookie", v.cookie).body
	want("at first", v.msgid, 200)
	old, oldCookie := v.acct, v.cookie
	changed := v.post(t, "/account/password", "", "Cookie", v.cookie)
	if changed.StatusCode != 303 {
		t.Fatalf("change of the password: %d", changed.StatusCode)
	}
	fresh := ""
	for _, c := range changed.Cookies() {
		fresh += c.Name + "=" + c.Value + "; "
	}
	for name, a := range map[string]answer{
		"password": v.ask(t, "GET", "/v1/account", "Authorization", basic(old)),
		"token":    v.ask(t, "GET", "/v1/account", "Authorization", "Bearer "+old.Token),
		"face":     v.ask(t, "GET", "/api/v1/messages", "Authorization", basic(old)),
	} {
		if a.StatusCode != 401 {
			t.Errorf("the old %s: %d", name, a.StatusCode)
		}
	}
	if a := v.ask(t, "GET", "/account", "Cookie", oldCookie); a.StatusCode != 303 {
		t.Errorf("the old cookie: %d", a.StatusCode)
	}
	want("after a change of the password", v.msgid, 200)
	if a := v.post(t, "/account/links", "do=off", "Cookie", fresh); a.StatusCode != 303 {
		t.Fatalf("links off: %d", a.StatusCode)
	}
	want("switched off", v.msgid, 404)
	if a := v.ask(t, "GET", "/messages/"+v.id, "Cookie", fresh); a.StatusCode != 200 {
		t.Errorf("the owner's page: %d", a.StatusCode)
	}
	v.post(t, "/account/links", "do=on", "Cookie", fresh)
	want("switched on again", v.msgid, 200)
	v.post(t, "/account/links", "do=end", "Cookie", fresh)
	want("ended", v.msgid, 404)
	if i := strings.Index(page, `src="/f/`); i >= 0 {
		frame := page[i+5:]
		if a := v.ask(t, "GET", frame[:strings.IndexByte(frame, '"')], "Sec-Fetch-Dest", "iframe"); a.StatusCode == 200 {
			t.Error("the frame of an ended link is shown")
		}
	}
}

// TestReplay_Expiry: a link of a message that has expired is that of none.
func TestReplay_Expiry(t *testing.T) {
	t.Parallel()
	v := newVictim(t, "--retention", "3s")
	if got := v.opens(t, v.msgid); got[0] != 200 && got[0] != 404 {
		t.Errorf("%v", got)
	}
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if got := v.opens(t, v.msgid); slices.Equal(got, []int{404, 404, 404, 404}) {
			break
		} else if time.Now().After(end) {
			t.Fatalf("after its time the link answers %v", got)
		}
	}
	if a := v.ask(t, "GET", "/v1/messages/"+v.msgid, "Authorization", basic(v.acct)); a.StatusCode != 404 {
		t.Errorf("the API: %d", a.StatusCode)
	}
}

// TestForeignPages: a page of another site can use neither the compatible APIs
// nor the operator's, also in the browser of a trusted developer.
func TestForeignPages(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	user, _ := v.Raw["catchAll"].(map[string]any)
	v.post(t, "/catch-all", "") // it is there
	if user == nil {
		t.Fatal("no catch-all")
	}
	for _, r := range faceRoutes(t) {
		path := v.paths.Replace(r.path)
		for _, from := range foreign {
			a := requestBody(t, "http://"+v.HTTP, route{r.method, path}, `{}`, slices.Concat(from, []string{"Content-Type", "text/plain"})...)
			if a.StatusCode != 401 || a.Header.Get("Access-Control-Allow-Origin") != "" || a.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("%s %s with %q: %d %v", r.method, path, from, a.StatusCode, a.Header)
			}
		}
		if got := v.bare(t, v.HTTP, r.method+" "+strings.ReplaceAll(path, " ", "%20"), "evil.test"); got != 421 {
			t.Errorf("%s %s under another name: %d", r.method, path, got)
		}
	}
	for _, key := range []string{"", "Bearer ", "Bearer eider_admin_AAAAAAAAAAAAAAAAAAAAAAAA", basic(v.acct), "Bearer " + v.acct.Token} {
		a := requestBody(t, "http://"+v.Admin, route{"POST", "/operate"}, `{"do":"create","mode":"off"}`, "Authorization", key)
		if a.StatusCode != 401 {
			t.Errorf("operate with %q: %d", key, a.StatusCode)
		}
	}
	if got := v.bare(t, v.Admin, "POST /operate", "evil.test"); got != 421 {
		t.Errorf("operate under another name: %d", got)
	}
	if a := v.ask(t, "POST", "/operate"); a.StatusCode != 404 && a.StatusCode != 405 {
		t.Errorf("operate on the web's port: %d", a.StatusCode)
	}
	if a := v.NewAccount(t); a.Status != "success" {
		t.Error("somebody operated")
	}
}

// from is an HTTP client of another loopback address.
func from(addr string) *http.Client {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}, Timeout: talkWithin}
	return &http.Client{Timeout: talkWithin, Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}}
}

func read(t testing.TB, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSpoofedAddresses: neither a header nor a PROXY line makes a client
// another: a limit holds all the same, and trust is lost by it, never won.
func TestSpoofedAddresses(t *testing.T) {
	t.Parallel()
	s := start(t, "--create-rate", "3/1h")
	made := 0
	for i := range 8 {
		req, _ := http.NewRequest("POST", "http://"+s.HTTP+"/user", nil)
		for _, h := range []string{"X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "CF-Connecting-IP"} {
			req.Header.Set(h, fmt.Sprintf("203.0.113.%d", i))
		}
		resp, err := from("127.0.0.9").Do(req)
		if strings.Contains(read(t, resp, err), `"success"`) {
			made++
		}
	}
	if made != 3 {
		t.Errorf("%d accounts were made under other addresses, want 3", made)
	}
	for _, p := range []string{s.SMTP, s.IMAP, s.POP3, s.MX} {
		w := dial(t, p)
		w.send("PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n")
		said := w.until("")
		for range 3 {
			if strings.HasPrefix(said, "5") || strings.Contains(said, "BAD") || strings.HasPrefix(said, "-ERR") {
				break
			}
			said = w.until("")
		}
		if !strings.HasPrefix(said, "5") && !strings.Contains(said, "BAD") && !strings.HasPrefix(said, "-ERR") {
			t.Errorf("%s takes a PROXY line: %q", p, said)
		}
	}
	w := dial(t, s.HTTP)
	w.send("PROXY TCP4 203.0.113.1 127.0.0.1 1 80\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if said := w.until("HTTP/1.1"); !strings.Contains(said, "400") {
		t.Errorf("HTTP takes a PROXY line: %q", said)
	}
}

// TestTiming: where nobody is trusted, a wrong password costs the same whether
// the account exists or not.
func TestTiming(t *testing.T) {
	t.Parallel()
	s := start(t, "--public-host", "mail.abuse.test", "--https", "off")
	const tries = 24
	median := func(user string, net byte) time.Duration {
		var took []time.Duration
		for i := range tries {
			c := from(fmt.Sprintf("127.0.%d.%d", net, 1+i/2)) // few of each address: none is throttled
			req, _ := http.NewRequest("GET", "http://"+s.HTTP+"/v1/account", nil)
			req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s:wrong %d", user, i)))
			start := time.Now()
			resp, err := c.Do(req)
			took = append(took, time.Since(start))
			read(t, resp, err)
			if resp.StatusCode != 401 {
				t.Fatalf("%s: %d", user, resp.StatusCode)
			}
		}
		slices.Sort(took)
		return took[tries/2]
	}
	for try := 1; ; try++ { // a busy machine has its own ideas of time
		known, unknown := median(s.acct.User, byte(10*try)), median("nobody"+s.acct.User, byte(10*try+1))
		t.Logf("known %v, unknown %v", known, unknown)
		if r := float64(known) / float64(unknown); r > 0.5 && r < 2 {
			return
		}
		if try == 5 {
			t.Fatalf("a wrong password of a known account takes %v, of an unknown one %v", known, unknown)
		}
	}
}

// TestHostileLabels: what the maker of an account writes on it stands nowhere
// where it could be taken for something else.
func TestHostileLabels(t *testing.T) {
	t.Parallel()
	s := start(t, "--log-format", "json")
	for _, label := range []string{"=cmd|'/c calc'!A1", "a\\r\\nX-Evil: 1", "\\u001b[2J", `<script>alert(1)</script>`,
		strings.Repeat("x", 5000)} {
		body := fmt.Sprintf(`{"requestor":"%s","label":"%s"}`, label, label)
		a := requestBody(t, "http://"+s.HTTP, route{"POST", "/user"}, body, "Content-Type", "application/json")
		if !strings.Contains(a.body, `"success"`) {
			t.Errorf("%.20q: %s", label, a.body)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(s.Output()), "\n") {
		if strings.HasPrefix(line, "X-Evil") || strings.ContainsRune(line, 0x1b) || line != "" && line[0] != '{' {
			t.Errorf("the log has %q", line)
		}
	}
}
