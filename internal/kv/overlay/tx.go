package overlay

import (
	"bytes"
	"context"
	"iter"

	"github.com/eidermail/eider/internal/kv"
)

// Tx is a kv.Tx: a Set shown over a base reader. A Tx can be the base of
// another, which is how the combiner stacks the operations of a group.
type Tx struct {
	Set
	base   kv.Reader
	guards []kv.Item
	epoch  uint64
}

var _ kv.Tx = (*Tx)(nil)

// New returns a Tx over base with these guards.
func New(base kv.Reader, guards []kv.Item, epoch uint64) *Tx {
	t := new(Tx)
	t.Start(base, guards, epoch)
	return t
}

// Start empties the Tx and puts it over another base, to use its memory again.
func (t *Tx) Start(base kv.Reader, guards []kv.Item, epoch uint64) {
	t.Reset()
	t.base, t.guards, t.epoch = base, guards, epoch
}

// Guard returns the i-th guard as it was when it was locked.
func (t *Tx) Guard(i int) kv.Item { return t.guards[i] }

// Epoch is the store's epoch.
func (t *Tx) Epoch() uint64 { return t.epoch }

func (w Write) item() kv.Item {
	if w.Delete {
		return kv.Item{Key: w.Key}
	}
	return kv.Item{Key: w.Key, Value: w.Value, Rev: w.Rev}
}

// GetMulti reads keys, own writes first.
func (t *Tx) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	if t.Len() == 0 {
		return t.base.GetMulti(ctx, keys...)
	}
	var items []kv.Item // made at the first own write
	missing := 0
	for i, k := range keys {
		w, own := t.Lookup(k)
		if own {
			if items == nil {
				items = make([]kv.Item, len(keys))
			}
			items[i] = w.item()
		} else {
			missing++
		}
	}
	if items == nil {
		return t.base.GetMulti(ctx, keys...)
	}
	if missing == 0 {
		return items, nil
	}
	rest := make([][]byte, 0, missing)
	for i, k := range keys {
		if items[i].Key == nil {
			rest = append(rest, k)
		}
	}
	got, err := t.base.GetMulti(ctx, rest...)
	if err != nil {
		return nil, err
	}
	n := 0
	for i := range items {
		if items[i].Key == nil {
			items[i] = got[n]
			n++
		}
	}
	return items, nil
}

// Scan reads a range, own writes merged in as they are when the scan starts.
func (t *Tx) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	if t.Len() == 0 {
		return t.base.Scan(ctx, r)
	}
	return func(yield func(kv.Item, error) bool) {
		own := t.within(r)
		below := r
		if r.Limit > 0 {
			// Each own write can hide one item of the base, no more.
			below.Limit += len(own)
		}
		m := merger{own: own, r: r, yield: yield}
		m.run(t.base.Scan(ctx, below))
	}
}

// merger walks a base scan and own writes together.
type merger struct {
	own   []Write
	r     kv.Range
	n     int
	yield func(kv.Item, error) bool
}

// emit yields one item and tells whether to go on.
func (m *merger) emit(it kv.Item) bool {
	m.n++
	return m.yield(it, nil) && (m.r.Limit == 0 || m.n < m.r.Limit)
}

// emitOwn yields the first own write, unless it is a delete.
func (m *merger) emitOwn() bool {
	w := m.own[0]
	m.own = m.own[1:]
	if w.Delete {
		return true
	}
	it := w.item()
	if m.r.KeysOnly {
		it.Value = nil
	}
	return m.emit(it)
}

func (m *merger) run(base iter.Seq2[kv.Item, error]) {
	for it, err := range base {
		if err != nil {
			m.yield(kv.Item{}, err)
			return
		}
		shadowed := false
		for len(m.own) > 0 && !shadowed {
			c := bytes.Compare(m.own[0].Key, it.Key)
			if m.r.Reverse {
				c = -c
			}
			if c > 0 {
				break
			}
			shadowed = c == 0
			if !m.emitOwn() {
				return
			}
		}
		if !shadowed && !m.emit(it) {
			return
		}
	}
	for len(m.own) > 0 {
		if !m.emitOwn() {
			return
		}
	}
}
