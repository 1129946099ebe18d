package abuse_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

// The beginnings of conversations, up to a state.
const (
	smtpHello = "< 220\n> EHLO abuse.test\n< 250 \n"
	smtpLogin = smtpHello + "> AUTH PLAIN {plain}\n< 235\n"
	smtpMail  = smtpLogin + "> MAIL FROM:<a@abuse.test>\n< 250\n"
	smtpRcpt  = smtpMail + "> RCPT TO:<b@abuse.test>\n< 250\n"
	smtpQuit  = "> NOOP\n< 250\n> QUIT\n< 221\n<.\n"

	imapLogin  = "< * OK\n> l LOGIN {user} {pass}\n< l OK\n"
	imapSelect = imapLogin + "> s SELECT INBOX\n< s OK\n"
	imapQuit   = "> n NOOP\n< n OK\n> q LOGOUT\n< q OK\n<.\n"

	pop3Login = "< +OK\n> USER {user}\n< +OK\n> PASS {pass}\n< +OK\n"
	pop3Quit  = "> QUIT\n< +OK\n<.\n"
)

// commands are commands and envelopes that are wrong. Each gets a clear
// error of its protocol, and, unless the connection must end, the next
// command is answered as if nothing had been.
var commands = []struct{ port, name, script string }{
	{"smtp", "line of 3,000 bytes", smtpHello + "> NOOP {a*3000}\n< 500\n" + smtpQuit},
	{"smtp", "line of 900,000 bytes", smtpHello + "> VRFY {a*900000}\n< 500\n" + smtpQuit},
	{"smtp", "line of 2 MiB", smtpHello + "> {a*2097152}\n< 500\n<.\n"},
	{"smtp", "line without an end", smtpHello + ">> {a*2097152}\n< 500\n<.\n"},
	{"smtp", "AUTH line of 13,000 bytes", smtpHello + "> AUTH PLAIN {A*13000}\n< 500\n" + smtpQuit},
	{"smtp", "AUTH response of 13,000 bytes", smtpHello + "> AUTH PLAIN\n< 334\n> {A*13000}\n< 500\n" + smtpQuit},
	{"smtp", "AUTH response that is no base64", smtpHello + "> AUTH LOGIN\n< 334\n> ***\n< 501\n" + smtpQuit},
	{"smtp", "AUTH response with NULs", smtpHello + "> AUTH PLAIN\n< 334\n>> \\x00\\x00\\r\\n\n< 501\n" + smtpQuit},
	{"smtp", "unknown command", smtpHello + "> XYZZY\n< 500\n" + smtpQuit},
	{"smtp", "empty lines", smtpHello + "> \n< 500\n> \n< 500\n" + smtpQuit},
	{"smtp", "NUL in a command", smtpHello + ">> MAIL FROM:<a\\x00@abuse.test>\\r\\n\n< 500\n" + smtpQuit},
	{"smtp", "bare CR in a command", smtpHello + ">> NOOP\\rMAIL FROM:<a@abuse.test>\\r\\n\n< 500\n" + smtpQuit},
	{"smtp", "MAIL before EHLO", "< 220\n> MAIL FROM:<a@abuse.test>\n< 503\n" + smtpQuit},
	{"smtp", "MAIL twice", smtpMail + "> MAIL FROM:<c@abuse.test>\n< 503\n" + smtpQuit},
	{"smtp", "DATA without recipients", smtpMail + "> DATA\n< 554\n" + smtpQuit},
	{"smtp", "sender that is none", smtpHello + "> MAIL FROM:<a b\n< 501\n" + smtpQuit},
	{"smtp", "path of 1,500 bytes", smtpHello + "> MAIL FROM:<{a*1500}@abuse.test>\n< 501\n" + smtpQuit},
	{"smtp", "recipient that is none", smtpMail + "> RCPT TO:<>\n< 501\n> RCPT TO:<@>\n< 501\n" + smtpQuit},
	{"smtp", "parameter unknown", smtpHello + "> MAIL FROM:<a@abuse.test> XYZ=1\n< 555\n" + smtpQuit},
	{"smtp", "SIZE of a trillion", smtpLogin + "> MAIL FROM:<a@abuse.test> SIZE=1000000000000\n< 552\n" + smtpQuit},
	{"smtp", "SIZE of 30 digits", smtpLogin + "> MAIL FROM:<a@abuse.test> SIZE={9*30}\n< 552\n" + smtpQuit},
	{"smtp", "SIZE below zero", smtpLogin + "> MAIL FROM:<a@abuse.test> SIZE=-1\n< 501\n" + smtpQuit},
	{"smtp", "BDAT below zero", smtpRcpt + "> BDAT -1 LAST\n< 501\n<.\n"},
	{"smtp", "BDAT of 2^64", smtpRcpt + "> BDAT 18446744073709551616 LAST\n< 501\n<.\n"},
	{"smtp", "BDAT of 2^61", smtpRcpt + "> BDAT 2305843009213693952 LAST\n< 552\n<.\n"},
	{"smtp", "BDAT broken off", smtpRcpt + "> BDAT 100\n>> half\n"},
	{"smtp", "DATA in the midst of BDAT", smtpRcpt +
		"> BDAT 4\n>> half\n< 250\n> DATA\n< 503\n> RSET\n< 250\n" + smtpQuit},
	{"smtp", "30 wrong commands", smtpHello + ">> {X\\r\\n*30}\n< 421\n<.\n"},
	{"smtp", "TLS on the plain port", ">> \\x16\\x03\\x01\\x02\\x00\\x01\\x00\\x01\\xfc\\x03\\x03\n<.\n"},
	{"mx", "AUTH", smtpHello + "> AUTH PLAIN {plain}\n< 502\n" + smtpQuit},
	{"mx", "nobody's address", smtpHello +
		"> MAIL FROM:<>\n< 250\n> RCPT TO:<nobody@eider.test>\n< 550 5.1.1\n" + smtpQuit},
	{"mx", "relaying", smtpHello + "> MAIL FROM:<a@b>\n< 250\n> RCPT TO:<x@elsewhere.test>\n< 550\n" + smtpQuit},
	{"lmtp", "EHLO", "< 220\n> EHLO abuse.test\n< 500\n" + smtpQuit},
	{"lmtp", "nobody's address", "< 220\n> LHLO a\n< 250 \n> MAIL FROM:<>\n< 250\n> RCPT TO:<nobody@eider.test>\n< 550\n" +
		"> DATA\n< 503\n" + smtpQuit},

	{"imap", "line of 70,000 bytes", imapLogin + "> a NOOP {a*70000}\n< a BAD\n" + imapQuit},
	{"imap", "line of 3 MiB", imapLogin + "> a {a*3145728}\n< a BAD\n" + imapQuit},
	{"imap", "line of 70,000 bytes before login", "< * OK\n> a LOGIN {a*70000} b\n< a BAD\n" + imapQuit},
	{"imap", "tag of 70,000 bytes", imapLogin + "> {a*70000} NOOP\n< * BAD\n" + imapQuit},
	{"imap", "line of 70,000 bytes with a literal, unasked", imapLogin +
		"> a NOOP {a*70000} {8+}\n>> x NOOP\\r\\n\\r\\n\n< a BAD\n" + imapQuit},
	{"imap", "no tag", imapLogin + "> \n< * BAD\n>> \\x00\\x00\\r\\n\n< * BAD\n" + imapQuit},
	{"imap", "unknown command", imapLogin + "> a XYZZY\n< a BAD\n" + imapQuit},
	{"imap", "login name of 70,000 bytes", "< * OK\n> a LOGIN {70000}\n< a NO\n" + imapQuit},
	{"imap", "literal over the limit", imapLogin + "> a CREATE {70000}\n< a NO [TOOBIG]\n" + imapQuit},
	{"imap", "literal over the limit, unasked", imapLogin +
		"> a CREATE {70000+}\n>> {a*70000}\\r\\n\n< a NO [TOOBIG]\n" + imapQuit},
	{"imap", "literal of 2^62", imapLogin + "> a CREATE {4611686018427387904}\n< a BAD\n" + imapQuit},
	{"imap", "literal of 2^64", imapLogin + "> a CREATE {18446744073709551616}\n< a BAD\n" + imapQuit},
	{"imap", "literal of 2^62, unasked", imapLogin + "> a CREATE {4611686018427387904+}\n< a BAD\n"},
	{"imap", "literal below zero", imapLogin + "> a CREATE {-1}\n< a BAD\n" + imapQuit},
	{"imap", "APPEND of a trillion bytes", imapLogin + "> a APPEND INBOX {1000000000000}\n< a NO [TOOBIG]\n" + imapQuit},
	{"imap", "APPEND broken off", imapLogin + "> a APPEND INBOX {1000}\n< +\n> Subject: half\n"},
	{"imap", "nesting of 10,000", imapSelect + "> a SEARCH {(*10000}ALL{)*10000}\n< a BAD\n" + imapQuit},
	{"imap", "NOT 10,000 times", imapSelect + "> a SEARCH {NOT *10000}ALL\n< a BAD\n" + imapQuit},
	{"imap", "mailbox name of 5,000 bytes", imapLogin + "> a CREATE {a*5000}\n< a NO\n" + imapQuit},
	{"imap", "mailbox name with 2,000 levels", imapLogin + "> a CREATE {a/*500}\n< a NO\n" + imapQuit},
	{"imap", "mailbox name in broken UTF-7", imapLogin + "> a CREATE \"&AAA\"\n< a NO\n" + imapQuit},
	{"imap", "patterns that match slowly", imapLogin + "> a LIST \"\" \"{%*a*300}\"\n< a OK\n" + imapQuit},
	{"imap", "set of 2^32", imapSelect + "> a FETCH 4294967296 FLAGS\n< a BAD\n> b FETCH 0 FLAGS\n< b BAD\n" + imapQuit},
	{"imap", "set backwards", imapSelect + "> a UID FETCH 4294967295:1 FLAGS\n< a OK\n" + imapQuit},
	{"imap", "part 4294967296", imapSelect + "> a FETCH 1 BODY[1.{9*30}]\n< a BAD\n" + imapQuit},
	{"imap", "FETCH before SELECT", imapLogin + "> a FETCH 1 FLAGS\n< a BAD\n" + imapQuit},
	{"imap", "SELECT before LOGIN", "< * OK\n> a SELECT INBOX\n< a BAD\n" + imapQuit},
	{"imap", "line of 70,000 bytes in IDLE", imapSelect + "> a IDLE\n< +\n> {a*70000}\n< a BAD\n" + imapQuit},
	{"imap", "garbage in AUTHENTICATE", "< * OK\n" +
		"> a AUTHENTICATE PLAIN\n< +\n>> \\xff\\xfe\\x00\\r\\n\n< a BAD\n" + imapQuit},
	{"imap", "30 wrong commands", imapLogin + ">> {x y\\r\\n*30}\n< * BYE\n<.\n"},
	{"imap", "TLS on the plain port", "< * OK\n>> \\x16\\x03\\x01\\x02\\x00\\x01\\x00\\x01\\xfc\\r\\n\n<.\n"},

	{"pop3", "line of 1,500 bytes", "< +OK\n> USER {a*1500}\n< -ERR\n> USER {user}\n< +OK\n" + pop3Quit},
	{"pop3", "line of 900,000 bytes", pop3Login + "> NOOP {a*900000}\n< -ERR\n> NOOP\n< +OK\n" + pop3Quit},
	{"pop3", "line of 2 MiB", pop3Login + "> {a*2097152}\n< -ERR\n<.\n"},
	{"pop3", "AUTH response of 13,000 bytes", "< +OK\n> AUTH PLAIN\n< +\n> {A*13000}\n< -ERR\n> CAPA\n< +OK\n" + pop3Quit},
	{"pop3", "unknown command", pop3Login + "> XYZZY\n< -ERR\n> \n< -ERR\n" + pop3Quit},
	{"pop3", "NUL in a command", pop3Login + ">> STAT\\x00\\r\\n\n< -ERR\n> STAT\n< +OK\n" + pop3Quit},
	{"pop3", "numbers that are none", pop3Login + "> RETR -1\n< -ERR\n> RETR 0\n< -ERR\n" +
		"> RETR 99999999999999999999\n< -ERR\n> RETR 1x\n< -ERR\n" +
		"> TOP 1 -1\n< -ERR\n> DELE 4294967297\n< -ERR\n> RETR 1 1\n< -ERR\n" + pop3Quit},
	{"pop3", "RETR before the login", "< +OK\n> RETR 1\n< -ERR\n" + pop3Quit},
	{"pop3", "DELE and a broken connection", pop3Login + "> DELE 1\n< +OK\n"},
	{"pop3", "30 wrong commands", pop3Login + ">> {X\\r\\n*30}\n< -ERR Too many\n<.\n"},
	{"pop3", "TLS on the plain port", "< +OK\n>> \\x16\\x03\\x01\\x02\\x00\\x01\\x00\\x01\\xfc\\r\\n\n<.\n"},
}

