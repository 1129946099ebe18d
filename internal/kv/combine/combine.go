// Package combine is group commit above a store: updates of one guard that
// come while another is being committed are committed together, each as if it
// were alone. Without it several servers livelock on one busy account, and one
// server waits for the disk once per message.
//
// An update that comes when its guard is idle goes straight to the store.
// Nothing waits for a timer. Updates with more than one guard pass through.
package combine

import (
	"context"
	"fmt"
	"hash/maphash"
	"runtime/debug"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/guard"
)

// Limit: updates of one guard that are committed together.
const MaxOps = 64

// Limit: keys that one group commit writes.
const MaxKeys = 1_000

// Limit: bytes that one group commit writes, unless a single update is larger.
const MaxBytes = 1 << 20

// Limit: updates of one guard that wait in one process; more get kv.ErrUnavailable.
const MaxQueue = 4_096

// Limit: how long an update whose context ended waits to learn the outcome of a commit it is in.
const Grace = 2 * time.Second

// groupAttempts bounds how often a group meets a conflict before it is halved.
const groupAttempts = 8

// ErrBusy is returned, with kv.ErrUnavailable, when a guard's queue is full.
var ErrBusy = fmt.Errorf("combine: too many updates wait for one guard: %w", kv.ErrUnavailable)

// PanicError is the error of an update whose function panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("combine: update panicked: %v", e.Value) }

// Options of a Combiner. Zero fields take the limits of the package.
type Options struct {
	MaxOps, MaxKeys, MaxBytes, MaxQueue int
	Grace                               time.Duration
}

// shards spread the queues so that unrelated guards do not meet.
const shards = 64

// Combiner is a kv.Store over another.
type Combiner struct {
	kv.Store
	o      Options
	gate   *guard.Gate
	seed   maphash.Seed
	shards [shards]shard
	groups sync.Pool
}

type shard struct {
	mu     sync.Mutex
	queues map[string]*queue
}

// queue is the updates of one guard that wait for the one that is running. It
// is there only while one runs.
type queue struct {
	waiting []*op
}

var _ kv.Store = (*Combiner)(nil)

// New returns a Combiner over store, which it closes with itself.
func New(store kv.Store, o Options) *Combiner {
	c := &Combiner{Store: store, o: o, gate: guard.NewGate(), seed: maphash.MakeSeed()}
	for _, d := range []struct {
		v    *int
		init int
	}{{&c.o.MaxOps, MaxOps}, {&c.o.MaxKeys, MaxKeys}, {&c.o.MaxBytes, MaxBytes}, {&c.o.MaxQueue, MaxQueue}} {
		if *d.v <= 0 {
			*d.v = d.init
		}
	}
	if c.o.Grace <= 0 {
		c.o.Grace = Grace
	}
	for i := range c.shards {
		c.shards[i].queues = map[string]*queue{}
	}
	c.groups.New = func() any { return new(group) }
	return c
}

