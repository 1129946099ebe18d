package order

import (
	"strconv"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// Result is what ESEARCH reports: a set, or a list in the order of SORT.
type Result interface {
	Len() int
	// Slice is the part from the i-th to before the j-th, from 0 on.
	Slice(i, j int) Result
	Ends() (first, last uint32)
	Append(b []byte) []byte
}

// SetResult is the result of SEARCH.
type SetResult imapwire.Set

// Len is how many there are.
func (s SetResult) Len() int { return imapwire.Set(s).Len() }

// Slice is the part from the i-th to before the j-th.
func (s SetResult) Slice(i, j int) Result { return SetResult(imapwire.Set(s).Slice(i, j)) }

// Ends are the lowest and the highest.
func (s SetResult) Ends() (first, last uint32) { return imapwire.Set(s).Min(), imapwire.Set(s).Max() }

// Append writes the set.
func (s SetResult) Append(b []byte) []byte { return imapwire.Set(s).Append(b) }

// ListResult is the result of SORT.
type ListResult []uint32

// Len is how many there are.
func (l ListResult) Len() int { return len(l) }

// Slice is the part from the i-th to before the j-th.
func (l ListResult) Slice(i, j int) Result { return l[i:j] }

// Ends are the first and the last; there is one.
func (l ListResult) Ends() (first, last uint32) { return l[0], l[len(l)-1] }

// Append writes the list in its order; numbers that follow each other become a range.
func (l ListResult) Append(b []byte) []byte {
	for i := 0; i < len(l); {
		j := i + 1
		for j < len(l) && l[j] == l[j-1]+1 {
			j++
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(l[i]), 10)
		if j > i+1 {
			b = strconv.AppendUint(append(b, ':'), uint64(l[j-1]), 10)
		}
		i = j
	}
	return b
}
