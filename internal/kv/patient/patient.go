// Package patient tries again while a store is away or too busy: a failover is
// then a delay and no error, for as long as the caller's context lives.
package patient

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/eidermail/eider/internal/kv"
)

// Try runs f, again while the store is away or too busy, until ctx ends.
func Try(ctx context.Context, f func() error) error {
	for n := 0; ; n++ {
		err := f()
		if err == nil || !errors.Is(err, kv.ErrUnavailable) && !errors.Is(err, kv.ErrConflict) {
			return err
		}
		t := time.NewTimer(rand.N(2*time.Millisecond<<min(n, 8)) + time.Millisecond)
		select {
		case <-ctx.Done():
			t.Stop()
			return err
		case <-t.C:
		}
	}
}

// Scan calls f for each item of a range until it says that there is enough. It
// is to be called by Try: the next call goes on where the store went away.
func Scan(ctx context.Context, s kv.Store, r *kv.Range, f func(kv.Item) (more bool, err error)) error {
	for it, err := range s.Scan(ctx, *r) {
		if err != nil {
			return err
		}
		more, err := f(it)
		if err != nil || !more {
			return err
		}
		if r.Reverse {
			r.End = it.Key
		} else {
			r.Start = append(append(make([]byte, 0, len(it.Key)+1), it.Key...), 0)
		}
		if r.Limit > 0 {
			if r.Limit--; r.Limit == 0 {
				return nil
			}
		}
	}
	return nil
}
