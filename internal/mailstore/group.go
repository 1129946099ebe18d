package mailstore

import (
	"context"
	"errors"
	"slices"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/series"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Step is one of the operations of a Group: SetFlags, Copy or Append, whichever
// is there. What it did stands in its Result; Err says why it did nothing.
type Step struct {
	Flags  *FlagStep
	Copy   *CopyStep
	Append *AppendStep
	Err    error

	run   func(*op) error // nil: it does not go into a commit with others
	ready []*delivery
}

// FlagStep is a SetFlags.
type FlagStep struct {
	Mailbox MailboxID
	UIDs    []UID
	Change  FlagChange
	Result  FlagResult
}

// CopyStep is a Copy.
type CopyStep struct {
	Mailbox MailboxID
	UIDs    []UID
	To      string
	Result  Copied
}

// AppendStep is an Append.
type AppendStep struct {
	In     []Incoming
	Result []Deposited
}

// Group does several operations on an account in order, each as if it had been
// called by itself, and commits together what can be: one commit for many
// small operations. An operation that fails does not keep those behind it.
func (s *Store) Group(ctx context.Context, id AcctID, steps []Step) {
	for i := range steps {
		s.ready(ctx, id, &steps[i])
	}
	for len(steps) > 0 {
		fit := 0
		for fit < len(steps) && steps[fit].run != nil {
			fit++
		}
		done := 0
		if fit > 1 {
			done = s.together(ctx, id, steps[:fit])
		}
		if done == 0 {
			s.alone(ctx, id, &steps[0])
			done = 1
		}
		steps = steps[done:]
	}
}

// ready makes a step ready to run in a commit with others, if it is small.
func (s *Store) ready(ctx context.Context, id AcctID, st *Step) {
	switch f, c, a := st.Flags, st.Copy, st.Append; {
	case f != nil && len(f.UIDs) <= changeGroup:
		ch := f.Change
		ch.Flags &= allFlags
		uids := sortedUIDs(f.UIDs)
		var err error
		if ch.Keywords, err = cleanKeywords(ch.Keywords); err != nil {
			return // told where it runs alone
		}
		st.run = func(o *op) error {
			f.Result = FlagResult{}
			if err := o.load(uint32(f.Mailbox)); err != nil {
				return err
			}
			return o.setFlags(o.box(uint32(f.Mailbox)), uids, &ch, &f.Result)
		}
	case c != nil && len(c.UIDs) <= changeGroup:
		t := transfer{from: c.Mailbox, to: c.To}
		uids := distinct(c.UIDs)
		st.run = func(o *op) (err error) {
			var n int
			c.Result, n, err = o.transfer(uids, &t)
			if err == nil && n < len(uids) {
				return series.ErrStop
			}
			return err
		}
	case a != nil:
		if s.readyAppend(ctx, id, st) {
			st.run = func(o *op) error {
				a.Result = make([]Deposited, len(a.In))
				err := (&appending{in: a.In, ready: st.ready}).deliver(o, a.Result)
				var full *fullError
				if errors.As(err, &full) || errors.Is(err, blob.ErrStale) {
					return series.ErrStop
				}
				return err
			}
		}
	}
}

// readyAppend indexes messages and stores what they share; false if they are
// large or anything is wrong.
func (s *Store) readyAppend(ctx context.Context, id AcctID, st *Step) bool {
	for _, in := range st.Append.In {
		v, err := s.prepare(in.Deposit, in.Message, []AcctID{id}, len(st.Append.In))
		if err != nil || v.size > MaxInline || s.stage(ctx, v) != nil {
			return false
		}
		st.ready = append(st.ready, v)
	}
	return len(st.ready) > 0 && len(st.ready) <= MaxBatch
}

// together commits steps, up to one that does not go with those before it, and
// says how many were dealt with; 0: the first must be alone.
func (s *Store) together(ctx context.Context, id AcctID, steps []Step) int {
	var modseq uint64
	fns := make([]func(kv.Tx) error, len(steps))
	var opts []kv.Option
	if !slices.ContainsFunc(steps, func(st Step) bool { return st.Flags == nil }) {
		opts = append(opts, kv.Reclaim())
	}
	for i := range steps {
		st := &steps[i]
		fns[i] = func(tx kv.Tx) error {
			o, err := s.begin(ctx, tx, 0, id)
			if err == nil {
				err = st.run(o)
			}
			if err == nil {
				err = o.finish()
			}
			if err == nil {
				modseq = max(modseq, o.modseq)
			}
			return err
		}
	}
	var errs []error
	err := s.try(ctx, "group", func() (err error) {
		modseq = 0
		errs, err = series.Update(ctx, s.kv, [][]byte{row.Head(uint64(id))}, fns, opts...)
		return err
	})
	switch kind := KindOf(err); {
	case err == nil:
		if modseq != 0 {
			s.publish(ctx, uint64(id), modseq)
		}
	case kind == NoSpace || errors.Is(err, kv.ErrTooLarge):
		return 0 // nothing was written: one of them may do by itself
	case kind == Transient && !errors.Is(err, kv.ErrUnknown):
		errs = make([]error, len(steps)) // the budget is used up waiting
	}
	for i, e := range errs {
		steps[i].end(s, err, e)
	}
	return len(errs)
}

// end notes how a step of a commit ended: the commit's error, or its own.
func (st *Step) end(s *Store, commit, own error) {
	switch {
	case commit == nil && own == nil:
		for _, v := range st.ready {
			s.stored.Stored(v.body, v.size, 1)
		}
		return
	case commit != nil:
		st.Err = commit
	default:
		st.Err = wrap("group", own)
	}
	if st.Flags != nil && st.Err != nil {
		st.Flags.Result = FlagResult{}
	}
}

// alone does a step as if there were no Group.
func (s *Store) alone(ctx context.Context, id AcctID, st *Step) {
	switch f, c, a := st.Flags, st.Copy, st.Append; {
	case f != nil:
		f.Result, st.Err = s.SetFlags(ctx, id, f.Mailbox, f.UIDs, f.Change)
	case c != nil:
		c.Result, st.Err = s.Copy(ctx, id, c.Mailbox, c.UIDs, c.To)
	case a != nil:
		a.Result, st.Err = s.Append(ctx, id, a.In, nil)
	}
}
