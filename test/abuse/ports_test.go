package abuse_test

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
)

// mailBody is the body of a web page's request: commands of every protocol, in
// the hope that a mail port skips over the header and runs them.
func mailBody(s *target) string {
	return strings.NewReplacer("{user}", s.acct.User, "{pass}", s.acct.Pass, "{plain}", plain(s.acct)).Replace(
		"EHLO page\r\nAUTH PLAIN {plain}\r\nMAIL FROM:<page@abuse.test>\r\nRCPT TO:<{user}>\r\nDATA\r\n" +
			"Subject: from a web page\r\n\r\nx\r\n.\r\n" +
			"LHLO page\r\nMAIL FROM:<page@abuse.test>\r\nRCPT TO:<{user}>\r\nBDAT 10 LAST\r\n0123456789" +
			"a LOGIN {user} {pass}\r\nb APPEND INBOX {10+}\r\n0123456789\r\n" +
			"USER {user}\r\nPASS {pass}\r\nDELE 1\r\nQUIT\r\n")
}

// requests are what browsers and other HTTP clients send first.
func requests(s *target) map[string]string {
	body := mailBody(s)
	head := "HTTP/1.1\r\nHost: 127.0.0.1:1025\r\nOrigin: https://evil.test\r\nContent-Type: text/plain\r\n"
	post := head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	return map[string]string{
		"GET":               "GET / " + head + "\r\n" + body,
		"POST":              "POST / " + post,
		"PUT":               "PUT /x " + post,
		"OPTIONS":           "OPTIONS * " + post,
		"CONNECT":           "CONNECT 127.0.0.1:1025 " + head + "\r\n" + body,
		"absolute address":  "POST http://127.0.0.1:1025/ " + post,
		"HTTP/1.0":          "POST / HTTP/1.0\r\nHost: x\r\n\r\n" + body,
		"HTTP/2":            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + body,
		"address of 3,000":  "POST /" + strings.Repeat("a", 3000) + " " + post,
		"address of 80,000": "POST /" + strings.Repeat("a", 80_000) + " " + post,
		"escaped lines":     "POST /%0d%0aEHLO%20page " + post,
		"WebSocket":         "GET / " + head + "Upgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n" + body,
	}
}

// TestHTTPOnMailPorts: any web page can make a browser send requests to the
// ports of this machine. Such a connection is closed before any of the commands
// in it has run, with TLS and without.
func TestHTTPOnMailPorts(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.submit(t, []byte("Subject: stays\r\n\r\n"))
	ports := s.ports()
	secure := map[string]string{"smtps": s.SMTPS, "imaps": s.IMAPS, "pop3s": s.POP3S}
	for name, addr := range secure {
		ports[name] = addr
	}
	for name, request := range requests(s) {
		for port, addr := range ports {
			t.Run(port+" "+name, func(t *testing.T) {
				w := dial(t, addr)
				if secure[port] != "" { // a browser offers what it speaks
					w = over(t, tls.Client(w.Conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}))
				}
				w.send(request)
				said := w.rest()
				for _, ran := range []string{"Accepted", "354", "235", "logged in", "Logged in", "250 OK", "completed"} {
					if strings.Contains(said, ran) {
						t.Errorf("a command was run: %q", said)
					}
				}
				w.Close()
			})
		}
		s.survives(t, 0)
	}
}

// TestTakenPort: a port that somebody else has is said so, with the flag that
// takes another; the data is as it was.
func TestTakenPort(t *testing.T) {
	t.Parallel()
	s := start(t)
	dir := t.TempDir()
	ports := s.ports()
	ports["smtps"], ports["imaps"], ports["pop3s"] = s.SMTPS, s.IMAPS, s.POP3S
	ports["http"], ports["admin"] = s.HTTP, s.Admin
	for name, addr := range ports {
		out := refuses(t, dir, "--"+name, addr)
		for _, want := range []string{addr, "--" + name + " ", "EIDER_" + strings.ToUpper(name), "--" + name + " off"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s taken: %q is not in the message: %s", name, want, out)
			}
		}
	}
	s.survives(t, 0)
}