// TestCommands: a clear protocol error for every wrong command; nothing is
// stored, nothing is lost.
func TestCommands(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.submit(t, []byte("Subject: stays\r\n\r\n"))
	for _, c := range commands {
		t.Run(c.port+" "+c.name, func(t *testing.T) {
			w := dial(t, s.ports()[c.port])
			w.talk(s.acct, c.script)
			w.Close()
			s.survives(t, 0)
		})
	}
}

// states are conversations into which garbage falls: before the login, in the
// midst of it, after it, within a transaction and within a message.
var states = []struct{ port, name, script string }{
	{"smtp", "greeting", ""},
	{"smtp", "hello", smtpHello},
	{"smtp", "AUTH", smtpHello + "> AUTH LOGIN\n< 334\n"},
	{"smtp", "login", smtpLogin},
	{"smtp", "MAIL", smtpMail},
	{"smtp", "RCPT", smtpRcpt},
	{"smtp", "DATA", smtpRcpt + "> DATA\n< 354\n"},
	{"smtp", "BDAT", smtpRcpt + "> BDAT 10\n>> 0123456789\n< 250\n"},
	{"mx", "greeting", ""},
	{"mx", "RCPT", smtpHello + "> MAIL FROM:<>\n< 250\n> RCPT TO:<{user}>\n< 250\n"},
	{"lmtp", "greeting", ""},
	{"lmtp", "RCPT", "< 220\n> LHLO a\n< 250 \n> MAIL FROM:<>\n< 250\n> RCPT TO:<{user}>\n< 250\n"},
	{"imap", "greeting", ""},
	{"imap", "AUTHENTICATE", "< * OK\n> a AUTHENTICATE PLAIN\n< +\n"},
	{"imap", "login", imapLogin},
	{"imap", "SELECT", imapSelect},
	{"imap", "IDLE", imapSelect + "> a IDLE\n< +\n"},
	{"imap", "literal", imapLogin + "> a CREATE {60000}\n< +\n"},
	{"imap", "APPEND", imapLogin + "> a APPEND INBOX {1000000}\n< +\n"},
	{"pop3", "greeting", ""},
	{"pop3", "AUTH", "< +OK\n> AUTH PLAIN\n< +\n"},
	{"pop3", "USER", "< +OK\n> USER {user}\n< +OK\n"},
	{"pop3", "login", pop3Login},
	{"smtps", "handshake", ""},
	{"imaps", "handshake", ""},
	{"pop3s", "handshake", ""},
	{"http", "request", ""},
	{"http", "header", ">> GET / HTTP/1.1\\r\\nHost: localhost\\r\\nX: \n"},
	{"admin", "request", ""},
}

