package pop3_test

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
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/pop3"
	"github.com/eidermail/eider/internal/sasl"
)

// box is a maildrop in memory, for the wire to show.
type box struct {
	c       *pop3.Client
	clear   bool
	mail    []string
	slow    bool // content comes byte by byte
	broken  error
	updates []string
	record  pop3.Record
}

func (b *box) Mechanisms() []string {
	if b.clear || b.c.TLS != nil {
		return sasl.Mechanisms()
	}
	return nil
}

func (b *box) Login(_ context.Context, _ string, c sasl.Credentials) error {
	switch {
	case c.Password == "broken":
		return errors.New("secret detail")
	case c.User != "u" || c.Password != "p w":
		return pop3.Error{Code: "AUTH", Text: "Authentication failed"}
	}
	return nil
}

func (b *box) Sizes() []int64 {
	s := make([]int64, len(b.mail))
	for i, m := range b.mail {
		s[i] = int64(len(m))
	}
	return s
}

func (b *box) UID(i int) string { return fmt.Sprintf("uid-%d", i+1) }

func (b *box) Open(_ context.Context, i int) (io.ReadCloser, error) {
	if b.broken != nil {
		return nil, b.broken
	}
	r := io.Reader(strings.NewReader(b.mail[i]))
	if b.slow {
		r = iotest.OneByteReader(r)
	}
	return io.NopCloser(r), nil
}

func (b *box) Update(_ context.Context, retrieved, deleted []int) error {
	b.updates = append(b.updates, fmt.Sprint(retrieved, deleted))
	return b.broken
}

func (b *box) Close() {}

func (b *box) options() pop3.Options {
	return pop3.Options{
		Hostname:   "mail.test",
		NewSession: func(_ context.Context, c *pop3.Client) (pop3.Session, error) { b.c = c; return b, nil },
		Done:       func(r pop3.Record) { b.record = r },
	}
}

type client struct {
	t    testing.TB
	nc   net.Conn
	r    *bufio.Reader
	done chan struct{}
	stop func()
}

