package smtp_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/addr"
	"github.com/eidermail/eider/internal/sasl"
	"github.com/eidermail/eider/internal/smtp"
)

// backend is what the wire needs above it: sessions that keep what they are told.
type backend struct {
	mu       sync.Mutex
	clear    bool // AUTH without TLS
	early    error
	messages []string
	froms    []string
	rcpts    []int
	logins   []string
	resets   int
	record   smtp.Record
}

type session struct {
	b     *backend
	c     *smtp.Client
	from  string
	rcpts []string
}

func (s *session) Mechanisms() []string {
	if s.c.Mode == smtp.Submission && (s.b.clear || s.c.TLS != nil) {
		return sasl.Mechanisms()
	}
	return nil
}

func (s *session) Auth(_ context.Context, mech string, c sasl.Credentials) error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.logins = append(s.b.logins, mech+":"+c.User+":"+c.Password)
	switch c.Password {
	case "wrong":
		return smtp.Reply{535, "5.7.8", "Authentication failed"}
	case "away":
		return smtp.Reply{454, "4.7.0", "Try again"}
	case "broken":
		return errors.New("secret detail")
	}
	return nil
}

func (s *session) Mail(_ context.Context, m smtp.Mail) error {
	if m.From.Local == "refused" {
		return smtp.Reply{550, "5.7.1", "Not you"}
	}
	if m.From.Local == "ended" {
		return smtp.Reply{421, "4.7.0", "Log in again"}
	}
	s.from = m.From.String()
	return nil
}

func (s *session) Rcpt(_ context.Context, to addr.Addr) error {
	if to.Local == "unknown" {
		return smtp.Reply{550, "5.1.1", "No such user"}
	}
	s.rcpts = append(s.rcpts, to.String())
	return nil
}

func (s *session) Data(_ context.Context, r io.Reader) ([]smtp.Reply, error) {
	if s.b.early != nil {
		return nil, s.b.early
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, r); err != nil {
		return nil, err
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.messages = append(s.b.messages, b.String())
	s.b.froms = append(s.b.froms, s.from)
	s.b.rcpts = append(s.b.rcpts, len(s.rcpts))
	if s.c.Mode != smtp.LMTP {
		return []smtp.Reply{{250, "2.0.0", "Accepted [STATUS=new MSGID=x]"}}, nil
	}
	var rs []smtp.Reply
	for _, to := range s.rcpts {
		if strings.HasPrefix(to, "full") {
			rs = append(rs, smtp.Reply{452, "4.2.2", "Full"})
			continue
		}
		rs = append(rs, smtp.Reply{250, "2.0.0", "For " + to})
	}
	return rs, nil
}

func (s *session) Reset() { s.from, s.rcpts = "", nil; s.b.mu.Lock(); s.b.resets++; s.b.mu.Unlock() }
func (s *session) Close() {}

func (b *backend) options() smtp.Options {
	return smtp.Options{
		Hostname: "mail.test",
		MaxSize:  1000,
		NewSession: func(_ context.Context, c *smtp.Client) (smtp.Session, error) {
			return &session{b: b, c: c}, nil
		},
		Done: func(r smtp.Record) { b.record = r },
	}
}

// client is the other end of a connection that a server serves.
type client struct {
	t    testing.TB
	nc   net.Conn
	r    *bufio.Reader
	done chan struct{}
}

// pipe serves one connection over net.Pipe.
func pipe(t testing.TB, o smtp.Options) *client {
	t.Helper()
	ours, theirs := net.Pipe()
	c := &client{t: t, nc: ours, r: bufio.NewReader(ours), done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(c.done)
		defer theirs.Close()
		smtp.New(o).ServeConn(ctx, theirs)
	}()
	t.Cleanup(func() { ours.Close(); <-c.done; cancel() })
	return c
}

func (c *client) send(s string) {
	c.t.Helper()
	c.nc.SetWriteDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c.nc, s); err != nil {
		c.t.Fatalf("send %.60q: %v", s, err)
	}
}

// reply reads one reply, its lines joined by "|".
func (c *client) reply() string {
	c.t.Helper()
	var lines []string
	for {
		c.nc.SetReadDeadline(time.Now().Add(20 * time.Second))
		line, err := c.r.ReadString('\n')
		if err != nil {
			return strings.Join(append(lines, "EOF"), "|")
		}
		if !strings.HasSuffix(line, "\r\n") {
			c.t.Fatalf("reply line without CRLF: %q", line)
		}
		line = strings.TrimSuffix(line, "\r\n")
		lines = append(lines, line)
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "|")
		}
	}
}

// play runs a script of {send, expected start of the reply}. An empty send
// only reads.
func (c *client) play(script [][2]string) {
	c.t.Helper()
	for _, step := range script {
		if step[0] != "" {
			c.send(step[0])
		}
		if got := c.reply(); !strings.HasPrefix(got, step[1]) {
			c.t.Fatalf("%.80q: got %q, want %q", step[0], got, step[1])
		}
	}
}

const hello = "EHLO me.test\r\n"

