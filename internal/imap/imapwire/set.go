package imapwire

import (
	"iter"
	"slices"
	"sort"
	"strconv"
)

// Run is the numbers from Start to Stop, both included.
type Run struct{ Start, Stop uint32 }

// Set is a set of numbers as ascending runs that neither overlap nor touch.
// UIDs of mailboxes lie in few runs, so a set costs what its gaps cost. A Set
// is never changed in place: operations return new ones.
type Set []Run

// SetOf returns the set of the given numbers, in any order.
func SetOf(ns ...uint32) Set {
	if !slices.IsSorted(ns) {
		ns = slices.Clone(ns)
		slices.Sort(ns)
	}
	var s Set
	for _, n := range ns {
		s = s.push(n, n)
	}
	return s
}

// Builder makes a Set out of ascending numbers.
type Builder struct{ set Set }

// Add adds n, which is not below any number added before.
func (b *Builder) Add(n uint32) { b.set = b.set.push(n, n) }

// Set returns what was added.
func (b *Builder) Set() Set { return b.set }

// push adds a run whose start is not below any start in s; s may be changed.
func (s Set) push(start, stop uint32) Set {
	if k := len(s) - 1; k >= 0 {
		last := &s[k]
		if start <= last.Stop || start-1 == last.Stop {
			last.Stop = max(last.Stop, stop)
			return s
		}
	}
	return append(s, Run{start, stop})
}

// Len is how many numbers are in s.
func (s Set) Len() int {
	n := 0
	for _, r := range s {
		n += int(r.Stop-r.Start) + 1
	}
	return n
}

// Empty tells whether nothing is in s.
func (s Set) Empty() bool { return len(s) == 0 }

// Max is the largest number, 0 if there is none.
func (s Set) Max() uint32 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].Stop
}

// Min is the smallest number, 0 if there is none.
func (s Set) Min() uint32 {
	if len(s) == 0 {
		return 0
	}
	return s[0].Start
}

// Contains tells whether n is in s.
func (s Set) Contains(n uint32) bool {
	i := sort.Search(len(s), func(i int) bool { return s[i].Stop >= n })
	return i < len(s) && s[i].Start <= n
}

// All yields the numbers, ascending.
func (s Set) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, r := range s {
			for n := r.Start; ; n++ {
				if !yield(n) {
					return
				}
				if n == r.Stop {
					break
				}
			}
		}
	}
}

// Numbers returns the numbers as a slice. The caller knows that they are few.
func (s Set) Numbers() []uint32 {
	out := make([]uint32, 0, s.Len())
	for n := range s.All() {
		out = append(out, n)
	}
	return out
}

// Union is what is in s or t.
func (s Set) Union(t Set) Set {
	if len(s) == 0 {
		return t
	}
	if len(t) == 0 {
		return s
	}
	out := make(Set, 0, len(s)+len(t))
	for len(s) > 0 || len(t) > 0 {
		if len(t) == 0 || len(s) > 0 && s[0].Start <= t[0].Start {
			out = out.push(s[0].Start, s[0].Stop)
			s = s[1:]
		} else {
			out = out.push(t[0].Start, t[0].Stop)
			t = t[1:]
		}
	}
	return out
}

// Intersect is what is in both s and t.
func (s Set) Intersect(t Set) Set {
	var out Set
	for len(s) > 0 && len(t) > 0 {
		start, stop := max(s[0].Start, t[0].Start), min(s[0].Stop, t[0].Stop)
		if start <= stop {
			out = out.push(start, stop)
		}
		if s[0].Stop < t[0].Stop {
			s = s[1:]
		} else {
			t = t[1:]
		}
	}
	return out
}

// Subtract is what is in s and not in t.
func (s Set) Subtract(t Set) Set {
	var out Set
	for _, r := range s {
		for len(t) > 0 && t[0].Stop < r.Start {
			t = t[1:]
		}
		start, open := r.Start, true
		for _, x := range t {
			if x.Start > r.Stop {
				break
			}
			if x.Start > start {
				out = append(out, Run{start, x.Start - 1})
			}
			if x.Stop >= r.Stop {
				open = false
				break
			}
			start = x.Stop + 1
		}
		if open {
			out = append(out, Run{start, r.Stop})
		}
	}
	return out
}

