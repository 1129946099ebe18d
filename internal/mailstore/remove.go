package mailstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// placed is a row of a mailbox with what it names.
type placed struct {
	box   *box
	uid   uint32
	entry row.EntryRow
}

// entries reads rows of a mailbox by UID; those that are not there are left out.
func (o *op) entries(b *box, uids []uint32) ([]placed, error) {
	keys := make([][]byte, len(uids))
	for i, u := range uids {
		keys[i] = row.Entry(o.acct, b.id, u)
	}
	items, err := o.GetMulti(o.ctx, keys...)
	if err != nil {
		return nil, err
	}
	rows := make([]placed, 0, len(uids))
	for i, it := range items {
		if it.Rev == 0 {
			continue
		}
		e, err := row.DecodeEntry(it.Value)
		if err != nil {
			return nil, err
		}
		rows = append(rows, placed{b, uids[i], e})
	}
	return rows, nil
}

// infos reads what rows name, each message once.
func (o *op) infos(rows []placed) (map[uint64]*row.InfoRow, error) {
	var keys [][]byte
	infos := make(map[uint64]*row.InfoRow, len(rows))
	for i := range rows {
		if msg := rows[i].entry.Msg; infos[msg] == nil {
			infos[msg] = new(row.InfoRow)
			keys = append(keys, row.Info(o.acct, msg))
		}
	}
	items, err := o.GetMulti(o.ctx, keys...)
	if err != nil {
		return nil, err
	}
	for i, it := range items {
		k, _ := row.ParseKey(keys[i])
		if it.Rev == 0 {
			return nil, fail(Corrupt, "message %d has rows but no info", k.Msg)
		}
		if *infos[k.Msg], err = row.DecodeInfo(it.Value); err != nil {
			return nil, err
		}
	}
	return infos, nil
}

// fill is what a commit writes, as far as messages decide about it.
type fill struct{ keys, bytes int }

// rowKeys are at most written for a row: its own and its deadline, old and new.
const rowKeys = 4

// add counts a message, and tells whether a commit has room for it.
func (f *fill) add(x *row.InfoRow) bool {
	f.keys += 2 + 2*len(x.Blobs) + len(x.Hashes)
	f.bytes += len(x.Index) + len(x.Envelope)
	return f.keys <= txKeys && f.bytes <= txBytes
}

// each hands rows to f, with their messages, and writes those, until a commit is
// full: n is how many rows it dealt with, one at least. It reads the messages in
// groups, so that memory stays bounded whatever they are.
func (o *op) each(rows []placed, f func(*placed, *row.InfoRow) error) (n int, err error) {
	var so fill
	for group := range slices.Chunk(rows, infoGroup) {
		infos, err := o.infos(group)
		if err != nil {
			return n, err
		}
		changed := make(map[uint64]*row.InfoRow, len(infos))
		full := false
		for i := range group {
			p := &group[i]
			x := infos[p.entry.Msg]
			so.keys += rowKeys
			if full = changed[p.entry.Msg] == nil && !so.add(x) && n > 0; full {
				break
			}
			changed[p.entry.Msg] = x
			if err := f(p, x); err != nil {
				return n, err
			}
			n++
		}
		if err := o.settle(changed); err != nil || full {
			return n, err
		}
	}
	return n, nil
}

// remove takes rows out of their mailboxes, and with the last row of a message
// the message, until a commit is full: n rows.
func (o *op) remove(rows []placed) (n int, err error) {
	o.take()
	return o.each(rows, func(p *placed, x *row.InfoRow) error {
		o.detach(p)
		if !x.Leave(row.Place{Mbox: p.box.id, UID: p.uid}) {
			return fail(Corrupt, "message %d does not know its row %d/%d", p.entry.Msg, p.box.id, p.uid)
		}
		return nil
	})
}

// detach deletes a row with its deadline, and counts and logs it.
func (o *op) detach(p *placed) {
	o.Delete(row.Entry(o.acct, p.box.id, p.uid))
	if p.entry.Expire != 0 {
		o.Delete(row.Deadline(p.entry.Expire, o.acct, p.box.id, p.uid))
	}
	o.count(p.box, &p.entry, -1)
	p.box.log.Vanished = p.box.log.Vanished.Add(p.uid)
}

