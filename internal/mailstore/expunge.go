package mailstore

import (
	"context"
	"slices"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Expunge removes rows. onlyDeleted takes just those that have \Deleted; uids
// nil means all. What is more than a commit holds goes in several.
func (s *Store) Expunge(ctx context.Context, id AcctID, m MailboxID, uids []UID, onlyDeleted bool,
) (gone []UID, last ModSeq, err error) {
	const name = "expunge"
	want := sortedUIDs(uids)
	if uids == nil {
		if want, err = s.candidates(ctx, id, m, onlyDeleted); err != nil {
			return nil, 0, err
		}
	}
	for len(want) > 0 {
		group := want[:min(len(want), removeGroup)]
		var removed []UID
		var modseq uint64
		used := 0 // of the group
		err := s.update(ctx, name, id, func(o *op) error {
			removed, modseq, used = nil, 0, len(group)
			if err := o.load(uint32(m)); err != nil {
				return err
			}
			rows, err := o.entries(o.box(uint32(m)), group)
			if err != nil {
				return err
			}
			if onlyDeleted {
				rows = slices.DeleteFunc(rows, func(p placed) bool { return Flags(p.entry.Flags)&Deleted == 0 })
			}
			if len(rows) == 0 {
				return nil
			}
			n, err := o.remove(rows)
			for _, p := range rows[:n] {
				removed = append(removed, UID(p.uid))
			}
			if n < len(rows) {
				used = slices.Index(group, rows[n].uid)
			}
			modseq = o.modseq
			return err
		}, kv.Reclaim())
		if err != nil {
			return gone, last, err
		}
		gone = append(gone, removed...)
		last = max(last, ModSeq(modseq))
		want = want[used:]
	}
	return gone, last, nil
}

// candidates are the UIDs of a mailbox's rows, or of those with \Deleted.
func (s *Store) candidates(ctx context.Context, id AcctID, m MailboxID, onlyDeleted bool) ([]uint32, error) {
	const name = "expunge"
	items, err := s.get(ctx, name, row.Mailbox(uint64(id), uint32(m)))
	if err != nil {
		return nil, err
	}
	r, err := liveMailbox(name, items[0])
	if err != nil || r.Exists == 0 || onlyDeleted && r.Deleted == 0 {
		return nil, err
	}
	var uids []uint32
	err = s.scan(ctx, name, kv.Prefix(row.Entries(uint64(id), uint32(m))), func(it kv.Item) (bool, error) {
		e, err := row.DecodeEntry(it.Value)
		if err != nil {
			return false, err
		}
		if k, ok := row.ParseKey(it.Key); ok && (!onlyDeleted || Flags(e.Flags)&Deleted != 0) {
			uids = append(uids, k.UID)
		}
		return true, nil
	})
	return uids, err
}