// TestGarbage: binary garbage in every state of every protocol. What the
// server says to it is lines of its protocol, and nothing is stored.
func TestGarbage(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.submit(t, []byte("Subject: stays\r\n\r\n"))
	ports := s.ports()
	ports["smtps"], ports["imaps"], ports["pop3s"] = s.SMTPS, s.IMAPS, s.POP3S
	ports["http"], ports["admin"] = s.HTTP, s.Admin
	for i, c := range states {
		t.Run(c.port+" "+c.name, func(t *testing.T) {
			for form, junk := range garbage(uint64(i)) {
				w := dial(t, ports[c.port])
				w.talk(s.acct, c.script)
				go func() {
					_, _ = w.Write(junk)
					_ = w.Conn.(*net.TCPConn).CloseWrite()
				}()
				said := w.rest()
				if bad := strings.IndexFunc(said, control); bad >= 0 && !strings.HasSuffix(c.port, "s") {
					t.Errorf("garbage %s is answered with a control character: %.300q", form, said[bad:])
				}
				w.Close()
			}
			s.survives(t, 0)
		})
	}
}

// control is a character that no reply of a text protocol has.
func control(r rune) bool {
	return r < ' ' && r != '\r' && r != '\n' && r != '\t' || r == 0x7f || r == '\ufffd'
}

