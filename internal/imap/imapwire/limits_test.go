package imapwire_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// TestLimits: what is just at a limit is read, one more is not, and the next
// command is found all the same.
func TestLimits(t *testing.T) {
	t.Parallel()
	list := func(word string, n int) string {
		return "(" + strings.TrimSuffix(strings.Repeat(word+" ", n), " ") + ")"
	}
	literal := func(n int) string { return fmt.Sprintf("{%d+}\r\n%s", n, strings.Repeat("x", n)) }
	text := func(d *imapwire.Decoder) bool { var s string; return d.ExpectAstring(&s) }
	mailbox := func(d *imapwire.Decoder) bool { var s string; return d.ExpectMailbox(&s) }
	items := func(d *imapwire.Decoder) bool { var f []imapwire.FetchItem; return d.ExpectFetchItems(&f) }
	flags := func(d *imapwire.Decoder) bool { var f imapwire.Flags; return d.ExpectFlags(&f) }
	set := func(d *imapwire.Decoder) bool { var q imapwire.SeqSet; return d.ExpectSeqSet(&q) }
	texts := func(d *imapwire.Decoder) bool {
		for ok := text(d); ok && d.SP(); {
			ok = text(d)
		}
		return d.Err() == nil
	}
	sort := func(d *imapwire.Decoder) bool {
		var ret imapwire.SearchReturn
		var by []imapwire.SortKey
		var key imapwire.SearchKey
		return d.ExpectSort(&ret, &by, &key, func(_, s string) (string, bool) { return s, true })
	}
	for name, c := range map[string]struct {
		limit int
		in    func(n int) string
		read  func(*imapwire.Decoder) bool
	}{
		"MaxLiteral":      {imapwire.MaxLiteral, literal, text},
		"MaxLiterals":     {imapwire.MaxLiterals / 1024, func(n int) string { return strings.TrimSuffix(strings.Repeat(literal(1024)+" ", n), " ") }, texts},
		"MaxMailbox":      {imapwire.MaxMailbox, func(n int) string { return strings.Repeat("x", n) }, mailbox},
		"MaxFetchItems":   {imapwire.MaxFetchItems, func(n int) string { return list("UID", n) }, items},
		"MaxSectionParts": {imapwire.MaxSectionParts, func(n int) string { return "BODY[1" + strings.Repeat(".1", n-1) + "]" }, items},
		"MaxHeaderFields": {imapwire.MaxHeaderFields, func(n int) string { return "BODY[HEADER.FIELDS " + list("a", n) + "]" }, items},
		"MaxFlags":        {imapwire.MaxFlags, flagList, flags},
		"MaxKeyword":      {imapwire.MaxKeyword, func(n int) string { return "(" + strings.Repeat("k", n) + ")" }, flags},
		"MaxRanges":       {imapwire.MaxRanges, func(n int) string { return "1" + strings.Repeat(",1", n-1) }, set},
		"MaxSortKeys":     {imapwire.MaxSortKeys, func(n int) string { return list("DATE", n) + " UTF-8 ALL" }, sort},
	} {
		for _, n := range []int{c.limit, c.limit + 1} {
			r := imapwire.NewReader(strings.NewReader(c.in(n) + "\r\nnext\r\n"))
			d := imapwire.NewDecoder(r)
			switch err := d.Next(); {
			case errors.Is(err, imapwire.ErrLineTooLong) && n > c.limit: // as long as that it cannot be
			case err != nil:
				t.Errorf("%s: %d: %v", name, n, err)
				continue
			default:
				if ok := c.read(d) && d.ExpectCRLF(); ok != (n == c.limit) {
					t.Errorf("%s: %d of at most %d is read: %v (%v)", name, n, c.limit, ok, d.Err())
				}
				if err := d.Finish(); err != nil {
					t.Errorf("%s: %d: %v", name, n, err)
				}
			}
			if err := d.Next(); err != nil || string(d.Line()) != "next" {
				t.Errorf("%s: %d: then comes %.40q, %v", name, n, d.Line(), err)
			}
		}
	}
}

func flagList(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " k%d", i)
	}
	return "(" + b.String()[1:] + ")"
}

// TestMaxQuoted: the longest quoted string has maxQuoted (1,000) bytes; a longer one is a literal.
func TestMaxQuoted(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{1000: `"`, 1001: "{1001}\r\n"} {
		e := imapwire.NewEncoder(nil)
		e.String(strings.Repeat("q", n))
		if got := e.Taken(); !strings.HasPrefix(got, want+"q") {
			t.Errorf("%d bytes: %.20q", n, got)
		}
	}
}
