package abuse_test

import (
	"fmt"
	"strings"
	"testing"
)

// row is a line of 64 bytes.
const row = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n"

// tooLarge are ways to send a message over the limit; {K*n} is n kilobytes of
// text.
var tooLarge = []struct{ port, name, script string }{
	{"smtp", "SIZE", smtpLogin + "> MAIL FROM:<a@abuse.test> SIZE=100001\n< 552\n" +
		"> MAIL FROM:<a@abuse.test> SIZE=99999\n< 250\n" + smtpQuit},
	{"mx", "SIZE", smtpHello + "> MAIL FROM:<a@abuse.test> SIZE=100001\n< 552 5.3.4\n" + smtpQuit},
	{"lmtp", "SIZE", "< 220\n> LHLO x\n< 250 \n> MAIL FROM:<a@abuse.test> SIZE=100001\n< 552 5.3.4\n" + smtpQuit},
	{"smtp", "DATA", smtpRcpt + "> DATA\n< 354\n>> {K*120}.\\r\\n\n< 552\n" + smtpQuit},
	{"smtp", "DATA after a SIZE that lies", smtpLogin +
		"> MAIL FROM:<a@abuse.test> SIZE=10\n< 250\n> RCPT TO:<b@c>\n< 250\n" +
		"> DATA\n< 354\n>> {K*120}.\\r\\n\n< 552\n" + smtpQuit},
	{"smtp", "DATA far over the limit", smtpRcpt + "> DATA\n< 354\n>> {K*500}\n< 552\n<.\n"},
	{"mx", "DATA", smtpHello + "> MAIL FROM:<>\n< 250\n> RCPT TO:<{user}>\n< 250\n" +
		"> DATA\n< 354\n>> {K*120}.\\r\\n\n< 552\n" + smtpQuit},
	{"lmtp", "DATA, two recipients", "< 220\n> LHLO x\n< 250 \n> MAIL FROM:<>\n< 250\n> RCPT TO:<{user}>\n< 250\n" +
		"> RCPT TO:<{user}>\n< 250\n> DATA\n< 354\n>> {K*120}.\\r\\n\n< 552\n< 552\n" + smtpQuit},
	{"smtp", "one BDAT", smtpRcpt + "> BDAT 122880 LAST\n>> {K*120}\n< 552\n" + smtpQuit},
	{"smtp", "many BDATs", smtpRcpt + "> BDAT 61440\n>> {K*60}\n< 250\n> BDAT 61440 LAST\n>> {K*60}\n< 552\n" + smtpQuit},
	{"smtp", "BDAT far over the limit", smtpRcpt + "> BDAT 500000000 LAST\n< 552\n<.\n"},
	{"imap", "APPEND", imapLogin + "> a APPEND INBOX {100001}\n< a NO [TOOBIG]\n" + imapQuit},
	{"imap", "APPEND, unasked", imapLogin + "> a APPEND INBOX {122880+}\n>> {K*120}\\r\\n\n< a NO [TOOBIG]\n" + imapQuit},
	{"imap", "APPEND, to nowhere", imapLogin + "> a APPEND nowhere {10}\n< a NO [TRYCREATE]\n" + imapQuit},
}

// TestTooLarge: a message over the limit gets 552, before its body where SIZE
// says so, and NO [TOOBIG] over IMAP; one of just the limit is taken.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	s := start(t, "--message-limit", "100KB")
	kilo := strings.ReplaceAll(strings.Repeat(row, 16), "\r\n", `\r\n`)
	for _, c := range tooLarge {
		t.Run(c.port+" "+c.name, func(t *testing.T) {
			w := dial(t, s.ports()[c.port])
			w.talk(s.acct, strings.ReplaceAll(c.script, "{K*", "{"+kilo+"*"))
			w.Close()
			s.survives(t, 0)
		})
	}
	s.submit(t, []byte(strings.Repeat("x", 100_000)))
	s.survives(t, 0)
}

// TestFullAccount: an account that is full loses its oldest mail on a laptop
// and takes the next; a message larger than all its room is refused.
func TestFullAccount(t *testing.T) {
	t.Parallel()
	s := start(t, "--account-quota", "100KB", "--message-limit", "1MB")
	for i := range 5 {
		s.submit(t, []byte(fmt.Sprintf("Subject: %d\r\n\r\n%s", i, strings.Repeat(row, 500))))
	}
	if s.messages = s.census(t); s.messages >= 5 || s.messages < 2 {
		t.Errorf("of 5 messages of a third of the quota %d are there", s.messages)
	}
	w := dial(t, s.SMTP)
	w.talk(s.acct, smtpRcpt+"> BDAT 200000 LAST\n>> {x*200000}\n< 552\n"+smtpQuit)
	s.survives(t, 0)
}
