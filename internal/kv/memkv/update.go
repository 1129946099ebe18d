package memkv

import (
	"bytes"
	"context"
	"fmt"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/guard"
	"github.com/eidermail/eider/internal/kv/overlay"
)

// Update runs fn under its guards and applies its writes at once.
func (s *Store) Update(ctx context.Context, guards [][]byte, fn func(kv.Tx) error, opts ...kv.Option) error {
	if !s.gate.Enter() {
		return kv.ErrClosed
	}
	defer s.gate.Leave()
	o := kv.Options(opts...)
	return guard.Retry(ctx, o.Attempts, func() (bool, error) { return s.m.attempt(ctx, guards, fn, o) })
}

// attempt runs fn once, and tells whether a conflict kept it from committing.
func (m *memory) attempt(
	ctx context.Context, guards [][]byte, fn func(kv.Tx) error, o kv.UpdateOptions,
) (conflict bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if !m.opts.Optimistic {
		held, err := m.locks.Lock(ctx, guards)
		if err != nil {
			return false, err
		}
		defer held.Unlock()
	}
	base, items, seen, epoch, full := m.begin(guards)
	if full && !o.Reclaim {
		return false, kv.ErrNoSpace
	}
	tx := m.txs.Get().(*overlay.Tx)
	tx.Start(base, items, epoch)
	defer func() {
		tx.Start(nil, nil, 0)
		m.txs.Put(tx)
	}()
	if err := fn(tx); err != nil {
		return false, err
	}
	if err := tx.Check(kv.DefaultLimits()); err != nil {
		return false, err
	}
	err = m.commit(guards, seen, tx)
	return err != nil, err
}

// begin returns what a transaction stands on. Without locks it needs a
// snapshot: rows newer than its guards would look like damage to it.
func (m *memory) begin(guards [][]byte) (base kv.Reader, items []kv.Item, seen []uint64, epoch uint64, full bool) {
	if m.opts.Optimistic {
		m.mu.Lock()
		defer m.mu.Unlock()
		base = snapshot{m.tree.Clone()}
	} else {
		m.mu.RLock()
		defer m.mu.RUnlock()
		base = committed{m}
	}
	full = m.free >= 0 && m.free < m.keep
	return base, lookup(m.tree, guards), m.commits(guards), m.epoch, full
}

// commits returns how often each guard has committed, for an optimistic store.
func (m *memory) commits(guards [][]byte) []uint64 {
	if !m.opts.Optimistic {
		return nil
	}
	n := make([]uint64, len(guards))
	for i, g := range guards {
		n[i] = m.held[string(g)]
	}
	return n
}

// commit applies the writes, or returns a conflict.
func (m *memory) commit(guards [][]byte, seen []uint64, tx *overlay.Tx) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, n := range seen {
		if m.held[string(guards[i])] != n {
			return fmt.Errorf("%w: a guard changed", kv.ErrConflict)
		}
	}
	for _, e := range tx.Expects() {
		if it, _ := m.tree.Get(kv.Item{Key: e.Key}); it.Rev != e.Rev {
			return fmt.Errorf("%w: an expected key changed", kv.ErrConflict)
		}
	}
	if seen != nil {
		for _, g := range guards {
			m.held[string(g)]++
		}
	}
	m.rev++
	for w := range tx.Writes {
		if w.Delete {
			m.forget(m.tree.Delete(kv.Item{Key: w.Key}))
		} else {
			// The caller may use its buffers again once Update has returned.
			m.forget(m.tree.ReplaceOrInsert(kv.Item{Key: bytes.Clone(w.Key), Value: clone(w.Value), Rev: m.rev}))
			m.used += int64(len(w.Key) + len(w.Value))
		}
	}
	return nil
}

// forget takes an item that is gone out of the space used.
func (m *memory) forget(old kv.Item, was bool) {
	if was {
		m.used -= int64(len(old.Key) + len(old.Value))
	}
}

// clone copies a value; an empty one stays different from none.
func clone(v []byte) []byte { return append(make([]byte, 0, len(v)), v...) }
