// Package interop_test runs mail clients that others wrote against a real
// server: each sends or lists, reads byte for byte, flags or deletes where it
// can, and looks again after reconnecting.
package interop_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// clientTime bounds one run of a client.
const clientTime = 60 * time.Second

// letter is a message with what breaks careless clients: dots at line starts,
// 8-bit text, a long line, an attachment.
func letter(subject string) []byte {
	file := make([]byte, 3000)
	_, _ = rand.Read(file)
	enc := base64.StdEncoding.EncodeToString(file)
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Ada <ada@example.test>\r\nTo: Bob <bob@example.test>\r\nSubject: %s\r\n", subject)
	fmt.Fprintf(&b, "Message-ID: <%s@example.test>\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n",
		strings.ReplaceAll(subject, " ", "."))
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b1\"\r\n\r\n")
	b.WriteString("--b1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	b.WriteString("Grüße, Ada\r\n.\r\n..two dots\r\n.one\r\n" + strings.Repeat("x", 900) + "\r\n\r\n")
	b.WriteString("--b1\r\nContent-Type: application/octet-stream\r\n" +
		"Content-Disposition: attachment; filename=\"data.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	for len(enc) > 76 {
		b.WriteString(enc[:76] + "\r\n")
		enc = enc[76:]
	}
	b.WriteString(enc + "\r\n--b1--\r\n")
	return b.Bytes()
}

// box is a server with an account that has some letters in its INBOX.
type box struct {
	*harness.Server
	harness.Account
	sent map[string][]byte // by subject
}

// fill starts a server and submits n letters.
func fill(t *testing.T, n int, flags ...string) *box {
	t.Helper()
	s := harness.Start(t, flags...)
	b := &box{Server: s, Account: s.NewAccount(t), sent: map[string][]byte{}}
	for i := range n {
		b.submit(t, fmt.Sprintf("letter %d", i+1))
	}
	return b
}

// submit sends one letter by SMTP with AUTH, byte for byte, and returns it.
func (b *box) submit(t *testing.T, subject string) []byte {
	t.Helper()
	m := letter(subject)
	c := dialSMTP(t, b.Server.SMTP)
	defer c.Close()
	c.cmd(t, 250, "EHLO client.example.test")
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + b.User + "\x00" + b.Pass))
	c.cmd(t, 235, "AUTH PLAIN %s", plain)
	c.cmd(t, 250, "MAIL FROM:<ada@example.test>")
	c.cmd(t, 250, "RCPT TO:<bob@example.test>")
	c.cmd(t, 354, "DATA")
	w := c.DotWriter()
	if _, err := w.Write(m); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.ReadResponse(250); err != nil {
		t.Fatal(err)
	}
	b.sent[subject] = m
	return m
}

type smtpConn struct{ *textproto.Conn }

func dialSMTP(t *testing.T, addr string) smtpConn {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(clientTime))
	c := smtpConn{textproto.NewConn(nc)}
	if _, _, err := c.ReadResponse(220); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c smtpConn) cmd(t *testing.T, code int, format string, args ...any) {
	t.Helper()
	if err := c.PrintfLine(format, args...); err != nil {
		t.Fatal(err)
	}
	if _, msg, err := c.ReadResponse(code); err != nil {
		t.Fatalf("%s: %v %s", strings.Fields(format)[0], err, msg)
	}
}

// prepended are the header lines that the server may put before a message.
var prepended = []string{"return-path:", "received:", "delivered-to:"}

// unwrap takes the lines that the server prepended off a stored message.
func unwrap(raw []byte) []byte {
	for {
		line, rest, ok := bytes.Cut(raw, []byte("\r\n"))
		if !ok {
			return raw
		}
		known := len(line) > 0 && (line[0] == ' ' || line[0] == '\t')
		for _, p := range prepended {
			known = known || bytes.HasPrefix(bytes.ToLower(line), []byte(p))
		}
		if !known {
			return raw
		}
		raw = rest
	}
}

// sameAs fails unless raw is the letter that was sent under its subject.
func (b *box) sameAs(t *testing.T, client string, raw []byte) {
	t.Helper()
	for subject, m := range b.sent {
		if bytes.Contains(raw, []byte("Subject: "+subject+"\r\n")) {
			if !bytes.Equal(unwrap(raw), m) {
				t.Errorf("%s: %q came back changed: %d bytes, sent %d", client, subject, len(unwrap(raw)), len(m))
			}
			return
		}
	}
	t.Errorf("%s: got a message that was not sent: %.200q", client, raw)
}

// allSame compares a folder of files, one message each, with what was sent.
func (b *box) allSame(t *testing.T, client, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(b.sent) {
		t.Errorf("%s: %d messages, want %d", client, len(files), len(b.sent))
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b.sameAs(t, client, raw)
	}
}

func split(t *testing.T, addr string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func setenv(t *testing.T, b *box, out string) {
	t.Helper()
	h, p := split(t, b.Server.IMAP)
	t.Setenv("T_HOST", h)
	t.Setenv("T_IMAP_PORT", p)
	_, p = split(t, b.Server.POP3)
	t.Setenv("T_POP3_PORT", p)
	_, p = split(t, b.Server.SMTP)
	t.Setenv("T_SMTP_PORT", p)
	t.Setenv("T_USER", b.User)
	t.Setenv("T_PASS", b.Pass)
	t.Setenv("T_OUT", out)
	t.Setenv("ETHEREAL_API", "http://"+b.Server.HTTP)
}
