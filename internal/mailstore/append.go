package mailstore

import (
	"context"
	"errors"
	"time"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Replaced names the row that an Append takes out in the same commit.
type Replaced struct {
	Mailbox MailboxID
	UID     UID
}

// Append stores messages in one account in the order given, all or none, in
// one commit (RFC 3502), and takes one row out if old is not nil (RFC 8508).
// len(in) <= MaxBatch. Kinds as of Deposit; Invalid if the old row is gone.
func (s *Store) Append(ctx context.Context, id AcctID, in []Incoming, old *Replaced) ([]Deposited, error) {
	const name = "append"
	if len(in) == 1 && old == nil {
		return s.Deposit(ctx, []AcctID{id}, in[0].Deposit, in[0].Message)
	}
	if len(in) == 0 || len(in) > MaxBatch {
		return nil, wrap(name, fail(Limit, "%d messages at once", len(in)))
	}
	a := appending{s: s, id: id, in: in, old: old, ready: make([]*delivery, len(in))}
	for i := range in {
		v, err := s.prepare(in[i].Deposit, in[i].Message, []AcctID{id}, len(in))
		if err != nil {
			return nil, wrap(name, err)
		}
		a.ready[i], a.size = v, a.size+v.size
	}
	for tries := 0; ; tries++ {
		done, err := a.try(ctx)
		var full *fullError
		switch {
		case errors.As(err, &full) && tries < MaxTxAccounts:
			passed, err := s.makeRoom(ctx, id, a.size)
			if err != nil {
				return nil, err
			}
			for _, v := range a.ready {
				v.passed = passed
			}
		case errors.Is(err, blob.ErrStale) && tries < staleTries:
			for _, v := range a.ready {
				v.staged = time.Time{}
			}
		default:
			return done, err
		}
	}
}

// appending is an Append under way.
type appending struct {
	s     *Store
	id    AcctID
	in    []Incoming
	old   *Replaced
	ready []*delivery
	size  int64
}

func (a *appending) try(ctx context.Context) ([]Deposited, error) {
	guards := [][]byte{row.Head(uint64(a.id))}
	for _, v := range a.ready {
		if err := a.s.stage(ctx, v); err != nil {
			return nil, err
		}
	}
	done := make([]Deposited, len(a.in))
	err := a.s.try(ctx, "append", func() error {
		return a.s.kv.Update(ctx, guards, func(tx kv.Tx) error {
			o, err := a.s.begin(ctx, tx, 0, a.id)
			if err != nil {
				return err
			}
			if err := a.deliver(o, done); err != nil {
				return err
			}
			return o.finish()
		})
	})
	if err != nil {
		return nil, err
	}
	a.s.publish(ctx, uint64(a.id), uint64(done[0].ModSeq))
	return done, nil
}

func (a *appending) deliver(o *op, done []Deposited) (err error) {
	if l := o.s.limits(&o.head); l.Bytes > 0 && a.size > l.Bytes || l.Messages > 0 && int64(len(a.in)) > l.Messages {
		return fail(Quota, "%d bytes in an account of %d", a.size, l.Bytes)
	}
	if a.old != nil {
		if err := o.load(uint32(a.old.Mailbox)); err != nil {
			return err
		}
		rows, err := o.entries(o.box(uint32(a.old.Mailbox)), []uint32{uint32(a.old.UID)})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return fail(Invalid, "the message to be replaced is gone")
		}
		if _, err := o.remove(rows); err != nil {
			return err
		}
	}
	for i, v := range a.ready {
		if done[i], err = o.deliver(v); err != nil {
			return err
		}
	}
	return nil
}
