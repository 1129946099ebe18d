// Package lifecycle_test follows mail through a running server: it arrives,
// is waited for, fills a quota or a disk, and goes.
package lifecycle_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/eidermail/eider/test/harness"
)

// smtp is one connection with its account's login done, if there is one.
type smtp struct {
	*textproto.Conn
	nc net.Conn
}

func dial(t testing.TB, addr string, a harness.Account) *smtp {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(5 * time.Minute))
	c := &smtp{textproto.NewConn(nc), nc}
	c.expect(t, 220)
	c.cmd(t, 250, "EHLO life.test")
	if a.User != "" {
		c.cmd(t, 235, "AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+a.User+"\x00"+a.Pass)))
	}
	return c
}

func (c *smtp) expect(t testing.TB, code int) string {
	t.Helper()
	_, msg, err := c.ReadResponse(code)
	if err != nil {
		t.Fatalf("%v %s", err, msg)
	}
	return msg
}

func (c *smtp) cmd(t testing.TB, code int, format string, args ...any) string {
	t.Helper()
	if err := c.PrintfLine(format, args...); err != nil {
		t.Fatal(err)
	}
	return c.expect(t, code)
}

// deliver sends one message and returns the code and text of the final reply.
func (c *smtp) deliver(t testing.TB, rcpt, subject string, size int) (int, string) {
	t.Helper()
	if err := c.PrintfLine("MAIL FROM:<a@life.test>"); err != nil {
		t.Fatal(err)
	}
	code, msg, _ := c.ReadResponse(0)
	if code != 250 { // a full store is told here, if it is known
		return code, msg
	}
	if err := c.PrintfLine("RCPT TO:<%s>", rcpt); err != nil {
		t.Fatal(err)
	}
	if code, msg, _ = c.ReadResponse(0); code != 250 {
		c.cmd(t, 250, "RSET")
		return code, msg
	}
	if err := c.PrintfLine("DATA"); err != nil {
		t.Fatal(err)
	}
	if code, msg, _ = c.ReadResponse(0); code != 354 {
		c.cmd(t, 250, "RSET")
		return code, msg
	}
	w := bufio.NewWriterSize(c.nc, 64<<10)
	fmt.Fprintf(w, "Subject: %s\r\nFrom: a@life.test\r\nTo: %s\r\n\r\n", subject, rcpt)
	for row := strings.Repeat("m", 78) + "\r\n"; size > 0; size -= len(row) {
		_, _ = w.WriteString(row)
	}
	_, _ = w.WriteString(".\r\n")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	code, msg, _ = c.ReadResponse(0)
	return code, msg
}

// api asks the JSON API and decodes the answer into out.
func api(t testing.TB, a harness.Account, method, url string, out any) int {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(a.User, a.Pass)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			t.Fatalf("%s: %d %v %.300s", url, resp.StatusCode, err, b)
		}
	}
	return resp.StatusCode
}