func pipe(t testing.TB, o pop3.Options) *client {
	t.Helper()
	ours, theirs := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	c := &client{t: t, nc: ours, r: bufio.NewReader(ours), done: make(chan struct{}), stop: cancel}
	go func() {
		defer close(c.done)
		defer theirs.Close()
		pop3.New(o).ServeConn(ctx, theirs)
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

func (c *client) line() string {
	c.nc.SetReadDeadline(time.Now().Add(20 * time.Second))
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "EOF"
	}
	return strings.TrimSuffix(line, "\r\n")
}

// play runs a script of {send, expected lines divided by "|"}. A line that
// ends in "…" is the start of one.
func (c *client) play(script [][2]string) {
	c.t.Helper()
	for _, s := range script {
		if s[0] != "" {
			c.send(s[0])
		}
		for _, want := range strings.Split(s[1], "|") {
			got := c.line()
			if start, ok := strings.CutSuffix(want, "…"); ok && strings.HasPrefix(got, start) {
				continue
			}
			if got != want {
				c.t.Fatalf("%.60q: got %q, want %q", s[0], got, want)
			}
		}
	}
}

var login = [][2]string{{"", "+OK mail.test POP3 Eider"}, {"USER u\r\n", "+OK…"}, {"PASS p w\r\n", "+OK…"}}

func TestScripts(t *testing.T) {
	t.Parallel()
	three := []string{"Subject: a\r\n\r\none\r\ntwo\r\n", "Subject: b\r\n\r\n.\r\n..\r\n", "x"}
	for name, tt := range map[string]struct {
		secure  bool
		script  [][2]string
		updates string
	}{
		"whole": {script: append(login[:len(login):len(login)], [][2]string{
			{"STAT\r\n", "+OK 3 46"},
			{"LIST\r\n", "+OK 3 messages|1 24|2 21|3 1|."},
			{"list 2\r\n", "+OK 2 21"},
			{"UIDL\r\n", "+OK 3 messages|1 uid-1|2 uid-2|3 uid-3|."},
			{"UIDL 3\r\n", "+OK 3 uid-3"},
			{"RETR 2\r\n", "+OK 21 octets|Subject: b||..|...|."},
			{"RETR 3\r\n", "+OK 1 octets|x|."},
			{"TOP 1 1\r\n", "+OK…|Subject: a||one|."},
			{"TOP 1 0\r\n", "+OK…|Subject: a||."},
			{"TOP 1 9\r\n", "+OK…|Subject: a||one|two|."},
			{"DELE 1\r\n", "+OK…"},
			{"DELE 1\r\n", "-ERR No such message"},
			{"RETR 1\r\n", "-ERR No such message"},
			{"LIST 1\r\n", "-ERR No such message"},
			{"STAT\r\n", "+OK 2 22"},
			{"LIST\r\n", "+OK 2 messages|2 21|3 1|."},
			{"UIDL\r\n", "+OK 2 messages|2 uid-2|3 uid-3|."},
			{"DELE 3\r\n", "+OK…"},
			{"RSET\r\n", "+OK…"},
			{"STAT\r\n", "+OK 3 46"},
			{"DELE 3\r\n", "+OK…"},
			{"NOOP\r\n", "+OK…"},
			{"QUIT\r\n", "+OK Bye|EOF"},
		}...), updates: "[1] [2]"},
		"dropped":       {script: append(login[:len(login):len(login)], [][2]string{{"DELE 1\r\n", "+OK…"}}...)},
		"nothing to do": {script: append(login[:len(login):len(login)], [][2]string{{"QUIT\r\n", "+OK Bye|EOF"}}...)},
		"order": {script: [][2]string{
			{"", "+OK…"}, {"STAT\r\n", "-ERR Log in first"}, {"PASS x\r\n", "-ERR USER first"}, {"USER\r\n", "-ERR…"},
			{"USER u\r\n", "+OK…"}, {"PASS wrong\r\n", "-ERR [AUTH] Authentication failed"}, {"PASS p w\r\n", "-ERR USER first"},
			{"USER u\r\n", "+OK…"}, {"PASS broken\r\n", "-ERR [SYS/TEMP] Trouble on our side…"},
			{"user u\r\n", "+OK…"}, {"pass p w\r\n", "+OK…"}, {"USER u\r\n", "-ERR Already logged in"}, {"APOP\r\n", "-ERR Unknown…"},
			{"RETR\r\n", "-ERR…"}, {"RETR 0\r\n", "-ERR No such message"}, {"RETR 4\r\n", "-ERR No such message"},
			{"RETR -1\r\n", "-ERR A message number…"}, {"RETR +1\r\n", "-ERR A message number…"},
			{"RETR 99999999999999999999\r\n", "-ERR…"}, {"RETR x\r\n", "-ERR…"}, {"TOP 1\r\n", "-ERR…"}, {"TOP 1 -1\r\n", "-ERR…"},
			{"TOP 9 1\r\n", "-ERR No such…"}, {"STAT 1\r\n", "-ERR…"}, {"QUIT 1\r\n", "-ERR…"}, {"LIST x\r\n", "-ERR…"},
			{"DELE\r\n", "-ERR…"}, {"RSET 1\r\n", "-ERR…"},
		}},
		"auth": {script: [][2]string{
			{"", "+OK…"}, {"AUTH\r\n", "+OK…|PLAIN|LOGIN|."}, {"AUTH X\r\n", "-ERR Unknown authentication mechanism"},
			{"AUTH PLAIN !\r\n", "-ERR Cannot decode…"}, {"AUTH PLAIN\r\n", "+ "}, {"*\r\n", "-ERR Authentication cancelled"},
			{"AUTH LOGIN\r\n", "+ VXNlcm5hbWU6"}, {"dQ==\r\n", "+ UGFzc3dvcmQ6"}, {"eA==\r\n", "-ERR [AUTH]…"},
			{"AUTH PLAIN\r\n", "+ "}, {strings.Repeat("A", pop3.MaxAuthLine-1) + "\r\n", "-ERR Line too long"},
			{"auth plain AHUAcCB3\r\n", "+OK Logged in"}, {"STAT\r\n", "+OK 3 46"},
		}},
		"capa": {script: [][2]string{
			{"", "+OK…"}, {"CAPA\r\n", "+OK…|TOP|UIDL|RESP-CODES|AUTH-RESP-CODE|PIPELINING|USER|SASL PLAIN LOGIN|IMPLEMENTATION Eider|."},
			{"USER u\r\n", "+OK…"}, {"PASS p w\r\n", "+OK…"},
			{"CAPA\r\n", "+OK…|TOP|UIDL|RESP-CODES|AUTH-RESP-CODE|PIPELINING|IMPLEMENTATION Eider|."},
		}},
		"in clear": {secure: true, script: [][2]string{
			{"", "+OK…"}, {"CAPA\r\n", "+OK…|TOP|UIDL|RESP-CODES|AUTH-RESP-CODE|PIPELINING|IMPLEMENTATION Eider|."},
			{"USER u\r\n", "-ERR Encryption required for logins"}, {"AUTH PLAIN AHUAcCB3\r\n", "-ERR Encryption…"},
			{"STLS\r\n", "-ERR STLS is not offered here"},
		}},
		"garbage": {script: [][2]string{
			{"", "+OK…"}, {"\x00\x01\r\n", "-ERR…"}, {"\xff\xff\r\n", "-ERR…"}, {"\r\n", "-ERR…"}, {"WHAT\r\n", "-ERR Unknown command"},
			{strings.Repeat("x", pop3.MaxLine-2) + "\r\n", "-ERR Unknown command"},
			{strings.Repeat("x", pop3.MaxLine-1) + "\r\n", "-ERR Line too long"}, {"NOOP\n", "-ERR Log in first"},
		}},
		"http":       {script: [][2]string{{"", "+OK…"}, {"GET / HTTP/1.1\r\n", "-ERR This is a POP3 port…|EOF"}}},
		"http later": {script: [][2]string{{"", "+OK…"}, {"CAPA x\r\n", "+OK…|TOP|UIDL|RESP-CODES|AUTH-RESP-CODE|PIPELINING|USER|SASL PLAIN LOGIN|IMPLEMENTATION Eider|."}, {"Host: x\r\n", "-ERR This is a POP3 port…|EOF"}}},
		"bad commands": {script: append(append([][2]string{{"", "+OK…"}},
			repeat([2]string{"WHAT\r\n", "-ERR…"}, pop3.MaxBadCommands)...), [2]string{"WHAT\r\n", "-ERR Too many…|EOF"})},
		"bad logins": {script: append(append([][2]string{{"", "+OK…"}},
			repeat([2]string{"AUTH PLAIN AHUAeA==\r\n", "-ERR [AUTH]…"}, pop3.MaxAuthFailures)...), [2]string{"", "EOF"})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &box{clear: !tt.secure, mail: three}
			c := pipe(t, b.options())
			c.play(tt.script)
			c.nc.Close()
			<-c.done
			if got := strings.Join(b.updates, "; "); got != tt.updates {
				t.Errorf("updates %q, want %q", got, tt.updates)
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

// retrieve is what a client that takes LF for a line's end makes of RETR.
func retrieve(t testing.TB, b *box) string {
	t.Helper()
	c := pipe(t, b.options())
	c.play(login)
	c.send("RETR 1\r\nQUIT\r\n")
	c.line()
	all, err := io.ReadAll(c.r)
	if err != nil {
		t.Fatal(err)
	}
	text, ok := strings.CutSuffix(string(all), ".\r\n+OK Bye\r\n")
	if !ok {
		t.Fatalf("no end: %q", all)
	}
	if strings.HasPrefix(text, ".") {
		text = text[1:]
	}
	return strings.ReplaceAll(text, "\n.", "\n")
}

// What was stored comes back, up to the final CRLF.
func TestRetr_Exact(t *testing.T) {
	t.Parallel()
	for _, m := range []string{
		"", "x", ".", "..", "\r\n", "\r", "\n", ".\r\n", "\r\n.\r\n", "\r\n.", "a\r\n.\r\n.\r\n..\r\n", "a\n.\nb\n", "\n.", "a\r.\rb\r",
		"\r\r\n.\r\n", "\n\r\n.x", "\x00\xff\r\n.\x00", strings.Repeat(".\r\n", 40_000), strings.Repeat("x", 100_000),
		strings.Repeat("a", 32<<10-1) + "\r\n.x", strings.Repeat("a", 32<<10-2) + "\r\n.x", strings.Repeat("a", 32<<10-3) + "\r\n.x",
		strings.Repeat("a", 32<<10-1) + "\n.x", strings.Repeat("a", 32<<10-2) + "\n.x", strings.Repeat(".\n", 40_000),
	} {
		for _, slow := range []bool{false, len(m) < 1000} {
			b := &box{clear: true, slow: slow, mail: []string{m}}
			want := m
			if !strings.HasSuffix(m, "\r\n") && m != "" {
				want += "\r\n"
			}
			if got := retrieve(t, b); got != want {
				t.Errorf("%.60q (%d): got %.60q (%d)", m, len(m), got, len(got))
			}
		}
	}
}

// A mail cannot end its own listing and speak on for the server, for a client
// that splits at LF as Python's poplib does: it sees the lines of the mail.
func TestRetr_Forged(t *testing.T) {
	t.Parallel()
	const mail = "before\n.\r\n+OK 7 777\r\n-ERR gone\r\nafter\r\n"
	for _, slow := range []bool{false, true} {
		b := &box{clear: true, slow: slow, mail: []string{mail}}
		c := pipe(t, b.options())
		c.play(login)
		for _, cmd := range []string{"RETR 1", "TOP 1 9"} {
			c.send(cmd + "\r\n")
			c.line()
			var got []string
			for l := c.line(); l != "." && l != "EOF"; l = c.line() {
				got = append(got, l)
			}
			if s := strings.Join(got, "|"); s != "before\n|..|+OK 7 777|-ERR gone|after" {
				t.Errorf("%s: %q", cmd, s)
			}
		}
		c.play([][2]string{{"NOOP\r\n", "+OK…"}})
	}
}

func TestTop_LineEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mail, want string
		n          int
	}{
		{"A: b\nC: d\n\none\ntwo\n", "A: b\nC: d\n\none\n\r\n", 1},
		{"A: b\n\none", "A: b\n\n\r\n", 0},
		{"A: b\n\n.\r\n+OK\n.\n", "A: b\n\n..\r\n+OK\n\r\n", 2},
		{"A: b\r\n\r\n.one\r\ntwo", "A: b\r\n\r\n..one\r\n", 1},
		{"no header", "no header\r\n", 5},
		{"\r\nbody\r\n", "\r\n", 0},
		{"A: b\r\n\r\nlast", "A: b\r\n\r\nlast\r\n", 3},
		{"", "", 3},
	} {
		for _, slow := range []bool{false, true} {
			b := &box{clear: true, slow: slow, mail: []string{tt.mail}}
			c := pipe(t, b.options())
			c.play(login)
			c.send(fmt.Sprintf("TOP 1 %d\r\nQUIT\r\n", tt.n))
			c.line()
			all, _ := io.ReadAll(c.r)
			if got, _ := strings.CutSuffix(string(all), ".\r\n+OK Bye\r\n"); got != tt.want {
				t.Errorf("TOP %d of %q: %q, want %q", tt.n, tt.mail, all, tt.want)
			}
		}
	}
}

func TestTroubleOfTheStore(t *testing.T) {
	t.Parallel()
	b := &box{clear: true, mail: []string{"x"}}
	c := pipe(t, b.options())
	c.play(login)
	b.broken = errors.New("secret detail")
	c.play([][2]string{{"RETR 1\r\n", "-ERR [SYS/TEMP] Trouble on our side…"}, {"DELE 1\r\n", "+OK…"},
		{"QUIT\r\n", "-ERR [SYS/TEMP]…|EOF"}})
}

// Replies of commands that came together leave together.
func TestPipelining_Coalesces(t *testing.T) {
	t.Parallel()
	b := &box{clear: true, mail: []string{"x\r\n", "y\r\n"}}
	c := pipe(t, b.options())
	c.play(login)
	c.send("STAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nRETR 2\r\nDELE 1\r\nNOOP\r\n")
	buf := make([]byte, 4096)
	n, _ := c.nc.Read(buf)
	if got := strings.Count(string(buf[:n]), "\r\n"); got != 1+4+4+3+3+1+1 {
		t.Errorf("%d lines came at once: %q", got, buf[:n])
	}
}

func TestManyMessages(t *testing.T) {
	t.Parallel()
	b := &box{clear: true, mail: make([]string, 50_000)}
	c := pipe(t, b.options())
	c.play(login)
	for _, cmd := range []string{"LIST", "UIDL"} {
		c.send(cmd + "\r\n")
		n := 0
		for c.line() != "." {
			n++
		}
		if n != 50_001 {
			t.Errorf("%s has %d lines", cmd, n)
		}
	}
}

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

func TestSTLS(t *testing.T) {
	t.Parallel()
	b := &box{mail: []string{"x"}}
	o := b.options()
	o.TLS = certificate(t)
	c := pipe(t, o)
	c.play([][2]string{{"", "+OK…"}, {"CAPA\r\n", "+OK…|TOP|UIDL|RESP-CODES|AUTH-RESP-CODE|PIPELINING|STLS|IMPLEMENTATION Eider|."},
		{"USER u\r\n", "-ERR Must issue a STLS command first"}, {"STLS x\r\n", "-ERR…"}, {"STLS\r\n", "+OK Begin TLS"}})
	c.startTLS()
	c.play([][2]string{{"PASS p w\r\n", "-ERR USER first"}, {"STLS\r\n", "-ERR TLS is on already"},
		{"CAPA\r\n", "+OK…|TOP|UIDL|RESP-CODES|AUTH-RESP-CODE|PIPELINING|USER|SASL PLAIN LOGIN|IMPLEMENTATION Eider|."},
		{"USER u\r\n", "+OK…"}, {"PASS p w\r\n", "+OK…"}, {"STAT\r\n", "+OK 1 1"}, {"QUIT\r\n", "+OK…|EOF"}})
}

func TestSTLS_Injection(t *testing.T) {
	t.Parallel()
	b := &box{}
	o := b.options()
	o.TLS = certificate(t)
	c := pipe(t, o)
	c.play([][2]string{{"", "+OK…"}, {"STLS\r\nUSER evil\r\n", "-ERR Nothing may follow STLS…|EOF"}})
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	b := &box{mail: []string{"x"}}
	o := b.options()
	o.TLS, o.ImplicitTLS = certificate(t), true
	c := pipe(t, o)
	c.startTLS()
	c.play(login)
	c.play([][2]string{{"STAT\r\n", "+OK 1 1"}, {"QUIT\r\n", "+OK…|EOF"}})
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		script [][2]string
		after  time.Duration
	}{
		"login": {[][2]string{{"", "+OK…"}, {"USER u\r\n", "+OK…"}}, pop3.LoginTimeout},
		"idle":  {login, pop3.IdleTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &box{clear: true}
				c := pipe(t, b.options())
				c.play(tt.script)
				start := time.Now()
				c.nc.SetReadDeadline(time.Time{})
				line, _ := c.r.ReadString('\n')
				if !strings.HasPrefix(line, "-ERR Waited") || time.Since(start) != tt.after {
					t.Errorf("%q after %v", line, time.Since(start))
				}
				<-c.done
			})
		})
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &box{clear: true, mail: []string{"x"}}
		c := pipe(t, b.options())
		c.play(login)
		synctest.Wait()
		c.stop()
		synctest.Wait()
		c.play([][2]string{{"DELE 1\r\n", "+OK…"}})
		start := time.Now()
		c.play([][2]string{{"", "-ERR [SYS/TEMP] Server is stopping…|EOF"}})
		if d := time.Since(start); d != pop3.DrainGrace || len(b.updates) > 0 {
			t.Errorf("after %v, updates %q", d, b.updates)
		}
	})
}

