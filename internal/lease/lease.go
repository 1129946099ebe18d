// Package lease decides which process runs a background loop. A lease is one
// row of the store with a holder and a deadline by the store's clock; whoever
// holds it renews it, and whoever does not waits until it runs out.
//
// It saves work, it is not a lock: a holder that was frozen can go on for a
// moment beside the next one. Whatever runs under a lease must be harmless when
// it runs twice.
package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/kv"
)

// ErrLost: another process has taken the lease, or it could not be renewed in time.
var ErrLost = errors.New("lease: lost")

// Lease is a lease that is held.
type Lease struct {
	store  kv.Store
	key    []byte
	ttl    time.Duration
	holder []byte

	mu    sync.Mutex
	state []byte
	until time.Time // by this process's clock, of the last renewal
}

// Run waits until the lease of key is free, takes it for ttl, and calls fn
// while it is renewed. When the lease is lost the context of fn ends with
// ErrLost. When fn returns, the lease is given back and Run returns what fn
// returned. While another process holds the lease, or the store is away, Run
// waits; it returns the error of ctx when that ends first.
func Run(ctx context.Context, store kv.Store, key []byte, ttl time.Duration,
	fn func(context.Context, *Lease) error,
) error {
	l := &Lease{store: store, key: key, ttl: ttl, holder: []byte(rand.Text())}
	if err := l.acquire(ctx); err != nil {
		return err
	}
	held, cancel := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { l.keep(held, cancel) })
	defer func() {
		cancel(nil)
		renewing.Wait()
		l.release(context.WithoutCancel(ctx))
	}()
	return fn(held, l)
}

// State is what the last holder saved, or nil.
func (l *Lease) State() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Save keeps state for the next holder, and renews the lease: one durable
// commit of this holder. It returns ErrLost if the lease is no longer held.
func (l *Lease) Save(ctx context.Context, state []byte) error {
	return l.write(ctx, func(r *record) { r.state = state })
}

// Renew renews the lease: one durable commit of this holder.
func (l *Lease) Renew(ctx context.Context) error { return l.write(ctx, func(*record) {}) }

// acquire waits until the lease is ours.
func (l *Lease) acquire(ctx context.Context) error {
	for {
		wait, err := l.try(ctx)
		if err == nil && wait == 0 {
			return nil
		}
		if err != nil {
			// The store may be away: that means waiting.
			if errors.Is(err, kv.ErrClosed) || errors.Is(err, kv.ErrCorrupt) || ctx.Err() != nil {
				return fmt.Errorf("lease: %w", errors.Join(err, ctx.Err()))
			}
			wait = l.ttl / 3
		}
		// A holder that goes gives the lease back early: look now and then.
		timer := time.NewTimer(min(wait, max(l.ttl/3, time.Millisecond)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// try takes the lease if it is free, or tells how long to wait.
func (l *Lease) try(ctx context.Context) (wait time.Duration, err error) {
	h, err := l.store.Ping(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	var state []byte
	err = l.store.Update(ctx, [][]byte{l.key}, func(tx kv.Tx) error {
		r, err := decode(tx.Guard(0).Value)
		if err != nil {
			return err
		}
		wait = 0
		// A deadline further off than any holder sets it is from a clock that
		// has been put back since.
		left := r.until.Sub(h.Time)
		if left > 0 && left <= 2*l.ttl && string(r.holder) != string(l.holder) {
			wait = left
			return nil
		}
		r.holder, r.until = l.holder, h.Time.Add(l.ttl)
		state = r.state
		tx.Put(l.key, r.encode())
		return nil
	}, kv.Reclaim(), kv.Background())
	if err != nil || wait > 0 {
		return wait, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state, l.until = state, began.Add(l.ttl)
	return 0, nil
}

// write renews the lease, with a change to its row.
func (l *Lease) write(ctx context.Context, change func(*record)) error {
	h, err := l.store.Ping(ctx)
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	began := time.Now()
	var state []byte
	err = l.store.Update(ctx, [][]byte{l.key}, func(tx kv.Tx) error {
		r, err := decode(tx.Guard(0).Value)
		if err != nil {
			return err
		}
		if string(r.holder) != string(l.holder) {
			return ErrLost
		}
		r.until = h.Time.Add(l.ttl)
		change(&r)
		state = r.state
		tx.Put(l.key, r.encode())
		return nil
	}, kv.Reclaim())
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state, l.until = state, began.Add(l.ttl)
	return nil
}

// keep renews the lease until ctx ends, and ends it when the lease is lost.
func (l *Lease) keep(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(max(l.ttl/3, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.mu.Lock()
		until := l.until
		l.mu.Unlock()
		renew, done := context.WithDeadline(ctx, until)
		err := l.Renew(renew)
		done()
		if errors.Is(err, ErrLost) || time.Now().After(until) && err != nil {
			cancel(ErrLost)
			return
		}
	}
}

// Pace: time to give a lease back at the end.
const releaseTimeout = 2 * time.Second

// release gives the lease back; if it cannot, it runs out by itself.
func (l *Lease) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	_ = l.write(ctx, func(r *record) { r.holder, r.until = nil, time.Time{} })
}
