package imapwire_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// dotted is "1 3 5 …" of n numbers with sep between, which no set joins.
func dotted(n int, sep string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(2*i + 1)
	}
	return strings.Join(all, sep)
}

// list is (x x x …) of n items.
func list(n int, item string) string {
	return "(" + strings.TrimSuffix(strings.Repeat(item+" ", n), " ") + ")"
}

// TestBounds: what is just within a limit is read, one more is refused. For
// maxListPatterns (100) and maxListBytes (4096), see their names.
func TestBounds(t *testing.T) {
	t.Parallel()
	fetch := func(d *imapwire.Decoder) bool { var i []imapwire.FetchItem; return d.ExpectFetchItems(&i) }
	flags := func(d *imapwire.Decoder) bool { var f imapwire.Flags; return d.ExpectFlags(&f) }
	str := func(d *imapwire.Decoder) bool { var s string; return d.ExpectAstring(&s) }
	mailbox := func(d *imapwire.Decoder) bool { var s string; return d.ExpectMailbox(&s) }
	set := func(d *imapwire.Decoder) bool { var q imapwire.SeqSet; return d.ExpectSeqSet(&q) }
	lists := func(d *imapwire.Decoder) bool {
		var o imapwire.ListOptions
		return d.ExpectListOptions(&o, func(*imapwire.Decoder, *[]string) bool { return false })
	}
	sort := func(d *imapwire.Decoder) bool {
		var ret imapwire.SearchReturn
		var by []imapwire.SortKey
		var key imapwire.SearchKey
		return d.ExpectSort(&ret, &by, &key, func(_, s string) (string, bool) { return s, true })
	}
	several := func(d *imapwire.Decoder) bool {
		for d.Err() == nil {
			if var1 := ""; !d.ExpectAstring(&var1) || !d.SP() {
				break
			}
		}
		return d.Err() == nil
	}
	literal := func(n int) string { return fmt.Sprintf("{%d+}\r\n%s", n, strings.Repeat("x", n)) }
	for _, c := range []struct {
		name string
		most int
		in   func(n int) string
		read func(*imapwire.Decoder) bool
	}{
		{"MaxFetchItems", imapwire.MaxFetchItems, func(n int) string { return list(n, "UID") }, fetch},
		{"MaxSectionParts", imapwire.MaxSectionParts, func(n int) string { return "BODY[" + dotted(n, ".") + "]" }, fetch},
		{"MaxHeaderFields", imapwire.MaxHeaderFields, func(n int) string { return "BODY[HEADER.FIELDS " + list(n, "a") + "]" }, fetch},
		{"MaxFlags", imapwire.MaxFlags, func(n int) string {
			var all []string
			for i := range n {
				all = append(all, fmt.Sprint("k", i))
			}
			return "(" + strings.Join(all, " ") + ")"
		}, flags},
		{"MaxKeyword", imapwire.MaxKeyword, func(n int) string { return "(" + strings.Repeat("k", n) + ")" }, flags},
		{"MaxLiteral", imapwire.MaxLiteral, literal, str},
		{"MaxLiterals", imapwire.MaxLiterals / imapwire.MaxLiteral, func(n int) string {
			return strings.TrimSuffix(strings.Repeat(literal(imapwire.MaxLiteral)+" ", n), " ")
		}, several},
		{"MaxMailbox", imapwire.MaxMailbox, func(n int) string { return strings.Repeat("m", n) }, mailbox},
		{"MaxRanges", 10_000, func(n int) string { return dotted(n, ",") }, set}, // MaxLine ends a longer one
		{"MaxSortKeys", imapwire.MaxSortKeys, func(n int) string { return list(n, "DATE") + " UTF-8 ALL" }, sort},
		{"maxListPatterns", 100, func(n int) string { return `"" ` + list(n, "a") }, lists},
		{"maxListBytes", 4 << 10, func(n int) string {
			pattern := strings.Repeat("m", 1000)
			return `"" (` + strings.Join([]string{pattern, pattern, pattern, pattern, pattern[:n-4000]}, " ") + ")"
		}, lists},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := decoder(c.in(c.most)); !c.read(d) {
				t.Errorf("%d: %v", c.most, d.Err())
			}
			if d := decoder(c.in(c.most + 1)); c.name != "MaxRanges" && c.read(d) {
				t.Errorf("%d are read", c.most+1)
			}
		})
	}
}

// endless is a line that never ends.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

// TestDiscard: a line without an end is dropped up to MaxDiscard, then the
// connection is over; an idle reader goes back to idleBuffer.
func TestDiscard(t *testing.T) {
	t.Parallel()
	e := &endless{}
	d := imapwire.NewDecoder(imapwire.NewReader(e))
	if err := d.Next(); !errors.Is(err, imapwire.ErrDesync) {
		t.Errorf("an endless line: %v", err)
	}
	if e.read < imapwire.MaxDiscard || e.read > imapwire.MaxDiscard+(1<<20) {
		t.Errorf("%d bytes were read", e.read)
	}
	long := strings.Repeat("y", imapwire.MaxLine+1)
	for _, behind := range []string{
		"\r\n", "\n", " {5}\r\n", " {8+}\r\nx NOOP\r\n\r\n", " {7+}\r\nx NOOP\n" + long + " {1+}\r\nz\r\n",
	} {
		in := strings.NewReader("t1 " + long + behind + "a NOOP\r\n")
		d = imapwire.NewDecoder(imapwire.NewReader(iotest.OneByteReader(in)))
		err := d.Next()
		if tag := d.DroppedTag(); !errors.Is(err, imapwire.ErrLineTooLong) || tag != "t1" {
			t.Errorf("a long line and %.20q: %v, its tag is %q", behind, err, tag)
		}
		err = d.Next()
		if tag, _ := d.Tag(); err != nil || tag != "a" {
			t.Errorf("the line behind %.20q: %v, its tag is %q", behind, err, tag)
		}
	}
	if err := d.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
}
