package abuse_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
)

// startTLS is how each plain port is asked for TLS, and what it says first.
var startTLS = []struct{ port, before, ask, goAhead, after string }{
	{"smtp", smtpHello, "STARTTLS", "220", "> EHLO x\n< 250 \n> AUTH PLAIN {plain}\n< 235\n" + smtpQuit},
	{"mx", smtpHello, "STARTTLS", "220",
		"> EHLO x\n< 250 \n> MAIL FROM:<>\n< 250\n> RCPT TO:<{user}>\n< 250\n" + smtpQuit},
	{"lmtp", "< 220\n> LHLO x\n< 250 \n", "STARTTLS", "220", "> LHLO x\n< 250 \n" + smtpQuit},
	{"imap", "< * OK\n", "a STARTTLS", "a OK", "> l LOGIN {user} {pass}\n< l OK\n" + imapQuit},
	{"pop3", "< +OK\n", "STLS", "+OK", "> USER {user}\n< +OK\n> PASS {pass}\n< +OK\n" + pop3Quit},
}

// ca is the server's own CA, read from the file that the ready file names. It
// must be the one that /ca.crt gives.
func (s *target) ca(t *testing.T) *x509.CertPool {
	t.Helper()
	path, _ := s.Raw["ca"].(string)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if a := s.ask(t, "GET", "/ca.crt"); a.StatusCode != 200 || !bytes.Equal(b, []byte(a.body)) {
		t.Errorf("/ca.crt: %d, and it is not %s:\n%s", a.StatusCode, path, a.body)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		t.Fatal("the CA's file cannot be read")
	}
	return pool
}

// upgrade makes a connection one of TLS, checking the certificate.
func (w *wire) upgrade(pool *x509.CertPool, name string) *wire {
	w.t.Helper()
	c := tls.Client(w.Conn, &tls.Config{RootCAs: pool, ServerName: name})
	if err := c.Handshake(); err != nil {
		w.t.Fatalf("handshake: %v\n%s", err, &w.log)
	}
	return over(w.t, c)
}

// TestTLS: every port with TLS, and every STARTTLS, works for a client that
// trusts the server's CA, by both names of this machine; no others trust it.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := start(t, "--starttls", "on", "--https", "localhost:0")
	pool := s.ca(t)
	for _, name := range []string{"localhost", "127.0.0.1"} {
		for _, c := range startTLS {
			w := dial(t, s.ports()[c.port])
			w.talk(s.acct, c.before+"> "+c.ask+"\n< "+c.goAhead)
			w = w.upgrade(pool, name)
			w.talk(s.acct, c.after)
		}
		for addr, script := range map[string]string{
			s.SMTPS: smtpLogin + smtpQuit, s.IMAPS: imapLogin + imapQuit, s.POP3S: pop3Login + pop3Quit,
		} {
			dial(t, addr).upgrade(pool, name).talk(s.acct, script)
		}
	}
	c := http.Client{Timeout: talkWithin, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	_, port, _ := net.SplitHostPort(s.HTTPS)
	for _, host := range []string{"localhost", "127.0.0.1"} {
		resp, err := c.Get("https://" + net.JoinHostPort(host, port) + "/")
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("https to %s: %v", host, err)
			continue
		}
		resp.Body.Close()
	}
	for name, config := range map[string]*tls.Config{
		"a client that does not know the CA": {ServerName: "localhost"},
		"a name that is not ours":            {RootCAs: pool, ServerName: "mail.example.com"},
		"TLS 1.1":                            {RootCAs: pool, ServerName: "localhost", MaxVersion: tls.VersionTLS11},
	} {
		if err := tls.Client(dial(t, s.SMTPS).Conn, config).Handshake(); err == nil {
			t.Errorf("%s gets a connection", name)
		}
	}
	s.survives(t, 0)
}

// TestInjection: what a man in the middle puts behind STARTTLS in clear never
// runs after the handshake, and what was said in clear before it does not count.
func TestInjection(t *testing.T) {
	t.Parallel()
	s := start(t, "--starttls", "on")
	pool := s.ca(t)
	inject := map[string]string{
		"smtp": "MAIL FROM:<evil@abuse.test>\r\n", "mx": "MAIL FROM:<>\r\n", "lmtp": "LHLO evil\r\n",
		"imap": "b LOGIN {user} {pass}\r\n", "pop3": "CAPA\r\n",
	}
	ran := []string{"250", "b OK", "+OK Cap"}
	for _, c := range startTLS {
		more := strings.NewReplacer("{user}", s.acct.User, "{pass}", s.acct.Pass).Replace(inject[c.port])
		t.Run(c.port+" in one write", func(t *testing.T) {
			w := dial(t, s.ports()[c.port])
			w.talk(s.acct, c.before)
			w.send(c.ask + "\r\n" + more)
			said := w.rest() // the server gives up before the handshake
			for _, r := range append(ran, c.goAhead) {
				if strings.Contains(said, r) {
					t.Errorf("the server goes on: %q", said)
				}
			}
			s.survives(t, 0)
		})
		t.Run(c.port+" after the go-ahead", func(t *testing.T) {
			w := dial(t, s.ports()[c.port])
			w.talk(s.acct, c.before+"> "+c.ask+"\n< "+c.goAhead)
			w.send(more)
			said := w.rest()
			for _, r := range ran {
				if strings.Contains(said, r) {
					t.Errorf("the server runs %q: %q", more, said)
				}
			}
			s.survives(t, 0)
		})
	}
	for _, c := range []struct{ port, before, after string }{
		{"smtp", smtpHello + "> MAIL FROM:<a@b>\n< 250\n> STARTTLS\n< 220\n",
			"> RCPT TO:<a@b>\n< 503\n> MAIL FROM:<a@b>\n< 503\n" + smtpQuit},
		{"pop3", "< +OK\n> USER {user}\n< +OK\n> STLS\n< +OK\n", "> PASS {pass}\n< -ERR\n" + pop3Quit},
		{"smtp", smtpHello + "> STARTTLS\n< 220\n", "> EHLO x\n< 250 \n> STARTTLS\n< 503\n" + smtpQuit},
		{"imap", "< * OK\n> a STARTTLS\n< a OK\n", "> b STARTTLS\n< b BAD\n" + imapQuit},
		{"pop3", "< +OK\n> STLS\n< +OK\n", "> STLS\n< -ERR\n" + pop3Quit},
	} {
		w := dial(t, s.ports()[c.port])
		w.talk(s.acct, c.before)
		w.upgrade(pool, "localhost").talk(s.acct, c.after)
	}
	s.survives(t, 0)
}