func TestScripts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 5000)
	for name, tt := range map[string]struct {
		mode   smtp.Mode
		clear  bool
		script [][2]string
		want   []string // messages
	}{
		"whole": {clear: true, script: [][2]string{
			{"", "220 mail.test ESMTP Eider"},
			{hello, "250-mail.test|250-PIPELINING|250-8BITMIME|250-SMTPUTF8|250-CHUNKING|250-SIZE 1000|250 AUTH PLAIN LOGIN"},
			{"AUTH PLAIN AHUAcA==\r\n", "235 Auth"},
			{"MAIL FROM:<a@b.test> SIZE=5 BODY=8BITMIME\r\n", "250 OK"},
			{"RCPT TO:<c@d.test>\r\n", "250 OK"},
			{"DATA\r\n", "354 "},
			{"hi\r\n.\r\n", "250 Accepted [STATUS=new MSGID=x]"},
			{"QUIT\r\n", "221 "},
			{"", "EOF"},
		}, want: []string{"hi\r\n"}},
		"mx has codes and no AUTH": {mode: smtp.MX, script: [][2]string{
			{"", "220 "},
			{hello, "250-mail.test|250-PIPELINING|250-8BITMIME|250-SMTPUTF8|250-CHUNKING|250-SIZE 1000|250 ENHANCEDSTATUSCODES"},
			{"AUTH PLAIN AHUAcA==\r\n", "502 5.5.1"},
			{"MAIL FROM:<>\r\n", "250 2.1.0"},
			{"RCPT TO:<unknown@d>\r\n", "550 5.1.1"},
			{"DATA\r\n", "554 5.5.1"},
			{"RCPT TO:<c@d>\r\n", "250 2.1.5"},
			{"DATA\r\n", "354 Go"},
			{".\r\n", "250 2.0.0"},
		}, want: []string{""}},
		"lmtp": {mode: smtp.LMTP, script: [][2]string{
			{"", "220 mail.test LMTP"},
			{"EHLO x\r\n", "500 5.5.1"},
			{"HELO x\r\n", "500 5.5.1"},
			{"LHLO x\r\n", "250-mail.test"},
			{"MAIL FROM:<a@b>\r\n", "250 "},
			{"DATA\r\n", "503 5.5.1"},
			{"RCPT TO:<c@d>\r\n", "250 "},
			{"RCPT TO:<full@d>\r\n", "250 "},
			{"RCPT TO:<unknown@d>\r\n", "550 "},
			{"RCPT TO:<e@d>\r\n", "250 "},
			{"DATA\r\n", "354 "},
			{"m\r\n.\r\n", "250 2.0.0 For c@d"},
			{"", "452 4.2.2 Full"},
			{"", "250 2.0.0 For e@d"},
			{"NOOP\r\n", "250 "},
		}, want: []string{"m\r\n"}},
		"lmtp too large": {mode: smtp.LMTP, script: [][2]string{
			{"", "220 "}, {"LHLO x\r\n", "250-"}, {"MAIL FROM:<a@b>\r\n", "250 "},
			{"RCPT TO:<c@d>\r\n", "250 "}, {"RCPT TO:<e@d>\r\n", "250 "}, {"DATA\r\n", "354 "},
			{strings.Repeat("x", 1500) + "\r\n.\r\n", "552 5.3.4"}, {"", "552 5.3.4"}, {"NOOP\r\n", "250 "},
		}},
		"order": {script: [][2]string{
			{"", "220 "},
			{"MAIL FROM:<a@b>\r\n", "503 "},
			{"RCPT TO:<a@b>\r\n", "503 "},
			{"DATA\r\n", "503 "},
			{"EHLO\r\n", "501 "},
			{"LHLO x\r\n", "500 "},
			{"HELO x\r\n", "250 mail.test"},
			{"RCPT TO:<a@b>\r\n", "503 "},
			{"MAIL FROM:<a@b>\r\n", "250 "},
			{"MAIL FROM:<a@b>\r\n", "503 "},
			{"DATA\r\n", "554 "},
			{"EHLO x\r\n", "250-"},
			{"RCPT TO:<a@b>\r\n", "503 "},
			{"MAIL FROM:<a@b>\r\n", "250 "},
			{"RSET\r\n", "250 "},
			{"RSET x\r\n", "501 "},
			{"RCPT TO:<a@b>\r\n", "503 "},
			{"DATA x\r\n", "501 "},
			{"QUIT x\r\n", "501 "},
		}},
		"parameters": {script: [][2]string{
			{"", "220 "}, {hello, "250-"},
			{"MAIL FROM:<a@b> SIZE=1001\r\n", "552 "},
			{"MAIL FROM:<a@b> SIZE=99999999999999999999\r\n", "552 "},
			{"MAIL FROM:<a@b> SIZE=x\r\n", "501 "},
			{"MAIL FROM:<a@b> SIZE=\r\n", "501 "},
			{"MAIL FROM:<a@b> SIZE=-1\r\n", "501 "},
			{"MAIL FROM:<a@b> SIZE=+1\r\n", "501 "},
			{"MAIL FROM:<a@b> BODY=BINARYMIME\r\n", "501 "},
			{"MAIL FROM:<a@b> SMTPUTF8=1\r\n", "501 "},
			{"MAIL FROM:<a@b> AUTH=\r\n", "501 "},
			{"MAIL FROM:<a@b> RET=FULL\r\n", "555 "},
			{"MAIL FROM:a b\r\n", "555 "},
			{"MAIL <a@b>\r\n", "501 "},
			{"MAIL FROM <a@b>\r\n", "501 "},
			{"MAIL FROM:<a@b\r\n", "501 "},
			{"MAIL FROM:<a b@c>\r\n", "501 "},
			{"MAIL FROM:<refused@b>\r\n", "550 Not you"},
			{"mail from : <a@b>  size=1000  smtputf8 auth=<>\r\n", "250 "},
			{"RCPT TO:<>\r\n", "501 "},
			{"RCPT TO:<a@b> NOTIFY=NEVER\r\n", "555 "},
			{"RCPT FROM:<a@b>\r\n", "501 "},
			{"rcpt to:<@relay.test:a@b>\r\n", "250 "},
			{"RCPT TO:<Postmaster>\r\n", "250 "},
			{"RCPT TO:<grüße@käse.test>\r\n", "250 "},
			{"RCPT TO:<\xff@b>\r\n", "501 "},
		}},
		"other commands": {script: [][2]string{
			{"", "220 "},
			{"NOOP\r\n", "250 "}, {"NOOP x y\r\n", "250 "}, {"VRFY a\r\n", "252 "}, {"VRFY\r\n", "501 "},
			{"EXPN a\r\n", "502 "}, {"HELP\r\n", "214 "}, {"HELP x\r\n", "214 "}, {"ETRN x\r\n", "502 "},
			{"STARTTLS\r\n", "502 "}, {"WHAT\r\n", "500 "}, {"\r\n", "500 "}, {" NOOP\r\n", "500 "},
			{"\x00\x01\x02\r\n", "500 "}, {"\xff\xfe\r\n", "500 "}, {"NOOP\x00\r\n", "500 "}, {"NO\rOP\r\n", "500 "},
			{"noop\n", "250 "}, {"NOOP  \t \r\n", "250 "},
		}},
		"long lines": {script: [][2]string{
			{"", "220 "},
			{"NOOP " + long + "\r\n", "500 Line too long"},
			{hello, "250-"},
			{"NOOP " + long + long + long + long + "\r\n", "500 "},
			{"NOOP " + strings.Repeat("x", smtp.MaxLine-7) + "\r\n", "250 "},
			{"NOOP " + strings.Repeat("x", smtp.MaxLine-6) + "\r\n", "500 "},
			{"NOOP\r\n", "250 "},
		}},
		"auth": {clear: true, script: [][2]string{
			{"", "220 "},
			{"AUTH PLAIN AHUAcA==\r\n", "503 "},
			{hello, "250-"},
			{"AUTH\r\n", "501 "},
			{"AUTH CRAM-MD5\r\n", "504 "},
			{"AUTH PLAIN !!!\r\n", "501 "},
			{"AUTH PLAIN =\r\n", "501 "},
			{"AUTH PLAIN\r\n", "334 "}, {"*\r\n", "501 "},
			{"AUTH PLAIN\r\n", "334 "}, {"AHUAcA\r\n", "501 "},
			{"AUTH LOGIN\r\n", "334 VXNlcm5hbWU6"}, {"dQ==\r\n", "334 UGFzc3dvcmQ6"}, {"d3Jvbmc=\r\n", "535 "},
			{"AUTH PLAIN " + strings.Repeat("A", smtp.MaxAuthLine-13) + "\r\n", "501 "},
			{"AUTH PLAIN " + strings.Repeat("A", smtp.MaxAuthLine-12) + "\r\n", "500 "},
			{"AUTH LOGIN\r\n", "334 "}, {strings.Repeat("A", 13000) + "\r\n", "500 "},
			{"AUTH PLAIN AHUAYXdheQ==\r\n", "454 Try"},
			{"AUTH PLAIN AHUAYnJva2Vu\r\n", "451 Trouble"},
			{"MAIL FROM:<a@b>\r\n", "250 "},
			{"AUTH PLAIN AHUAcA==\r\n", "503 "},
			{"RSET\r\n", "250 "},
			{"auth login dQ==\r\n", "334 UGFz"}, {"cA==\r\n", "235 "},
			{"AUTH PLAIN AHUAcA==\r\n", "503 "},
		}},
		"auth failures end the connection": {clear: true, script: [][2]string{
			{"", "220 "}, {hello, "250-"},
			{"AUTH PLAIN AHUAd3Jvbmc=\r\n", "535 "}, {"AUTH PLAIN AHUAd3Jvbmc=\r\n", "535 "},
			{"AUTH PLAIN AHUAd3Jvbmc=\r\n", "535 "}, {"AUTH PLAIN AHUAd3Jvbmc=\r\n", "535 "},
			{"AUTH PLAIN AHUAd3Jvbmc=\r\n", "535 "}, {"", "421 "}, {"", "EOF"},
		}},
		"auth in clear": {script: [][2]string{
			{"", "220 "}, {hello, "250-mail.test|250-PIPELINING|250-8BITMIME|250-SMTPUTF8|250-CHUNKING|250 SIZE 1000"},
			{"AUTH PLAIN AHUAcA==\r\n", "538 "},
		}},
		"too large": {script: [][2]string{
			{"", "220 "}, {hello, "250-"}, {"MAIL FROM:<a@b>\r\n", "250 "}, {"RCPT TO:<c@d>\r\n", "250 "},
			{"DATA\r\n", "354 "}, {strings.Repeat("x", 998) + "\r\n.\r\n", "250 "},
			{"MAIL FROM:<a@b>\r\n", "250 "}, {"RCPT TO:<c@d>\r\n", "250 "},
			{"DATA\r\n", "354 "}, {strings.Repeat("x", 999) + "\r\n.\r\n", "552 "},
			{"MAIL FROM:<a@b>\r\n", "250 "},
		}, want: []string{strings.Repeat("x", 998) + "\r\n"}},
		"bdat": {script: [][2]string{
			{"", "220 "}, {hello, "250-"},
			{"BDAT 4\r\nNOOP", "503 "},
			{"MAIL FROM:<a@b>\r\n", "250 "},
			{"BDAT 6 LAST\r\nNOOP\r\n", "554 "},
			{"RCPT TO:<c@d>\r\n", "250 "},
			{"BDAT 7\r\n.\r\n.\r\n\n", "250 7 bytes"},
			{"NOOP\r\n", "250 OK"},
			{"MAIL FROM:<a@b>\r\n", "503 "},
			{"DATA\r\n", "503 "},
			{"bdat 3\r\n\x00\r\n", "250 3 bytes"},
			{"BDAT 0 last\r\n", "250 Accepted"},
			{"MAIL FROM:<a@b>\r\n", "250 "},
			{"RCPT TO:<c@d>\r\n", "250 "},
			{"BDAT 5\r\nhello", "250 5"},
			{"RSET\r\n", "250 OK"},
			{"BDAT 1 LAST\r\nx", "503 "},
			{"MAIL FROM:<a@b>\r\n", "250 "},
			{"RCPT TO:<c@d>\r\n", "250 "},
			{"BDAT 600\r\n" + strings.Repeat("x", 600), "250 600"},
			{"BDAT 600\r\n" + strings.Repeat("x", 600), "552 "},
			{"BDAT 600 LAST\r\n" + strings.Repeat("x", 600), "503 "},
			{"MAIL FROM:<a@b>\r\n", "250 "},
			{"RCPT TO:<c@d>\r\n", "250 "},
			{"BDAT 2 LAST\r\nyy", "250 Accepted"},
			{"MAIL FROM:<a@b>\r\n", "250 "},
			{"RCPT TO:<c@d>\r\n", "250 "},
			{"BDAT 5\r\nhello", "250 5"},
			{"QUIT\r\n", "221 "}, {"", "EOF"},
		}, want: []string{".\r\n.\r\n\n\x00\r\n", "yy"}},
		"lmtp: one reply to a chunk that is refused before the last": {mode: smtp.LMTP, script: [][2]string{
			{"", "220 "}, {"LHLO me.test\r\n", "250-"}, {"MAIL FROM:<a@b>\r\n", "250 "}, {"RCPT TO:<c@d>\r\n", "250 "},
			{"RCPT TO:<e@f>\r\n", "250 "}, {"BDAT 600\r\n" + strings.Repeat("x", 600), "250 "},
			{"BDAT 600\r\n" + strings.Repeat("x", 600), "552 "}, {"NOOP\r\n", "250 2.0.0 OK"},
			{"BDAT 1 LAST\r\nx", "503 "}, {"MAIL FROM:<a@b>\r\n", "250 "}, {"RCPT TO:<c@d>\r\n", "250 "},
			{"RCPT TO:<e@f>\r\n", "250 "}, {"BDAT 1\r\nx", "250 "}, {"BDAT 1001 LAST\r\n" + strings.Repeat("x", 1001), "552 "},
			{"", "552 "}, {"NOOP\r\n", "250 2.0.0 OK"},
		}},
		"recipients that are none end nothing": {script: slices.Concat([][2]string{
			{"", "220 "}, {hello, "250-"}, {"MAIL FROM:<a@b>\r\n", "250 "}, {"RCPT TO:<c@d>\r\n", "250 "}},
			repeat([2]string{"RCPT TO:<no address>\r\n", "501 "}, smtp.MaxBadCommands+1),
			repeat([2]string{"RCPT TO:<c@d> NOTIFY=NEVER\r\n", "555 "}, smtp.MaxBadCommands+1),
			[][2]string{{"DATA\r\n", "354 "}, {"x\r\n.\r\n", "250 "}}),
			want: []string{"x\r\n"}},
		"recipients behind a MAIL that is refused": {script: slices.Concat([][2]string{
			{"", "220 "}, {hello, "250-"}, {"MAIL FROM:<refused@b>\r\n", "550 "}},
			repeat([2]string{"RCPT TO:<c@d>\r\n", "503 "}, smtp.MaxBadCommands+1),
			[][2]string{{"DATA\r\n", "503 "}, {"MAIL FROM:<a@b> SIZE=2000\r\n", "552 "}},
			repeat([2]string{"RCPT TO:<c@d>\r\n", "503 "}, smtp.MaxBadCommands+1),
			[][2]string{{"MAIL FROM:<a@b>\r\n", "250 "}, {"RSET\r\n", "250 "}},
			repeat([2]string{"RCPT TO:<c@d>\r\n", "503 "}, smtp.MaxBadCommands),
			[][2]string{{"RCPT TO:<c@d>\r\n", "421 "}, {"", "EOF"}})},
		"421 of the session ends the connection": {script: [][2]string{
			{"", "220 "}, {hello, "250-"}, {"MAIL FROM:<ended@b>\r\n", "421 "}, {"", "EOF"},
		}},
		"bdat of bad size": {script: [][2]string{
			{"", "220 "}, {hello, "250-"}, {"MAIL FROM:<a@b>\r\n", "250 "}, {"RCPT TO:<c@d>\r\n", "250 "},
			{"BDAT x\r\n", "501 "}, {"", "EOF"},
		}},
		"bdat of bad size, later": {script: [][2]string{
			{"", "220 "}, {hello, "250-"}, {"MAIL FROM:<a@b>\r\n", "250 "}, {"RCPT TO:<c@d>\r\n", "250 "},
			{"BDAT 1\r\nx", "250 "}, {"BDAT -1\r\n", "501 "}, {"", "EOF"},
		}},
		"bdat far too large": {script: [][2]string{
			{"", "220 "}, {hello, "250-"}, {"MAIL FROM:<a@b>\r\n", "250 "}, {"RCPT TO:<c@d>\r\n", "250 "},
			{"BDAT 4000000000000000000\r\n", "552 "}, {"", "EOF"},
		}},
		"http": {script: [][2]string{
			{"", "220 "}, {"POST / HTTP/1.1\r\n", "554 This is an SMTP port"}, {"", "EOF"},
		}},
		"http later": {script: [][2]string{
			{"", "220 "}, {hello, "250-"}, {"MAIL FROM:<a@b>\r\n", "250 "},
			{"Host: 127.0.0.1:1025\r\n", "554 This is an SMTP port"}, {"", "EOF"},
		}},
		"http header in binary": {script: [][2]string{
			{"", "220 "}, {"X-A: \x01\r\n", "554 "}, {"", "EOF"},
		}},
		"bad commands": {script: append(append([][2]string{{"", "220 "}},
			repeat([2]string{"WHAT\r\n", "500 "}, smtp.MaxBadCommands)...), [2]string{"WHAT\r\n", "421 "}, [2]string{"", "EOF"})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &backend{clear: tt.clear}
			o := b.options()
			o.Mode = tt.mode
			c := pipe(t, o)
			c.play(tt.script)
			c.nc.Close()
			<-c.done
			if strings.Join(b.messages, "|") != strings.Join(tt.want, "|") || len(b.messages) != len(tt.want) {
				t.Errorf("stored %q, want %q", b.messages, tt.want)
			}
		})
	}
}

