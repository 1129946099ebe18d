package combine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/overlay"
)

// outcome is what became of an op in the last run of its group's function.
type outcome int

const (
	unseen   outcome = iota // the run ended before it
	included                // its writes are part of the group
	failed                  // its function or a limit refused it
	clashed                 // it expects something else than the group wrote before it
	absent                  // its caller left
)

// op is one Update that waits or runs in a group.
type op struct {
	ctx    context.Context
	fn     func(kv.Tx) error
	o      kv.UpdateOptions
	signal chan bool // true: it is your turn; false: err is set
	err    error     // read after signal

	// For the group alone.
	outcome outcome
	fault   error // of a failed op
	later   bool  // failed after others were included: it may have seen them

	mu   sync.Mutex // held while fn runs
	left bool
	ran  bool
	in   *flight
}

// flight is one call of the store for a group.
type flight struct {
	live   atomic.Int32
	cancel context.CancelFunc
}

// answer ends the wait of the op's caller.
func (w *op) answer(err error) {
	w.err = err
	w.signal <- false
}

// leave makes sure that fn is not called again, and tells whether it was
// called in a commit whose outcome is open. When all ops of a flight have
// left, the flight ends.
func (w *op) leave() (ran bool) {
	w.mu.Lock()
	w.left = true
	ran = w.ran
	f := w.in
	w.in = nil
	w.mu.Unlock()
	if f != nil && f.live.Add(-1) == 0 {
		f.cancel()
	}
	return ran
}

func (w *op) gone() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.left
}

// board puts the op in a flight, unless its caller has left.
func (w *op) board(f *flight) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left {
		return false
	}
	w.in, w.ran = f, false
	f.live.Add(1)
	return true
}

// call runs fn on tx, unless the caller has left.
func (w *op) call(tx kv.Tx) (called bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left {
		return false, nil
	}
	w.ran = true
	return true, safe(w.fn)(tx)
}

// errNothing aborts a group commit in which no op has anything to commit.
var errNothing = errors.New("combine: nothing to commit")

// group runs ops in one commit. It is used again for the next.
type group struct {
	c     *Combiner
	ops   []*op
	stack overlay.Stack // the writes of the included ops, over the store's Tx
	limit kv.Limits
}

// run commits ops, in as many commits as it takes, and answers them. It
// returns those that did not fit.
func (g *group) run(c *Combiner, key []byte, ops []*op) (rest []*op) {
	g.c, g.limit = c, c.Limits()
	rest = g.commit(key, ops)
	g.stack.Reset()
	g.c, g.ops = nil, nil
	return rest
}

// commit tries all ops in one commit and answers those it can.
func (g *group) commit(key []byte, ops []*op) (rest []*op) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	f := &flight{cancel: cancel}
	f.live.Add(1) // so that it does not end while ops board
	boarded := ops[:0:0]
	o := kv.UpdateOptions{Attempts: groupAttempts, Reclaim: true, Background: true, Lazy: true}
	for _, w := range ops {
		if !w.board(f) {
			w.answer(w.ctx.Err())
			continue
		}
		w.outcome, w.fault, w.later = unseen, nil, false
		o.Reclaim = o.Reclaim && w.o.Reclaim
		o.Background = o.Background && w.o.Background
		o.Lazy = o.Lazy && w.o.Lazy
		boarded = append(boarded, w)
	}
	if len(boarded) == 0 {
		return nil
	}
	if f.live.Add(-1) == 0 {
		cancel()
	}
	if len(boarded) == 1 {
		g.alone(key, boarded[0])
		return nil
	}
	g.ops = boarded
	err := g.c.Store.Update(ctx, [][]byte{key}, g.apply, kv.With(o))
	if err == nil || errors.Is(err, errNothing) {
		return g.settle(key, boarded)
	}
	return g.refuse(key, boarded, err)
}

// alone commits one op with its own context and options.
func (g *group) alone(key []byte, w *op) {
	err := g.c.Store.Update(w.ctx, [][]byte{key}, func(tx kv.Tx) error {
		called, err := w.call(tx)
		if !called {
			return w.ctx.Err()
		}
		return err
	}, kv.With(w.o))
	w.answer(err)
}

// apply is the function of the group's Update: it runs each op over the writes
// of those before it, and hands all of them on.
func (g *group) apply(tx kv.Tx) error {
	for _, w := range g.ops {
		w.outcome, w.fault, w.later = unseen, nil, false
	}
	g.stack.Start(tx, 1)
	n := 0
	for _, w := range g.ops {
		if g.stack.Len() >= g.c.o.MaxKeys || g.stack.Bytes() >= g.c.o.MaxBytes {
			break
		}
		g.try(w, n > 0)
		if w.outcome == included {
			n++
		}
		if w.outcome == unseen {
			break
		}
	}
	if n == 0 {
		return errNothing
	}
	g.stack.HandOn(tx)
	return nil
}

// try runs one op and includes its writes if it may.
func (g *group) try(w *op, others bool) {
	tx := g.stack.Next()
	called, err := w.call(tx)
	switch {
	case !called:
		w.outcome = absent
		return
	case err == nil:
		err = tx.Check(g.limit)
	}
	if err != nil {
		w.outcome, w.fault, w.later = failed, err, others
		return
	}
	if others && !g.stack.Fits(g.c.o.MaxKeys, g.c.o.MaxBytes) {
		return // unseen: it goes with the next group
	}
	w.outcome = clashed
	if g.stack.Join() {
		w.outcome = included
	}
}

// settle answers the ops of a group that was committed, or had nothing to commit.
func (g *group) settle(key []byte, ops []*op) (rest []*op) {
	for _, w := range ops {
		switch w.outcome {
		case included:
			w.answer(nil)
		case failed:
			w.answer(w.fault)
		case absent:
			w.answer(w.ctx.Err())
		case clashed:
			g.alone(key, w)
		case unseen:
			rest = append(rest, w)
		}
	}
	return rest
}

// refuse deals with a group whose commit failed. If it certainly wrote nothing
// and the fault can be that of one op, it is split; an unknown outcome goes to
// every op that can have had a part in it.
func (g *group) refuse(key []byte, ops []*op, err error) (rest []*op) {
	switch {
	case errors.Is(err, kv.ErrUnknown):
	case errors.Is(err, kv.ErrTooLarge), errors.Is(err, kv.ErrConflict):
		rest = g.commit(key, ops[:len(ops)/2])
		return append(rest, g.commit(key, ops[len(ops)/2:])...)
	case errors.Is(err, kv.ErrNoSpace):
		if free := reclaiming(ops); len(free) > 0 && len(free) < len(ops) {
			for _, w := range ops {
				if !w.o.Reclaim {
					w.answer(err)
				}
			}
			return g.commit(key, free)
		}
	}
	for _, w := range ops {
		switch {
		case w.outcome == absent, errors.Is(err, context.Canceled) && w.gone():
			w.answer(w.ctx.Err())
		case w.outcome == failed && !w.later:
			w.answer(w.fault)
		default:
			w.answer(err)
		}
	}
	return nil
}

func reclaiming(ops []*op) []*op {
	var out []*op
	for _, w := range ops {
		if w.o.Reclaim {
			out = append(out, w)
		}
	}
	return out
}