func stat(t testing.TB, s *harness.Server, a harness.Account) string {
	t.Helper()
	nc, err := net.DialTimeout("tcp", s.POP3, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := textproto.NewConn(nc)
	last := ""
	for _, cmd := range []string{"", "USER " + a.User, "PASS " + a.Pass, "STAT"} {
		if cmd != "" {
			_ = c.PrintfLine("%s", cmd)
		}
		if last, err = c.ReadLine(); err != nil || !strings.HasPrefix(last, "+OK") {
			t.Fatalf("POP3 %.4s: %q %v", cmd, last, err)
		}
	}
	return last
}

// TestExpiry: with --retention 5s a message leaves the web, the API, POP3 and
// an idling IMAP client within 60 s, and its quota returns.
func TestExpiry(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, "--retention", "5s")
	a := s.NewAccount(t)
	_, reply := dial(t, s.SMTP, a).deliver(t, "x@life.test", "short-lived", 2000)
	_, msgid, ok := strings.Cut(strings.TrimSuffix(reply, "]"), "MSGID=")
	if !ok {
		t.Fatalf("no MSGID in %q", reply)
	}
	expunged := make(chan uint32, 1)
	c, err := imapclient.DialInsecure(s.IMAP, &imapclient.Options{
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{
			Expunge: func(seq uint32) { expunged <- seq },
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(a.User, a.Pass).Wait(); err != nil {
		t.Fatal(err)
	}
	if box, err := c.Select("INBOX", nil).Wait(); err != nil || box.NumMessages != 1 {
		t.Fatalf("before: %+v %v", box, err)
	}
	idle, err := c.Idle()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	select {
	case <-expunged:
	case <-time.After(60 * time.Second):
		t.Fatal("an idling IMAP client saw nothing for 60 s")
	}
	t.Logf("gone after %v", time.Since(start).Round(time.Millisecond))
	_ = idle.Close()
	afterExpiry(t, s, a, msgid)
	s.Fsck(t)
}

func afterExpiry(t *testing.T, s *harness.Server, a harness.Account, msgid string) {
	t.Helper()
	if got := stat(t, s, a); got != "+OK 0 0" {
		t.Errorf("POP3 STAT after expiry: %q", got)
	}
	resp, err := http.Get("http://" + s.HTTP + "/message/" + msgid)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 404 {
		t.Errorf("permalink after expiry: %d", resp.StatusCode)
	}
	var acct struct{ Messages, Bytes int64 }
	api(t, a, "GET", "http://"+s.HTTP+"/v1/account", &acct)
	if acct.Messages != 0 || acct.Bytes != 0 {
		t.Errorf("quota after expiry: %+v", acct)
	}
	var page struct{ Messages []any }
	api(t, a, "GET", "http://"+s.HTTP+"/v1/messages", &page)
	if len(page.Messages) != 0 {
		t.Errorf("API after expiry: %+v", page)
	}
}

// TestWait: earlier mail, later mail, no mail.
func TestWait(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	a := s.NewAccount(t)
	type waited struct {
		Message *struct{ Subject string }
		Cursor  string
	}
	wait := func(query string) (w waited) {
		t.Helper()
		if code := api(t, a, "GET", "http://"+s.HTTP+"/v1/messages/wait?"+query, &w); code != 200 {
			t.Fatalf("wait?%s: %d", query, code)
		}
		return w
	}
	c := dial(t, s.SMTP, a)
	c.deliver(t, "x@life.test", "first", 100)
	w := wait("subject=first&timeout=10s")
	if w.Message == nil || w.Message.Subject != "first" || w.Cursor == "" {
		t.Fatalf("earlier mail: %+v", w)
	}
	none := wait("timeout=1s&after=" + w.Cursor)
	if none.Message != nil || none.Cursor == "" {
		t.Fatalf("no mail: %+v", none)
	}
	go func() {
		time.Sleep(300 * time.Millisecond)
		c.deliver(t, "x@life.test", "other", 100)
		c.deliver(t, "x@life.test", "second", 100)
	}()
	start := time.Now()
	later := wait("subject=second&timeout=30s&after=" + none.Cursor)
	if later.Message == nil || later.Message.Subject != "second" {
		t.Fatalf("later mail: %+v", later)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("later mail took %v", took)
	}
	if w := wait("timeout=1s&after=" + later.Cursor); w.Message != nil {
		t.Errorf("after the last: %+v", w)
	}
}

// TestPublicMX: in public mode the MX answers 550 for unknown addresses and
// 452 over quota; nobody is trusted by address.
func TestPublicMX(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, "--public-host", "mail.life.test", "--account-quota", "100KB", "--https", "off")
	a := s.NewAccount(t)
	c := dial(t, s.MX, harness.Account{})
	if code, msg := c.deliver(t, "nobody@mail.life.test", "x", 10); code != 550 || !strings.HasPrefix(msg, "5.1.1") {
		t.Errorf("unknown address: %d %s", code, msg)
	}
	var last int
	var text string
	for range 5 {
		if last, text = c.deliver(t, a.User, "fill", 30_000); last != 250 {
			break
		}
	}
	if last != 452 || !strings.HasPrefix(text, "4.2.2") {
		t.Errorf("over quota: %d %s", last, text)
	}
	sub := dial(t, s.SMTP, harness.Account{})
	sub.cmd(t, 530, "MAIL FROM:<a@life.test>")
}

// floodConn submits over one connection until it breaks or a message is refused.
func floodConn(nc net.Conn, a harness.Account, stop chan struct{}, acked interface{ Add(int64) int64 }) {
	c := textproto.NewConn(nc)
	say := func(code int, format string, args ...any) bool {
		if format != "" && c.PrintfLine(format, args...) != nil {
			return false
		}
		_, _, err := c.ReadResponse(code)
		return err == nil
	}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + a.User + "\x00" + a.Pass))
	if !say(220, "") || !say(250, "EHLO flood.test") || !say(235, "AUTH PLAIN %s", plain) {
		return
	}
	body := strings.Repeat(strings.Repeat("f", 78)+"\r\n", 500)
	for {
		select {
		case <-stop:
			return
		default:
		}
		if !say(250, "MAIL FROM:<a@flood.test>") || !say(250, "RCPT TO:<b@flood.test>") || !say(354, "DATA") ||
			!say(250, "Subject: flood\r\n\r\n%s.", body) {
			return
		}
		acked.Add(1)
	}
}