func repeat(s [2]string, n int) (all [][2]string) {
	for range n {
		all = append(all, s)
	}
	return all
}

// toData are the commands up to the message.
const toData = "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"

// deliver sends wire as the data of a message, then QUIT, and returns what was stored.
func deliver(t testing.TB, o smtp.Options, b *backend, wire string) []string {
	t.Helper()
	c := pipe(t, o)
	go io.WriteString(c.nc, toData+wire)
	io.Copy(io.Discard, c.r)
	<-c.done
	return b.messages
}

// Only CRLF.CRLF ends a message; nothing else changes a byte of it.
func TestData_Smuggling(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ wire, want string }{
		{"a\n.\nb", "a\n.\nb"},
		{"a\r.\rb", "a\r.\rb"},
		{"a\n.\r\nb", "a\n.\r\nb"},
		{"a\r\n.\nb", "a\r\n\nb"}, // a dot at the start of a line is taken off
		{"a\r\n.\rb", "a\r\n\rb"},
		{"a\r.\r\nb", "a\r.\r\nb"},
		{"a\n\r.\r\nb", "a\n\r.\r\nb"},
		{"a\r\n.\r\r\nb", "a\r\n\r\r\nb"},
		{"a\r\n.\x00\r\nb", "a\r\n\x00\r\nb"},
		{"a\r\n\x00.\r\nb", "a\r\n\x00.\r\nb"},
		{"a\r\n..\r\nb", "a\r\n.\r\nb"},
		{"a\r\n...\r\nb", "a\r\n..\r\nb"},
		{"..a", ".a"},
		{".\n", "\n"},
		{".\rX", "\rX"},
		{"\n.\r\n", "\n.\r\n"},
		{"\r.\r\n", "\r.\r\n"},
		{"a\r\r", "a\r\r"},
		{"", ""},
		{"\r\n", "\r\n"},
		{"a\r\n.\r", "a\r\n\r"},
		{"a\r\n. \r\n", "a\r\n \r\n"},
		{"a\u0085.\u0085", "a\u0085.\u0085"},
	} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			end := "\r\n.\r\nQUIT\r\n"
			want := tt.want + "\r\n"
			if tt.wire == "" || strings.HasSuffix(tt.wire, "\r\n") {
				end, want = ".\r\nQUIT\r\n", tt.want
			}
			b := &backend{}
			got := deliver(t, b.options(), b, tt.wire+end)
			if len(got) != 1 || got[0] != want {
				t.Errorf("%q: stored %q, want %q", tt.wire, got, want)
			}
		})
	}
}

