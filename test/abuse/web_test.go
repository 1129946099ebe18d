package abuse_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/eidermail/eider/test/harness"
)

// route is one way into the web server.
type route struct{ method, path string }

// routes are all there are: those of the pages as their source has them, and
// those of the API as it describes itself.
func routes(t *testing.T, s *target) []route {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(harness.Root(t), "internal/web/web.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all []route
	for _, m := range regexp.MustCompile(`\{"([A-Z]+) (/[^"]*)"`).FindAllStringSubmatch(string(src), -1) {
		all = append(all, route{m[1], strings.Replace(m[2], "{$}", "", 1)})
	}
	var described struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(s.ask(t, "GET", "/openapi.json").body), &described); err != nil {
		t.Fatal(err)
	}
	for path, methods := range described.Paths {
		for m := range methods {
			all = append(all, route{strings.ToUpper(m), path})
		}
	}
	for _, m := range registered(t, "internal/web/api/api.go") {
		if described.Paths[m.path][strings.ToLower(m.method)] == nil {
			t.Errorf("%s %s is not in /openapi.json", m.method, m.path)
		}
	}
	if len(all) < 40 {
		t.Fatalf("only %d routes found", len(all))
	}
	return all
}

// registered are the routes that a file registers by itself.
func registered(t *testing.T, file string) (all []route) {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(harness.Root(t), file))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`HandleFunc\("([A-Z]+) (/[^"]*)"`).FindAllStringSubmatch(string(src), -1) {
		all = append(all, route{m[1], m[2]})
	}
	return all
}

// visit is somebody with a login, a message and all that goes with it: what a
// foreign page would like to use.
type visit struct {
	*target
	cookie, msgid string
	paths         *strings.Replacer
}

func newVisit(t *testing.T, flags ...string) *visit {
	t.Helper()
	v := &visit{target: start(t, flags...)}
	v.msgid = v.submit(t, []byte("Subject: mine\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n"+
		"--b\r\nContent-Disposition: attachment; filename=f.txt\r\n\r\nfile\r\n--b--\r\n"))
	in := v.post(t, "/login", "user="+v.acct.User+"&pass="+v.acct.Pass)
	for _, c := range in.Cookies() {
		v.cookie += c.Name + "=" + c.Value + "; "
	}
	if in.StatusCode != 303 || v.cookie == "" {
		t.Fatalf("login: %d %v", in.StatusCode, in.Header)
	}
	var list struct{ Messages []struct{ ID string } }
	r := v.ask(t, "GET", "/v1/messages", "Authorization", basic(v.acct))
	if err := json.Unmarshal([]byte(r.body), &list); err != nil || len(list.Messages) != 1 {
		t.Fatalf("list: %v %s", err, r.body)
	}
	// The folder of the path tells which id is meant.
	v.paths = strings.NewReplacer("/v1/messages/{id}", "/v1/messages/"+list.Messages[0].ID, "{id}", list.Messages[0].ID,
		"{msgid}", v.msgid, "{file}", "ATT00001", "{part}", "1", "{token}", v.msgid)
	return v
}