// scripted is a connection whose client says what it says, and then is gone.
type scripted struct {
	net.Conn
	in    []byte
	piece int
	out   bytes.Buffer
}

func (s *scripted) Read(b []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := len(b)
	if s.piece > 0 {
		n = min(n, s.piece)
	}
	n = copy(b[:n], s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *scripted) Write(b []byte) (int, error)      { return s.out.Write(b) }
func (s *scripted) RemoteAddr() net.Addr             { return nil }
func (s *scripted) SetReadDeadline(time.Time) error  { return nil }
func (s *scripted) SetWriteDeadline(time.Time) error { return nil }

// A whole session of anything ends, and says nothing but POP3.
func FuzzPOP3(f *testing.F) {
	const in = "USER u\r\nPASS p w\r\n"
	for _, s := range []string{
		"", "CAPA\r\nQUIT\r\n", in + "STAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nTOP 2 1\r\nDELE 1\r\nQUIT\r\n", "AUTH PLAIN AHUAcCB3\r\nLIST 1\r\n",
		"AUTH LOGIN\r\ndQ==\r\ncCB3\r\nRSET\r\n", "GET / HTTP/1.1\r\n", "STLS\r\n", "\x16\x03\x01", in + "RETR 4294967297\r\n",
		strings.Repeat("x", 3000) + "\r\n", in + "DELE 1\r\nDELE 1\r\nSTAT\r\nRSET\r\nSTAT\r\n",
	} {
		f.Add([]byte(s), byte(0), false)
		f.Add([]byte(s), byte(1), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, piece byte, loggedIn bool) {
		if loggedIn {
			text = append([]byte(in), text...)
		}
		b := &box{clear: true, mail: []string{"A: b\r\n\r\n.x\r\n", "y"}}
		nc := &scripted{in: text, piece: int(piece % 16)}
		pop3.New(b.options()).ServeConn(context.Background(), nc)
		out := nc.out.String()
		if !strings.HasPrefix(out, "+OK ") || !strings.HasSuffix(out, "\r\n") || strings.Contains(out, "secret") {
			t.Fatalf("said %q", out)
		}
		if len(b.updates) > 0 && !bytes.Contains(bytes.ToUpper(text), []byte("QUIT")) {
			t.Fatalf("updated without QUIT: %q", text)
		}
	})
}

func BenchmarkRetr(b *testing.B) {
	m := strings.Repeat("The quick brown fox jumps over the lazy dog, and the lazy dog sleeps on\r\n", 14_000)
	bx := &box{clear: true, mail: []string{m}}
	c := pipe(b, bx.options())
	c.play(login)
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	buf := make([]byte, 64<<10)
	c.nc.SetReadDeadline(time.Time{})
	for b.Loop() {
		c.nc.Write([]byte("RETR 1\r\n"))
		for k := 0; !bytes.HasSuffix(buf[:k], []byte(".\r\n")); {
			var err error
			if k, err = c.nc.Read(buf); err != nil {
				b.Fatal(err)
			}
		}
	}
}