// Replies leave together when their commands came together (RFC 2920 §3.2).
func TestPipelining_Coalesces(t *testing.T) {
	t.Parallel()
	b := &backend{}
	o := b.options()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		smtp.New(o).ServeConn(t.Context(), theirs)
	}()
	read := func() string { // one write of the server
		buf := make([]byte, 4096)
		ours.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := ours.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	read()
	io.WriteString(ours, hello)
	read()
	io.WriteString(ours, "MAIL FROM:<a@b>\r\n"+strings.Repeat("RCPT TO:<c@d>\r\n", 10)+"DATA\r\n")
	if got := read(); strings.Count(got, "\r\n") != 12 || !strings.Contains(got, "354 ") {
		t.Errorf("12 replies came as %q", got)
	}
	io.WriteString(ours, "x\r\n.\r\nMAIL FROM:<a@b>\r\nRCPT TO:<unknown@d>\r\nDATA\r\nRSET\r\nQUIT\r\n")
	if got := read(); strings.Count(got, "\r\n") != 6 {
		t.Errorf("6 replies came as %q", got)
	}
	ours.Close()
	<-done
}

// However the bytes are cut into packets, the dialogue is the same.
func TestBytewise(t *testing.T) {
	t.Parallel()
	b := &backend{}
	c := pipe(t, b.options())
	all := toData + "a\r\n..\r\n.\rb\r\r\n.\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 3\r\nabcBDAT 2 LAST\r\ndeQUIT\r\n"
	go func() {
		for i := range all {
			if _, err := io.WriteString(c.nc, all[i:i+1]); err != nil {
				return
			}
		}
	}()
	io.Copy(io.Discard, c.r)
	<-c.done
	want := "a\r\n.\r\n\rb\r\r\n|abcde"
	if got := strings.Join(b.messages, "|"); got != want {
		t.Errorf("stored %q, want %q", got, want)
	}
}

