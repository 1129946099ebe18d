package message_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eidermail/eider/internal/message"
)

func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

// nested is shaped like the example of RFC 9051 §6.4.5.
var nested = crlf(`Subject: top
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=A

preamble
--A
Content-Type: text/plain

one
--A
Content-Type: application/octet-stream

two
--A
Content-Type: message/rfc822
Content-Description: inner

Subject: three
Content-Type: multipart/mixed; boundary=B

--B
Content-Type: text/plain

three one
--B

three two
--B--
--A
Content-Type: multipart/mixed; boundary=C

--C
Content-Type: image/gif

four one
--C
Content-Type: message/rfc822

Subject: four two
Content-Type: multipart/alternative; boundary=D

--D
Content-Type: text/plain

4.2.1
--D
Content-Type: text/enriched

4.2.2
--D--
--C
Content-Type: message/rfc822

Subject: plain

body
--C--
--A--
epilogue
`)

func TestSections(t *testing.T) {
	t.Parallel()
	x := message.Parse(nested)
	checkIndex(t, nested, x)
	for _, c := range []struct {
		path string
		what message.What
		want string
	}{
		{"1", message.All, "one"},
		{"1", message.MIME, "Content-Type: text/plain\r\n\r\n"},
		{"1", message.Header, "none"},
		{"1.1", message.All, "none"},
		{"2", message.All, "two"},
		{"3", message.MIME, "Content-Type: message/rfc822\r\nContent-Description: inner\r\n\r\n"},
		{"3", message.Header, "Subject: three\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n"},
		{"3", message.Text, "--B\r\nContent-Type: text/plain\r\n\r\nthree one\r\n--B\r\n\r\nthree two\r\n--B--"},
		{"3.1", message.All, "three one"},
		{"3.1", message.MIME, "Content-Type: text/plain\r\n\r\n"},
		{"3.2", message.All, "three two"},
		{"3.2", message.MIME, "\r\n"},
		{"3.3", message.All, "none"},
		{"4", message.MIME, "Content-Type: multipart/mixed; boundary=C\r\n\r\n"},
		{"4", message.Text, "none"},
		{"4.1", message.All, "four one"},
		{"4.2", message.Header, "Subject: four two\r\nContent-Type: multipart/alternative; boundary=D\r\n\r\n"},
		{"4.2.1", message.All, "4.2.1"},
		{"4.2.2", message.MIME, "Content-Type: text/enriched\r\n\r\n"},
		{"4.3", message.Text, "body"},
		{"4.3.1", message.All, "body"},
		{"4.3.1", message.MIME, "Subject: plain\r\n\r\n"},
		{"4.3.2", message.All, "none"},
		{"", message.Header, "Subject: top\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=A\r\n\r\n"},
		{"", message.MIME, "none"},
	} {
		path, _ := message.ParsePath(c.path)
		got := "none"
		if s, ok := x.Section(path, c.what); ok {
			got = string(nested[s.Start:s.End])
		}
		if got != c.want {
			t.Errorf("%s %d: %q, want %q", c.path, c.what, got, c.want)
		}
	}
	var paths []string
	for path, p := range message.WalkParts(x.Root) {
		paths = append(paths, fmt.Sprintf("%s:%s", path, p.Subtype))
		if n, _ := message.ParsePath(path); message.FindPart(x.Root, n) != p {
			t.Errorf("%s is not found by its path", path)
		}
	}
	want := ":mixed 1:plain 2:octet-stream 3:rfc822 3.1:plain 3.2:plain 4:mixed 4.1:gif 4.2:rfc822 4.2.1:plain " +
		"4.2.2:enriched 4.3:rfc822 4.3.1:plain"
	if got := strings.Join(paths, " "); got != want {
		t.Errorf("parts %s", got)
	}
	for _, bad := range []string{"0", "1.", ".1", "a", "+1", "1..2", "-1", "99999999999", strings.Repeat("1.", 600) + "1"} {
		if _, ok := message.ParsePath(bad); ok {
			t.Errorf("path %q accepted", bad)
		}
	}
}

