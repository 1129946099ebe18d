// Package order puts messages in the order that SORT asks for and gathers them
// into the threads of THREAD (RFC 5256, RFC 5957). It looks at what it is
// given of each message and at nothing else.
//
// Cost: sorting n messages takes n log n comparisons of bytes; threading is
// linear but for the sorting of siblings by date.
package order

import (
	"cmp"
	"encoding/binary"
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

// place is a message on its way to its place: what its first criterion says, as
// a number, and where the message is. A Message is too large to be moved about.
type place struct {
	first uint64
	at    int32
}

// Sort sorts messages that are in the order of their mailbox. Those that are
// alike stay so, with REVERSE too (RFC 5256 §3).
func Sort(ms []Message, by []imapwire.SortKey) {
	if len(by) == 0 {
		return
	}
	places := make([]place, len(ms))
	for i := range ms {
		places[i] = place{first(&ms[i], by[0]), int32(i)}
	}
	slices.SortFunc(places, func(a, b place) int {
		if c := cmp.Compare(a.first, b.first); c != 0 {
			return c
		}
		for _, k := range by {
			if c := compare(&ms[a.at], &ms[b.at], k.Op); c != 0 {
				if k.Reverse {
					return -c
				}
				return c
			}
		}
		return cmp.Compare(a.at, b.at)
	})
	sorted := make([]Message, len(ms))
	for i, p := range places {
		sorted[i] = ms[p.at]
	}
	copy(ms, sorted)
}

// first is smaller for one message than for another only if the criterion puts
// it first. Texts that begin with the same 8 bytes have the same.
func first(m *Message, k imapwire.SortKey) (n uint64) {
	text, number, isText := criterion(m, k.Op)
	if isText {
		var b [8]byte
		copy(b[:], text)
		n = binary.BigEndian.Uint64(b[:])
	} else {
		n = uint64(number) ^ 1<<63
	}
	if k.Reverse {
		return ^n
	}
	return n
}

func compare(a, b *Message, op imapwire.SortOp) int {
	text, number, isText := criterion(a, op)
	otherText, other, _ := criterion(b, op)
	if isText {
		return cmp.Compare(text, otherText)
	}
	return cmp.Compare(number, other)
}

// criterion is what a message is sorted by: a text or a number.
func criterion(m *Message, op imapwire.SortOp) (text string, number int64, isText bool) {
	switch op {
	case imapwire.SortArrival:
		return "", m.Arrival, false
	case imapwire.SortDate:
		return "", m.Sent, false
	case imapwire.SortSize:
		return "", m.Size, false
	case imapwire.SortFrom:
		return m.From, 0, true
	case imapwire.SortTo:
		return m.To, 0, true
	case imapwire.SortCc:
		return m.Cc, 0, true
	case imapwire.SortDisplayFrom:
		return m.ShownFrom, 0, true
	case imapwire.SortDisplayTo:
		return m.ShownTo, 0, true
	}
	return m.Subject, 0, true
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
