// Package memkv is the engine that keeps everything in memory: the reference
// that the others are measured by, the store of tests and of eidertest. What it
// holds is gone with the last handle.
//
// Several handles can stand on one memory, as several servers stand on one
// cluster. An Optimistic store takes no locks but checks and tries again, as a
// clustered engine does, so functions of Update run more than once.
package memkv

import (
	"bytes"
	"context"
	"iter"
	"sync"
	"time"

	"github.com/google/btree"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/guard"
	"github.com/eidermail/eider/internal/kv/overlay"
	"github.com/eidermail/eider/internal/kv/paging"
)

// Options of a store.
type Options struct {
	// Optimistic makes Update run without locks and retry conflicts.
	Optimistic bool
	// Now is the store's clock; time.Now if nil.
	Now func() time.Time
}

// memory is what all handles share.
type memory struct {
	opts  Options
	locks *guard.Locks
	txs   sync.Pool

	mu    sync.RWMutex
	tree  *btree.BTreeG[kv.Item]
	rev   kv.Rev
	epoch uint64
	free  int64             // -1: not known
	used  int64             // bytes of keys and values
	keep  int64             // the reserve
	held  map[string]uint64 // commits per guard, for Optimistic
}

// Store is one handle on a memory.
type Store struct {
	m    *memory
	gate *guard.Gate
}

var _ kv.Store = (*Store)(nil)

// degree of the tree: wide nodes hold many small items per allocation.
const degree = 32

// New returns an empty store.
func New() *Store { return Open(Options{}) }

// Open returns an empty store with options.
func Open(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &memory{opts: o, locks: guard.NewLocks(), epoch: 1, free: -1, held: map[string]uint64{}}
	m.txs.New = func() any { return new(overlay.Tx) }
	m.tree = btree.NewG(degree, func(a, b kv.Item) bool { return bytes.Compare(a.Key, b.Key) < 0 })
	return &Store{m: m, gate: guard.NewGate()}
}

// Handle returns another handle on the same memory. Closing one leaves the others.
func (s *Store) Handle() *Store { return &Store{m: s.m, gate: guard.NewGate()} }

// SetEpoch changes the epoch, as if the store had lost what was not durable.
func (s *Store) SetEpoch(epoch uint64) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.epoch = epoch
}

// SetSpace makes the store believe in this free space and reserve, in bytes.
// Below the reserve only Reclaim updates go through. free -1: not known.
func (s *Store) SetSpace(free, reserve int64) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.free, s.m.keep = free, reserve
}

// Limits are the default ones.
func (s *Store) Limits() kv.Limits { return kv.DefaultLimits() }

// Ping always finds the store well, until it is closed.
func (s *Store) Ping(ctx context.Context) (kv.Health, error) {
	if !s.gate.Enter() {
		return kv.Health{}, kv.ErrClosed
	}
	defer s.gate.Leave()
	if err := ctx.Err(); err != nil {
		return kv.Health{}, err
	}
	s.m.mu.RLock()
	defer s.m.mu.RUnlock()
	return kv.Health{Time: s.m.opts.Now(), Epoch: s.m.epoch, FreeBytes: s.m.free, UsedBytes: s.m.used,
		ReserveBytes: s.m.keep}, nil
}

// Close waits for the calls of this handle and ends it.
func (s *Store) Close() error {
	if !s.gate.Close() {
		return kv.ErrClosed
	}
	return nil
}

// GetMulti reads keys at one moment.
func (s *Store) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	if !s.gate.Enter() {
		return nil, kv.ErrClosed
	}
	defer s.gate.Leave()
	return committed{s.m}.GetMulti(ctx, keys...)
}

// Scan reads a range page by page.
func (s *Store) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	return paging.Scan(ctx, r, func(r kv.Range, p *paging.Page) error {
		if !s.gate.Enter() {
			return kv.ErrClosed
		}
		defer s.gate.Leave()
		return s.m.page(r, p)
	})
}

// View runs fn on a snapshot.
func (s *Store) View(ctx context.Context, guards [][]byte, fn func(kv.Reader, []kv.Item) error) error {
	if !s.gate.Enter() {
		return kv.ErrClosed
	}
	defer s.gate.Leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.m.mu.Lock() // Clone must not meet a reader of the same tree
	snap := s.m.tree.Clone()
	s.m.mu.Unlock()
	return fn(snapshot{snap}, lookup(snap, guards))
}

// DeletePrefix removes the keys under prefix at once.
func (s *Store) DeletePrefix(ctx context.Context, prefix []byte) error {
	if !s.gate.Enter() {
		return kv.ErrClosed
	}
	defer s.gate.Leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	var keys [][]byte
	s.m.tree.AscendGreaterOrEqual(kv.Item{Key: prefix}, func(it kv.Item) bool {
		if !bytes.HasPrefix(it.Key, prefix) {
			return false
		}
		keys = append(keys, it.Key)
		return true
	})
	for _, k := range keys {
		s.m.forget(s.m.tree.Delete(kv.Item{Key: k}))
	}
	return nil
}
