package message_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/eidermail/eider/internal/message"
)

func TestDecodeHeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"},
		{"", ""},
		// RFC 2047 §8.
		{"(=?ISO-8859-1?Q?a?=)", "(a)"},
		{"(=?ISO-8859-1?Q?a?= b)", "(a b)"},
		{"(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"},
		{"(=?ISO-8859-1?Q?a?=  \t =?ISO-8859-1?Q?b?=)", "(ab)"},
		{"(=?ISO-8859-1?Q?a_b?=)", "(a b)"},
		{"(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"},
		{"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?= =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
			"If you can read this you understand the example."},
		{"=?US-ASCII*EN?Q?Keith_Moore?= <k@x>", "Keith Moore <k@x>"}, // RFC 2231 §5
		{"=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "ä"},                     // a character cut in two
		{"=?utf-8?b?w6Q?=", "ä"},                                     // no padding
		{"=?utf-8?q?hello world?=", "hello world"},                   // spaces within
		{"x=?utf-8?q?a?=y", "xay"},
		{"=?utf-8?x?a?=", "=?utf-8?x?a?="},
		{"=?utf-8?q?a", "=?utf-8?q?a"},
		{"=?nonsense?q?=E4?=", "ä"},
		{"=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "日本"},
		{"=?gb2312?b?xOO6ww==?=", "你好"},
		{"=?utf-7?q?+AOQ-?=", "ä"},
		{"=?koi8-r?b?0NLJ18XU?=", "привет"},
		{"caf\xe9", "café"}, {"café", "café"},
		{"=?utf-8?q?a=0D=0Ab=00?=", "a  b "},
		{"=?utf-8?q??=", ""},
		{"=?=?=?", "=?=?=?"},
	} {
		if got := message.DecodeHeader(c.in); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

func TestParams(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ header, name, raw, text string }{
		{`attachment; filename=plain.txt`, "filename", "filename=plain.txt", "plain.txt"},
		{`attachment; filename="a b.txt"`, "filename", "filename=a b.txt", "a b.txt"},
		{`attachment; filename=a b.txt; size=3`, "filename", "filename=a b.txt,size=3", "a b.txt"},
		{`attachment; FileName="a\"b.txt"`, "filename", `filename=a"b.txt`, `a"b.txt`},
		// RFC 2231 §3, §4.
		{`attachment; URL*0="ftp://"; URL*1="cs.utk.edu/pub"`, "url", "url=ftp://cs.utk.edu/pub", "ftp://cs.utk.edu/pub"},
		{`attachment; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A`, "title",
			"title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A", "This is ***fun***"},
		{`attachment; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2="isn't it!"`,
			"title", "title*=us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it%21", "This is even more ***fun*** isn't it!"},
		{`attachment; f*1=b; f*0=a; f*3=d`, "f", "f=ab", "ab"},
		{`attachment; filename="=?utf-8?Q?=C3=A4.txt?="`, "filename", "filename==?utf-8?Q?=C3=A4.txt?=", "ä.txt"},
		{`attachment; filename=x; filename*=utf-8''%c3%a4`, "filename", "filename=x,filename*=utf-8''%c3%a4", "ä"},
		{`attachment; filename*=utf-8''%zz%c3`, "filename", "filename*=utf-8''%zz%c3", "%zz\uFFFD"},
		{`attachment; filename="open`, "filename", "filename=open", "open"},
		{`attachment filename=x`, "filename", "filename=x", "x"},
		{`attachment; =x; ;; filename = "y" (comment)`, "filename", "filename=y", "y"},
		{`attachment; filename="a` + "\r\n" + ` b"`, "filename", "filename=a b", "a b"},
	} {
		p := message.Parse([]byte("Content-Disposition: " + c.header + "\r\n\r\n")).Root
		var raw []string
		for _, q := range p.DispParams {
			raw = append(raw, q.Name+"="+q.Value)
		}
		// The exact percent form of joined parameters is ours to choose.
		if got := strings.Join(raw, ","); got != c.raw && !strings.Contains(c.header, "*2=") {
			t.Errorf("%s: %q, want %q", c.header, got, c.raw)
		}
		if got := message.ParamValue(p.DispParams, c.name); got != c.text || p.Disposition != "attachment" {
			t.Errorf("%s: %q %q, want %q", c.header, p.Disposition, got, c.text)
		}
	}
}

func TestContentType(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ header, want string }{
		{"Text/HTML; charset=utf-8", "text/html"}, {"text/html charset=utf-8", "text/html"}, {"text", "text/plain"},
		{"", "text/plain"}, {"/", "text/plain"}, {"text / (x) plain", "text/plain"}, {"a/b/c", "a/b"},
		{"image/png;", "image/png"}, {"application/x-\xe4", "text/plain"},
	} {
		p := message.Parse([]byte("Content-Type: " + c.header + "\r\n\r\n")).Root
		if got := p.Type + "/" + p.Subtype; got != c.want {
			t.Errorf("%q: %s, want %s", c.header, got, c.want)
		}
	}
}

