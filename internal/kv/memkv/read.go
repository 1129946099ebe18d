package memkv

import (
	"bytes"
	"context"
	"iter"

	"github.com/google/btree"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/paging"
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

// fill adds one page of the range.
func fill(tree *btree.BTreeG[kv.Item], r kv.Range, p *paging.Page) {
	take := func(it kv.Item) bool {
		if !r.Reverse && r.End != nil && bytes.Compare(it.Key, r.End) >= 0 {
			return false
		}
		if r.Reverse && bytes.Compare(it.Key, r.Start) < 0 {
			return false
		}
		if r.KeysOnly {
			it.Value = nil
		}
		return p.Add(it, r.Limit)
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
}

// page fills one page of committed data.
func (m *memory) page(r kv.Range, p *paging.Page) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	fill(m.tree, r, p)
	return nil
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
	return paging.Scan(ctx, r, c.m.page)
}

// snapshot reads a tree that nobody changes.
type snapshot struct{ tree *btree.BTreeG[kv.Item] }

func (s snapshot) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	return lookup(s.tree, keys), ctx.Err()
}

func (s snapshot) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	return paging.Scan(ctx, r, func(r kv.Range, p *paging.Page) error {
		fill(s.tree, r, p)
		return nil
	})
}
