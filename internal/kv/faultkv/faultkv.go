// Package faultkv is a store with faults, for tests: errors before and after
// the commit, delays, calls that hang until their context ends, a store that is
// away or full. Faults add up, and are the same for the same seed.
package faultkv

import (
	"context"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/kv"
)

// Op names calls of a store.
type Op uint8

// The calls, to be combined with |.
const (
	Get Op = 1 << iota
	Scan
	Update
	View
	DeletePrefix
	Ping
	Reads  = Get | Scan | View
	Writes = Update | DeletePrefix
	All    = Reads | Writes | Ping
)

// When says on which side of the call a fault is.
type When uint8

// The sides.
const (
	Before When = iota // the call is not made: nothing was written
	After              // the call is made, then its reply is lost
)

// Fault is one thing that goes wrong. It strikes calls of Ops that are the
// Nth since it was set, or every Every-th, or by chance with Rate; with none of
// them, all. A call is delayed, hangs if Hang, and fails with Err if that is
// not nil.
type Fault struct {
	Ops   Op
	Nth   int
	Every int
	Rate  float64
	When  When
	Err   error
	Delay time.Duration
	Hang  bool // until the call's context ends, whose error it returns

	seen, struck int
}

// Store is a store with faults.
type Store struct {
	inner kv.Store

	mu     sync.Mutex
	rnd    *rand.Rand
	faults map[int]*Fault
	last   int
	calls  map[Op]int
	away   bool
	full   bool
}

var _ kv.Store = (*Store)(nil)

// Wrap returns a store without faults over inner, which it closes with itself.
func Wrap(inner kv.Store, seed uint64) *Store {
	return &Store{
		inner:  inner,
		rnd:    rand.New(rand.NewPCG(seed, 0)),
		faults: map[int]*Fault{},
		calls:  map[Op]int{},
	}
}

// Add sets a fault. struck tells how often it has struck; remove ends it.
func (s *Store) Add(f Fault) (struck func() int, remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	n := s.last
	s.faults[n] = &f
	struck = func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return f.struck
	}
	remove = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.faults, n)
	}
	return struck, remove
}

// FailNth makes the n-th call of ops from now on fail with err, before it does
// anything, and tells later whether that call came.
func (s *Store) FailNth(ops Op, n int, err error) (struck func() int) {
	struck, _ = s.Add(Fault{Ops: ops, Nth: n, Err: err})
	return struck
}

// LoseNth makes the n-th Update from now on commit, and yet return kv.ErrUnknown.
func (s *Store) LoseNth(n int) (struck func() int) {
	struck, _ = s.Add(Fault{Ops: Update, Nth: n, When: After, Err: kv.ErrUnknown})
	return struck
}

// Clear removes all faults, and brings the store back.
func (s *Store) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
	s.away, s.full = false, false
}

// Away makes all calls fail with kv.ErrUnavailable, until it is called with false.
func (s *Store) Away(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// Full makes all updates but Reclaim ones fail with kv.ErrNoSpace, until it is
// called with false. Ping shows it.
func (s *Store) Full(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
}

// Calls tells how many calls of ops have come in so far.
func (s *Store) Calls(ops Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for op, calls := range s.calls {
		if op&ops != 0 {
			n += calls
		}
	}
	return n
}

// strike counts a call and returns the faults that strike it.
func (s *Store) strike(op Op) (hit []Fault, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[op]++
	if s.away {
		return nil, kv.ErrUnavailable
	}
	for n := 1; n <= s.last; n++ {
		f := s.faults[n]
		if f == nil || f.Ops&op == 0 {
			continue
		}
		f.seen++
		strikes := true
		switch {
		case f.Nth > 0:
			strikes = f.seen == f.Nth
		case f.Every > 0:
			strikes = f.seen%f.Every == 0
		case f.Rate > 0:
			strikes = s.rnd.Float64() < f.Rate
		}
		if strikes {
			f.struck++
			hit = append(hit, *f)
		}
	}
	return hit, nil
}

// do makes a call with the faults that strike it.
func (s *Store) do(ctx context.Context, op Op, call func() error) error {
	hit, err := s.strike(op)
	if err != nil {
		return err
	}
	for _, f := range hit {
		if f.When == Before {
			if err := f.happen(ctx); err != nil {
				return err
			}
		}
	}
	err = call()
	for _, f := range hit {
		if f.When == After && err == nil {
			err = f.happen(ctx)
		}
	}
	return err
}

func (f Fault) happen(ctx context.Context) error {
	if f.Hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return f.Err
}

// GetMulti reads keys.
func (s *Store) GetMulti(ctx context.Context, keys ...[]byte) (items []kv.Item, err error) {
	err = s.do(ctx, Get, func() (err error) {
		items, err = s.inner.GetMulti(ctx, keys...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return items, nil
}

// Scan reads a range. A fault After strikes when its items have been yielded.
func (s *Store) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	return func(yield func(kv.Item, error) bool) {
		more := true
		err := s.do(ctx, Scan, func() error {
			for it, err := range s.inner.Scan(ctx, r) {
				if err != nil {
					return err
				}
				if more = yield(it, nil); !more {
					break
				}
			}
			return nil
		})
		if err != nil && more {
			yield(kv.Item{}, err)
		}
	}
}

// Update commits fn, or not.
func (s *Store) Update(ctx context.Context, guards [][]byte, fn func(kv.Tx) error, opts ...kv.Option) error {
	s.mu.Lock()
	full := s.full && !kv.Options(opts...).Reclaim
	s.mu.Unlock()
	return s.do(ctx, Update, func() error {
		if full {
			return kv.ErrNoSpace
		}
		return s.inner.Update(ctx, guards, fn, opts...)
	})
}

// View runs fn on a consistent view.
func (s *Store) View(ctx context.Context, guards [][]byte, fn func(kv.Reader, []kv.Item) error) error {
	return s.do(ctx, View, func() error { return s.inner.View(ctx, guards, fn) })
}

// DeletePrefix removes the keys under prefix.
func (s *Store) DeletePrefix(ctx context.Context, prefix []byte) error {
	return s.do(ctx, DeletePrefix, func() error { return s.inner.DeletePrefix(ctx, prefix) })
}

// Ping tells how the store is.
func (s *Store) Ping(ctx context.Context) (h kv.Health, err error) {
	err = s.do(ctx, Ping, func() (err error) {
		h, err = s.inner.Ping(ctx)
		return err
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full && err == nil {
		h.FreeBytes, h.ReserveBytes = 0, max(h.ReserveBytes, 1)
	}
	return h, err
}

// Limits are those of the store below.
func (s *Store) Limits() kv.Limits { return s.inner.Limits() }

// Close closes the store below. It has no faults.
func (s *Store) Close() error { return s.inner.Close() }