// post sends a form as a page of our own would.
func (v *visit) post(t *testing.T, path, form string, headers ...string) answer {
	t.Helper()
	return requestBody(t, "http://"+v.HTTP, route{"POST", path}, form,
		append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

// state is everything of the account that a request could have changed.
func (v *visit) state(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, path := range []string{"/v1/account", "/v1/mailboxes", "/v1/messages", "/v1/messages/" + v.msgid} {
		a := v.ask(t, "GET", path, "Authorization", basic(v.acct))
		fmt.Fprintln(&all, path, a.StatusCode, a.body)
	}
	for _, path := range []string{"/account", "/messages"} { // the session lives
		fmt.Fprintln(&all, path, v.ask(t, "GET", path, "Cookie", v.cookie).StatusCode)
	}
	return all.String()
}

// foreign are the ways in which browsers tell that a page of somebody else
// makes a request.
var foreign = [][]string{
	{"Origin", "https://evil.test"},
	{"Origin", "http://evil.test:8025"},
	{"Origin", "null"},
	{"Origin", "http://localhost:1"},
	{"Origin", "https://evil.test", "Sec-Fetch-Site", "cross-site"},
	{"Sec-Fetch-Site", "cross-site"},
	{"Sec-Fetch-Site", "same-site"},
	{"Sec-Fetch-Site", "nonsense"},
}

// unsafe are the bodies of routes that do something with one.
var unsafe = map[string]string{
	"/messages": "box=1&uid=1&do=delete", "/login": "user={user}&pass={pass}", "/theme": "theme=dark",
}

// TestForeignOrigin: every unsafe route refuses requests of other origins,
// also with a good login; nothing is changed by them, and nobody logged in.
func TestForeignOrigin(t *testing.T) {
	t.Parallel()
	v := newVisit(t)
	before, tried := v.state(t), 0
	for _, r := range routes(t, v.target) {
		if r.method == "GET" {
			continue
		}
		body := strings.NewReplacer("{user}", v.acct.User, "{pass}", v.acct.Pass).Replace(unsafe[r.path])
		for _, from := range foreign {
			for _, login := range [][]string{{"Cookie", v.cookie}, {"Authorization", basic(v.acct)}} {
				headers := append(slices.Concat(from, login), "Content-Type", "application/x-www-form-urlencoded")
				a := requestBody(t, "http://"+v.HTTP, route{r.method, v.paths.Replace(r.path)}, body, headers...)
				if a.StatusCode != 403 || len(a.Cookies()) > 0 {
					t.Errorf("%s %s with %q: %d %v", r.method, r.path, from, a.StatusCode, a.Cookies())
				}
				if h := a.Header.Get("Access-Control-Allow-Origin"); h != "" {
					t.Errorf("%s %s: Access-Control-Allow-Origin: %s", r.method, r.path, h)
				}
				tried++
			}
		}
	}
	if after := v.state(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	t.Logf("%d requests", tried)
	if a := v.post(t, "/theme", "theme=dark", "Origin", "http://"+v.HTTP); a.StatusCode != 303 {
		t.Errorf("a request of our own page: %d", a.StatusCode)
	}
	v.survives(t, 0)
}

// TestForeignHost: under a name that is not ours nothing is served, whatever
// is asked for, but for the health checks; odd requests get an error.
func TestForeignHost(t *testing.T) {
	t.Parallel()
	v := newVisit(t)
	names := []string{"evil.test", "evil.test:8025", "127.0.0.1.evil.test",
		"localhost.evil.test", "1", "127.1", "a b", "[::1"}
	for _, r := range routes(t, v.target) {
		for _, name := range names[:3] {
			if got := v.bare(t, v.HTTP, r.method+" "+v.paths.Replace(r.path), name); got != 421 {
				t.Errorf("%s %s at %s: %d", r.method, r.path, name, got)
			}
		}
	}
	for _, name := range names {
		for _, path := range []string{"/", "/metrics", "/status", "/nothing"} {
			if got := v.bare(t, v.Admin, "GET "+path, name); got != 421 && got != 400 {
				t.Errorf("admin %s at %q: %d", path, name, got)
			}
			if got := v.bare(t, v.HTTP, "GET "+path, name); got != 421 && got != 400 {
				t.Errorf("%s at %q: %d", path, name, got)
			}
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := v.bare(t, v.HTTP, "GET "+path, "evil.test"); got != 200 {
			t.Errorf("%s: %d", path, got)
		}
	}
	for _, name := range []string{"localhost", "127.0.0.1", "[::1]:8025", "mailbox", "host.docker.internal:1"} {
		if got := v.bare(t, v.HTTP, "GET /", name); got != 200 {
			t.Errorf("/ at %s: %d", name, got)
		}
	}
	// A name in the address counts like one in the header.
	if got := v.bare(t, v.HTTP, "GET http://evil.test/", "localhost"); got != 421 {
		t.Errorf("a foreign name in the address: %d", got)
	}
	a := v.ask(t, "POST", "/user", "X-Forwarded-Host", "evil.test", "X-Forwarded-Proto", "https",
		"Forwarded", "host=evil.test")
	if a.StatusCode != 200 || strings.Contains(a.body, "evil.test") || strings.Contains(a.body, "https:") {
		t.Errorf("X-Forwarded-Host is believed: %s", a.body)
	}
	if a := v.ask(t, "POST", "/catch-all", "X-Forwarded-For", "127.0.0.1"); a.StatusCode != 403 || len(a.Cookies()) > 0 {
		t.Errorf("the catch-all opens for a request through a proxy: %d", a.StatusCode)
	}
	v.survives(t, 0)
}

// bare sends a request whose Host header is of any form, and returns the status.
func (v *visit) bare(t *testing.T, addr, request, host string) int {
	t.Helper()
	w := dial(t, addr)
	defer w.Close()
	w.send(request + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
	var code int
	if _, err := fmt.Sscanf(w.until("HTTP/1.1 "), "HTTP/1.1 %d", &code); err != nil {
		t.Fatal(err)
	}
	return code
}

// TestGETChangesNothing: neither GET nor HEAD of any route changes anything,
// logged in or not, from where ever. The one exception is documented: the
// owner who opens a message of theirs has read it.
func TestGETChangesNothing(t *testing.T) {
	t.Parallel()
	v := newVisit(t)
	before := v.state(t)
	for _, r := range routes(t, v.target) {
		path := v.paths.Replace(r.path)
		for _, headers := range [][]string{
			{"Cookie", v.cookie}, {"Authorization", basic(v.acct)},
			{"Cookie", v.cookie, "X-HTTP-Method-Override", "DELETE", "X-HTTP-Method", "POST", "X-Method-Override", "POST"},
		} {
			if r.path != "/v1/messages/wait" && (r.path != "/messages/{id}" || headers[0] != "Cookie") {
				a := v.ask(t, "GET", path+"?_method=DELETE&all=true&do=delete&uid=1&box=1", headers...)
				if len(a.Cookies()) > 0 || a.StatusCode >= 500 {
					t.Errorf("GET %s: %d %v", path, a.StatusCode, a.Cookies())
				}
				v.ask(t, "HEAD", path, headers...)
			}
		}
	}
	for range 2 {
		v.ask(t, "HEAD", v.paths.Replace("/messages/{id}"), "Cookie", v.cookie)
		v.ask(t, "GET", "/message/"+v.msgid, "Cookie", v.cookie)
	}
	if after := v.state(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	v.survives(t, 0)
}

// TestCookieAndAuthorization: the API knows no cookies, the pages no
// Authorization; the browser's password dialog is for programs only.
func TestCookieAndAuthorization(t *testing.T) {
	t.Parallel()
	v := newVisit(t)
	for _, r := range routes(t, v.target) {
		path := v.paths.Replace(r.path)
		if strings.HasPrefix(r.path, "/v1/") {
			a := v.ask(t, r.method, path, "Cookie", v.cookie)
			if a.StatusCode != 401 || a.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s %s with a cookie: %d %q", r.method, path, a.StatusCode, a.Header.Get("WWW-Authenticate"))
			}
			for _, h := range []string{"Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Origin"} {
				value := map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://" + v.HTTP}[h]
				a := v.ask(t, r.method, path, "Cookie", v.cookie, h, value)
				if a.StatusCode != 401 || a.Header.Get("WWW-Authenticate") != "" {
					t.Errorf("%s %s to a browser: %d, %q", r.method, path, a.StatusCode, a.Header.Get("WWW-Authenticate"))
				}
			}
			continue
		}
		if !regexp.MustCompile(`^/(account|messages|events)`).MatchString(r.path) {
			continue
		}
		for _, authorization := range []string{basic(v.acct), "Bearer " + v.acct.Token} {
			a := v.ask(t, r.method, path, "Authorization", authorization)
			login := a.StatusCode == 303 && strings.HasPrefix(a.Header.Get("Location"), "/login")
			if !login && a.StatusCode != 401 || a.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("%s %s with Authorization: %d %v", r.method, path, a.StatusCode, a.Header)
			}
		}
	}
	for name, header := range map[string]string{
		"none": "", "empty": "Basic ", "no base64": "Basic ***", "no colon": "Basic YQ==", "a scheme of none": "Digest x",
		"a long one": "Bearer " + strings.Repeat("A", 10_000), "Bearer of none": "Bearer",
		"a cut token": "Bearer " + v.acct.Token[:len(v.acct.Token)-1], "NULs": "Basic AAAAOgAA",
		"a MSGID": "Bearer " + v.msgid,
	} {
		if a := v.ask(t, "GET", "/v1/account", "Authorization", header); a.StatusCode != 401 {
			t.Errorf("Authorization with %s: %d", name, a.StatusCode)
		}
	}
	for name, cookie := range map[string]string{
		"a long one": "eider=" + strings.Repeat("A", 10_000), "garbage": "eider=~;;=", "cut": v.cookie[:len(v.cookie)-6],
		"the token": strings.SplitN(v.cookie, "=", 2)[0] + "=" + v.acct.Token,
	} {
		if a := v.ask(t, "GET", "/account", "Cookie", cookie); a.StatusCode != 303 {
			t.Errorf("cookie %s: %d", name, a.StatusCode)
		}
	}
	v.survives(t, 0)
}

// forged are MSGIDs that are none: changed in one place, cut, longer, of
// another server, of a message that is gone.
func forged(t *testing.T, v *visit, others ...string) []string {
	t.Helper()
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-."
	ids := append(others, v.msgid[:len(v.msgid)-1], v.msgid[:25], v.msgid[1:], v.msgid+"A", v.msgid+"%00", v.msgid+"=",
		"A", "%00", strings.Repeat("A", 50), strings.Repeat("A", 64), strings.Repeat("A", 5000), strings.ToLower(v.msgid),
		strings.Repeat("%ff", 50), v.msgid+v.msgid, "%2e%2e%2f", v.msgid+"%0a", "%0a"+v.msgid[1:])
	for i := range v.msgid {
		at := strings.IndexByte(letters, v.msgid[i])
		ids = append(ids, v.msgid[:i]+letters[(at+1+i)%64:][:1]+v.msgid[i+1:])
	}
	return slices.DeleteFunc(ids, func(id string) bool { return id == v.msgid })
}

// TestForgedLinks: a MSGID that is forged, cut, foreign or of a message that is
// gone gets the same 404 everywhere, and costs no store read.
func TestForgedLinks(t *testing.T) {
	t.Parallel()
	v := newVisit(t)
	gone := v.submit(t, []byte("Subject: gone\r\n\r\n"))
	if a := v.ask(t, "DELETE", "/v1/messages/"+gone, "Authorization", basic(v.acct)); a.StatusCode >= 300 {
		t.Fatalf("delete: %d %s", a.StatusCode, a.body)
	}
	v.messages--
	other := newVisit(t)
	real, ids := 0, forged(t, v, gone, other.msgid)
	reads := v.reads(t)
	for _, r := range routes(t, v.target) {
		if !strings.Contains(r.path, "{msgid}") {
			continue
		}
		real++
		var want string
		for i, id := range ids {
			a := v.ask(t, "GET", strings.NewReplacer("{msgid}", id, "{file}", "ATT00001", "{part}", "1").Replace(r.path))
			if got := shape(a, id); a.StatusCode != 404 {
				t.Errorf("%s with %.60s: %d", r.path, id, a.StatusCode)
			} else if i == 0 {
				want = got
			} else if got != want {
				t.Errorf("%s with %.60s is told apart:\n%s\nfrom\n%s", r.path, id, got, want)
			}
		}
	}
	if real < 5 {
		t.Fatalf("only %d routes have a MSGID", real)
	}
	// The deleted message is a true MSGID and is looked for; forged ones are not.
	if more := v.reads(t) - reads; more > real*10 {
		t.Errorf("%d forged links cost %d store reads", real*(len(ids)-1), more)
	}
	for _, id := range ids {
		a := v.ask(t, "GET", "/v1/messages/"+id, "Authorization", basic(v.acct))
		if a.StatusCode != 404 && a.StatusCode != 422 {
			t.Errorf("the API with %.60s: %d", id, a.StatusCode)
		}
	}
	// Somebody else's true link is no key to the API.
	stranger := v.NewAccount(t)
	if a := v.ask(t, "DELETE", "/v1/messages/"+v.msgid, "Authorization", basic(stranger)); a.StatusCode != 404 {
		t.Errorf("a stranger deletes: %d", a.StatusCode)
	}
	if a := v.ask(t, "GET", "/message/"+v.msgid); a.StatusCode != 200 {
		t.Errorf("the true link: %d", a.StatusCode)
	}
	v.survives(t, 0)
}

// shape is what can be seen of an answer, but for what differs every time.
func shape(a answer, id string) string {
	body := regexp.MustCompile(`nonce="?[A-Za-z0-9+/=]+`).ReplaceAllString(a.body, "nonce")
	path := a.Request.URL.Path
	for _, s := range []string{a.Request.URL.RequestURI(), path, id, strings.ReplaceAll(path, "=", "&#61;")} {
		body = strings.ReplaceAll(body, s, "PATH")
	}
	// Forms name the page they are on; how it is escaped depends on its letters.
	body = regexp.MustCompile(`value="[^"]*"`).ReplaceAllString(body, "value")
	h := a.Header.Clone()
	h.Del("Date")
	h.Del("Content-Length")
	csp := regexp.MustCompile(`nonce-[^']+`).ReplaceAllString(h.Get("Content-Security-Policy"), "")
	h.Set("Content-Security-Policy", csp)
	return fmt.Sprint(a.StatusCode, h, body)
}

// reads is how often the store was read so far.
func (v *visit) reads(t *testing.T) int {
	t.Helper()
	total := 0
	text := request(t, "http://"+v.Admin, "GET", "/metrics").body
	for _, m := range regexp.MustCompile(`(?m)^eider_store_seconds_count\{call="(get|view|scan)"\} (\d+)$`).
		FindAllStringSubmatch(text, -1) {
		n := 0
		_, _ = fmt.Sscan(m[2], &n)
		total += n
	}
	if total == 0 {
		t.Fatalf("the metrics have no store reads:\n%.2000s", text)
	}
	return total
}

// oddRequests are what no browser sends, with the status that they get.
func oddRequests(addr, cookie string) map[string]struct {
	want int
	text string
} {
	const host, end = " HTTP/1.1\r\nHost: localhost\r\n", "Connection: close\r\n\r\n"
	const form, chunked = "Content-Type: application/x-www-form-urlencoded\r\n", "Transfer-Encoding: chunked\r\n"
	return map[string]struct {
		want int
		text string
	}{
		"header of 100 kB":  {431, "GET /" + host + "X: " + strings.Repeat("a", 100_000) + "\r\n\r\n"},
		"address of 100 kB": {431, "GET /" + strings.Repeat("a", 100_000) + host + "\r\n"},
		"no Host":           {400, "GET / HTTP/1.1\r\n\r\n"},
		"two Hosts":         {400, "GET /" + host + "Host: evil.test\r\n\r\n"},
		"length and chunks": {422, "POST /login" + host + "Content-Length: 4\r\n" + chunked + form + end + "0\r\n\r\n"},
		"length below zero": {400, "POST /login" + host + "Content-Length: -1\r\n\r\n"},
		"chunk of 2^64":     {400, "POST /login" + host + chunked + form + end + "fffffffffffffffff\r\nx"},
		"form of 1 MB": {413, "POST /login" + host + form + "Content-Length: 1000000\r\n" + end +
			strings.Repeat("a", 1_000_000)},
		"JSON of 1 MB, no login": {401, "PATCH /v1/messages" + host + "Content-Type: application/json\r\n" +
			"Content-Length: 1000000\r\n" + end + strings.Repeat("[", 1_000_000)},
		"broken escapes":          {400, "GET /message/%zz" + host + "\r\n"},
		"out of the tree":         {307, "GET /static/../../../../etc/passwd" + host + end},
		"out of the tree, hidden": {404, "GET /static/..%2f..%2f..%2fetc%2fpasswd" + host + end},
		"CONNECT":                 {421, "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n" + end},
		"TRACE":                   {404, "TRACE /" + host + "Cookie: secret=1\r\n" + end},
		"header split": {303, "GET /login?next=/%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: " + addr + "\r\nCookie: " +
			strings.TrimSuffix(cookie, "; ") + "\r\n" + end},
		"NUL in a header": {400, "GET /" + host + "X: a\x00b\r\n\r\n"},
	}
}

// TestOddRequests: what no browser sends gets an error and does nothing.
func TestOddRequests(t *testing.T) {
	t.Parallel()
	v := newVisit(t)
	before := v.state(t)
	for name, c := range oddRequests(v.HTTP, v.cookie) {
		w := dial(t, v.HTTP)
		w.send(c.text)
		said := w.rest()
		if !strings.HasPrefix(said, fmt.Sprintf("HTTP/1.1 %d ", c.want)) {
			t.Errorf("%s: want %d, have %.200q", name, c.want, said)
		}
		head, _, _ := strings.Cut(said, "\r\n\r\n")
		if strings.Contains(said, "root:") || strings.Contains(said, "secret=1") || strings.Contains(head, "\nSet-Cookie: a") {
			t.Errorf("%s: %.300q", name, said)
		}
		w.Close()
	}
	for _, next := range []string{"//evil.test", "https://evil.test", "/\\evil.test", "javascript:alert(1)"} {
		a := v.post(t, "/login", "user="+v.acct.User+"&pass="+v.acct.Pass+"&next="+next)
		to := a.Header.Get("Location")
		if a.StatusCode != 303 || !strings.HasPrefix(to, "/") || strings.Contains(to, "evil") {
			t.Errorf("login leads to %q for %q", to, next)
		}
	}
	if after := v.state(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	v.survives(t, 0)
}

// requestBody is request with a body.
func requestBody(t *testing.T, base string, r route, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequest(r.method, base+r.path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	c := http.Client{Timeout: talkWithin, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp, string(b)}
}
