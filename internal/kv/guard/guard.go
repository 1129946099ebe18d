// Package guard holds what the engines that live inside one process share to
// keep guards apart: striped locks that are taken in order and given up when a
// context ends, and a gate that lets a store close when its last call is over.
package guard

import (
	"context"
	"hash/maphash"
	"slices"
)

// Pace: locks that the guards of an in-process store are spread over.
const Stripes = 8192

// Locks is a set of striped locks. Two keys may share a stripe: whoever holds
// guards must not ask for more.
type Locks struct {
	seed  maphash.Seed
	slots [Stripes]chan struct{} // full while held
}

// NewLocks returns Locks, all free.
func NewLocks() *Locks {
	l := &Locks{seed: maphash.MakeSeed()}
	for i := range l.slots {
		l.slots[i] = make(chan struct{}, 1)
	}
	return l
}

// Held is a set of stripes that is held.
type Held struct {
	l    *Locks
	one  uint16
	many []uint16 // nil if one is all
}

// Lock takes the stripes of all keys, in order, each once, first come first
// served. It returns the error of ctx if that ends first.
func (l *Locks) Lock(ctx context.Context, keys [][]byte) (Held, error) {
	if err := ctx.Err(); err != nil {
		return Held{}, err
	}
	switch len(keys) {
	case 0:
		return Held{}, nil
	case 1:
		h := Held{l: l, one: l.stripe(keys[0])}
		return h, l.take(ctx, h.one)
	}
	all := make([]uint16, len(keys))
	for i, k := range keys {
		all[i] = l.stripe(k)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	for i, s := range all {
		if err := l.take(ctx, s); err != nil {
			Held{l: l, many: all[:i]}.Unlock()
			return Held{}, err
		}
	}
	return Held{l: l, many: all}, nil
}

// Unlock gives the stripes back.
func (h Held) Unlock() {
	switch {
	case h.l == nil:
	case h.many == nil:
		<-h.l.slots[h.one]
	default:
		for _, s := range h.many {
			<-h.l.slots[s]
		}
	}
}

func (l *Locks) stripe(key []byte) uint16 { return uint16(maphash.Bytes(l.seed, key) % Stripes) }

func (l *Locks) take(ctx context.Context, s uint16) error {
	select {
	case l.slots[s] <- struct{}{}:
		return nil
	default:
	}
	select {
	case l.slots[s] <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
