package memkv

import (
	"bytes"
	"context"
	"iter"

	"github.com/google/btree"

	"github.com/eidermail/eider/internal/kv"
)

// lookup reads keys from a tree that does not change meanwhile.
func lookup(tree *btree.BTreeG[kv.Item], keys [][]byte) []kv.Item {
	items := make([]kv.Item, len(keys))
	for i, k := range keys {
		it, ok := tree.Get(kv.Item{Key: k})
		if !ok {
			it = kv.Item{Key: k}
		}
		items[i] = it
	}
	return items
}

// itemCost is what one item counts in a page beside its bytes.
const itemCost = 64

// fill appends one page of the range to items.
func fill(tree *btree.BTreeG[kv.Item], r kv.Range, items []kv.Item) []kv.Item {
	size := 0
	take := func(it kv.Item) bool {
		if !r.Reverse && r.End != nil && bytes.Compare(it.Key, r.End) >= 0 {
			return false
		}
		if r.Reverse && bytes.Compare(it.Key, r.Start) < 0 {
			return false
		}
		size += itemCost + len(it.Key)
		if r.KeysOnly {
			it.Value = nil
		} else {
			size += len(it.Value)
		}
		items = append(items, it)
		return size < kv.PageBytes && len(items) != r.Limit
	}
	switch {
	case !r.Reverse:
		tree.AscendGreaterOrEqual(kv.Item{Key: r.Start}, take)
	case r.End == nil:
		tree.Descend(take)
	default:
		tree.DescendLessOrEqual(kv.Item{Key: r.End}, func(it kv.Item) bool {
			return bytes.Equal(it.Key, r.End) || take(it)
		})
	}
	return items
}

// pager appends the next page of a range to the slice it is given.
type pager func(kv.Range, []kv.Item) ([]kv.Item, error)

// scan yields a range page by page.
func scan(ctx context.Context, r kv.Range, page pager) iter.Seq2[kv.Item, error] {
	return func(yield func(kv.Item, error) bool) {
		r, left := r, r.Limit
		var items []kv.Item
		for {
			err := ctx.Err()
			if err == nil {
				items, err = page(r, items[:0])
			}
			if err != nil {
				yield(kv.Item{}, err)
				return
			}
			for _, it := range items {
				if !yield(it, nil) {
					return
				}
			}
			if left > 0 {
				if left -= len(items); left == 0 {
					return
				}
				r.Limit = left
			}
			if len(items) == 0 {
				return
			}
			last := items[len(items)-1].Key
			if r.Reverse {
				r.End = last
			} else {
				// The smallest key after last.
				r.Start = append(bytes.Clone(last), 0)
			}
		}
	}
}

// page appends one page of committed data to items.
func (m *memory) page(r kv.Range, items []kv.Item) ([]kv.Item, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return fill(m.tree, r, items), nil
}

// committed reads what is committed, past the gate: for transactions that run
// while their handle closes.
type committed struct{ m *memory }

func (c committed) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.m.mu.RLock()
	defer c.m.mu.RUnlock()
	return lookup(c.m.tree, keys), nil
}

func (c committed) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	return scan(ctx, r, c.m.page)
}

// snapshot reads a tree that nobody changes.
type snapshot struct{ tree *btree.BTreeG[kv.Item] }

func (s snapshot) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	return lookup(s.tree, keys), ctx.Err()
}

func (s snapshot) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	return scan(ctx, r, func(r kv.Range, items []kv.Item) ([]kv.Item, error) {
		return fill(s.tree, r, items), nil
	})
}