// settle writes messages whose places changed, and deletes those without a place.
func (o *op) settle(infos map[uint64]*row.InfoRow) error {
	var keys [][]byte
	var owners []uint64
	for msg, x := range infos {
		if len(x.Places) > 0 {
			o.Put(row.Info(o.acct, msg), x.Append(make([]byte, 0, len(x.Index)+len(x.Envelope)+64)))
			continue
		}
		o.Delete(row.Info(o.acct, msg))
		o.Delete(row.Body(o.acct, msg))
		for _, id := range x.Blobs {
			blob.Unlink(o, id, o.acct, msg, o.now)
		}
		for _, h := range x.Hashes {
			keys = append(keys, row.Thread(o.acct, h))
			owners = append(owners, msg)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	items, err := o.GetMulti(o.ctx, keys...)
	if err != nil {
		return err
	}
	for i, it := range items {
		if it.Rev == 0 {
			continue
		}
		t, err := row.DecodeThread(it.Value)
		if err != nil {
			return err
		}
		if t.Msg == owners[i] {
			o.Delete(it.Key)
		}
	}
	return nil
}

// fullError says that more must go than one commit drops.
type fullError struct{ acct AcctID }

func (e *fullError) Error() string { return fmt.Sprintf("account %x is full", uint64(e.acct)) }

// room makes a message fit: in dev mode by dropping the oldest mail.
func (o *op) room(l AccountLimits, v *delivery) error {
	if !v.MakeRoom || l.Bytes > 0 && v.size > l.Bytes {
		return fail(Quota, "account is full")
	}
	from := v.passed[AcctID(o.acct)]
	fits, err := o.dropOldest(l, v.size, roomGroup, &from)
	if err == nil && !fits {
		return &fullError{AcctID(o.acct)}
	}
	return err
}

// makeRoom drops the oldest mail in commits of its own until size fits, or the
// account is empty. It tells how far it came: what is before that stays.
func (s *Store) makeRoom(ctx context.Context, id AcctID, size int64) (passed map[AcctID]uint64, err error) {
	next := uint64(0)
	for fits := false; !fits; {
		from := uint64(0)
		err := s.update(ctx, "make room", id, func(o *op) (err error) {
			from = next
			fits, err = o.dropOldest(o.s.limits(&o.head), size, removeGroup, &from)
			return err
		}, kv.Reclaim())
		if err != nil {
			return nil, err
		}
		next = from
	}
	return map[AcctID]uint64{id: next}, nil
}

// dropOldest removes the messages that came first, with all their copies, until
// size more bytes fit: at most so many messages, and no more than a commit holds.
// Messages in mailboxes that are being deleted are left to that. It begins at *from,
// or at the oldest, and leaves there where to go on.
func (o *op) dropOldest(l AccountLimits, size int64, messages int, from *uint64) (fits bool, err error) {
	const page = 8 // infos can be large
	*from = max(*from, o.head.FirstMsg)
	kept := *from > o.head.FirstMsg // a message that stays was passed
	var so fill
	for looked, drops := 0, 0; ; looked += page {
		if !l.Over(&o.head, size, 1) {
			return true, nil
		}
		if drops >= messages || looked >= lookGroup {
			return false, nil
		}
		infos, msgs, err := o.oldest(*from, page)
		if err != nil || len(infos) == 0 {
			return err == nil, err // nothing is left to drop
		}
		for i := range infos {
			if !l.Over(&o.head, size, 1) {
				return true, nil
			}
			so.keys += rowKeys * len(infos[i].Places)
			if !so.add(&infos[i]) && drops > 0 {
				return false, nil
			}
			dropped, err := o.dropMessage(msgs[i], &infos[i])
			if err != nil {
				return false, err
			}
			*from = msgs[i] + 1
			if kept = kept || !dropped; !kept {
				o.head.FirstMsg, o.dirty = *from, true
			}
			if dropped {
				drops++
			}
		}
	}
}

// oldest reads the first messages from one on.
func (o *op) oldest(from uint64, most int) (infos []row.InfoRow, msgs []uint64, err error) {
	r := kv.Range{Start: row.Info(o.acct, from), End: row.Info(o.acct, o.head.NextMsg), Limit: most}
	for it, err := range o.Scan(o.ctx, r) {
		if err != nil {
			return nil, nil, err
		}
		k, _ := row.ParseKey(it.Key)
		x, err := row.DecodeInfo(it.Value)
		if err != nil {
			return nil, nil, err
		}
		infos, msgs = append(infos, x), append(msgs, k.Msg)
	}
	return infos, msgs, nil
}

// dropMessage removes all rows of one message.
func (o *op) dropMessage(msg uint64, x *row.InfoRow) (dropped bool, err error) {
	for _, p := range x.Places {
		if err := o.load(p.Mbox); KindOf(err) == NotExist {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	o.take()
	for _, p := range x.Places {
		rows, err := o.entries(o.box(p.Mbox), []uint32{p.UID})
		if err != nil {
			return false, err
		}
		if len(rows) != 1 {
			return false, fail(Corrupt, "message %d has no row %d/%d", msg, p.Mbox, p.UID)
		}
		o.detach(&rows[0])
	}
	x.Places = nil
	return true, o.settle(map[uint64]*row.InfoRow{msg: x})
}
