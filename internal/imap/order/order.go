// Package order puts messages in the order that SORT asks for and gathers them
// into the threads of THREAD (RFC 5256, RFC 5957). It looks at what it is
// given of each message and at nothing else.
//
// Cost: sorting n messages takes n log n comparisons of bytes; threading is
// linear but for the sorting of siblings by date.
package order

import (
	"cmp"
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// Message is what the order of a message depends on. Texts are in the form
// that Key gives. Only what the criteria name need be filled in.
type Message struct {
	UID                uint32
	Arrival, Sent      int64 // Unix seconds; Sent is Arrival where the header has no date
	Dated              bool  // the header has a date
	Size               int64
	From, To, Cc       string // mailbox of the first address
	ShownFrom, ShownTo string // display name of the first address, or the address (RFC 5957 §3)
	Subject            string // base subject (RFC 5256 §2.1)
	Reply              bool   // the subject had Re: or the like
	ID                 string // Message-ID without brackets, "" if none
	References         []string
	ModSeq             uint64
}

// Sort sorts messages that are in the order of their mailbox. Those that are
// alike stay so, with REVERSE too (RFC 5256 §3).
func Sort(ms []Message, by []imapwire.SortKey) {
	slices.SortStableFunc(ms, func(a, b Message) int {
		for _, k := range by {
			if c := compare(&a, &b, k.Op); c != 0 {
				if k.Reverse {
					return -c
				}
				return c
			}
		}
		return 0
	})
}

func compare(a, b *Message, op imapwire.SortOp) int {
	switch op {
	case imapwire.SortArrival:
		return cmp.Compare(a.Arrival, b.Arrival)
	case imapwire.SortDate:
		return cmp.Compare(a.Sent, b.Sent)
	case imapwire.SortSize:
		return cmp.Compare(a.Size, b.Size)
	case imapwire.SortFrom:
		return cmp.Compare(a.From, b.From)
	case imapwire.SortTo:
		return cmp.Compare(a.To, b.To)
	case imapwire.SortCc:
		return cmp.Compare(a.Cc, b.Cc)
	case imapwire.SortDisplayFrom:
		return cmp.Compare(a.ShownFrom, b.ShownFrom)
	case imapwire.SortDisplayTo:
		return cmp.Compare(a.ShownTo, b.ShownTo)
	}
	return cmp.Compare(a.Subject, b.Subject)
}

// Key is the form in which texts are compared byte by byte: title case, taken
// apart (RFC 5051 i;unicode-casemap).
func Key(s string) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'a' <= c && c <= 'z' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	b := make([]byte, 0, len(s))
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z':
			b = append(b, byte(r)-'a'+'A')
		case r < utf8.RuneSelf:
			b = append(b, byte(r))
		default:
			b = norm.NFKD.AppendString(b, string(unicode.ToTitle(r)))
		}
	}
	return string(b)
}
