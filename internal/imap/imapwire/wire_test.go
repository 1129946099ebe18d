package imapwire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// decoder stands at the start of a command.
func decoder(s string) *imapwire.Decoder {
	d := imapwire.NewDecoder(imapwire.NewReader(strings.NewReader(s + "\r\n")))
	d.Continue = func() error { return nil }
	if err := d.Next(); err != nil {
		panic(err)
	}
	return d
}

func TestStrings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, want string
		ok       bool
	}{
		{`abc`, "abc", true}, {`a]c`, "a]c", true}, {`"a b"`, "a b", true}, {`"a\"\\b"`, `a"\b`, true}, {`""`, "", true},
		{"{3}\r\na\r\n", "a\r\n", true}, {"{3+}\r\nabc", "abc", true}, {"{0}\r\n", "", true}, {"~{1+}\r\nx", "", false},
		{`"a`, "", false}, {`"a\b"`, "", false}, {"\"a\x00\"", "", false}, {`(`, "", false}, {``, "", false},
		{`{x}`, "", false}, {`{1`, "", false}, {"{70000}", "", false}, {"{70000+}\r\n" + strings.Repeat("x", 70000), "", false},
		{"{-1}", "", false}, {"{1}{1}", "", false}, {"{99999999999999999999999}", "", false}, {"ü", "ü", true},
	} {
		d := decoder(c.in)
		var got string
		ok := d.ExpectAstring(&got) && d.ExpectCRLF()
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%q: %q %v (%v)", c.in, got, ok, d.Err())
		}
		var syntax *imapwire.SyntaxError
		if !ok && !errors.As(d.Err(), &syntax) {
			t.Errorf("%q: %v is no syntax error", c.in, d.Err())
		}
	}
}

// TestFinish: after any command, read or not, the next one is found.
func TestFinish(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"a", "a b c", "a {3}", "a {3+}\r\nb c", "a {3+}\r\nb c {2+}\r\nxy z", "a ~{3+}\r\n\r\n\r", "a {0+}\r\n",
		"a {70000+}\r\n" + strings.Repeat("\n", 70000), "a " + strings.Repeat("x", imapwire.MaxLine*2),
		"a {3+}\r\nb c" + strings.Repeat("y", imapwire.MaxLine*3),
	} {
		for _, read := range []bool{false, true} {
			text := in + "\r\n"
			r := imapwire.NewReader(iotest.HalfReader(strings.NewReader(text + "next\r\n")))
			d := imapwire.NewDecoder(r)
			d.Continue = func() error { return nil }
			err := d.Next()
			if err == nil && read && !strings.Contains(in, "{3}") {
				d.Tag()
				for d.SP() {
					var s string
					d.Astring(&s)
				}
			}
			if err == nil {
				err = d.Finish()
			} else if errors.Is(err, imapwire.ErrLineTooLong) {
				err = nil
			}
			if err != nil {
				t.Fatalf("%.40q: %v", in, err)
			}
			if err := d.Next(); err != nil || string(d.Line()) != "next" {
				t.Errorf("%.40q (read %v): next is %q, %v", in, read, d.Line(), err)
			}
		}
	}
}

func TestMessageLiteral(t *testing.T) {
	t.Parallel()
	asked := 0
	d := imapwire.NewDecoder(imapwire.NewReader(strings.NewReader("a {5}\r\nhello end\r\nnext\r\n")))
	d.Continue = func() error { asked++; return nil }
	if err := d.Next(); err != nil {
		t.Fatal(err)
	}
	d.Tag()
	d.ExpectSP()
	l, ok := d.Literal()
	if !ok || l.Size != 5 || l.NonSync || asked != 0 {
		t.Fatal(ok, l, asked)
	}
	if err := l.Accept(); err != nil || asked != 1 {
		t.Fatal(err, asked)
	}
	b, err := io.ReadAll(l)
	if err != nil || string(b) != "hello" || !l.Done() {
		t.Fatal(string(b), err)
	}
	if !d.ExpectSP() || !d.Word("END") || !d.ExpectCRLF() {
		t.Fatal(d.Err())
	}
	// The client goes away within a literal.
	d = imapwire.NewDecoder(imapwire.NewReader(strings.NewReader("a {5+}\r\nhel")))
	d.Next()
	d.Tag()
	d.ExpectSP()
	l, _ = d.Literal()
	l.Accept()
	if _, err := io.ReadAll(l); !errors.Is(err, io.ErrUnexpectedEOF) || d.Finish() == nil {
		t.Fatal(err)
	}
}

func TestMailboxNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ wire, name string }{
		{"INBOX", "INBOX"}, {"inbox", "INBOX"}, {"inbox/a", "INBOX/a"}, {"inboxes", "inboxes"},
		{"&AOQ-", "ä"}, {"a&-b", "a&b"}, {"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"},
		{"&2D3eAA-", "😀"}, {"ü", "ü"}, {`"a b"`, "a b"}, {"&AOQA9g-x", "äöx"},
	} {
		var got string
		d := decoder(c.wire)
		if !d.ExpectMailbox(&got) || got != c.name {
			t.Errorf("%q: %q, want %q (%v)", c.wire, got, c.name, d.Err())
		}
	}
	for _, bad := range []string{"&", "a&b", "&AOQ", "&!!-", "&AGE-", "&AOQ-&APY-", "&2D0-", "&3gA-", "&A-", "&AOR-", "\xff",
		`"a` + "\x7f" + `"`, "&AAk-"} {
		var got string
		if d := decoder(bad); d.ExpectMailbox(&got) {
			t.Errorf("%q gives %q", bad, got)
		}
	}
}

// TestMailboxRoundTrip: what is encoded is decoded to the same, and is the only encoding of it.
func TestMailboxRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := strings.Map(func(r rune) rune {
			if r < 0x20 || r == 0x7f || r == utf8.RuneError {
				return -1
			}
			return r
		}, rapid.String().Draw(t, "name"))
		enc := imapwire.EncodeMailbox(name)
		for _, c := range []byte(enc) {
			if c < 0x20 || c > 0x7e {
				t.Fatalf("%q is not ASCII", enc)
			}
		}
		dec, err := imapwire.DecodeMailbox(enc)
		if err != nil || dec != name {
			t.Fatalf("%q → %q → %q, %v", name, enc, dec, err)
		}
	})
}

func TestDates(t *testing.T) {
	t.Parallel()
	var got time.Time
	for in, want := range map[string]string{
		"1-Feb-1994": "1994-02-01", `"01-feb-1994"`: "1994-02-01", "31-DEC-2026": "2026-12-31",
	} {
		if d := decoder(in); !d.ExpectDate(&got) || got.Format(time.DateOnly) != want {
			t.Errorf("%s: %v %v", in, got, d.Err())
		}
	}
	for in, want := range map[string]string{
		`"17-Jul-1996 02:44:25 -0700"`: "1996-07-17T09:44:25Z", `" 1-Jan-2026 00:00:00 +0000"`: "2026-01-01T00:00:00Z",
	} {
		if d := decoder(in); !d.DateTime(&got) || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %v %v", in, got, d.Err())
		}
	}
	for _, bad := range []string{"30-Feb-2026", "1-Foo-2026", "x", "1994-02-01", `""`} {
		if d := decoder(bad); d.ExpectDate(&got) {
			t.Errorf("%s gives %v", bad, got)
		}
	}
	if b := imapwire.AppendDateTime(nil, time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)); string(b) != `"03-Feb-2026 04:05:06 +0000"` {
		t.Errorf("%s", b)
	}
}

