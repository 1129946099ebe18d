package e2e_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/sanitize/hostile"
	"github.com/eidermail/eider/test/harness"
)

// TestService covers the groups that attack the service itself.
func TestService(t *testing.T) {
	parts(t)
	covered := map[int]func(*testing.T, *harness.Server){36: permalinks, 40: logs, 43: formulas, 44: hosts}
	browser := []int{35, 37, 38, 39, 41, 42} // service.mjs
	for n, what := range hostile.Service() {
		if covered[n] == nil && !contains(browser, n) {
			t.Errorf("group %d, %s, is not covered", n, what)
		}
	}
	s := harness.Start(t)
	for n, f := range covered {
		t.Run(fmt.Sprintf("%d %s", n, hostile.Service()[n]), func(t *testing.T) { f(t, s) })
	}
	run(t, s, script{name: "service.mjs"})
}

func contains(list []int, n int) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}

func plainLetter(subject string) []byte {
	return []byte("From: ada@x.test\r\nTo: bob@x.test\r\nSubject: " + subject + "\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>" + subject +
		"</p>\r\n--b\r\nContent-Type: text/plain; name=x.txt\r\nContent-Disposition: attachment\r\n\r\nx\r\n--b--\r\n")
}

// frameOf finds the address of the mail's frame in a page.
func frameOf(page string) string {
	_, src, _ := strings.Cut(page, `src="/f/`)
	src, _, _ = strings.Cut(src, `"`)
	return "/f/" + src
}

// permalinks: forged, expired, deleted, another account's, frames of other messages.
func permalinks(t *testing.T, s *harness.Server) {
	acct, other := s.NewAccount(t), s.NewAccount(t)
	c := dial(t, s, acct, "x.test")
	link, second := c.send(plainLetter("one")), c.send(plainLetter("two"))
	theirs := dial(t, s, other, "x.test").send(plainLetter("three"))
	me, they := logIn(t, s, acct), logIn(t, s, other)
	anyone := &reader{t: t, base: me.base}
	want := func(code int, path string, headers ...string) {
		t.Helper()
		if resp, _ := anyone.get(path, headers...); resp.StatusCode != code {
			t.Errorf("%.30s…: %d, want %d", path, resp.StatusCode, code)
		}
	}
	want(200, "/message/"+link)
	for i := range len(link) { // every character counts
		forged := []byte(link)
		if forged[i] ^= 1; forged[i] == '/' || forged[i] == '.' || forged[i] == '?' || forged[i] == '#' {
			continue
		}
		resp, _ := anyone.get("/message/" + string(forged))
		if resp.StatusCode == 200 {
			t.Errorf("a link with another character at %d opens", i)
		}
	}
	want(404, "/message/"+link+"A")
	want(404, "/message/"+link[:len(link)-1])
	for l, id := range they.ids() {
		if l == theirs {
			if resp, _ := me.get("/messages/" + id); resp.StatusCode == 200 && id != me.ids()[link] && id != me.ids()[second] {
				t.Errorf("another account's message %s opens with my login", id)
			}
		}
	}
	_, page := anyone.get("/message/" + link)
	frame := frameOf(page)
	want(200, frame, "Sec-Fetch-Dest", "iframe")
	want(410, strings.Replace(frame, link, second, 1), "Sec-Fetch-Dest", "iframe")
	want(410, strings.Replace(frame, "~n~", "~i~", 1), "Sec-Fetch-Dest", "iframe")
	anyone.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	want(302, frame, "Sec-Fetch-Dest", "document")
	req, _ := http.NewRequestWithContext(t.Context(), "DELETE", me.base+"/v1/messages/"+me.ids()[link], nil)
	req.Header.Set("Authorization", "Bearer "+acct.Token)
	resp, err := me.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	for _, tail := range []string{"", "/source", "/message.eml", "/attachments/ATT00001", "/parts/2"} {
		want(404, "/message/"+link+tail)
	}
	want(404, frame, "Sec-Fetch-Dest", "iframe")
	expiry(t)
}

// expiry: a link ends with its message.
func expiry(t *testing.T) {
	s := harness.Start(t, "--retention", "5s")
	acct := s.NewAccount(t)
	link := dial(t, s, acct, "x.test").send(plainLetter("short"))
	anyone := &reader{t: t, base: "http://" + s.HTTP}
	resp, page := anyone.get("/message/" + link)
	if resp.StatusCode != 200 {
		t.Fatalf("a fresh link: %d", resp.StatusCode)
	}
	frame := frameOf(page)
	for end := time.Now().Add(30 * time.Second); ; {
		resp, _ := anyone.get("/message/" + link)
		if resp.StatusCode == 404 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("an expired message is still there")
		}
		time.Sleep(100 * time.Millisecond)
	}
	if resp, _ := anyone.get(frame, "Sec-Fetch-Dest", "iframe"); resp.StatusCode != 404 {
		t.Errorf("the frame of an expired message: %d", resp.StatusCode)
	}
}

