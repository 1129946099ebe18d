package abuse_test

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
)

// contents are messages of any form. All of them are accepted, and come back
// byte for byte.
func contents() map[string][]byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	line := strings.Repeat("x", 1<<20)
	head := "Subject: odd\r\nMIME-Version: 1.0\r\n"
	deep := strings.Builder{}
	deep.WriteString(head)
	for i := range 10_000 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	return map[string][]byte{
		"empty":                []byte(""),
		"one LF":               []byte("\n"),
		"one CR":               []byte("\r"),
		"one NUL":              []byte("\x00"),
		"one dot":              []byte("."),
		"only a line end":      []byte("\r\n"),
		"no header":            []byte("\r\nbody\r\n"),
		"no body":              []byte("Subject: x\r\n"),
		"no final line end":    []byte(head + "\r\nthe end"),
		"final CR":             []byte(head + "\r\nthe end\r"),
		"dots":                 []byte(".\r\n..\r\n.x\r\n\r\n.\r\n..\r\n...\r\n.\r\n"),
		"NULs":                 []byte("Subject: a\x00b\r\n\x00\r\n\r\n" + strings.Repeat("\x00", 5000) + "\r\n"),
		"bare CR":              []byte("Subject: x\r\rone\rtwo\r\r\n\r\nthree\r\r\nfour\r"),
		"bare LF":              []byte("Subject: x\n\none\n\n.\ntwo\n.\n"),
		"all line ends":        []byte("A: b\n\rC: d\r\r\n\n\r\n\r\n\n\n.\r.\n.\r\n\r\r\n"),
		"every byte":           append([]byte(head+"\r\n"), bytes.Repeat(all, 50)...),
		"every byte, no head":  bytes.Repeat(all, 50),
		"header line of 1 MiB": []byte("Subject: " + line + "\r\n\r\nx\r\n"),
		"header name of 1 MiB": []byte(line + ": x\r\n\r\nx\r\n"),
		"body line of 1 MiB":   []byte(head + "\r\n" + line + "\r\n" + line),
		"header without end":   []byte(strings.Repeat("X-A: b\r\n", 50_000)),
		"ESC and bidi":         []byte("Subject: \x1b[31m\xe2\x80\xae\r\nFrom: \x1b]0;x\x07 <a@b>\r\n\r\n\x1b[2J\r\n"),
		"broken UTF-8":         []byte("Subject: =?utf-8?q?=ff=fe?= \xff\xc0\x80\r\nFrom: \xed\xa0\x80\r\n\r\n\xf8\x88\r\n"),
		"multiparts 10,000":    []byte(deep.String()),
		"messages 10,000":      []byte(head + strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 10_000)),
		"HTML 10,000": []byte(head + "Content-Type: text/html\r\n\r\n" + strings.Repeat("<div><b>", 10_000) +
			"deep" + strings.Repeat("</div>", 10_000)),
		"comments 10,000": []byte("From: " + strings.Repeat("(", 10_000) + " <a@b>\r\n" +
			"To: " + strings.Repeat("<", 10_000) + "\r\n\r\n"),
		"parts 20,000": []byte(head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
			strings.Repeat("--b\r\n\r\n", 20_000)),
		"broken base64":    []byte(head + "Content-Transfer-Encoding: base64\r\n\r\n====AAA=\r\n=\x00A\r\nAA\r\n"),
		"charset of none":  []byte(head + "Content-Type: text/plain; charset=\"\x00\xff\"\r\n\r\n\xff\xfe\r\n"),
		"an mbox":          []byte("From a@b Mon Nov  2 10:00:00 2026\nSubject: x\n\nFrom here\n>From there\n"),
		"Return-Path more": []byte("Return-Path: <x@y>\r\nReceived: from a\r\nX-Eider: 1\r\n\r\nx\r\n"),
	}
}

// returnPath is what submission puts before a message, and all of it.
const returnPath = "Return-Path: <a@abuse.test>\r\n"

// TestContents: content of any form is accepted by every door, and returned
// byte for byte by the API, IMAP, POP3 and the link of the SMTP reply. Every
// way to look into it answers.
func TestContents(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, data := range contents() {
		t.Run(name, func(t *testing.T) {
			sent := append([]byte(returnPath), data...)
			id := s.submit(t, data)
			s.same(t, id, sent)
			s.looks(t, id)
			if len(data) == 0 || bytes.HasSuffix(data, []byte("\r\n")) { // else DATA cannot carry it
				s.same(t, s.submitDots(t, data), sent)
			}
			if len(data) > 0 { // RFC 9051 §6.3.12 has no empty APPEND
				w := dial(t, s.IMAP)
				w.talk(s.acct, imapSelect)
				w.send(fmt.Sprintf("a APPEND INBOX ~{%d+}\r\n%s\r\n", len(data), data))
				w.until("a OK")
				s.messages++
				if got := w.fetched(); !bytes.Equal(got, data) {
					t.Errorf("APPEND of %d bytes came back as %d: %.200q", len(data), len(got), got)
				}
				w.Close()
			}
			s.survives(t, 0)
		})
	}
}