func TestEncoder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		write func(*imapwire.Encoder)
		want  string
	}{
		{func(e *imapwire.Encoder) { e.String("a b") }, `"a b"`},
		{func(e *imapwire.Encoder) { e.String(`a"\`) }, `"a\"\\"`},
		{func(e *imapwire.Encoder) { e.String("a\r\nb") }, "{4}\r\na\r\nb"},
		{func(e *imapwire.Encoder) { e.String("ä") }, "{2}\r\nä"},
		{func(e *imapwire.Encoder) { e.String("a\x00b") }, `"ab"`},
		{func(e *imapwire.Encoder) { e.UTF8 = true; e.String("ä") }, `"ä"`},
		{func(e *imapwire.Encoder) { e.NString("") }, "NIL"},
		{func(e *imapwire.Encoder) { e.Mailbox("INBOX").SP().Mailbox("a b").SP().Mailbox("ä").SP().Mailbox("") },
			`INBOX "a b" &AOQ- ""`},
		{func(e *imapwire.Encoder) { e.Mailbox("a/b").SP().Mailbox("NIL").SP().Mailbox("a*") }, `a/b "NIL" "a*"`},
		{func(e *imapwire.Encoder) { e.Flags(imapwire.Seen|imapwire.Recent, []string{"$x"}) }, `(\Seen \Recent $x)`},
		{func(e *imapwire.Encoder) { e.Flags(0, nil) }, `()`},
		{func(e *imapwire.Encoder) { e.Text("a\r\n* BYE ü") }, `a??* BYE ??`},
		{func(e *imapwire.Encoder) { e.Set(imapwire.SetOf(1, 2, 3, 7)) }, `1:3,7`},
	} {
		var out bytes.Buffer
		e := imapwire.NewEncoder(&out)
		c.write(e)
		if err := e.Flush(); err != nil || out.String() != c.want {
			t.Errorf("%q, want %q (%v)", out.String(), c.want, err)
		}
	}
}

// counter counts writes and the largest of them.
type counter struct {
	bytes.Buffer
	writes, largest int
}

func (c *counter) Write(p []byte) (int, error) {
	c.writes++
	c.largest = max(c.largest, len(p))
	return c.Buffer.Write(p)
}

// TestEncoderBatches: many lines are few writes, and a large literal is never in memory whole.
func TestEncoderBatches(t *testing.T) {
	t.Parallel()
	var out counter
	e := imapwire.NewEncoder(&out)
	for i := range uint32(10_000) {
		e.Raw("* ").Number(i).Raw(" FETCH (FLAGS ())").CRLF()
	}
	e.Flush()
	if limit := out.Len()/imapwire.HoldBytes + 1; out.writes > limit {
		t.Errorf("%d writes, at most %d", out.writes, limit)
	}
	const n = 5 << 20
	out = counter{}
	e.Raw("* 1 FETCH (BODY[] ").LiteralHead(n)
	if err := e.CopyN(bytes.NewReader(make([]byte, n)), n); err != nil {
		t.Fatal(err)
	}
	e.Raw(")").CRLF().Flush()
	if out.largest > 2*imapwire.HoldBytes || out.Len() != n+len("* 1 FETCH (BODY[] {5242880}\r\n)\r\n") {
		t.Errorf("largest write %d, all %d", out.largest, out.Len())
	}
	if err := e.CopyN(strings.NewReader("short"), 9); err == nil {
		t.Error("a short literal is no error")
	}
}

func TestFetchItems(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"BODY[]":                                "[]",
		"body.peek[1.2.header]<5.10>":           "[1.2.HEADER]<5>",
		"BODY[HEADER.FIELDS (a \"b c\")]":       "[HEADER.FIELDS (A \"B C\")]",
		"BODY[1.HEADER.FIELDS.NOT ({1+}\r\nx)]": "[1.HEADER.FIELDS.NOT (X)]",
		"BODY[4.MIME]":                          "[4.MIME]",
		"BODY[TEXT]":                            "[TEXT]",
		"BINARY.PEEK[1.1]<0.1>":                 "[1.1]<0>",
		"BINARY.SIZE[]":                         "[]",
		"(FLAGS)":                               "",
		"(PREVIEW (LAZY) UID)":                  "",
		"BODY":                                  "",
		"(BODYSTRUCTURE ENVELOPE RFC822.SIZE UID )": "",
	} {
		var items []imapwire.FetchItem
		d := decoder(in)
		if !d.ExpectFetchItems(&items) || !d.ExpectCRLF() {
			t.Errorf("%q: %v", in, d.Err())
			continue
		}
		if !strings.Contains(in, "[") {
			continue
		}
		var out bytes.Buffer
		e := imapwire.NewEncoder(&out)
		e.Section(&items[0].Section, items[0].Partial).Flush()
		if out.String() != want {
			t.Errorf("%q: %q, want %q", in, out.String(), want)
		}
	}
	for _, bad := range []string{"", "()", "X", "BODY[", "BODY[MIME]", "BODY[0]", "BODY[1.]", "BODY[X]", "BODY[]<1>", "BODY[]<1.0>",
		"BINARY[TEXT]", "BINARY[HEADER]", "BODY[HEADER.FIELDS]", "BODY[1..2]", "BODY.PEEK", "PREVIEW (X)",
		"BODY[" + strings.Repeat("1.", 300) + "1]", "(" + strings.Repeat("FLAGS ", 1001) + "UID)"} {
		var items []imapwire.FetchItem
		if d := decoder(bad); d.ExpectFetchItems(&items) && d.ExpectCRLF() {
			t.Errorf("%.40q is read as %v", bad, items)
		}
	}
}

func TestFlagsAreRead(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]imapwire.Flags{
		`(\Seen \flagged)`: {System: imapwire.Seen | imapwire.Flagged},
		`\Deleted $x`:      {System: imapwire.Deleted, Keywords: []string{"$x"}},
		`()`:               {},
		`(a A b)`:          {Keywords: []string{"a", "b"}},
	} {
		var f imapwire.Flags
		if d := decoder(in); !d.ExpectFlags(&f) || !reflect.DeepEqual(f, want) {
			t.Errorf("%s: %+v %v", in, f, d.Err())
		}
	}
	for _, bad := range []string{`(\Recent)`, `(\*)`, `(\)`, `(a(`, ``, `{1}`, "(" + strings.Repeat("x", 300) + ")"} {
		var f imapwire.Flags
		if d := decoder(bad); d.ExpectFlags(&f) && d.ExpectCRLF() {
			t.Errorf("%s is read as %v", bad, f)
		}
	}
}

func TestSearchLimits(t *testing.T) {
	t.Parallel()
	cs := func(_, s string) (string, bool) { return s, true }
	for _, c := range []struct {
		in string
		ok bool
	}{
		{strings.Repeat("NOT ", imapwire.MaxDepth) + "ALL", true},
		{strings.Repeat("NOT ", imapwire.MaxDepth+1) + "ALL", false},
		{strings.Repeat("(", imapwire.MaxDepth) + "ALL" + strings.Repeat(")", imapwire.MaxDepth), true},
		{strings.Repeat("(", imapwire.MaxDepth+1) + "ALL" + strings.Repeat(")", imapwire.MaxDepth+1), false},
		{strings.Repeat("SEEN ", imapwire.MaxSearchKeys-1) + "SEEN", true},
		{strings.Repeat("SEEN ", imapwire.MaxSearchKeys) + "SEEN", false},
		{strings.Repeat("TEXT x ", imapwire.MaxSearchTexts-1) + "TEXT x", true},
		{strings.Repeat("TEXT x ", imapwire.MaxSearchTexts) + "TEXT x", false},
	} {
		var ret imapwire.SearchReturn
		var key imapwire.SearchKey
		if d := decoder(c.in); d.ExpectSearch(&ret, &key, cs) != c.ok {
			t.Errorf("%.30q…: want %v, %v", c.in, c.ok, d.Err())
		}
	}
}

// FuzzDecoder: no input panics, hangs or grows memory, and the decoder always
// finds the end of a command.
func FuzzDecoder(f *testing.F) {
	for _, s := range []string{
		"a LOGIN {3+}\r\nabc \"x\\\"y\"\r\n", "a SEARCH CHARSET UTF-8 OR NOT (SEEN 1:*,3) HEADER X {0}\r\n\r\n",
		"a FETCH 1:* (BODY[1.2.HEADER.FIELDS (a b)]<0.5> FLAGS)\r\n", "a STORE 1 +FLAGS.SILENT (\\Seen $x)\r\n",
		"a APPEND &AOQ- (\\Seen) \"17-Jul-1996 02:44:25 -0700\" ~{4+}\r\nabcd\r\nb NOOP\r\n", "a {99999+}\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		d := imapwire.NewDecoder(imapwire.NewReader(iotest.OneByteReader(bytes.NewReader(in))))
		d.Continue = func() error { return nil }
		for n := 0; ; n++ {
			if err := d.Next(); err != nil {
				if errors.Is(err, imapwire.ErrLineTooLong) {
					continue
				}
				return
			}
			d.Tag()
			d.ExpectSP()
			readAny(d, n)
			if d.Finish() != nil {
				return
			}
		}
	})
}

func readAny(d *imapwire.Decoder, n int) {
	var s string
	var items []imapwire.FetchItem
	var flags imapwire.Flags
	var q imapwire.SeqSet
	var ret imapwire.SearchReturn
	var key imapwire.SearchKey
	var when time.Time
	switch string(d.AtomUpper()) {
	case "FETCH":
		_ = d.ExpectSP() && d.ExpectSeqSet(&q) && d.ExpectSP() && d.ExpectFetchItems(&items)
	case "STORE":
		_ = d.ExpectSP() && d.ExpectSeqSet(&q) && d.ExpectSP() && d.ExpectFlags(&flags)
	case "SEARCH":
		cs := func(_, s string) (string, bool) { return s, true }
		_ = d.ExpectSP() && d.ExpectSearch(&ret, &key, cs)
	case "APPEND":
		_ = d.ExpectSP() && d.ExpectMailbox(&s) && d.ExpectSP() && d.FlagList(&flags) && d.ExpectSP() &&
			d.DateTime(&when) && d.ExpectSP()
		if l, ok := d.Literal(); ok && n%2 == 0 && l.Accept() == nil {
			io.Copy(io.Discard, l)
			l.Done()
		}
	default:
		for d.SP() && d.Astring(&s) {
		}
	}
	d.ExpectCRLF()
	if q.Resolve(7).Len() < 0 {
		panic(fmt.Sprint(q))
	}
}
