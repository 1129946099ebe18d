package mailstore

import (
	"context"
	"slices"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// state is a mailbox at one moment, with the epoch of its account.
type state struct {
	acct  uint64
	mbox  uint32
	epoch uint64
	head  uint64 // the account's MODSEQ
	box   row.MailboxRow
}

// state reads head and mailbox in one round trip. Kind NotExist.
func (s *Store) state(ctx context.Context, name string, id AcctID, m MailboxID) (st state, err error) {
	items, err := s.get(ctx, name, row.Head(uint64(id)), row.Mailbox(uint64(id), uint32(m)))
	if err != nil {
		return st, err
	}
	h, err := liveHead(name, items[0])
	if err != nil {
		return st, err
	}
	st.acct, st.mbox, st.epoch, st.head = uint64(id), uint32(m), h.Epoch, h.ModSeq
	st.box, err = liveMailbox(name, items[1])
	return st, err
}

// delta is what the log says happened between two MODSEQs.
type delta struct{ touched, vanished map[uint32]struct{} }

// delta reads the log above since up to st's MODSEQ. ok is false if the log
// does not reach back so far: the records chain, each naming the MODSEQ before it.
func (s *Store) delta(ctx context.Context, name string, since uint64, st *state) (d delta, ok bool, err error) {
	d = delta{map[uint32]struct{}{}, map[uint32]struct{}{}}
	if since < st.box.LogFloor || since > st.head {
		return d, false, nil
	}
	if since >= st.box.Highest {
		return d, true, nil
	}
	r := kv.Range{
		Start: row.Log(st.acct, st.mbox, since+1), End: row.Log(st.acct, st.mbox, st.box.Highest+1)}
	last, chained := uint64(0), true
	err = s.scan(ctx, name, r, func(it kv.Item) (bool, error) {
		l, err := row.DecodeLog(it.Value)
		if err != nil {
			return false, err
		}
		k, _ := row.ParseKey(it.Key)
		if chained = last == 0 && l.Prev <= since || l.Prev == last && last != 0; !chained {
			return false, nil
		}
		last = k.ModSeq
		d.take(&l)
		return true, nil
	})
	return d, chained && last == st.box.Highest, err
}

func (d *delta) take(l *row.LogRow) {
	for u := range l.Added.All {
		d.touched[u] = struct{}{}
	}
	for u := range l.Changed.All {
		d.touched[u] = struct{}{}
	}
	for u := range l.Vanished.All {
		delete(d.touched, u)
		d.vanished[u] = struct{}{}
	}
}

func sortedKeys(m map[uint32]struct{}) []uint32 {
	out := make([]uint32, 0, len(m))
	for u := range m {
		out = append(out, u)
	}
	slices.Sort(out)
	return out
}

// Changes says what happened to a mailbox after since, seen in epoch. What
// comes after the answer's ModSeq may show already, and comes again: a row can
// have newer flags, and a row that was added and is gone again is left out.
func (s *Store) Changes(ctx context.Context, id AcctID, m MailboxID, epoch uint64, since ModSeq) (Changes, error) {
	const name = "changes"
	st, err := s.state(ctx, name, id, m)
	if KindOf(err) == NotExist {
		return Changes{Gone: true, Epoch: epoch, ModSeq: since}, nil
	}
	if err != nil {
		return Changes{}, err
	}
	c := Changes{Epoch: st.epoch, ModSeq: ModSeq(st.box.Highest)}
	if epoch != st.epoch {
		c.Resync = true
		return c, nil
	}
	d, ok, err := s.delta(ctx, name, uint64(since), &st)
	if err != nil {
		return Changes{}, err
	}
	if !ok {
		c.Resync = true
		return c, nil
	}
	c.Changed, err = s.entriesByUID(ctx, name, id, m, sortedKeys(d.touched))
	for _, u := range sortedKeys(d.vanished) {
		c.Vanished = append(c.Vanished, UID(u))
	}
	return c, err
}

// snapshotTries bounds how often a snapshot starts over or catches up.
const snapshotTries = 16

// Snapshot reads a mailbox whole, while others go on writing: it scans the
// rows and then lets the log tell what happened meanwhile, so it ends however
// busy the mailbox is.
func (s *Store) Snapshot(ctx context.Context, id AcctID, m MailboxID) (Snapshot, error) {
	const name = "snapshot"
	for range snapshotTries {
		from, err := s.state(ctx, name, id, m)
		if err != nil {
			return Snapshot{}, err
		}
		entries, err := s.Entries(ctx, id, m, Rows{})
		if err != nil {
			return Snapshot{}, err
		}
		snap, ok, err := s.catchUp(ctx, id, m, from, entries)
		if err != nil || ok {
			return snap, err
		}
	}
	return Snapshot{}, wrap(name, fail(Transient, "the mailbox changes too fast"))
}

// catchUp brings rows that were read after from to one exact MODSEQ.
func (s *Store) catchUp(ctx context.Context, id AcctID, m MailboxID, from state, entries []Entry,
) (snap Snapshot, ok bool, err error) {
	const name = "snapshot"
	rows := make(map[uint32]Entry)
	for range snapshotTries {
		now, err := s.state(ctx, name, id, m)
		if err != nil || now.epoch != from.epoch {
			return snap, false, err
		}
		d, ok, err := s.delta(ctx, name, from.box.Highest, &now)
		if err != nil || !ok {
			return snap, false, err
		}
		touched := sortedKeys(d.touched)
		fresh, err := s.entriesByUID(ctx, name, id, m, touched)
		if err != nil {
			return snap, false, err
		}
		clear(rows)
		for _, e := range fresh {
			rows[uint32(e.UID)] = e
		}
		entries = merge(entries, d, rows)
		if len(fresh) == len(touched) {
			b := mailbox(uint32(m), &now.box, false)
			return Snapshot{Mailbox: b, Epoch: now.epoch, Entries: entries}, true, nil
		}
		// A row went between log and read: the log must tell that too.
		from = now
	}
	return snap, false, nil
}

// merge takes vanished rows out of entries, and puts fresh ones in by UID.
func merge(entries []Entry, d delta, fresh map[uint32]Entry) []Entry {
	out := entries[:0]
	for _, e := range entries {
		if _, gone := d.vanished[uint32(e.UID)]; gone {
			continue
		}
		if _, touched := d.touched[uint32(e.UID)]; touched {
			continue
		}
		out = append(out, e)
	}
	if len(fresh) == 0 {
		return out
	}
	for _, e := range fresh {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Entry) int { return int(int64(a.UID) - int64(b.UID)) })
	return out
}
