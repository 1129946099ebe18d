package mailstore

import (
	"context"
	"math"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// op is one operation on one account, inside an Update that holds the guard of
// the account's head. It collects what changes and writes it at finish: the
// head, each touched mailbox, and one log record for each mailbox whose
// messages changed.
type op struct {
	kv.Tx
	ctx    context.Context
	s      *Store
	acct   uint64
	head   row.HeadRow
	now    time.Time
	modseq uint64 // of this operation; 0 until it takes one
	boxes  []*box
	dirty  bool // the head must be written
}

// box is a mailbox that an op has read.
type box struct {
	id    uint32
	row   row.MailboxRow
	log   row.LogRow
	dirty bool
}

// update runs fn on an account and commits what it did.
func (s *Store) update(ctx context.Context, name string, id AcctID, fn func(*op) error, opts ...kv.Option) error {
	var modseq uint64
	guards := [][]byte{row.Head(uint64(id))}
	err := s.try(ctx, name, func() error {
		return s.kv.Update(ctx, guards, func(tx kv.Tx) error {
			modseq = 0
			o, err := s.begin(ctx, tx, 0, id)
			if err != nil {
				return err
			}
			if err := fn(o); err != nil {
				return err
			}
			modseq = o.modseq
			return o.finish()
		}, opts...)
	})
	if err == nil && modseq != 0 {
		s.publish(ctx, uint64(id), modseq)
	}
	return err
}

// begin reads the head from the i-th guard.
func (s *Store) begin(ctx context.Context, tx kv.Tx, i int, id AcctID) (*op, error) {
	o, err := s.beginAny(ctx, tx, i, id)
	if err == nil && o.head.State != row.Live {
		return nil, fail(NotExist, "account is being deleted")
	}
	return o, err
}

// beginAny is begin for an account that may be being deleted.
func (s *Store) beginAny(ctx context.Context, tx kv.Tx, i int, id AcctID) (*op, error) {
	g := tx.Guard(i)
	if g.Rev == 0 {
		return nil, fail(NotExist, "no such account")
	}
	head, err := row.DecodeHead(g.Value)
	if err != nil {
		return nil, err
	}
	o := &op{Tx: tx, ctx: ctx, s: s, acct: uint64(id), head: head, now: s.now()}
	if head.Epoch != tx.Epoch() {
		return o, o.newEpoch()
	}
	return o, nil
}

// newEpoch makes room in every sequence, at the account's first write after
// data that was seen can have been lost: what was seen then is never re-used.
func (o *op) newEpoch() error {
	h := &o.head
	if h.NextMbox > math.MaxUint32-epochJump || h.NextValidity > math.MaxUint32-epochJump {
		return fail(Limit, "mailbox ids are used up")
	}
	h.Epoch = o.Epoch()
	h.ModSeq += epochJump
	h.NextMsg += epochJump
	h.NextMbox += epochJump
	h.NextValidity += epochJump
	o.dirty = true
	for it, err := range o.Scan(o.ctx, kv.Prefix(row.OfAccount(row.TagMailbox, o.acct))) {
		if err != nil {
			return err
		}
		m, err := row.DecodeMailbox(it.Value)
		if err != nil {
			return err
		}
		m.Highest, m.LogFloor = h.ModSeq, h.ModSeq
		if m.UIDNext <= math.MaxUint32-epochJump {
			m.UIDNext += epochJump
		}
		o.Put(it.Key, m.Append(nil))
	}
	return nil
}

// take gives the operation its MODSEQ.
func (o *op) take() uint64 {
	if o.modseq == 0 {
		o.head.ModSeq++
		o.modseq = o.head.ModSeq
		o.dirty = true
	}
	return o.modseq
}

// load reads mailboxes by id, in one round trip; those being deleted and those
// that are not there are an error.
func (o *op) load(ids ...uint32) error {
	var keys [][]byte
	var missing []uint32
	for _, id := range ids {
		if o.box(id) == nil {
			keys = append(keys, row.Mailbox(o.acct, id))
			missing = append(missing, id)
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
		if _, err := o.addBox(missing[i], it); err != nil {
			return err
		}
	}
	return nil
}

// addBox takes a mailbox that was read.
func (o *op) addBox(id uint32, it kv.Item) (*box, error) {
	if b := o.box(id); b != nil {
		return b, nil
	}
	if it.Rev == 0 {
		return nil, fail(NotExist, "no such mailbox")
	}
	m, err := row.DecodeMailbox(it.Value)
	if err != nil {
		return nil, err
	}
	if m.State != row.Live {
		return nil, fail(NotExist, "mailbox is being deleted")
	}
	b := &box{id: id, row: m}
	o.boxes = append(o.boxes, b)
	return b, nil
}

// box returns a mailbox that was loaded, or nil.
func (o *op) box(id uint32) *box {
	for _, b := range o.boxes {
		if b.id == id {
			return b
		}
	}
	return nil
}

// named loads a mailbox by name. INBOX is always number 1: no look-up.
func (o *op) named(name string) (*box, error) {
	_, norm, err := cleanName(name)
	if err != nil {
		return nil, err
	}
	id := uint32(inboxID)
	if norm != inboxName {
		items, err := o.GetMulti(o.ctx, row.MailboxName(o.acct, norm))
		if err != nil {
			return nil, err
		}
		if items[0].Rev == 0 {
			return nil, fail(NotExist, "no such mailbox")
		}
		if id, err = row.DecodeMbox(items[0].Value); err != nil {
			return nil, err
		}
	}
	if err := o.load(id); err != nil {
		return nil, err
	}
	return o.box(id), nil
}

// finish writes what the operation changed.
func (o *op) finish() error {
	for _, b := range o.boxes {
		l := &b.log
		if len(l.Added)+len(l.Changed)+len(l.Vanished) > 0 {
			if err := o.writeLog(b); err != nil {
				return err
			}
			b.dirty = true
		}
		if b.dirty {
			o.Put(row.Mailbox(o.acct, b.id), b.row.Append(make([]byte, 0, 96)))
		}
	}
	if o.dirty {
		o.Put(row.Head(o.acct), o.head.Append(make([]byte, 0, 256)))
	}
	return nil
}

// writeLog writes a mailbox's log record and trims old ones.
func (o *op) writeLog(b *box) error {
	m := &b.row
	b.log.Prev, b.log.Time = m.Highest, o.now.Unix()
	o.Put(row.Log(o.acct, b.id, o.take()), b.log.Append(make([]byte, 0, 32)))
	m.Highest = o.modseq
	if m.LogCount++; m.LogCount == 1 {
		m.LogOldest = b.log.Time
	}
	old, young := o.now.Add(-LogOld).Unix(), o.now.Add(-LogYoung).Unix()
	many := m.LogCount > MaxLog+trimAtOnce
	if m.LogStart == m.LogFloor && m.LogOldest >= old && (!many || m.LogOldest >= young) {
		return nil
	}
	return o.trim(b, func(l *row.LogRow, gone uint32) bool {
		return l.Time < old || many && m.LogCount-gone > MaxLog && l.Time < young
	})
}

// trim deletes the oldest log records of a mailbox: those below the floor and
// those that due says, at most trimAtOnce.
func (o *op) trim(b *box, due func(l *row.LogRow, gone uint32) bool) error {
	m := &b.row
	var gone uint32
	below := false // records below the floor are left
	oldest := b.log.Time
	r := kv.Range{Limit: trimAtOnce + 1,
		Start: row.Log(o.acct, b.id, m.LogStart+1), End: row.Log(o.acct, b.id, o.modseq)}
	for it, err := range o.Scan(o.ctx, r) {
		if err != nil {
			return err
		}
		l, err := row.DecodeLog(it.Value)
		if err != nil {
			return err
		}
		k, _ := row.ParseKey(it.Key)
		if gone == trimAtOnce || (k.ModSeq > m.LogFloor && !due(&l, gone)) {
			below, oldest = k.ModSeq <= m.LogFloor, l.Time
			break
		}
		o.Delete(it.Key)
		gone++
		m.LogStart = k.ModSeq
	}
	if !below {
		m.LogStart = max(m.LogStart, m.LogFloor)
	}
	m.LogFloor = max(m.LogFloor, m.LogStart)
	m.LogCount -= gone
	m.LogOldest = oldest
	return nil
}