// garbage is the same at every run: random bytes, random bytes cut in lines,
// the bytes of a terminal, NULs, line ends.
func garbage(seed uint64) map[string][]byte {
	rnd := rand.New(rand.NewPCG(seed, 1))
	random := make([]byte, 40_000)
	for i := range random {
		random[i] = byte(rnd.Uint32())
	}
	lines := make([]byte, 20_000)
	for i := range lines {
		if lines[i] = byte(rnd.Uint32()); rnd.IntN(40) == 0 {
			lines[i] = '\n'
		}
	}
	return map[string][]byte{
		"random": random, "lines": lines, "NULs": make([]byte, 10_000),
		"telnet":    []byte("\xff\xfb\x01\xff\xfd\x03\xff\xf4\xff\xfd\x06\x1b[2J\x1b]0;owned\x07\r\n"),
		"line ends": bytes.Repeat([]byte("\r\n\n\r"), 500),
	}
}

// TestSlowClients: clients that begin and then say nothing, on every port and
// in the midst of everything, hold nobody up; one that sends a byte at a time
// is served.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	s := start(t)
	ports := s.ports()
	ports["smtps"], ports["http"], ports["admin"] = s.SMTPS, s.HTTP, s.Admin
	for i := range 20 {
		for _, c := range states {
			if addr := ports[c.port]; addr != "" && i < 5 {
				w := dial(t, addr)
				w.talk(s.acct, c.script)
				w.send("\x16\x03"[:i%2+1])
			}
		}
	}
	began := time.Now()
	s.survives(t, 0)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("beside slow clients a mail took %v", took)
	}
	slow := dial(t, s.SMTP)
	slow.talk(s.acct, smtpRcpt+"> DATA\n< 354")
	text := "Subject: slow\r\n\r\n..\r\nbyte\r\nby\r\nbyte\r\n"
	for _, b := range []byte(text + ".\r\n") {
		slow.send(string([]byte{b}))
		time.Sleep(time.Millisecond) // the client is slow: that is what is tried here
	}
	want := strings.ReplaceAll(text, "\r\n..\r\n", "\r\n.\r\n")
	if got := string(s.raw(t, msgid(t, slow.until("250")))); !strings.HasSuffix(got, want) {
		t.Errorf("a slow client's mail came back as %q", got)
	}
	header := dial(t, s.HTTP)
	header.send("GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
	body := dial(t, s.HTTP)
	body.send("POST /user HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
	if got := body.rest(); !strings.Contains(got, `"status":"error"`) {
		t.Errorf("a body that does not come: %q", got)
	}
	if got := header.rest(); got != "" && !strings.HasPrefix(got, "HTTP/1.1 408") {
		t.Errorf("a header that does not come: %q", got)
	}
	s.survives(t, 1)
}

// TestRecipients: 10,000 recipients get one message; the next gets 452, and
// so does the account after the hundredth at the MX.
func TestRecipients(t *testing.T) {
	t.Parallel()
	s := start(t, "--account-messages", "100000")
	w := dial(t, s.SMTP)
	w.talk(s.acct, smtpMail)
	go func() {
		var all bytes.Buffer
		for i := range 10_001 {
			fmt.Fprintf(&all, "RCPT TO:<r%d@abuse.test>\r\n", i)
		}
		w.send(all.String())
	}()
	for i := range 10_000 {
		if line := w.until(""); !strings.HasPrefix(line, "250") {
			t.Fatalf("recipient %d: %s", i+1, line)
		}
	}
	w.until("452")
	w.send("BDAT 13 LAST\r\nSubject: many")
	if got := s.raw(t, msgid(t, w.until("250"))); !bytes.HasSuffix(got, []byte("Subject: many")) {
		t.Errorf("came back as %q", got)
	}
	s.survives(t, 1)

	mx := dial(t, s.MX)
	mx.talk(s.acct, smtpHello+"> MAIL FROM:<>\n< 250")
	for range 100 {
		mx.send("RCPT TO:<" + s.NewAccount(t).User + ">\r\n")
		mx.until("250")
	}
	mx.send("RCPT TO:<" + s.acct.User + ">\r\n")
	mx.until("452 4.5.3")
	mx.talk(s.acct, "> DATA\n< 354\n> Subject: x\n> .\n< 250")
	s.survives(t, 100)
}