// logs: what strangers say is escaped in the log.
func logs(t *testing.T, s *harness.Server) {
	acct := s.NewAccount(t)
	evil := "x\x1b[31m\x1b]0;owned\x07\u202e\u2028"
	conn, err := net.Dial("tcp", s.SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	lines := bufio.NewReader(conn)
	for _, l := range []string{"EHLO " + evil, "EHLO x.test", "AUTH LOGIN eBtbMzFtDQpmb3JnZWQ=", "eA==", "MAIL FROM:<" + evil +
		"@x.test>", "RCPT TO:<" + evil + ">", evil} {
		fmt.Fprintf(conn, "%s\r\n", l)
		for {
			reply, err := lines.ReadString('\n')
			if err != nil || len(reply) < 4 || reply[3] == ' ' {
				break
			}
		}
	}
	dial(t, s, acct, "x.test").send(plainLetter(evil))
	page, err := net.Dial("tcp", s.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	_ = page.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(page, "GET /nothing%%1b[31m%%0aforged HTTP/1.1\r\nHost: %s\r\nUser-Agent: \u202e[31m\r\n"+
		"Connection: close\r\n\r\n", s.HTTP)
	_, _ = io.Copy(io.Discard, page)
	for i, b := range s.Output() {
		if b < 0x20 && b != '\n' && b != '\t' || b == 0x7f || b >= 0x202a && b <= 0x202e || b == 0x2028 {
			t.Fatalf("the log has %U: %.200q", b, s.Output()[max(0, i-100):])
		}
	}
	for line := range strings.Lines(s.Output()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a line of the log is not one event: %q", line)
		}
	}
}

// formulas: no cell of the credentials begins a formula.
func formulas(t *testing.T, s *harness.Server) {
	acct := s.NewAccount(t)
	r := logIn(t, s, acct)
	resp, err := r.PostForm(r.base+"/create", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	resp, text := r.get("/account/credentials.csv")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) < 4 {
		t.Fatalf("%d: %v: %q", resp.StatusCode, err, text)
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				t.Errorf("a cell begins a formula: %q", cell)
			}
		}
	}
}

// hosts: a name that a client makes up stands nowhere.
func hosts(t *testing.T, s *harness.Server) {
	acct := s.NewAccount(t)
	r := logIn(t, s, acct)
	forged := []string{"X-Forwarded-Host", "evil.test", "X-Forwarded-Proto", "https", "Forwarded", "host=evil.test;proto=https",
		"X-Original-Host", "evil.test", "X-Forwarded-Port", "6666", "X-Forwarded-For", "evil.test", "X-Forwarded-Prefix", "/evil"}
	for _, path := range []string{"/", "/create", "/account", "/help", "/status", "/messages", "/login", "/openapi.json"} {
		_, text := r.get(path, forged...)
		if strings.Contains(text, "evil") || strings.Contains(text, "6666") {
			t.Errorf("%s repeats a forged name", path)
		}
	}
	req, _ := http.NewRequestWithContext(t.Context(), "POST", r.base+"/user", strings.NewReader("{}"))
	for i := 0; i < len(forged); i += 2 {
		req.Header.Set(forged[i], forged[i+1])
	}
	resp, err := r.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); strings.Contains(string(b), "evil") {
		t.Errorf("POST /user repeats a forged name: %s", b)
	}
	heads := []string{"GET / HTTP/1.1\r\nHost: evil.test", "GET http://evil.test/ HTTP/1.1\r\nHost: " + s.HTTP,
		"POST /user HTTP/1.1\r\nHost: evil.test", "GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.test",
		"GET / HTTP/1.1\r\nHost: evil.test:80", "GET / HTTP/1.1\r\nHost: localhost.evil.test",
		"GET /message/x HTTP/1.1\r\nHost: 127.0.0.1@evil.test", "GET / HTTP/1.1\r\nHost: " + s.HTTP + "\r\nHost: evil.test"}
	for _, path := range []string{"/messages", "/events?box=1", "/v1/account", "/openapi.json", "/static/app.css", "/f/x/",
		"/robots.txt"} { // a rebound name
		heads = append(heads, "GET "+path+" HTTP/1.1\r\nHost: rebind.test")
	}
	for _, path := range []string{"/create", "/login", "/catch-all", "/messages", "/logout", "/v1/messages"} {
		heads = append(heads, "POST "+path+" HTTP/1.1\r\nHost: rebind.test")
	}
	for _, head := range heads {
		conn, err := net.Dial("tcp", s.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(conn, "%s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", head)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != 421 && resp.StatusCode != 400 {
			t.Errorf("%q: %v %v", head, resp, err)
		} else {
			_ = resp.Body.Close()
		}
		_ = conn.Close()
	}
}