// Update commits fn alone or in a group.
func (c *Combiner) Update(ctx context.Context, guards [][]byte, fn func(kv.Tx) error, opts ...kv.Option) error {
	if !c.gate.Enter() {
		return kv.ErrClosed
	}
	defer c.gate.Leave()
	o := kv.Options(opts...)
	if len(guards) != 1 || o.NoCombine {
		return c.Store.Update(ctx, guards, safe(fn), opts...)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	key := guards[0]
	s := &c.shards[maphash.Bytes(c.seed, key)%shards]
	s.mu.Lock()
	q := s.queues[string(key)]
	if q == nil {
		q = &queue{}
		s.queues[string(key)] = q
		s.mu.Unlock()
		defer c.pass(s, q, key)
		return c.Store.Update(ctx, guards, safe(fn), opts...)
	}
	if len(q.waiting) >= c.o.MaxQueue {
		s.mu.Unlock()
		return ErrBusy
	}
	w := &op{ctx: ctx, fn: fn, o: o, signal: make(chan bool, 1)}
	q.waiting = append(q.waiting, w)
	s.mu.Unlock()
	return c.wait(s, q, key, w)
}

// wait waits until w is answered; when it is w's turn, it has a group run.
func (c *Combiner) wait(s *shard, q *queue, key []byte, w *op) error {
	for {
		select {
		case lead := <-w.signal:
			if !lead {
				return w.err
			}
			if c.lead(s, q, key, w) {
				return w.err
			}
		case <-w.ctx.Done():
			return c.abandon(s, q, key, w)
		}
	}
}

// abandon answers an update whose context ended before it was answered.
func (c *Combiner) abandon(s *shard, q *queue, key []byte, w *op) error {
	ran := w.leave() // from here on its function is not called, and it is not queued again
	if s.drop(q, w) {
		return w.ctx.Err()
	}
	timer := time.NewTimer(c.o.Grace)
	defer timer.Stop()
	var lead bool
	select {
	case lead = <-w.signal:
	case <-timer.C:
		select {
		case lead = <-w.signal:
		default:
			if ran {
				return fmt.Errorf("%w: %w", kv.ErrUnknown, w.ctx.Err())
			}
			return w.ctx.Err()
		}
	}
	if !lead {
		return w.err
	}
	c.pass(s, q, key)
	return w.ctx.Err()
}

// drop takes w out of the queue, if it is still there.
func (s *shard) drop(q *queue, w *op) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, x := range q.waiting {
		if x == w {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// pass ends the turn of a caller: the next that waits gets it.
func (c *Combiner) pass(s *shard, q *queue, key []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(q.waiting) == 0 {
		delete(s.queues, string(key))
		return
	}
	// Work that a person waits for goes first.
	next := 0
	for i, w := range q.waiting {
		if !w.o.Background {
			next = i
			break
		}
	}
	w := q.waiting[next]
	q.waiting = append(q.waiting[:next], q.waiting[next+1:]...)
	w.signal <- true
}

// lead runs w: alone in this goroutine if nobody else waits, and then returns
// true; or else in a group, whose goroutine does not end with w's context.
func (c *Combiner) lead(s *shard, q *queue, key []byte, w *op) (done bool) {
	s.mu.Lock()
	n := min(len(q.waiting), c.o.MaxOps-1)
	if n == 0 {
		s.mu.Unlock()
		defer c.pass(s, q, key)
		w.err = c.Store.Update(w.ctx, [][]byte{key}, safe(w.fn), kv.With(w.o))
		return true
	}
	ops := append(append(make([]*op, 0, n+1), w), q.waiting[:n]...)
	q.waiting = append(q.waiting[:0], q.waiting[n:]...)
	s.mu.Unlock()
	c.gate.Stay()
	go func() {
		defer c.gate.Leave()
		defer c.pass(s, q, key)
		g := c.groups.Get().(*group)
		rest := g.run(c, key, ops)
		c.groups.Put(g)
		s.requeue(q, rest)
	}()
	return false
}

// requeue puts ops that did not fit in a group before those that wait.
func (s *shard) requeue(q *queue, rest []*op) {
	if len(rest) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*op, 0, len(rest)+len(q.waiting))
	for _, w := range rest {
		if !w.gone() {
			all = append(all, w)
		} else {
			w.answer(w.ctx.Err())
		}
	}
	q.waiting = append(all, q.waiting...)
}

// Close waits for all updates, then closes the store below.
func (c *Combiner) Close() error {
	if !c.gate.Close() {
		return kv.ErrClosed
	}
	return c.Store.Close()
}

// safe makes a panic of fn its error.
func safe(fn func(kv.Tx) error) func(kv.Tx) error {
	return func(tx kv.Tx) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = &PanicError{Value: p, Stack: debug.Stack()}
			}
		}()
		return fn(tx)
	}
}
