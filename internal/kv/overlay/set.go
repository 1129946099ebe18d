// Package overlay holds the writes of a transaction that is not committed yet,
// and shows them over what is committed: a Set is the writes, a Tx is the
// kv.Tx that every engine and the combiner hand to the function of an Update.
//
// It never copies a key or a value: both belong to the overlay from Put on.
// It knows nothing of commits; the engine takes Writes and Expects from it.
package overlay

import (
	"bytes"
	"fmt"
	"sort"

	"github.com/eidermail/eider/internal/kv"
)

// pending marks the revision of a write that is not committed. No engine
// gives out revisions with this bit.
const pending kv.Rev = 1 << 63

// Write is one key as the transaction leaves it.
type Write struct {
	Key, Value []byte // Value is nil for a delete, and never nil for a put
	Rev        kv.Rev // 0 for a delete, else a mark that only this Set knows
	Delete     bool
}

// Expectation is one Expect.
type Expectation struct {
	Key []byte
	Rev kv.Rev
}

// Set is the writes and expectations of a transaction. The zero Set is empty.
// It keeps its writes in an array in the order of first writing, and beside it
// their order by key: a search costs no hash and no copy of the key.
type Set struct {
	writes  []Write
	order   []int32
	expects []Expectation
	bytes   int
	seq     kv.Rev
}

// find returns the place of key in the order, and whether it is there.
func (s *Set) find(key []byte) (int, bool) {
	n := len(s.order)
	// Keys often come in order.
	if n == 0 || bytes.Compare(s.writes[s.order[n-1]].Key, key) < 0 {
		return n, false
	}
	i := sort.Search(n, func(i int) bool { return bytes.Compare(s.writes[s.order[i]].Key, key) >= 0 })
	return i, bytes.Equal(s.writes[s.order[i]].Key, key)
}

func (s *Set) set(w Write) {
	if w.Key == nil {
		w.Key = []byte{}
	}
	i, found := s.find(w.Key)
	if found {
		old := &s.writes[s.order[i]]
		s.bytes += len(w.Value) - len(old.Value)
		*old = w
		return
	}
	s.bytes += len(w.Key) + len(w.Value)
	s.order = append(s.order, 0)
	copy(s.order[i+1:], s.order[i:])
	s.order[i] = int32(len(s.writes))
	s.writes = append(s.writes, w)
}

// Put sets a key. The Set keeps key and value.
func (s *Set) Put(key, value []byte) {
	if value == nil {
		value = []byte{}
	}
	s.seq++
	s.set(Write{Key: key, Value: value, Rev: pending | s.seq})
}

// Delete removes a key.
func (s *Set) Delete(key []byte) { s.set(Write{Key: key, Delete: true}) }

// Expect adds a condition on the state before the Set's own writes.
func (s *Set) Expect(key []byte, rev kv.Rev) {
	s.expects = append(s.expects, Expectation{Key: key, Rev: rev})
}

// Lookup returns the Set's own write of key.
func (s *Set) Lookup(key []byte) (Write, bool) {
	i, found := s.find(key)
	if !found {
		return Write{}, false
	}
	return s.writes[s.order[i]], true
}

// Len is the number of keys written.
func (s *Set) Len() int { return len(s.writes) }

// Bytes is the size of all keys and values written.
func (s *Set) Bytes() int { return s.bytes }

// Writes yields the writes in the order of their keys.
func (s *Set) Writes(yield func(Write) bool) {
	for _, i := range s.order {
		if !yield(s.writes[i]) {
			return
		}
	}
}

// Expects returns the conditions.
func (s *Set) Expects() []Expectation { return s.expects }

// Merge adds the writes of t, which came after those of s, and the given
// conditions.
func (s *Set) Merge(t *Set, expects []Expectation) {
	for _, w := range t.writes {
		if w.Delete {
			s.Delete(w.Key)
		} else {
			s.Put(w.Key, w.Value)
		}
	}
	s.expects = append(s.expects, expects...)
}

// Check returns kv.ErrTooLarge if the Set is over the limits.
func (s *Set) Check(l kv.Limits) error {
	if len(s.writes) > l.MaxTxKeys || len(s.expects) > l.MaxTxKeys {
		return fmt.Errorf("%w: %d keys in one transaction, limit %d",
			kv.ErrTooLarge, max(len(s.writes), len(s.expects)), l.MaxTxKeys)
	}
	if s.bytes > l.MaxTxBytes {
		return fmt.Errorf("%w: %d bytes in one transaction, limit %d", kv.ErrTooLarge, s.bytes, l.MaxTxBytes)
	}
	for i := range s.writes {
		if n := len(s.writes[i].Key); n > l.MaxKey {
			return fmt.Errorf("%w: key of %d bytes, limit %d", kv.ErrTooLarge, n, l.MaxKey)
		}
		if n := len(s.writes[i].Value); n > l.MaxValue {
			return fmt.Errorf("%w: value of %d bytes, limit %d", kv.ErrTooLarge, n, l.MaxValue)
		}
	}
	return nil
}

// keepWrites bounds what Reset leaves allocated for the next use.
const keepWrites = 2048

// Reset empties the Set and lets go of all keys and values.
func (s *Set) Reset() {
	if cap(s.writes) > keepWrites || cap(s.expects) > keepWrites {
		*s = Set{}
		return
	}
	clear(s.writes)
	clear(s.expects)
	s.writes, s.order, s.expects = s.writes[:0], s.order[:0], s.expects[:0]
	s.bytes, s.seq = 0, 0
}

// within returns copies of the writes inside the range, in its order.
func (s *Set) within(r kv.Range) []Write {
	lo, _ := s.find(r.Start)
	hi := len(s.order)
	if r.End != nil {
		hi, _ = s.find(r.End)
	}
	if lo >= hi {
		return nil
	}
	out := make([]Write, 0, hi-lo)
	for _, i := range s.order[lo:hi] {
		out = append(out, s.writes[i])
	}
	if r.Reverse {
		for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
			out[i], out[j] = out[j], out[i]
		}
	}
	return out
}
