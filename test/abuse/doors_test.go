package abuse_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// poplib is what Python's POP3 client makes of a mailbox with one message:
// what it retrieves, and whether it is still in step.
const poplib = `
import poplib, sys
p = poplib.POP3(sys.argv[1], int(sys.argv[2]), timeout=20)
p.user(sys.argv[3]); p.pass_(sys.argv[4])
print(p.stat()[0])
for lines in (p.retr(1)[1], p.top(1, 99)[1]):
    print(b'|'.join(lines).decode())
print(p.noop().decode(), p.stat()[0])
p.quit()
`

// TestForgedPOP3: a stranger's mail cannot speak in the server's name to a
// client that splits lines at LF: it is read to its own end.
func TestForgedPOP3(t *testing.T) {
	t.Parallel()
	harness.Need(t, "python3")
	s := start(t)
	mx := dial(t, s.MX)
	mx.talk(s.acct, smtpHello+"> MAIL FROM:<>\n< 250\n> RCPT TO:<{user}>\n< 250\n> DATA\n< 354\n"+
		">> before\\n.\\r\\n+OK 7 777\\r\\n-ERR gone\\r\\nafter\\r\\n.\\r\\n\n< 250\n"+smtpQuit)
	s.messages++
	host, port, err := net.SplitHostPort(s.POP3)
	if err != nil {
		t.Fatal(err)
	}
	out := harness.Run(t, time.Minute, "python3", "-c", poplib, host, port, s.acct.User, s.acct.Pass)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	const tail = "before|.|+OK 7 777|-ERR gone|after"
	if len(lines) != 4 || lines[0] != "1" || !strings.HasSuffix(lines[1], tail) || lines[2] != lines[1] ||
		!strings.HasPrefix(lines[3], "+OK ") || !strings.HasSuffix(lines[3], " 1") {
		t.Errorf("poplib reads:\n%s", out)
	}
	s.survives(t, 0)
}

// TestStoppedAccount: an account that is disabled keeps nobody else's mail
// back, and its own sessions end.
func TestStoppedAccount(t *testing.T) {
	t.Parallel()
	s := start(t)
	stopped := s.NewAccount(t)
	for range 2 {
		w := dial(t, s.MX)
		w.talk(stopped, smtpHello+"> MAIL FROM:<>\n< 250\n> RCPT TO:<{user}>\n< 250\n> BDAT 5 LAST\n>> x\\r\\ny\\n\n< 250\n"+smtpQuit)
		s.messages++
	}
	pop, quit, imap := dial(t, s.POP3), dial(t, s.POP3), dial(t, s.IMAP)
	pop.talk(stopped, pop3Login)
	quit.talk(stopped, pop3Login+"> DELE 1\n< +OK\n")
	imap.talk(stopped, imapLogin)
	smtp := dial(t, s.SMTP)
	smtp.talk(stopped, smtpLogin)
	s.operate(t, "account", "disable", stopped.User)
	pop.talk(stopped, "> RETR 1\n< -ERR [AUTH]\n<.\n")
	quit.talk(stopped, "> QUIT\n< -ERR [AUTH]\n<.\n")
	imap.talk(stopped, "> a SELECT INBOX\n< a NO [CONTACTADMIN]\n> b STATUS INBOX (MESSAGES)\n< b NO\n")
	smtp.talk(stopped, "> MAIL FROM:<a@b.test>\n< 421\n<.\n")
	for port, hello := range map[string]string{"mx": "EHLO", "lmtp": "LHLO", "smtp": "EHLO"} {
		w := dial(t, s.ports()[port])
		w.talk(s.acct, fmt.Sprintf("< 220\n> %s x\n< 250 \n> MAIL FROM:<a@b.test>\n< 250\n> RCPT TO:<{user}>\n< 250\n"+
			"> RCPT TO:<%s>\n< 550\n> DATA\n< 354\n> Subject: x\n> .\n< 250\n", hello, stopped.User)+smtpQuit)
		s.messages++
	}
	s.survives(t, 0)
}
