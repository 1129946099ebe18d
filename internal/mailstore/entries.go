package mailstore

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// entry is what others see of a row.
func entry(uid uint32, e *row.EntryRow) Entry {
	out := Entry{
		UID: UID(uid), Msg: MsgID(e.Msg), Flags: Flags(e.Flags), Keywords: e.Keywords, ModSeq: ModSeq(e.ModSeq),
		InternalDate: time.Unix(e.Internal, 0).UTC(), SaveDate: time.Unix(e.Saved, 0).UTC(), Size: e.Size,
	}
	if e.Expire != 0 {
		out.ExpireAt = time.Unix(int64(e.Expire), 0).UTC()
	}
	return out
}

// Rows selects rows of a mailbox by UID. The zero value is all of them.
type Rows struct {
	From, To UID  // both included; To 0: to the end
	Reverse  bool // from the highest down
	Limit    int  // at most so many; 0: all
}

// Entries reads rows of a mailbox, ascending or from the highest down.
func (s *Store) Entries(ctx context.Context, id AcctID, m MailboxID, rows Rows) ([]Entry, error) {
	acct, mbox := uint64(id), uint32(m)
	r := kv.Range{Start: row.Entry(acct, mbox, uint32(rows.From)), Limit: rows.Limit, Reverse: rows.Reverse}
	if rows.To == 0 || rows.To == math.MaxUint32 {
		r.End = kv.PrefixEnd(row.Entries(acct, mbox))
	} else {
		r.End = row.Entry(acct, mbox, uint32(rows.To)+1)
	}
	var out []Entry
	if rows.To != 0 && rows.To < rows.From {
		return nil, nil
	}
	err := s.scan(ctx, "entries", r, func(it kv.Item) (bool, error) {
		e, err := row.DecodeEntry(it.Value)
		if err != nil {
			return false, err
		}
		k, _ := row.ParseKey(it.Key)
		out = append(out, entry(k.UID, &e))
		return true, nil
	})
	return out, err
}

// EntriesByUID reads the rows of these UIDs, ascending; missing ones are left out.
func (s *Store) EntriesByUID(ctx context.Context, id AcctID, m MailboxID, uids []UID) ([]Entry, error) {
	return s.entriesByUID(ctx, "entries", id, m, sortedUIDs(uids))
}

func (s *Store) entriesByUID(ctx context.Context, name string, id AcctID, m MailboxID, uids []uint32) ([]Entry, error) {
	out := make([]Entry, 0, len(uids))
	for group := range slices.Chunk(uids, readGroup) {
		keys := make([][]byte, len(group))
		for i, u := range group {
			keys[i] = row.Entry(uint64(id), uint32(m), u)
		}
		items, err := s.get(ctx, name, keys...)
		if err != nil {
			return nil, err
		}
		for i, it := range items {
			if it.Rev == 0 {
				continue
			}
			e, err := row.DecodeEntry(it.Value)
			if err != nil {
				return nil, wrap(name, err)
			}
			out = append(out, entry(group[i], &e))
		}
	}
	return out, nil
}

// Infos reads what belongs to messages. A missing one has Msg 0.
func (s *Store) Infos(ctx context.Context, id AcctID, msgs ...MsgID) ([]Info, error) {
	const name = "infos"
	out := make([]Info, 0, len(msgs))
	for group := range slices.Chunk(msgs, infoGroup) {
		keys := make([][]byte, len(group))
		for i, m := range group {
			keys[i] = row.Info(uint64(id), uint64(m))
		}
		items, err := s.get(ctx, name, keys...)
		if err != nil {
			return nil, err
		}
		for i, it := range items {
			var info Info
			if it.Rev != 0 {
				if info, err = s.info(ctx, id, group[i], it.Value); err != nil {
					return nil, wrap(name, err)
				}
			}
			out = append(out, info)
		}
	}
	return out, nil
}

func (s *Store) info(ctx context.Context, id AcctID, msg MsgID, value []byte) (info Info, err error) {
	x, err := row.DecodeInfo(value)
	if err != nil {
		return info, err
	}
	info = Info{Msg: msg, ThreadID: threadID(uint64(id), x.Thread), Refs: uint32(len(x.Places)), Size: x.Size}
	env, err := row.DecodeEnvelope(x.Envelope)
	if err != nil {
		return info, err
	}
	info.Envelope = Envelope(env)
	if x.NoIndex {
		info.Index, err = s.reindex(ctx, id, msg)
	} else {
		info.Index, err = row.DecodeIndex(x.Index)
	}
	if KindOf(err) == NotExist {
		return Info{}, nil // gone between two reads
	}
	return info, err
}

// threadID is a thread's name in protocols (RFC 8474 §5.3): the same number in
// two accounts gives two names.
func threadID(acct, thread uint64) string { return "T" + row.Salted(acct, thread) }

// EmailID is a message's name in protocols (RFC 8474 §5.2); it lives through
// COPY and MOVE.
func EmailID(id AcctID, msg MsgID) string { return "M" + row.Salted(uint64(id), uint64(msg)) }

// Place finds a row that names a message: its mailbox and entry. Kind NotExist.
func (s *Store) Place(ctx context.Context, id AcctID, msg MsgID) (Mailbox, Entry, error) {
	const name = "place"
	// A message may move between the reads: then its new place is read.
	for range 4 {
		items, err := s.get(ctx, name, row.Head(uint64(id)), row.Info(uint64(id), uint64(msg)))
		if err != nil {
			return Mailbox{}, Entry{}, err
		}
		if _, err := liveHead(name, items[0]); err != nil {
			return Mailbox{}, Entry{}, err
		}
		if items[1].Rev == 0 {
			break
		}
		x, err := row.DecodeInfo(items[1].Value)
		if err != nil {
			return Mailbox{}, Entry{}, wrap(name, err)
		}
		for _, p := range x.Places {
			e, err := s.entriesByUID(ctx, name, id, MailboxID(p.Mbox), []uint32{p.UID})
			if err != nil {
				return Mailbox{}, Entry{}, err
			}
			m, err := s.MailboxByID(ctx, id, MailboxID(p.Mbox))
			if KindOf(err) == NotExist || len(e) == 0 {
				continue
			}
			return m, e[0], err
		}
	}
	return Mailbox{}, Entry{}, wrap(name, fail(NotExist, "no such message"))
}