func TestManyRecipients(t *testing.T) {
	t.Parallel()
	b := &backend{}
	c := pipe(t, b.options())
	go func() {
		w := bufio.NewWriter(c.nc)
		w.WriteString("EHLO x\r\nMAIL FROM:<a@b>\r\n")
		for range smtp.MaxRecipients + 1 {
			w.WriteString("RCPT TO:<somebody@somewhere.test>\r\n")
		}
		w.WriteString("DATA\r\nx\r\n.\r\nQUIT\r\n")
		w.Flush()
	}()
	c.reply()
	c.reply()
	c.reply()
	for i := range smtp.MaxRecipients {
		if got := c.reply(); got != "250 OK" {
			t.Fatalf("recipient %d: %q", i, got)
		}
	}
	c.play([][2]string{{"", "452 "}, {"", "354 "}, {"", "250 Accepted"}, {"", "221 "}})
	if b.rcpts[0] != smtp.MaxRecipients {
		t.Errorf("%d recipients arrived", b.rcpts[0])
	}
}

// A refusal in the midst of the body is said once the body was read.
func TestData_SessionRefusesEarly(t *testing.T) {
	t.Parallel()
	b := &backend{early: smtp.Reply{452, "4.3.1", "Full"}}
	c := pipe(t, b.options())
	c.play([][2]string{{"", "220 "}, {hello, "250-"}, {"MAIL FROM:<a@b>\r\n", "250 "}, {"RCPT TO:<c@d>\r\n", "250 "},
		{"DATA\r\n", "354 "}, {"NOOP\r\n.\r\n", "452 Full"}, {"NOOP\r\n", "250 "},
		{"MAIL FROM:<a@b>\r\n", "250 "}, {"RCPT TO:<c@d>\r\n", "250 "},
		{"BDAT 6\r\nNOOP\r\n", "452 Full"}, {"NOOP\r\n", "250 "}, {"BDAT 6 LAST\r\nNOOP\r\n", "503 "}, {"NOOP\r\n", "250 "}})
	b.early = errors.New("secret detail")
	c.play([][2]string{{"MAIL FROM:<a@b>\r\n", "250 "}, {"RCPT TO:<c@d>\r\n", "250 "},
		{"DATA\r\n", "354 "}, {".\r\n", "451 Trouble on our side"}})
}

