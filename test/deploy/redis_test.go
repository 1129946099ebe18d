package deploy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// readyz is a server's own word on how it is.
func readyz(t *testing.T, s *harness.Server) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + s.Admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

// TestWithoutRedis: with all of Redis dead mail flows, a page that waits sees
// it, /readyz says degraded and not down, and all is well again by itself.
func TestWithoutRedis(t *testing.T) {
	t.Parallel()
	r := harness.StartRedis(t, 3)
	s := harness.Start(t, "--store", "memory", "--bus", r.URL())
	a := s.NewAccount(t)
	deliver := func(subject string) {
		t.Helper()
		err := smtp.SendMail(s.SMTP, smtp.PlainAuth("", a.User, a.Pass, "127.0.0.1"), "a@b.test", []string{"c@d.test"},
			[]byte("Subject: "+subject+"\r\n\r\nx\r\n"))
		if err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		req, err := http.NewRequest("GET", "http://"+s.HTTP+"/v1/messages/wait?timeout=20s&subject="+subject, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(a.User, a.Pass)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: the wait ended with %d", subject, resp.StatusCode)
		}
	}
	until := func(what string, ok func(int, string) bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			code, text := readyz(t, s)
			if code != http.StatusOK {
				t.Fatalf("%s: %d %q", what, code, text)
			}
			if ok(code, text) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: still %q", what, text)
			}
		}
	}
	until("with Redis", func(_ int, text string) bool { return text == "ok" })
	deliver("with")
	for _, p := range append(r.Sentinels, r.Ports...) {
		r.Kill(p)
	}
	until("without Redis", func(_ int, text string) bool { return strings.HasPrefix(text, "degraded") })
	for i := range 20 {
		deliver(fmt.Sprint("without-", i))
	}
	// A server starts without it, too.
	late := harness.Start(t, "--store", "memory", "--bus", r.URL())
	if code, text := readyz(t, late); code != http.StatusOK || !strings.HasPrefix(text, "degraded") {
		t.Errorf("a server that started without Redis: %d %q", code, text)
	}
	for _, p := range append(r.Ports, r.Sentinels...) {
		r.Start(t, p)
	}
	until("Redis is back", func(_ int, text string) bool { return text == "ok" })
	deliver("back")
	out, err := harness.TryRun(time.Minute, harness.Binary(t), "serve", "--store", "memory", "--data", t.TempDir(),
		"--bus", strings.Replace(r.URL(), harness.RedisPassword, "wrong-pass", 1))
	if err == nil || !strings.Contains(out, "--bus") || strings.Contains(out, "wrong-pass") {
		t.Errorf("a wrong password: %v\n%s", err, out)
	}
}
