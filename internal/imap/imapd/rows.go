package imapd

import (
	"context"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/mailstore"
)

// rows calls f with the rows of uids, in batches, by UID.
func (s *session) rows(ctx context.Context, uids imapwire.Set, f func([]mailstore.Entry) error) error {
	if err := s.mayRead(ctx); err != nil {
		return err
	}
	if s.sel.large {
		return s.storedRows(ctx, uids, f)
	}
	l, err := s.listing(ctx, s.sel.id)
	if err != nil {
		return err
	}
	return l.each(uids, f)
}

func (s *session) mayRead(ctx context.Context) error {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	return s.stillHere(ctx)
}

// storedRows is rows without a listing. A dense set is read by scans, a sparse
// one by its UIDs.
func (s *session) storedRows(ctx context.Context, uids imapwire.Set, f func([]mailstore.Entry) error) error {
	span := int64(uids.Max()) - int64(uids.Min()) + 1
	if int64(uids.Len())*4 >= span {
		return s.scanRows(ctx, uids, f)
	}
	batch := make([]mailstore.UID, 0, min(rowBatch, uids.Len()))
	flush := func() error {
		ctx, cancel := s.budget(ctx)
		defer cancel()
		rows, err := s.store.EntriesByUID(ctx, s.acct(), s.sel.id, batch)
		batch = batch[:0]
		if err != nil {
			return s.refusal(err)
		}
		return f(rows)
	}
	for uid := range uids.All() {
		batch = append(batch, mailstore.UID(uid))
		if len(batch) == rowBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return flush()
}

func (s *session) scanRows(ctx context.Context, uids imapwire.Set, f func([]mailstore.Entry) error) error {
	from, to := mailstore.UID(uids.Min()), mailstore.UID(uids.Max())
	for from <= to && from != 0 {
		rows, err := s.scanBatch(ctx, from, to)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
		last := rows[len(rows)-1].UID
		full := len(rows) == rowBatch
		if len(uids) > 1 {
			rows = only(rows, uids)
		}
		if err := f(rows); err != nil {
			return err
		}
		if !full {
			return nil
		}
		from = last + 1
	}
	return nil
}

func (s *session) scanBatch(ctx context.Context, from, to mailstore.UID) ([]mailstore.Entry, error) {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	rows, err := s.store.Entries(ctx, s.acct(), s.sel.id, mailstore.Rows{From: from, To: to, Limit: rowBatch})
	return rows, s.refusal(err)
}

// only keeps the rows that are in uids; both ascend.
func only(rows []mailstore.Entry, uids imapwire.Set) []mailstore.Entry {
	kept := rows[:0]
	for i := range rows {
		uid := uint32(rows[i].UID)
		for len(uids) > 0 && uids[0].Stop < uid {
			uids = uids[1:]
		}
		if len(uids) > 0 && uids[0].Start <= uid {
			kept = append(kept, rows[i])
		}
	}
	return kept
}

func uidList(set imapwire.Set) []mailstore.UID {
	out := make([]mailstore.UID, 0, set.Len())
	for uid := range set.All() {
		out = append(out, mailstore.UID(uid))
	}
	return out
}

func uidSet(uids []mailstore.UID) imapwire.Set {
	ns := make([]uint32, len(uids))
	for i, u := range uids {
		ns[i] = uint32(u)
	}
	return imapwire.SetOf(ns...)
}
