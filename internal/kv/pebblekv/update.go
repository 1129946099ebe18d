package pebblekv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/guard"
	"github.com/eidermail/eider/internal/kv/overlay"
)

// txn is the memory of one Update, used again by the next.
type txn struct {
	overlay.Tx
	guards []kv.Item
}

// Update runs fn under its guards and commits its writes to the disk.
func (s *Store) Update(ctx context.Context, guards [][]byte, fn func(kv.Tx) error, opts ...kv.Option) error {
	if !s.gate.Enter() {
		return kv.ErrClosed
	}
	defer s.gate.Leave()
	o := kv.Options(opts...)
	s.space.refresh()
	if !o.Reclaim && s.space.low() {
		return kv.ErrNoSpace
	}
	if o.Background {
		select {
		case s.background <- struct{}{}:
			defer func() { <-s.background }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return guard.Retry(ctx, o.Attempts, func() (bool, error) { return s.attempt(ctx, guards, fn, o.Lazy) })
}

// attempt runs fn once, and tells whether a conflict kept it from committing.
func (s *Store) attempt(
	ctx context.Context, guards [][]byte, fn func(kv.Tx) error, lazy bool,
) (conflict bool, err error) {
	locked, err := s.locks.Lock(ctx, guards)
	if err != nil {
		return false, err
	}
	defer locked.Unlock()
	tx := s.txns.Get().(*txn)
	defer func() {
		tx.Start(nil, nil, 0)
		clear(tx.guards)
		s.txns.Put(tx)
	}()
	if cap(tx.guards) < len(guards) {
		tx.guards = make([]kv.Item, len(guards))
	}
	tx.guards = tx.guards[:len(guards)]
	r := held{committed{s, s.db}}
	if len(guards) > 0 {
		if err := r.fill(ctx, tx.guards, guards); err != nil {
			return false, err
		}
	}
	tx.Start(r, tx.guards, s.meta.epoch)
	if err := fn(tx); err != nil {
		return false, err
	}
	if err := tx.Check(kv.DefaultLimits()); err != nil {
		return false, err
	}
	return s.commit(&tx.Set, lazy)
}

// errExpect is the conflict of an Expect.
var errExpect = fmt.Errorf("%w: an expected key changed", kv.ErrConflict)

// commit writes a batch and, unless that is lazy, waits until it is on the disk: the log
// has one order, so that whatever waits later waits for this, too. The context has
// no say any more: the outcome would be unknown.
func (s *Store) commit(set *overlay.Set, lazy bool) (conflict bool, err error) {
	if set.Len() == 0 {
		holds, err := s.holds(set.Expects())
		if err == nil && !holds {
			err = errExpect
		}
		return err == errExpect, err
	}
	if !s.dirty.Load() {
		if err := s.startWriting(); err != nil {
			return false, err
		}
	}
	b, err := s.batch(set)
	if err != nil {
		return false, err
	}
	if len(set.Expects()) == 0 {
		return false, s.write(b, lazy)
	}
	// Nobody else's batch may come between the check and ours.
	s.apply.Lock()
	holds, err := s.holds(set.Expects())
	if err == nil && holds {
		s.publish(b, lazy)
	}
	s.apply.Unlock()
	if err != nil || !holds {
		return err == nil, errors.Join(err, b.Close(), errIf(err == nil, errExpect))
	}
	return false, s.sync(b, lazy)
}

func errIf(cond bool, err error) error {
	if cond {
		return err
	}
	return nil
}

// holds tells whether all expected revisions are the current ones.
func (s *Store) holds(expects []overlay.Expectation) (bool, error) {
	buf := s.keys.Get().(*[]byte)
	defer s.keys.Put(buf)
	for _, e := range expects {
		var it kv.Item
		if err := (committed{s, s.db}).get(&it, e.Key, buf); err != nil {
			return false, err
		}
		if it.Rev != e.Rev {
			return false, nil
		}
	}
	return true, nil
}

// opCost bounds what Pebble adds to each key and value of a batch.
const opCost = 1 + 5 + 5 + 1 + revSize

// batch writes the set's keys and values straight into a batch of the right size.
func (s *Store) batch(set *overlay.Set) (*pebble.Batch, error) {
	b := s.db.NewBatchWithSize(16 + set.Bytes() + opCost*set.Len())
	rev := uint64(s.nextRev())
	deletes := int64(0)
	tight := s.space.tight()
	for w := range set.Writes {
		var op *pebble.DeferredBatchOp
		if w.Delete {
			op = b.DeleteDeferred(1 + len(w.Key))
			deletes++
			if tight {
				s.space.noteFreed(w.Key)
			}
		} else {
			op = b.SetDeferred(1+len(w.Key), revSize+len(w.Value))
			binary.BigEndian.PutUint64(op.Value, rev)
			copy(op.Value[revSize:], w.Value)
		}
		op.Key[0] = userSpace
		copy(op.Key[1:], w.Key)
		if err := op.Finish(); err != nil {
			return nil, errors.Join(fmt.Errorf("pebblekv: batch: %w", err), b.Close())
		}
	}
	if deletes > 0 {
		s.deletes.Add(deletes)
	}
	return b, nil
}

// write publishes a batch and, unless it is lazy, waits for the disk.
func (s *Store) write(b *pebble.Batch, lazy bool) error {
	s.apply.RLock()
	s.publish(b, lazy)
	s.apply.RUnlock()
	return s.sync(b, lazy)
}

// publish makes the batch visible and hands it to the log. If it cannot, the
// state in memory is no longer that on the disk, and the process must end.
func (s *Store) publish(b *pebble.Batch, lazy bool) {
	defer func() {
		if p := recover(); p != nil {
			s.fatal(fmt.Errorf("writing the log: %v", p))
		}
	}()
	apply := func() error { return s.db.ApplyNoSyncWait(b, pebble.Sync) }
	if lazy {
		apply = func() error { return s.db.Apply(b, pebble.NoSync) }
	}
	if err := apply(); err != nil {
		s.fatal(fmt.Errorf("writing the log: %w", err))
	}
}

// sync waits until a batch that is published is on the disk, and lets it go.
func (s *Store) sync(b *pebble.Batch, lazy bool) error {
	if !lazy {
		if err := b.SyncWait(); err != nil {
			s.fatal(fmt.Errorf("writing the log: %w", err))
		}
	}
	if err := b.Close(); err != nil {
		return fmt.Errorf("pebblekv: batch: %w", err)
	}
	return nil
}

// fewKeys is how many keys under a prefix are deleted one by one; more get one
// range tombstone, which is cheap to write but costs each later read a little.
const fewKeys = 128

// DeletePrefix removes the keys under prefix.
func (s *Store) DeletePrefix(ctx context.Context, prefix []byte) error {
	if !s.gate.Enter() {
		return kv.ErrClosed
	}
	defer s.gate.Leave()
	if !s.dirty.Load() {
		if err := s.startWriting(); err != nil {
			return err
		}
	}
	r := kv.Prefix(prefix)
	r.Limit, r.KeysOnly = fewKeys+1, true
	var set overlay.Set
	for it, err := range (committed{s, s.db}).Scan(ctx, r) {
		if err != nil {
			return err
		}
		set.Delete(it.Key)
	}
	switch n := set.Len(); {
	case n == 0:
		return nil
	case n <= fewKeys:
		b, err := s.batch(&set)
		if err != nil {
			return err
		}
		return s.write(b, false)
	}
	b := s.db.NewBatch()
	end := []byte{userSpace + 1}
	if r.End != nil {
		end = append([]byte{userSpace}, r.End...)
	}
	if err := b.DeleteRange(append([]byte{userSpace}, prefix...), end, nil); err != nil {
		return errors.Join(fmt.Errorf("pebblekv: batch: %w", err), b.Close())
	}
	s.deletes.Add(1)
	s.space.noteFreed(prefix)
	return s.write(b, false)
}