func TestParseAddresses(t *testing.T) {
	t.Parallel()
	type A = message.Address
	for _, c := range []struct {
		in   string
		want []A
	}{
		{"", nil},
		{"a@b.test", []A{{Mailbox: "a", Host: "b.test"}}},
		{"Ada L. <a@b.test>, c@d", []A{{Name: "Ada L.", Mailbox: "a", Host: "b.test"}, {Mailbox: "c", Host: "d"}}},
		{`"Last, First" <a@b>`, []A{{Name: "Last, First", Mailbox: "a", Host: "b"}}},
		{`"A \"B\" C" <a@b>`, []A{{Name: `A "B" C`, Mailbox: "a", Host: "b"}}},
		{"a@b (Ada (the) first)", []A{{Name: "Ada (the) first", Mailbox: "a", Host: "b"}}},
		{"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", []A{{Name: "Pete", Mailbox: "pete", Host: "silly.test"}}},
		{`"john smith"@x.test`, []A{{Mailbox: "john smith", Host: "x.test"}}},
		{`<"q@r"@x.test>`, []A{{Mailbox: "q@r", Host: "x.test"}}},
		// RFC 5322 appendix A.1.3.
		{"A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;", []A{{Mailbox: "A Group", Group: true},
			{Name: "Ed Jones", Mailbox: "c", Host: "a.test"}, {Mailbox: "joe", Host: "where.test"},
			{Name: "John", Mailbox: "jdoe", Host: "one.test"}, {Group: true}}},
		{"Undisclosed recipients:;", []A{{Mailbox: "Undisclosed recipients", Group: true}, {Group: true}}},
		{"undisclosed:", []A{{Mailbox: "undisclosed", Group: true}, {Group: true}}},
		{"<@r1.test,@r2.test:a@b.test>", []A{{Mailbox: "a", Host: "b.test"}}}, // RFC 5322 §4.4
		{"a@b; c@d", []A{{Mailbox: "a", Host: "b"}, {Mailbox: "c", Host: "d"}}},
		{",,a@b,,", []A{{Mailbox: "a", Host: "b"}}},
		{"Name only", []A{{Name: "Name only"}}},
		{"user", []A{{Mailbox: "user"}}},
		{"Name a@b.test", []A{{Name: "Name", Mailbox: "a", Host: "b.test"}}},
		{"a@b c@d", []A{{Mailbox: "a", Host: "b"}, {Mailbox: "c", Host: "d"}}},
		{`"a@b" <c@d>`, []A{{Name: "a@b", Mailbox: "c", Host: "d"}}},
		{`"a@b"`, []A{{Name: "a@b"}}},
		{"x <a@b", []A{{Name: "x", Mailbox: "a", Host: "b"}}},
		{"x <a@b, c@d", []A{{Name: "x", Mailbox: "a", Host: "b"}, {Mailbox: "c", Host: "d"}}},
		{`"open <a@b>, c@d`, []A{{Name: "open", Mailbox: "a", Host: "b"}, {Mailbox: "c", Host: "d"}}},
		{"(open a@b", []A{{Name: "(open", Mailbox: "a", Host: "b"}}},
		{"a@[127.0.0.1]", []A{{Mailbox: "a", Host: "[127.0.0.1]"}}},
		{"a@[IPv6:::1]", []A{{Mailbox: "a", Host: "[IPv6:::1]"}}},
		{"=?utf-8?q?J=C3=B6rg?= <j@x>", []A{{Name: "=?utf-8?q?J=C3=B6rg?=", Mailbox: "j", Host: "x"}}},
		{"Jörg <j@x>", []A{{Name: "Jörg", Mailbox: "j", Host: "x"}}},
		{"<>", nil},
	} {
		got := message.ParseAddresses(c.in)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%q: %s", c.in, d)
		}
	}
	if n := len(message.ParseAddresses(strings.Repeat("a@b,", 5000))); n != message.MaxAddresses {
		t.Errorf("%d addresses kept", n)
	}
}

