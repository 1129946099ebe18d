package row

import (
	"math"
	"slices"
	"sort"

	"google.golang.org/protobuf/encoding/protowire"
)

// Run is the UIDs From to To, both included.
type Run struct{ From, To uint32 }

// Runs is a set of UIDs as ascending runs that do not touch.
type Runs []Run

// Add puts a UID in the set.
func (r Runs) Add(uid uint32) Runs {
	n := len(r)
	switch {
	case n == 0 || uid > r[n-1].To && uid-r[n-1].To > 1:
		return append(r, Run{uid, uid})
	case uid > r[n-1].To:
		r[n-1].To = uid
		return r
	}
	// i is the first run that does not end before uid.
	i := sort.Search(n, func(i int) bool { return r[i].To >= uid })
	if r[i].From <= uid {
		return r
	}
	joins := i > 0 && r[i-1].To+1 == uid
	switch {
	case joins && uid+1 == r[i].From:
		r[i-1].To = r[i].To
		return slices.Delete(r, i, i+1)
	case joins:
		r[i-1].To = uid
	case uid+1 == r[i].From:
		r[i].From = uid
	default:
		return slices.Insert(r, i, Run{uid, uid})
	}
	return r
}

// Len is the number of UIDs.
func (r Runs) Len() int {
	n := 0
	for _, run := range r {
		n += int(run.To-run.From) + 1
	}
	return n
}

// Has tells whether a UID is in the set.
func (r Runs) Has(uid uint32) bool {
	i := sort.Search(len(r), func(i int) bool { return r[i].To >= uid })
	return i < len(r) && r[i].From <= uid
}

// All yields the UIDs in order.
func (r Runs) All(yield func(uint32) bool) {
	for _, run := range r {
		for u := run.From; ; u++ {
			if !yield(u) {
				return
			}
			if u == run.To {
				break
			}
		}
	}
}

func putRuns(b []byte, num protowire.Number, r Runs) []byte {
	if len(r) == 0 {
		return b
	}
	n, last := 0, uint32(0)
	for _, run := range r {
		n += protowire.SizeVarint(uint64(run.From-last)) + protowire.SizeVarint(uint64(run.To-run.From))
		last = run.To
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.BytesType), uint64(n))
	last = 0
	for _, run := range r {
		b = protowire.AppendVarint(b, uint64(run.From-last))
		b = protowire.AppendVarint(b, uint64(run.To-run.From))
		last = run.To
	}
	return b
}

func (f *fields) runs() (r Runs) {
	b, last := f.bytes(), uint64(0)
	for len(b) > 0 {
		from, n := protowire.ConsumeVarint(b)
		if n < 0 {
			f.fail("bad runs")
			return nil
		}
		length, m := protowire.ConsumeVarint(b[n:])
		if m < 0 || from > math.MaxUint32 || length > math.MaxUint32 || (from == 0 && len(r) > 0) {
			f.fail("bad runs")
			return nil
		}
		from += last
		last = from + length
		if last > math.MaxUint32 {
			f.fail("bad runs")
			return nil
		}
		r = append(r, Run{uint32(from), uint32(last)})
		b = b[n+m:]
	}
	return r
}

// LogRow is the value of a Log row: what one operation did to one mailbox.
type LogRow struct {
	Prev     uint64 // the mailbox's highest MODSEQ before
	Time     int64  // Unix seconds
	Added    Runs
	Changed  Runs
	Vanished Runs
	unknown  []byte
}

// Append encodes l.
func (l *LogRow) Append(b []byte) []byte {
	b = append(b, version)
	b = putU64(b, 1, l.Prev)
	b = putI64(b, 2, l.Time)
	b = putRuns(b, 3, l.Added)
	b = putRuns(b, 4, l.Changed)
	b = putRuns(b, 5, l.Vanished)
	return append(b, l.unknown...)
}

// DecodeLog is the inverse of Append.
func DecodeLog(b []byte) (l LogRow, err error) {
	f := open(b)
	for f.next() {
		switch f.num {
		case 1:
			l.Prev = f.u64()
		case 2:
			l.Time = f.i64()
		case 3:
			l.Added = f.runs()
		case 4:
			l.Changed = f.runs()
		case 5:
			l.Vanished = f.runs()
		default:
			l.unknown = f.keep(l.unknown)
		}
	}
	return l, f.err
}
