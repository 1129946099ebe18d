// Package series commits several steps of one caller together: in order, each
// as if it were an Update of its own. A step sees what those before it wrote;
// one that fails leaves nothing behind and does not take the others down.
package series

import (
	"context"
	"errors"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/overlay"
)

// Pace: keys that one commit of a series writes, unless its first step writes more.
const MaxKeys = 4_000

// Pace: bytes that one commit of a series writes, unless its first step writes more.
const MaxBytes = 2 << 20

// ErrStop is returned by a step that cannot be done in this commit: neither it
// nor those behind it are.
var ErrStop = errors.New("series: a step stops the series")

// Update commits steps, up to the first that does not fit or stops the series.
// errs are those of the steps that were decided, and so tell how many were: nil
// means that the step is part of the commit. If err is not nil the commit
// itself failed, and errs has the steps that had a part in it.
//
// An error of the store is none of a step: it ends the call, to be tried again
// as a whole.
func Update(ctx context.Context, s kv.Store, guards [][]byte, steps []func(kv.Tx) error, opts ...kv.Option,
) (errs []error, err error) {
	limits := s.Limits()
	stack := new(overlay.Stack)
	err = s.Update(ctx, guards, func(tx kv.Tx) error {
		errs = errs[:0]
		stack.Start(tx, len(guards))
		for _, step := range steps {
			own := stack.Next()
			err := step(own)
			if of := trouble(err); of != nil {
				return of
			}
			if err == nil {
				err = own.Check(limits)
			}
			if errors.Is(err, ErrStop) || err == nil && len(errs) > 0 && !stack.Fits(MaxKeys, MaxBytes) {
				break
			}
			if err == nil && !stack.Join() {
				break // it expects something else than was written before it: not in this commit
			}
			errs = append(errs, err)
		}
		stack.HandOn(tx)
		return nil
	}, opts...)
	return errs, err
}

// trouble is an error that is the store's or the caller's, not of a step.
func trouble(err error) error {
	for _, of := range []error{kv.ErrUnavailable, kv.ErrConflict, kv.ErrUnknown, kv.ErrClosed,
		context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, of) {
			return err
		}
	}
	return nil
}