func TestHeaderFields(t *testing.T) {
	t.Parallel()
	header := "From x\r\nSubject: =?utf-8?q?=C3=A4?=\r\n b\r\nTo : a@b\nodd line\r\n\tfolded\r\nX:\r\n\r\nbody: no\r\n"
	type F struct{ Name, Raw, Value, Text string }
	var got []F
	var all bytes.Buffer
	for f := range message.HeaderFields([]byte(header)) {
		got = append(got, F{string(f.Name), string(f.Raw), string(f.Value), f.Text()})
		all.Write(f.Raw)
	}
	want := []F{
		{"", "From x\r\n", "", ""},
		{"Subject", "Subject: =?utf-8?q?=C3=A4?=\r\n b\r\n", "=?utf-8?q?=C3=A4?=\r\n b", "ä b"},
		{"To", "To : a@b\n", "a@b", "a@b"},
		{"", "odd line\r\n\tfolded\r\n", "", ""},
		{"X", "X:\r\n", "", ""},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if !strings.HasPrefix(header, all.String()) {
		t.Errorf("the fields are not the header: %q", all.String())
	}
}

func TestIndexShapes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, mail, parts, preview string }{
		{"empty", "", "1:text/plain[0:0]", ""},
		{"header only", "Subject: x", "1:text/plain[10:10]", ""},
		{"body only", "hello\nworld", "1:text/plain[0:11]", "hello world"},
		{"mbox line", "From x Mon\nSubject: y\n\nz", "1:text/plain[23:24]", "z"},
		{"blank first", "\nz", "1:text/plain[1:2]", "z"},
		{"bare CR", "Subject: x\ry\r\n\r\na\rb", "1:text/plain[16:19]", "a b"},
		{"NUL", "Sub\x00ject: x\n\na\x00b", "1:text/plain[0:16]", "Sub ject: x a b"},
		{"double CR", "Subject: x\r\r\n\r\r\nz", "1:text/plain[16:17]", "z"},
		{"no boundary in body", "Content-Type: multipart/mixed; boundary=b\n\ntext", "1:multipart/mixed[43:47]", "text"},
		{"no boundary at all", "Content-Type: multipart/mixed\n\ntext", "1:multipart/mixed[31:35]", "text"},
		{"never closed", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo",
			":multipart/mixed[43:60] 1:text/plain[48:51] 2:text/plain[57:60]", "one"},
		{"space after boundary", "Content-Type: multipart/mixed; boundary=\"b \"\n\n--b \n\none\n--b-- \n",
			":multipart/mixed[46:63] 1:text/plain[52:55]", "one"},
		{"header cut by boundary", "Content-Type: multipart/mixed; boundary=b\n\n--b\nX: y\n--b\n\ntwo\n--b--",
			":multipart/mixed[43:66] 1:text/plain[52:52] 2:text/plain[57:60]", "two"},
		{"part without header", "Content-Type: multipart/mixed; boundary=b\n\n--b\nno header\n--b--",
			":multipart/mixed[43:62] 1:text/plain[47:56]", "no header"},
		{"outer boundary ends inner", "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=i\n\n" +
			"--i\n\none\n--o\n\ntwo\n--o--", ":multipart/mixed[43:113] 1:multipart/mixed[90:98] 1.1:text/plain[95:98] 2:text/plain[104:107]", "one"},
		{"boundary that begins with the outer", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=bb\n\n" +
			"--bb\n\none\n--bb--\n--b--", ":multipart/mixed[43:113] 1:multipart/mixed[91:107] 1.1:text/plain[97:100]", "one"},
		{"digest", "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: in\n\nx\n--b--",
			":multipart/digest[44:69] 1:message/rfc822[49:63] 1.1:text/plain[62:63]", ""},
		{"encoded message", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeA==",
			"1:message/rfc822[64:80]", ""},
		{"HTML first", "Content-Type: text/html\n\n<style>a{}</style><!-- > no --><title>t</title><p>Hi&nbsp;&lt;b&gt;<br>you<b>!</b> 1 < 2",
			"1:text/html[25:113]", "Hi <b> you! 1 < 2"},
		{"quoted reply", "\n> old\n> text\nnew", "1:text/plain[1:17]", "new"},
	} {
		x := message.Parse([]byte(c.mail))
		checkIndex(t, []byte(c.mail), x)
		var parts []string
		for path, p := range message.WalkParts(x.Root) {
			parts = append(parts, fmt.Sprintf("%s:%s/%s[%d:%d]", path, p.Type, p.Subtype, p.Body.Start, p.Body.End))
		}
		if got := strings.Join(parts, " "); got != c.parts || x.Preview != c.preview {
			t.Errorf("%s:\n got %s %q\nwant %s %q", c.name, got, x.Preview, c.parts, c.preview)
		}
	}
}