// same reads the newest message in all ways.
func (s *target) same(t *testing.T, id string, want []byte) {
	t.Helper()
	check := func(how string, got []byte) {
		t.Helper()
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes came back as %d\nwant %.200q\nhave %.200q", how, len(want), len(got), want, got)
		}
	}
	check("API", s.raw(t, id))
	check("link", []byte(s.ask(t, "GET", "/message/"+id+"/message.eml").body))
	w := dial(t, s.IMAP)
	w.talk(s.acct, imapSelect)
	check("IMAP", w.fetched())
	w.Close()
	w = dial(t, s.POP3)
	w.talk(s.acct, pop3Login+"> STAT")
	count, _, _ := strings.Cut(strings.TrimPrefix(w.until("+OK"), "+OK "), " ")
	w.talk(s.acct, "> RETR "+count+"\n< +OK")
	var got bytes.Buffer
	for !bytes.HasSuffix(got.Bytes(), []byte("\r\n.\r\n")) {
		line, err := w.r.ReadBytes('\n')
		if got.Write(line); err != nil {
			t.Fatalf("POP3: %v after %d bytes", err, got.Len())
		}
	}
	text := bytes.ReplaceAll(bytes.TrimSuffix(got.Bytes(), []byte(".\r\n")), []byte("\n."), []byte("\n"))
	if !bytes.HasSuffix(want, []byte("\r\n")) { // the protocol ends the last line
		text = bytes.TrimSuffix(text, []byte("\r\n"))
	}
	check("POP3", text)
	w.Close()
}

// fetched is the newest message of the selected mailbox.
func (w *wire) fetched() []byte {
	w.t.Helper()
	w.send("f FETCH * BODY.PEEK[]\r\n")
	line := w.until("* ")
	for strings.Contains(line, "EXISTS") || strings.Contains(line, "RECENT") {
		line = w.until("* ")
	}
	var size int
	if _, err := fmt.Sscanf(line[strings.LastIndexByte(line, '{')+1:], "%d}", &size); err != nil {
		w.t.Fatalf("FETCH: %q", line)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(w.r, b); err != nil {
		w.t.Fatal(err)
	}
	w.until("f OK")
	return b
}

// submitDots is submit by DATA.
func (s *target) submitDots(t *testing.T, data []byte) string {
	t.Helper()
	stuffed := bytes.ReplaceAll(append([]byte("\r\n"), data...), []byte("\r\n."), []byte("\r\n.."))[2:]
	w := dial(t, s.SMTP)
	defer w.Close()
	w.talk(s.acct, smtpRcpt+"> DATA\n< 354")
	w.send(string(stuffed) + ".\r\n")
	s.messages++
	return msgid(t, w.until("250"))
}

// looks asks for everything that interprets the newest message.
func (s *target) looks(t *testing.T, id string) {
	t.Helper()
	paths := []string{"/v1/messages/" + id, "/message/" + id + "/source"}
	for _, tab := range []string{"", "?tab=text", "?tab=headers", "?tab=parts", "?tab=source"} {
		paths = append(paths, "/message/"+id+tab)
	}
	for _, path := range paths {
		a := s.ask(t, "GET", path, "Authorization", basic(s.acct))
		if a.StatusCode != 200 {
			t.Errorf("GET %s: %d %.300s", path, a.StatusCode, a.body)
		}
		if m := regexp.MustCompile(`src="(/f/[^"]+)"`).FindStringSubmatch(a.body); m != nil {
			frame := strings.ReplaceAll(m[1], "&amp;", "&")
			if f := s.ask(t, "GET", frame, "Sec-Fetch-Dest", "iframe"); f.StatusCode != 200 {
				t.Errorf("GET %s: %d %.300s", frame, f.StatusCode, f.body)
			}
		}
	}
	w := dial(t, s.IMAP)
	defer w.Close()
	w.talk(s.acct, imapSelect+"> a FETCH * (ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER] BODY.PEEK[1.1.MIME])\n< a OK\n"+
		"> b SEARCH * TEXT deep\n< b OK\n"+imapQuit)
}

// smuggling is what other servers have taken for the end of a message.
var smuggling = []string{
	"\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r\n", "\n.\r", "\r.\n", "\r\r\n.\r\r\n", "\r\n\x00.\r\n",
	"\r\n.\x00\r\n", "\r\n. \r\n", "\n\n.\n\n", "\r\n.\r\r\n", "\x85.\x85", "\r\n..\r\n",
}

// TestSmuggling: only CRLF.CRLF ends a message. What looks like its end to
// somebody else stays content, and the commands behind it are not run.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	s := start(t)
	doors := map[string]string{
		"smtp": smtpRcpt,
		"mx":   smtpHello + "> MAIL FROM:<a@abuse.test>\n< 250\n> RCPT TO:<{user}>\n< 250\n",
		"lmtp": "< 220\n> LHLO x\n< 250 \n> MAIL FROM:<a@abuse.test>\n< 250\n> RCPT TO:<{user}>\n< 250\n",
	}
	const evil = "MAIL FROM:<evil@abuse.test>\r\nRCPT TO:<victim@abuse.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n"
	for port, script := range doors {
		for _, form := range smuggling {
			t.Run(fmt.Sprintf("%s %q", port, form), func(t *testing.T) {
				w := dial(t, s.ports()[port])
				w.talk(s.acct, script+"> DATA\n< 354")
				body := "Subject: one\r\n\r\nbefore" + form + evil
				w.send(body + ".\r\nNOOP\r\nQUIT\r\n")
				said := w.rest()
				if ends := regexp.MustCompile(`(?m)^(250|221) `).FindAllString(said, -1); len(ends) != 3 {
					t.Errorf("not one message, NOOP and QUIT are answered: %q", said)
				}
				want := strings.ReplaceAll(body, "\r\n.", "\r\n")
				imap := dial(t, s.IMAP)
				imap.talk(s.acct, imapSelect)
				if got := imap.fetched(); !strings.HasSuffix(string(got), "\r\n"+want) {
					t.Errorf("came back as %q", got)
				}
				imap.Close()
				s.survives(t, 1)
			})
		}
	}
}