// TestNoSTARTTLS: on a laptop it is neither offered nor taken.
func TestNoSTARTTLS(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, c := range startTLS {
		w := dial(t, s.ports()[c.port])
		w.talk(s.acct, c.before)
		if offers := w.log.String(); strings.Contains(offers, "STARTTLS") {
			t.Errorf("%s offers STARTTLS: %s", c.port, offers)
		}
		w.send(c.ask + "\r\n")
		if line := w.until(""); strings.HasPrefix(line, c.goAhead) {
			t.Errorf("%s: %s", c.port, line)
		}
	}
	s.survives(t, 0)
}

// publicTries are what somebody near the server tries in public mode, where
// nobody is trusted for an address.
var publicTries = []struct{ port, name, script string }{
	{"smtp", "AUTH in clear", smtpHello + "> AUTH PLAIN {plain}\n< 538\n" + smtpQuit},
	{"smtp", "no AUTH", smtpHello + "> MAIL FROM:<a@b>\n< 530\n" + smtpQuit},
	{"mx", "catch-all", smtpHello +
		"> MAIL FROM:<>\n< 250\n> RCPT TO:<catch-all@mail.abuse.test>\n< 550 5.1.1\n" + smtpQuit},
	{"mx", "AUTH", smtpHello + "> AUTH PLAIN {plain}\n< 502\n" + smtpQuit},
	{"imap", "LOGIN in clear", "< * OK\n> a LOGIN {user} {pass}\n< a NO [PRIVACYREQUIRED]\n> b CAPABILITY\n" +
		"< * CAPABILITY\n< b OK\n> c AUTHENTICATE PLAIN {plain}\n< c NO\n" + imapQuit},
	{"pop3", "USER in clear", "< +OK\n> USER {user}\n< -ERR\n" +
		"> PASS {pass}\n< -ERR\n> AUTH PLAIN {plain}\n< -ERR\n" + pop3Quit},
}

// TestPublicMode: no AUTH in clear, no trust by address or by what a header
// says, no catch-all.
func TestPublicMode(t *testing.T) {
	t.Parallel()
	s := start(t, "--public-host", "mail.abuse.test", "--https", "off")
	for _, c := range publicTries {
		w := dial(t, s.ports()[c.port])
		w.talk(s.acct, c.script)
		if said := w.log.String(); strings.Contains(said, "AUTH PLAIN LOGIN") || strings.Contains(said, "AUTH=PLAIN") {
			t.Errorf("%s %s: AUTH is offered in clear: %s", c.port, c.name, said)
		}
	}
	if s.Raw["catchAll"] != nil {
		t.Errorf("the ready file has a catch-all: %v", s.Raw["catchAll"])
	}
	for _, header := range []string{"X-Forwarded-For", "X-Real-IP", "Forwarded"} {
		a := s.ask(t, "POST", "/catch-all", header, "127.0.0.1")
		if a.StatusCode != 403 || len(a.Cookies()) != 0 {
			t.Errorf("POST /catch-all with %s: %d %v", header, a.StatusCode, a.Cookies())
		}
	}
	if a := s.ask(t, "GET", "/"); strings.Contains(a.body, "/catch-all") {
		t.Error("the home page offers the catch-all")
	}
	for host, want := range map[string]int{
		"localhost": 421, "mailbox": 421, "evil.test": 421, "x.mail.abuse.test": 421, "mail.abuse.test": 200,
	} {
		if a := s.ask(t, "GET", "/", "Host", host, "X-Forwarded-Host", "mail.abuse.test"); a.StatusCode != want {
			t.Errorf("Host %s: %d, want %d", host, a.StatusCode, want)
		}
	}
	pool := s.ca(t)
	w := dial(t, s.SMTPS).upgrade(pool, "mail.abuse.test")
	w.talk(s.acct, smtpRcpt+"> BDAT 1 LAST\n>> x\n< 250 Accepted\n> QUIT\n< 221")
	wrong := s.acct
	wrong.User = "nobody@mail.abuse.test"
	w = dial(t, s.SMTPS).upgrade(pool, "mail.abuse.test")
	w.talk(wrong, smtpHello+"> AUTH PLAIN {plain}\n< 535\n> MAIL FROM:<a@b>\n< 530\n"+smtpQuit)
	if n := s.census(t); n != 1 {
		t.Errorf("%d messages are stored, want 1", n)
	}
	if !strings.Contains(s.Output(), "--tls-cert") {
		t.Error("nobody is told that mail programs will refuse the self-signed certificate")
	}
}
