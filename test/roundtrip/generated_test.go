package roundtrip_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/genmail"
	"github.com/eidermail/eider/test/harness"
)

// roomy are the flags of servers that get a lot of mail.
func roomy() []string {
	return []string{"--account-quota", "100GB", "--account-messages", "10000000"}
}

// TestGenerated sends generated mail of all shapes, 2,000 messages or 100,000
// with EIDER_SOAK=1, and fetches all of it by each protocol in all that mail
// goes through in a store.
func TestGenerated(t *testing.T) {
	n := 2000
	if os.Getenv("EIDER_SOAK") != "" {
		n = 100_000
	}
	g := genmail.New(5)
	s := harness.Start(t, roomy()...)
	a := s.NewAccount(t)
	sent := sendAsIs(t, s, a, n*deleteEvery/(deleteEvery-1), func(i int) (string, []byte) {
		if i%4 == 0 {
			return fmt.Sprintf("mail %d", i), g.Message()
		}
		return fmt.Sprintf("odd %d", i), g.Odd()
	})
	lives(t, s, a, sent)
}

// sendAsIs submits messages by BDAT, every byte as it is.
func sendAsIs(t *testing.T, s *harness.Server, a harness.Account, n int, mail func(i int) (string, []byte)) []letter {
	t.Helper()
	c := dial(t, s.SMTP)
	_ = c.SetDeadline(time.Now().Add(time.Hour))
	c.say(t, "220", "")
	c.say(t, "250", "EHLO generated.test\r\n")
	c.say(t, "235", "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+a.User+"\x00"+a.Pass))+"\r\n")
	var sent []letter
	for i := range n {
		name, data := mail(i)
		c.say(t, "250", "MAIL FROM:<corpus@example.test>\r\n")
		c.say(t, "250", "RCPT TO:<x@example.test>\r\n")
		reply := c.say(t, "250 Accepted [STATUS=new MSGID=", fmt.Sprintf("BDAT %d LAST\r\n%s", len(data), data))
		sent = append(sent, note(name, data, reply))
	}
	return sent
}

// TestBadInput: mail that is wrong in every way comes back as it was sent.
func TestBadInput(t *testing.T) {
	s := harness.Start(t, roomy()...)
	a := s.NewAccount(t)
	bad := badInput()
	sent := sendAsIs(t, s, a, len(bad), func(i int) (string, []byte) { return bad[i].name, bad[i].data })
	byIMAP(t, s, a, sent)
	byPOP3(t, s, a, sent)
	byWeb(t, s, sent)
	byAPI(t, s, a, sent)
	s.Fsck(t)
}

type bad struct {
	name string
	data []byte
}

// badInput is what a sender can do wrong, and the same file in lines of all widths.
func badInput() (all []bad) {
	add := func(name, text string) { all = append(all, bad{name, []byte(text)}) }
	enc := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("0123456789 a file that is sent again and again\n"), 4256))[:266_668]
	lines := func(width int, eol string) string {
		var b strings.Builder
		for e := enc; e != ""; {
			n := min(width, len(e))
			b.WriteString(e[:n] + eol)
			e = e[n:]
		}
		return b.String()
	}
	part := func(body string) string {
		return "Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body
	}
	for _, w := range []int{4, 5, 60, 64, 72, 73, 75, 76, 77, 78, 998, 1000, 32_768, 266_664, 266_668} {
		add(fmt.Sprintf("lines of %d", w), part(lines(w, "\r\n")))
		add(fmt.Sprintf("lines of %d, LF", w), part(lines(w, "\n")))
	}
	good := lines(76, "\r\n")
	for name, body := range map[string]string{
		"a stray character": good[:500] + "!" + good[500:], "a replaced one": good[:500] + "\x80" + good[501:],
		"a NUL": good[:500] + "\x00" + good[500:], "padding in the midst": good[:780] + "AA==\r\n" + good[780:],
		"a space at an end": good[:76] + " " + good[76:], "spaces at all ends": lines(76, " \r\n"),
		"a short line": good[:40] + "\r\n" + good[40:], "a long line": good[:76] + good[78:], "a blank line": good[:78] + "\r\n" + good[78:],
		"one bare LF": strings.Replace(good, "\r\n", "\n", 1), "one bare CR": strings.Replace(good, "\r\n", "\r", 1),
		"bare CRs": lines(76, "\r"), "a stray CR": good[:500] + "\r" + good[500:], "half LF": good[:len(good)/2] + lines(76, "\n"),
		"dangling bits": good + "QR==\r\n", "three pads": good + "Q===\r\n", "one over": good + "Q", "text behind": good + "\r\n-- \r\nads\r\n",
		"text before": "A file:\r\n\r\n" + good, "two joined": good + "QQ==\r\n" + good, "only padding": "====",
		"URL alphabet": strings.NewReplacer("M", "-", "T", "_").Replace(good), "quoted": "> " + strings.ReplaceAll(good, "\n", "\n> "),
		"lower case": strings.ToLower(good), "cut": good[:len(good)*2/3], "empty": "",
	} {
		add("base64: "+name, part(body))
	}
	add("zero bytes", "")
	add("only a line end", "\r\n")
	add("only a header", "Subject: x")
	add("headers that lie", "Content-Length: 5\r\nContent-Length: 99999999999\r\nLines: -1\r\nContent-Range: bytes 0-1/2\r\n"+
		"Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\nContent-MD5: x\r\n"+part(good))
	for _, depth := range []int{10, 100, 1000} {
		var b strings.Builder
		for i := range depth {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
		}
		add(fmt.Sprintf("%d multiparts deep", depth), b.String()+part(good))
		add(fmt.Sprintf("%d messages deep", depth), strings.Repeat("Content-Type: message/rfc822\r\n\r\n", depth)+part(good))
	}
	many := "Content-Type: multipart/mixed; boundary=x\r\n\r\n"
	add("empty parts", many+strings.Repeat("--x\r\n", 5000)+"--x--\r\n")
	add("parts of a header only", many+strings.Repeat("--x\r\nContent-Type: text/plain\r\n\r\n\r\n", 2000)+"--x--\r\n")
	add("10,000 parts", many+strings.Repeat("--x\r\n"+part(enc[:300])+"\r\n", 10_000)+"--x--\r\n")
	add("300 large parts", many+strings.Repeat("--x\r\n"+part(enc[:12_000])+"\r\n", 300))
	return all
}
