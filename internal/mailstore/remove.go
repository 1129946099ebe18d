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

// remove takes rows out of their mailboxes, and with the last row of a message
// the message. It reads and writes the messages in groups, so that memory
// stays bounded whatever they are.
func (o *op) remove(rows []placed) error {
	o.take()
	for group := range slices.Chunk(rows, infoGroup) {
		infos, err := o.infos(group)
		if err != nil {
			return err
		}
		for i := range group {
			p := &group[i]
			o.detach(p)
			if !infos[p.entry.Msg].Leave(row.Place{Mbox: p.box.id, UID: p.uid}) {
				return fail(Corrupt, "message %d does not know its row %d/%d", p.entry.Msg, p.box.id, p.uid)
			}
		}
		if err := o.settle(infos); err != nil {
			return err
		}
	}
	return nil
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
	fits, err := o.dropOldest(l, v.size, roomGroup)
	if err == nil && !fits {
		return &fullError{AcctID(o.acct)}
	}
	return err
}

// makeRoom drops the oldest mail in commits of its own until size fits, or the
// account is empty.
func (s *Store) makeRoom(ctx context.Context, id AcctID, size int64) error {
	for fits := false; !fits; {
		err := s.update(ctx, "make room", id, func(o *op) (err error) {
			fits, err = o.dropOldest(o.s.limits(&o.head), size, removeGroup)
			return err
		}, kv.Reclaim())
		if err != nil {
			return err
		}
	}
	return nil
}

// dropOldest removes the messages that came first, with all their copies,
// until size more bytes fit: at most so many messages. Messages in mailboxes
// that are being deleted are left to that.
func (o *op) dropOldest(l AccountLimits, size int64, messages int) (fits bool, err error) {
	const page = 8 // infos can be large
	kept := false  // a message that stays was passed
	for from := o.head.FirstMsg; ; {
		if !l.Over(&o.head, size, 1) {
			return true, nil
		}
		if messages <= 0 {
			return false, nil
		}
		var infos []row.InfoRow
		var msgs []uint64
		r := kv.Range{Start: row.Info(o.acct, from), End: row.Info(o.acct, o.head.NextMsg), Limit: page}
		for it, err := range o.Scan(o.ctx, r) {
			if err != nil {
				return false, err
			}
			k, _ := row.ParseKey(it.Key)
			x, err := row.DecodeInfo(it.Value)
			if err != nil {
				return false, err
			}
			infos, msgs = append(infos, x), append(msgs, k.Msg)
		}
		if len(infos) == 0 {
			return true, nil // nothing is left to drop
		}
		for i := range infos {
			if !l.Over(&o.head, size, 1) {
				return true, nil
			}
			dropped, err := o.dropMessage(msgs[i], &infos[i])
			if err != nil {
				return false, err
			}
			kept = kept || !dropped
			from = msgs[i] + 1
			if !kept {
				o.head.FirstMsg, o.dirty = from, true
			}
			messages--
		}
	}
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
