package mailstore

import (
	"context"
	"errors"
	"sync"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/spool"
)

// Limit: messages of one DepositMany.
const MaxBatch = 256

// batchBytes is what the rows of one commit of DepositMany have together.
const batchBytes = 4 << 20

// Incoming is one of many messages for the same account.
type Incoming struct {
	Deposit Deposit
	Message *spool.Message
}

// Stored is what became of an Incoming: where it went, or why not.
type Stored struct {
	Deposited
	Err error
}

// DepositMany stores messages in one account in the order given, many in one
// commit: for imports, which need no answer after each message. A message that
// cannot be stored does not keep the others from it. len(in) <= MaxBatch.
func (s *Store) DepositMany(ctx context.Context, id AcctID, in []Incoming) []Stored {
	out := make([]Stored, len(in))
	if len(in) > MaxBatch {
		for i := range out {
			out[i].Err = wrap("deposit", fail(Limit, "%d messages at once", len(in)))
		}
		return out
	}
	ready := s.prepareMany(ctx, id, in, out)
	for from := 0; from < len(in); {
		to := run(ready[from:]) + from
		var err error
		if to-from > 1 {
			err = s.commitRun(ctx, id, ready[from:to], out[from:to])
		}
		switch {
		case errors.Is(err, kv.ErrUnknown): // they may be there: not once more
			for i := range out[from:to] {
				out[from+i] = Stored{Err: err}
			}
		case err != nil || to-from < 2:
			s.oneByOne(ctx, id, in[from:to], out[from:to])
		}
		from = to
	}
	return out
}

// run is how many messages at the start of ready go in one commit: those that
// stand in their rows, up to batchBytes; else one.
func run(ready []*delivery) int {
	bytes := 0
	for i, v := range ready {
		if v == nil || v.size > MaxInline {
			return max(i, 1)
		}
		if bytes += len(v.body.Row) + len(v.index); i > 0 && bytes > batchBytes {
			return i
		}
	}
	return len(ready)
}

// prepareMany indexes messages, all at the same time; nil stands for one that
// cannot be stored.
func (s *Store) prepareMany(ctx context.Context, id AcctID, in []Incoming, out []Stored) []*delivery {
	ready := make([]*delivery, len(in))
	var all sync.WaitGroup
	for i := range in {
		all.Go(func() {
			v, err := s.prepare(in[i].Deposit, in[i].Message, []AcctID{id}, 1)
			if err == nil && v.size <= MaxInline {
				err = s.stage(ctx, v)
			}
			if err != nil {
				out[i].Err = wrap("deposit", err)
				return
			}
			ready[i] = v
		})
	}
	all.Wait()
	return ready
}

// commitRun stores messages that stand in their rows in one commit, all or none.
func (s *Store) commitRun(ctx context.Context, id AcctID, ready []*delivery, out []Stored) error {
	return s.update(ctx, "deposit", id, func(o *op) (err error) {
		for i, v := range ready {
			if out[i].Deposited, err = o.deliver(v); err != nil {
				return err
			}
		}
		return nil
	}, kv.Background())
}

// oneByOne stores messages in a commit each, so that each has its own error.
func (s *Store) oneByOne(ctx context.Context, id AcctID, in []Incoming, out []Stored) {
	for i := range in {
		if out[i].Err != nil {
			continue
		}
		d, err := s.Deposit(ctx, []AcctID{id}, in[i].Deposit, in[i].Message)
		if out[i] = (Stored{Err: err}); err == nil {
			out[i].Deposited = d[0]
		}
	}
}

// DepositAgain puts a message that the account has already into one more
// mailbox, with flags and dates of its own: what COPY does, for imports.
// Kinds: NotExist, Quota, Limit.
func (s *Store) DepositAgain(ctx context.Context, id AcctID, msg MsgID, d Deposit) (out Deposited, err error) {
	const name = "deposit again"
	if d.Keywords, err = cleanKeywords(d.Keywords); err != nil {
		return out, wrap(name, err)
	}
	err = s.update(ctx, name, id, func(o *op) error {
		out, err = o.again(uint64(msg), &d)
		return err
	}, kv.Background())
	return out, err
}

func (o *op) again(msg uint64, d *Deposit) (out Deposited, err error) {
	box := d.Mailbox
	if box == "" {
		box = inboxName
	}
	b, err := o.named(box)
	if err != nil {
		return out, err
	}
	items, err := o.GetMulti(o.ctx, row.Info(o.acct, msg))
	if err != nil {
		return out, err
	}
	if items[0].Rev == 0 {
		return out, fail(NotExist, "no such message")
	}
	x, err := row.DecodeInfo(items[0].Value)
	if err != nil {
		return out, err
	}
	l := o.s.limits(&o.head)
	switch {
	case len(x.Places) >= MaxPlaces:
		return out, fail(Limit, "message has %d copies", len(x.Places))
	case l.Over(&o.head, x.Size, 1):
		return out, fail(Quota, "account is full")
	}
	e := o.newEntry(msg, x.Size, d)
	uid, err := o.add(b, &e)
	if err != nil {
		return out, err
	}
	x.Places = append(x.Places, row.Place{Mbox: b.id, UID: uid})
	o.Put(row.Info(o.acct, msg), x.Append(make([]byte, 0, len(items[0].Value)+16)))
	return Deposited{Acct: AcctID(o.acct), Mailbox: MailboxID(b.id), UIDValidity: b.row.UIDValidity,
		UID: UID(uid), Msg: MsgID(msg), ModSeq: ModSeq(o.modseq), LinkEpoch: o.head.LinkEpoch}, nil
}