func TestAttachments(t *testing.T) {
	t.Parallel()
	b := crlf(`Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/related; boundary=r

--r
Content-Type: text/html
Content-Transfer-Encoding: quoted-printable

<img src=3D"cid:logo%40x"><img src=3D'cid:other@x'>
--r
Content-Type: image/png
Content-ID: <logo@x>
Content-Transfer-Encoding: base64

AAAA
--r--
--b
Content-Type: text/csv; name="=?utf-8?Q?=C3=A4.csv?="
Content-Transfer-Encoding: quoted-printable
Content-Disposition: attachment

a=3Db  

--b
Content-Type: message/rfc822

Subject: in
Content-Type: application/pdf; name=not-listed.pdf

x
--b
Content-Type: text/plain; name=note.txt
Content-Disposition: inline

note
--b--
`)
	x := message.Parse(b)
	checkIndex(t, b, x)
	want := []message.Attachment{
		{ID: "ATT00001", Path: "1.2", Type: "image/png", ContentID: "logo@x", Inline: true, Size: 4, DecodedSize: 3},
		{ID: "ATT00002", Path: "2", Name: "ä.csv", Type: "text/csv", Size: 9, DecodedSize: 5},
		{ID: "ATT00003", Path: "3", Type: "message/rfc822", Size: 68, DecodedSize: 68},
		{ID: "ATT00004", Path: "4", Name: "note.txt", Type: "text/plain", Inline: true, Size: 4, DecodedSize: 4},
	}
	if d := cmp.Diff(want, x.Attachments); d != "" {
		t.Error(d)
	}
}

// TestLimits: beyond each limit a message is still described, only less.
func TestLimits(t *testing.T) {
	t.Parallel()
	deep := []byte(strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 10_000))
	x := message.Parse(deep)
	checkIndex(t, deep, x)
	depth := 0
	for p := x.Root; p.Message != nil; p = p.Message.Root {
		depth++
	}
	if depth != message.MaxDepth-1 {
		t.Errorf("depth %d", depth)
	}
	wide := []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 20_000))
	x = message.Parse(wide)
	checkIndex(t, wide, x)
	if n := len(x.Root.Parts); n != message.MaxParts-1 {
		t.Errorf("%d parts", n)
	}
	fat := []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
		strings.Repeat("--b\r\nContent-Type: a/b; name="+strings.Repeat("n", 1000)+"\r\n\r\nx\r\n", 5000))
	x = message.Parse(fat)
	checkIndex(t, fat, x)
	size := len(dump(x))
	if size > 3*message.MaxIndexBytes || len(x.Defects) == 0 {
		t.Errorf("an index of %d bytes, defects %v", size, x.Defects)
	}
	long := []byte("Subject: " + strings.Repeat("x", 1<<20) + "\r\nTo: " + strings.Repeat("a@b,\r\n ", 50_000) + "\r\n\r\nz")
	x = message.Parse(long)
	checkIndex(t, long, x)
	if len(x.Envelope.Subject) != message.MaxString || len(x.Envelope.To) != message.MaxAddresses || x.Preview != "z" {
		t.Errorf("subject of %d, %d addresses, preview %q", len(x.Envelope.Subject), len(x.Envelope.To), x.Preview)
	}
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	x := message.Parse(crlf("Date: Mon, 2 Jan 2006 15:04:05 +0100\nSubject: =?utf-8?q?a?=\n =?utf-8?q?b?=  c\nFrom: A <a@x>\n" +
		"To: b@x\nTo: twice@x\nIn-Reply-To: <r@x>\nMessage-ID: <m@x>\nReferences: <o@x>\n <p@x>\n\n"))
	e := x.Envelope
	if e.Subject != "=?utf-8?q?a?= =?utf-8?q?b?=  c" || e.MessageID != "<m@x>" || e.InReplyTo != "<r@x>" ||
		e.SentAt.Format("15:04 -0700") != "15:04 +0100" {
		t.Errorf("%+v", e)
	}
	from := []message.Address{{Name: "A", Mailbox: "a", Host: "x"}}
	if d := cmp.Diff([][]message.Address{from, from, from, {{Mailbox: "b", Host: "x"}}}, [][]message.Address{e.From, e.Sender,
		e.ReplyTo, e.To}); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"o@x", "p@x", "r@x"}, x.References); d != "" {
		t.Error(d)
	}
}
