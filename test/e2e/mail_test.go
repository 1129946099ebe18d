package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// sender submits mail byte for byte over one connection.
type sender struct {
	*textproto.Conn
	t *testing.T
}

func dial(t *testing.T, s *harness.Server, a harness.Account, helo string) *sender {
	t.Helper()
	conn, err := net.DialTimeout("tcp", s.SMTP, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(scriptTime))
	c := &sender{textproto.NewConn(conn), t}
	t.Cleanup(func() { _ = c.Close() })
	if _, _, err := c.ReadResponse(220); err != nil {
		t.Fatal(err)
	}
	c.cmd(250, "EHLO "+helo)
	c.cmd(235, "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+a.User+"\x00"+a.Pass)))
	return c
}

func (c *sender) cmd(code int, line string) string {
	c.t.Helper()
	if err := c.PrintfLine("%s", line); err != nil {
		c.t.Fatal(err)
	}
	_, text, err := c.ReadResponse(code)
	if err != nil {
		c.t.Fatalf("%.80s: %v", line, err)
	}
	return text
}

// send submits a message and returns its MSGID.
func (c *sender) send(m []byte) string {
	c.t.Helper()
	c.cmd(250, "MAIL FROM:<mallory@evil.test>")
	c.cmd(250, "RCPT TO:<ada@x.test>")
	c.cmd(354, "DATA")
	m = bytes.ReplaceAll(m, []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(m, []byte(".")) {
		m = append([]byte("."), m...)
	}
	if !bytes.HasSuffix(m, []byte("\r\n")) {
		m = append(m[:len(m):len(m)], "\r\n"...)
	}
	_, _ = c.W.Write(m)
	text := c.cmd(250, ".")
	_, id, ok := strings.Cut(text, "MSGID=")
	if !ok {
		c.t.Fatalf("no MSGID in %q", text)
	}
	return strings.TrimSuffix(strings.TrimSpace(id), "]")
}

// reader is an account's owner at the pages and the API.
type reader struct {
	http.Client
	t    *testing.T
	base string
	a    harness.Account
}

func logIn(t *testing.T, s *harness.Server, a harness.Account) *reader {
	t.Helper()
	jar, _ := cookiejar.New(nil)
	r := &reader{Client: http.Client{Jar: jar, Timeout: time.Minute}, t: t, base: "http://" + s.HTTP, a: a}
	resp, err := r.PostForm(r.base+"/login", url.Values{"user": {a.User}, "pass": {a.Pass}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Request.URL.Path != "/messages" {
		t.Fatalf("login led to %s", resp.Request.URL)
	}
	return r
}

// get asks for a page, with headers in pairs.
func (r *reader) get(path string, headers ...string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), "GET", r.base+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, string(b)
}

// ids maps the MSGIDs of the account's messages to the numbers of their pages.
func (r *reader) ids() map[string]string {
	r.t.Helper()
	out := map[string]string{}
	for before := ""; ; {
		_, body := r.get("/v1/messages?limit=250"+before, "Authorization", "Bearer "+r.a.Token)
		var page struct {
			Messages []struct{ ID, URL string }
			Next     string
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			r.t.Fatalf("%v: %.300s", err, body)
		}
		for _, m := range page.Messages {
			_, link, _ := strings.Cut(m.URL, "/message/")
			out[link] = m.ID
		}
		if page.Next == "" {
			return out
		}
		before = fmt.Sprintf("&before=%s", page.Next)
	}
}
