package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/server"
)

// loopbackHeader is a PROXY header that says the client is 127.0.0.1: whom dev
// mode would trust if it came directly.
func loopbackHeader() []byte {
	b := []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01")
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, 4711), 25)
}

// proxied dials and sends the header.
func proxied(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(loopbackHeader()); err != nil {
		t.Fatal(err)
	}
	return c
}

// talk sends lines and returns all that comes back until last does.
func talk(t *testing.T, c net.Conn, last string, lines ...string) string {
	t.Helper()
	r := bufio.NewReader(c)
	var out strings.Builder
	for _, l := range lines {
		fmt.Fprint(c, l+"\r\n")
	}
	for {
		line, err := r.ReadString('\n')
		out.WriteString(line)
		if err != nil || strings.HasPrefix(line, last) {
			return out.String()
		}
	}
}

// TestProxyListeners: a PROXY header is required where it is declared, and
// whoever comes by one has no dev trust.
func TestProxyListeners(t *testing.T) {
	t.Parallel()
	r := start(t, server.Options{Config: settings(t, "proxy", "smtp,mx,imap,imaps,pop3,http,https", "proxy-from", "127.0.0.0/8")})
	a := r.Addrs()
	for name, c := range map[string]struct{ want, last, line string }{
		"smtp": {"530", "530", "EHLO x\r\nMAIL FROM:<a@b.test>"},
		"mx":   {"250 ", "250 2.1.0", "EHLO x\r\nMAIL FROM:<a@b.test>"},
		"imap": {"LOGINDISABLED", "a ", "a CAPABILITY"},
		"pop3": {"-ERR", "-ERR", "USER x"},
	} {
		if got := talk(t, proxied(t, a[name]), c.last, c.line); !strings.Contains(got, c.want) {
			t.Errorf("%s by a proxy: %q, want %q", name, got, c.want)
		}
		// Without a header nothing is said.
		plain, err := net.Dial("tcp", a[name])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(plain, "EHLO x\r\n")
		plain.SetDeadline(time.Now().Add(10 * time.Second))
		if b, _ := io.ReadAll(plain); len(b) != 0 {
			t.Errorf("%s without a header: %q", name, b)
		}
		plain.Close()
	}
	// A listener that was not declared takes no header.
	smtps := proxied(t, a["smtps"])
	if err := tls.Client(smtps, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
		t.Error("smtps took a PROXY header")
	}
	imaps := tls.Client(proxied(t, a["imaps"]), &tls.Config{InsecureSkipVerify: true})
	if got := talk(t, imaps, "*"); !strings.Contains(got, "ready") {
		t.Errorf("imaps: %q", got)
	}
	for _, scheme := range []string{"http", "https"} {
		home := fetchProxied(t, scheme, a[scheme])
		if strings.Contains(home, `action="/catch-all"`) || !strings.Contains(home, "Eider") {
			t.Errorf("%s: a stranger behind a proxy is offered the catch-all:\n%s", scheme, home)
		}
	}
}

// fetchProxied gets the home page through a connection with a PROXY header.
func fetchProxied(t *testing.T, scheme, addr string) string {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			if err == nil {
				_, err = c.Write(loopbackHeader())
			}
			return c, err
		}}
	resp, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Get(scheme + "://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestProxyOff: without a proxy the page offers the catch-all, so the test above is not blind.
func TestProxyOff(t *testing.T) {
	t.Parallel()
	r := start(t, server.Options{Config: settings(t)})
	if _, home := get(t, "http://"+r.Addrs()["http"]+"/"); !strings.Contains(home, `action="/catch-all"`) {
		t.Errorf("a trusted peer is not offered the catch-all:\n%s", home)
	}
}