// A message far over the limit is not read to its end.
// A message DiscardFactor times as large as it may be is not read to its end.
func TestData_FarTooLarge(t *testing.T) {
	t.Parallel()
	b := &backend{}
	c := pipe(t, b.options())
	c.play([][2]string{{"", "220 "}, {hello, "250-"}, {"MAIL FROM:<a@b>\r\n", "250 "}, {"RCPT TO:<c@d>\r\n", "250 "},
		{"DATA\r\n", "354 "}})
	go func() {
		for range 100 {
			if _, err := io.WriteString(c.nc, strings.Repeat("x", 1000)); err != nil {
				return
			}
		}
	}()
	c.play([][2]string{{"", "552 "}, {"", "EOF"}})
	<-c.done
	if len(b.messages) != 0 || len(b.record.Events) != 1 || b.record.Events[0].Cause != smtp.CauseTooLarge {
		t.Errorf("stored %d, record %+v", len(b.messages), b.record)
	}
}

// A client that goes away in the midst of a message leaves nothing.
func TestData_Dropped(t *testing.T) {
	t.Parallel()
	for _, wire := range []string{"half a mess", "x\r\n", "x\r\n.", "x\r\n.\r"} {
		b := &backend{}
		c := pipe(t, b.options())
		c.play([][2]string{{"", "220 "}, {hello, "250-"}, {"MAIL FROM:<a@b>\r\n", "250 "},
			{"RCPT TO:<c@d>\r\n", "250 "}, {"DATA\r\n", "354 "}})
		c.send(wire)
		c.nc.Close()
		<-c.done
		if len(b.messages) != 0 {
			t.Errorf("%q was stored", b.messages)
		}
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		script [][2]string
		last   string
		after  time.Duration
	}{
		"greeting": {[][2]string{{"", "220 "}}, "NO", smtp.GreetingTimeout},
		"command":  {[][2]string{{"", "220 "}, {hello, "250-"}}, "", smtp.CommandTimeout},
		"data": {[][2]string{{"", "220 "}, {hello, "250-"}, {"MAIL FROM:<a@b>\r\n", "250 "},
			{"RCPT TO:<c@d>\r\n", "250 "}, {"DATA\r\n", "354 "}}, "half", smtp.DataTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &backend{}
				c := pipe(t, b.options())
				c.play(tt.script)
				if tt.last != "" {
					c.send(tt.last)
				}
				start := time.Now()
				c.nc.SetReadDeadline(time.Time{})
				line, _ := c.r.ReadString('\n')
				if !strings.HasPrefix(line, "421 ") || time.Since(start) != tt.after {
					t.Errorf("%q after %v", line, time.Since(start))
				}
				c.nc.Close()
				<-c.done
				if len(b.messages) != 0 {
					t.Errorf("stored %q", b.messages)
				}
			})
		})
	}
}

