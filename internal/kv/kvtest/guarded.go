package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"sync"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/overlay"
)

// ErrMisuse is the error of an Update that broke a rule of the contract.
var ErrMisuse = errors.New("kvtest: misuse of the store")

// GuardedStore is what Guarded returns.
type GuardedStore struct {
	kv.Store
	domain func(key []byte) []byte
	seed   maphash.Seed

	mu     sync.Mutex
	faults []error
}

// Guarded returns a store that fails an Update which writes a key outside the
// domains of its guards, changes a key or value after Put, or has used a Tx
// after its function returned. domain names the guard of a key; nil means
// that the key may be written under any guard. Nothing wrong is committed.
func Guarded(s kv.Store, domain func(key []byte) []byte) *GuardedStore {
	return &GuardedStore{Store: s, domain: domain, seed: maphash.MakeSeed()}
}

// Faults returns all misuse so far, for code that swallows errors.
func (g *GuardedStore) Faults() []error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]error(nil), g.faults...)
}

func (g *GuardedStore) fault(format string, args ...any) error {
	err := fmt.Errorf("%w: %s", ErrMisuse, fmt.Sprintf(format, args...))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = append(g.faults, err)
	return err
}

// Update runs fn, watched.
func (g *GuardedStore) Update(ctx context.Context, guards [][]byte, fn func(kv.Tx) error, opts ...kv.Option) error {
	return g.Store.Update(ctx, guards, func(tx kv.Tx) error {
		w := &watched{Tx: tx, g: g, guards: guards}
		err := fn(w)
		w.over = true
		for _, b := range w.kept {
			if maphash.Bytes(g.seed, b.bytes) != b.sum {
				return g.fault("a key or value was changed after it was given to the Tx: now %q", b.bytes)
			}
		}
		if w.err != nil {
			return w.err
		}
		return err
	}, opts...)
}

// watched is a Tx that is watched.
type watched struct {
	kv.Tx
	g      *GuardedStore
	guards [][]byte
	kept   []kept
	over   bool
	err    error // the first misuse
}

// kept is what the Tx was given, and how it looked then.
type kept struct {
	bytes []byte
	sum   uint64
}

func (w *watched) note(what string, key []byte, all ...[]byte) {
	if w.over {
		w.g.fault("%s of %q after the function returned", what, key)
		return
	}
	for _, b := range all {
		w.kept = append(w.kept, kept{b, maphash.Bytes(w.g.seed, b)})
	}
	if what == "Expect" {
		return
	}
	domain := w.g.domain(key)
	for _, g := range w.guards {
		if domain == nil || bytes.Equal(g, domain) {
			return
		}
	}
	err := w.g.fault("%s of %q, whose guard %q is not held, only %q", what, key, domain, w.guards)
	if w.err == nil {
		w.err = err
	}
}

func (w *watched) Put(key, value []byte) {
	w.note("Put", key, key, value)
	w.Tx.Put(key, value)
}

func (w *watched) Delete(key []byte) {
	w.note("Delete", key, key)
	w.Tx.Delete(key)
}

func (w *watched) Expect(key []byte, rev kv.Rev) {
	w.note("Expect", key, key)
	w.Tx.Expect(key, rev)
}

func (w *watched) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	if w.over {
		return nil, w.g.fault("GetMulti of %q after the function returned", keys)
	}
	return w.Tx.GetMulti(ctx, keys...)
}

func (w *watched) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	if w.over {
		err := w.g.fault("Scan of %+v after the function returned", r)
		return func(yield func(kv.Item, error) bool) { yield(kv.Item{}, err) }
	}
	return w.Tx.Scan(ctx, r)
}

// rerun runs every function twice.
type rerun struct{ kv.Store }

// Rerun returns a store that calls the function of each Update and View once
// for nothing before the call that counts, as an engine may after a conflict.
// It finds functions that leave something behind outside their Tx.
func Rerun(s kv.Store) kv.Store { return rerun{s} }

func (r rerun) Update(ctx context.Context, guards [][]byte, fn func(kv.Tx) error, opts ...kv.Option) error {
	return r.Store.Update(ctx, guards, func(tx kv.Tx) error {
		items := make([]kv.Item, len(guards))
		for i := range items {
			items[i] = tx.Guard(i)
		}
		_ = fn(discard(tx, items)) // only the second call counts
		return fn(tx)
	}, opts...)
}

func (r rerun) View(ctx context.Context, guards [][]byte, fn func(kv.Reader, []kv.Item) error) error {
	return r.Store.View(ctx, guards, func(rd kv.Reader, items []kv.Item) error {
		_ = fn(rd, items)
		return fn(rd, items)
	})
}

// discard is a Tx over tx whose writes go nowhere.
func discard(tx kv.Tx, guards []kv.Item) kv.Tx { return overlay.New(tx, guards, tx.Epoch()) }