// Append writes the set as IMAP does: "1:3,7".
func (s Set) Append(b []byte) []byte {
	for i, r := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(r.Start), 10)
		if r.Stop != r.Start {
			b = append(b, ':')
			b = strconv.AppendUint(b, uint64(r.Stop), 10)
		}
	}
	return b
}

func (s Set) String() string { return string(s.Append(nil)) }

// star stands for "*", the largest number in use.
const star = 0

// SeqSet is a set as a client writes it: ranges in any order, 0 for "*"
// (RFC 9051 §9 sequence-set). One that is not nil and has no ranges is "$",
// the result that a SEARCH saved (RFC 5182 §2.1).
type SeqSet []Run

// Saved tells whether q is "$".
func (q SeqSet) Saved() bool { return q != nil && len(q) == 0 }

// Resolve gives "*" its meaning, the largest number in use, and puts the
// ranges in order.
func (q SeqSet) Resolve(largest uint32) Set {
	out := make(Set, 0, len(q))
	for _, r := range q {
		start, stop := r.Start, r.Stop
		if start == star {
			start = largest
		}
		if stop == star {
			stop = largest
		}
		if start > stop {
			start, stop = stop, start
		}
		if start == 0 {
			start = 1 // nothing is numbered 0: "*" of an empty mailbox
		}
		if start <= stop {
			out = append(out, Run{start, stop})
		}
	}
	sorted := slices.IsSortedFunc(out, func(a, b Run) int { return compare(a.Start, b.Start) })
	if !sorted {
		slices.SortFunc(out, func(a, b Run) int { return compare(a.Start, b.Start) })
	}
	merged := out[:0]
	for _, r := range out {
		merged = merged.push(r.Start, r.Stop)
	}
	return merged
}

func compare(a, b uint32) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Max is the largest number that is named; star tells that "*" is.
func (q SeqSet) Max() (n uint32, star bool) {
	for _, r := range q {
		star = star || r.Start == 0 || r.Stop == 0
		n = max(n, r.Start, r.Stop)
	}
	return n, star
}

// SeqSet reads a sequence set.
func (d *Decoder) SeqSet(q *SeqSet) bool {
	b, ok := d.peek()
	if ok && b == '$' {
		d.pos++
		*q = SeqSet{}
		return true
	}
	if !ok || b != '*' && (b < '0' || b > '9') {
		return false
	}
	var out SeqSet
	for {
		var r Run
		if !d.seqNumber(&r.Start) {
			return false
		}
		r.Stop = r.Start
		if d.Byte(':') && !d.seqNumber(&r.Stop) {
			return false
		}
		if len(out) == MaxRanges {
			return d.Fail("too many ranges")
		}
		out = append(out, r)
		if !d.Byte(',') {
			*q = out
			return true
		}
	}
}

// ExpectSeqSet reads a sequence set.
func (d *Decoder) ExpectSeqSet(q *SeqSet) bool {
	return d.SeqSet(q) || d.Fail("expected a message set")
}

func (d *Decoder) seqNumber(n *uint32) bool {
	if d.Byte('*') {
		*n = star
		return true
	}
	if !d.Number(n) || *n == 0 {
		return d.Fail("bad message set")
	}
	return true
}

// AddRun adds the numbers from start to stop; start is not below any start added before.
func (b *Builder) AddRun(start, stop uint32) { b.set = b.set.push(start, stop) }

// Slice is the part of s from the i-th number to the one before the j-th, counted from 0.
func (s Set) Slice(i, j int) Set {
	var out Set
	for _, r := range s {
		if j <= 0 {
			break
		}
		n := int(r.Stop-r.Start) + 1
		if i < n {
			first := max(i, 0)
			out = append(out, Run{r.Start + uint32(first), r.Start + uint32(min(j, n)-1)})
		}
		i, j = i-n, j-n
	}
	return out
}