// One byte a minute does not hold a command line open.
func TestTimeouts_Drip(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		c := pipe(t, b.options())
		c.play([][2]string{{"", "220 "}, {hello, "250-"}})
		start := time.Now()
		dripped := make(chan struct{})
		go func() {
			defer close(dripped)
			for {
				if _, err := io.WriteString(c.nc, "x"); err != nil {
					return
				}
				time.Sleep(time.Minute)
			}
		}()
		c.nc.SetReadDeadline(time.Time{})
		line, _ := c.r.ReadString('\n')
		if !strings.HasPrefix(line, "421 ") || time.Since(start) > smtp.CommandTimeout {
			t.Errorf("%q after %v", line, time.Since(start))
		}
		c.nc.Close()
		<-c.done
		<-dripped
	})
}

// A client that reads nothing is given up.
func TestTimeouts_Write(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		c := pipe(t, b.options())
		start := time.Now()
		<-c.done // nobody reads the greeting
		if d := time.Since(start); d < smtp.WriteTimeout || d > 2*smtp.WriteTimeout+smtp.LingerTime {
			t.Errorf("after %v", d)
		}
	})
}

func TestDrain(t *testing.T) {
	t.Parallel()
	const mail = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"
	start := func(t *testing.T) (*client, *backend, func()) {
		b := &backend{}
		ours, theirs := net.Pipe()
		c := &client{t: t, nc: ours, r: bufio.NewReader(ours), done: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(c.done)
			defer theirs.Close()
			smtp.New(b.options()).ServeConn(ctx, theirs)
		}()
		c.play([][2]string{{"", "220 "}, {hello, "250-"}})
		return c, b, cancel
	}
	t.Run("idle after a message", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, _, stop := start(t)
			c.play([][2]string{{mail, "250 "}, {"", "250 "}, {"", "354 "}, {"x\r\n.\r\n", "250 "}})
			synctest.Wait()
			stop()
			begin := time.Now()
			c.play([][2]string{{"", "421 "}, {"", "EOF"}})
			if d := time.Since(begin); d != 0 {
				t.Errorf("took %v", d)
			}
			<-c.done
		})
	})
	t.Run("before its message", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, b, stop := start(t)
			synctest.Wait()
			stop()
			synctest.Wait()
			c.play([][2]string{{mail, "250 "}, {"", "250 "}, {"", "354 "}, {"x\r\n.\r\n", "250 "}, {"", "421 "}, {"", "EOF"}})
			<-c.done
			if len(b.messages) != 1 {
				t.Error("the message was lost")
			}
		})
	})
	t.Run("in its message", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, b, stop := start(t)
			c.play([][2]string{{mail, "250 "}, {"", "250 "}, {"", "354 "}})
			c.send("half")
			synctest.Wait()
			stop()
			time.Sleep(20 * time.Second)
			c.play([][2]string{{"\r\n.\r\n", "250 "}, {"", "421 "}, {"", "EOF"}})
			<-c.done
			if len(b.messages) != 1 || b.messages[0] != "half\r\n" {
				t.Errorf("stored %q", b.messages)
			}
		})
	})
	t.Run("silent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, _, stop := start(t)
			synctest.Wait()
			stop()
			begin := time.Now()
			c.play([][2]string{{"", "421 "}, {"", "EOF"}})
			if d := time.Since(begin); d != smtp.DrainGrace {
				t.Errorf("took %v", d)
			}
			<-c.done
		})
	})
}