func TestParseDate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21T09:55:06-06:00"},
		{"Tue, 1 Jul 2003 10:52:37 +0200", "2003-07-01T10:52:37+02:00"},
		{"Thu,\r\n 13\r\n Feb 1969 23:32\r\n -0330 (Newfoundland Time)", "1969-02-13T23:32:00-03:30"},
		{"21 Nov 97 09:55:06 GMT", "1997-11-21T09:55:06Z"},
		{"Fri, 21 Nov 1997 09(comment):  55  :  06 -0600", "1997-11-21T09:55:06-06:00"},
		{"Mon, 2 Jan 2006 15:04:05", "2006-01-02T15:04:05Z"},
		{"Mon Jan  2 15:04:05 2006", "2006-01-02T15:04:05Z"},
		{"Mon Jan  2 15:04:05 PST 2006", "2006-01-02T15:04:05-08:00"},
		{"2006-01-02T15:04:05+01:00", "2006-01-02T15:04:05+01:00"},
		{"2006-01-02 15:04:05 +0100", "2006-01-02T15:04:05+01:00"},
		{"02-Jan-2006 15:04:05 EST", "2006-01-02T15:04:05-05:00"},
		{"2 January 2006 3:04 PM", "2006-01-02T15:04:00Z"},
		{"Mon, 2 Jan 2006 15:04:05 GMT+0200", "2006-01-02T15:04:05+02:00"},
		{"Mon, 2 Jan 106 15:04:05 +0000", "2006-01-02T15:04:05Z"},
		{"Mon, 31 Feb 2006 15:04:05 +0000", ""},
		{"Mon, 2 Jan 2006 25:04:05 +0000", ""},
		{"yesterday", ""}, {"", ""}, {"Jan", ""},
	} {
		got, ok := message.ParseDate(c.in)
		if s := got.Format(time.RFC3339); ok != (c.want != "") || ok && s != c.want {
			t.Errorf("%q: %s %v, want %q", c.in, s, ok, c.want)
		}
	}
}

func TestMessageIDs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"<a@b> <c@d>", "a@b c@d"}, {"<a@b><c@d>", "a@b c@d"}, {"a@b", "a@b"}, {"<a@b", "a@b"}, {"<a @b>", "a@b"},
		{"Your message of <a@b> \"x y\"", "a@b"}, {"<a@b> <a@b>", "a@b"}, {"", ""}, {"<>", ""}, {"<<a@b>>", "a@b"},
		{"noat", ""}, {"<noat>", "noat"},
	} {
		if got := strings.Join(message.MessageIDs(c.in), " "); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

func TestTextReader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ header, body, want string }{
		{"Content-Type: text/plain; charset=iso-8859-1", "caf\xe9", "café"},
		{"Content-Type: text/plain", "caf\xe9", "café"},
		{"Content-Type: text/plain", "café", "café"},
		{"Content-Type: text/plain; charset=utf-8", "caf\xe9!", "caf\uFFFD!"},
		{"Content-Type: text/plain; charset=utf-16", "\x00a\x00b", "ab"},
		{"Content-Type: text/plain; charset=utf-16", "\xff\xfea\x00b\x00", "ab"},
		{"Content-Type: text/plain; charset=\"iso-2022-jp\"", "\x1b$BF|K\\\x1b(B", "日本"},
		{"Content-Type: text/plain; charset=utf-7", "+ADw-script+AD4-", "<script>"},
		{"Content-Type: text/html", "<meta charset=koi8-r>\xd0\xd2", "<meta charset=koi8-r>пр"},
		{"Content-Type: text/html; charset=utf-8", "<meta charset=koi8-r>п", "<meta charset=koi8-r>п"},
		{"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable", "=C3=A4=\r\nb", "äb"},
		{"Content-Type: text/plain; charset=windows-1252\r\nContent-Transfer-Encoding: base64", "gA==", "€"},
		{"Content-Type: text/plain; charset=x-nothing", "caf\xe9", "café"},
	} {
		b := []byte(c.header + "\r\n\r\n" + c.body)
		p := message.Parse(b).Root
		got, err := io.ReadAll(message.TextReader(p, iotest.OneByteReader(bytes.NewReader(b[p.Body.Start:p.Body.End]))))
		if err != nil || string(got) != c.want || !utf8.Valid(got) {
			t.Errorf("%s %q: %q %v, want %q", c.header, c.body, got, err, c.want)
		}
	}
}