// certificate makes a self-signed one.
func certificate(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mail.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func (c *client) startTLS() {
	c.t.Helper()
	t := tls.Client(c.nc, &tls.Config{InsecureSkipVerify: true})
	if err := t.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.nc, c.r = t, bufio.NewReader(t)
}

func TestStartTLS(t *testing.T) {
	t.Parallel()
	b := &backend{}
	o := b.options()
	o.TLS = certificate(t)
	c := pipe(t, o)
	c.play([][2]string{{"", "220 "}, {hello, "250-mail.test|250-PIPELINING|250-8BITMIME|250-SMTPUTF8|250-CHUNKING|250-SIZE 1000|250 STARTTLS"},
		{"AUTH PLAIN AHUAcA==\r\n", "530 Must issue a STARTTLS command first"},
		{"STARTTLS x\r\n", "501 "}, {"STARTTLS\r\n", "220 "}})
	c.startTLS()
	c.play([][2]string{{"MAIL FROM:<a@b>\r\n", "503 "}, // what was said before does not count
		{hello, "250-mail.test|250-PIPELINING|250-8BITMIME|250-SMTPUTF8|250-CHUNKING|250-SIZE 1000|250 AUTH PLAIN LOGIN"},
		{"STARTTLS\r\n", "503 "}, {"AUTH PLAIN AHUAcA==\r\n", "235 "},
		{"MAIL FROM:<a@b>\r\n", "250 "}, {"RCPT TO:<a@b>\r\n", "250 "}, {"DATA\r\n", "354 "}, {".\r\n", "250 "},
		{"QUIT\r\n", "221 "}, {"", "EOF"}})
	<-c.done
	if p := b.record.Client.Protocol(); p != "ESMTPSA" || b.record.Messages != 1 {
		t.Errorf("record %+v, protocol %s", b.record, p)
	}
}

func TestStartTLS_Injection(t *testing.T) {
	t.Parallel()
	b := &backend{}
	o := b.options()
	o.TLS = certificate(t)
	c := pipe(t, o)
	c.play([][2]string{{"", "220 "}, {hello, "250-"},
		{"STARTTLS\r\nMAIL FROM:<evil@b>\r\n", "501 "}, {"", "EOF"}})
	<-c.done
	if e := b.record.Events; len(e) != 1 || e[0].Cause != smtp.CauseInjection {
		t.Errorf("events %+v", e)
	}
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	b := &backend{}
	o := b.options()
	o.TLS, o.ImplicitTLS = certificate(t), true
	c := pipe(t, o)
	c.startTLS()
	c.play([][2]string{{"", "220 "}, {hello, "250-mail.test|250-PIPELINING|250-8BITMIME|250-SMTPUTF8|250-CHUNKING|250-SIZE 1000|250 AUTH"},
		{"STARTTLS\r\n", "503 "}, {"QUIT\r\n", "221 "}})
}

// A client that speaks TLS to the plain port is told apart.
func TestTLSOnPlainPort(t *testing.T) {
	t.Parallel()
	b := &backend{}
	c := pipe(t, b.options())
	c.reply()
	go tls.Client(c.nc, &tls.Config{InsecureSkipVerify: true}).Handshake()
	<-c.done
	if e := b.record.Events; len(e) != 1 || e[0].Cause != smtp.CauseTLSOnPlain {
		t.Errorf("events %+v", e)
	}
}

func TestProtocol(t *testing.T) {
	t.Parallel()
	s := &tls.ConnectionState{}
	for want, c := range map[string]smtp.Client{
		"SMTP":       {},
		"ESMTP":      {ESMTP: true},
		"ESMTPS":     {ESMTP: true, TLS: s},
		"ESMTPA":     {ESMTP: true, User: "u"},
		"ESMTPSA":    {ESMTP: true, TLS: s, User: "u"},
		"UTF8SMTPSA": {ESMTP: true, TLS: s, User: "u", UTF8: true},
		"LMTP":       {Mode: smtp.LMTP, ESMTP: true},
		"LMTPS":      {Mode: smtp.LMTP, ESMTP: true, TLS: s},
		"UTF8LMTP":   {Mode: smtp.LMTP, ESMTP: true, UTF8: true},
	} {
		if got := c.Protocol(); got != want {
			t.Errorf("%+v: %s, want %s", c, got, want)
		}
	}
}
