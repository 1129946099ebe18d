package repair

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/row"
)

const (
	// ahead is added to sequences that were lost: more than was given out.
	ahead = 1 << 20
	// smallAhead is the like for mailbox ids, UIDs and UIDVALIDITYs.
	smallAhead = 1 << 12
	inbox      = 1
)

// account mends one account.
type account struct {
	*run
	acct    uint64
	names   []string        // N rows that lead here
	damaged map[uint64]bool // messages whose bytes are not whole

	// What follows is of one commit.
	tx     kv.Tx
	head   row.HeadRow
	fresh  bool // the head was lost
	modseq uint64
	boxes  map[uint32]*box
	msgs   map[uint64]*msg
	at     map[row.Place]uint64 // which message says that it is there
	writes map[string]write
	bytes  int
	told   []string // what was lost
}

// box is a mailbox.
type box struct {
	row   row.MailboxRow
	fresh bool // its row was lost
	last  uint32
}

// msg is a message with what is known of it.
type msg struct {
	info bool // its info can be read
	x    row.InfoRow
	body bool // there is one
	rows []place
}

// place is a row that names a message.
type place struct {
	row.Place
	e row.EntryRow
}

// put writes a row, or removes it if value is nil.
func (a *account) put(key, value []byte) {
	if old, ok := a.writes[string(key)]; ok {
		a.bytes -= len(old.key) + len(old.value)
	}
	a.writes[string(key)] = write{key, value}
	a.bytes += len(key) + len(value)
}

// full tells whether the rest is for another commit.
func (a *account) full() bool { return len(a.writes) >= MaxWrites || a.bytes >= maxBytes }

func (a *account) loss(format string, args ...any) {
	a.told = append(a.told, fmt.Sprintf("account %s: ", a.head.Address)+fmt.Sprintf(format, args...))
}

// spare is the name of an account whose names are lost.
func (a *account) spare() string { return fmt.Sprintf("recovered-%016x@lost.invalid", a.acct) }

// mend mends the account, in as many commits as it takes.
func (a *account) mend() error {
	items, err := a.KV.GetMulti(a.ctx, row.Head(a.acct))
	if err != nil {
		return err
	}
	if h, err := row.DecodeHead(items[0].Value); err == nil {
		for _, n := range h.Names {
			if !slices.Contains(a.names, n) {
				a.names = append(a.names, n)
			}
		}
	}
	a.names = append(a.names, a.spare())
	if err := a.suspects(); err != nil {
		return err
	}
	guards := [][]byte{row.Head(a.acct)}
	for _, n := range a.names {
		guards = append(guards, row.Name(n))
	}
	for more := true; more; {
		_, err := a.commit(guards, func(tx kv.Tx) ([]write, error) {
			a.tx, a.writes, a.bytes, a.told = tx, map[string]write{}, 0, nil
			if err := a.pass(); err != nil {
				return nil, err
			}
			more = a.full()
			out := make([]write, 0, len(a.writes))
			for _, w := range a.writes {
				out = append(out, w)
			}
			slices.SortFunc(out, func(x, y write) int { return bytes.Compare(x.key, y.key) })
			return out, nil
		})
		if err != nil {
			return err
		}
		for _, t := range a.told {
			a.lost("%s", t)
		}
	}
	return nil
}

// suspects reads the messages that are said to be damaged, for a fault of a
// body's row can be another.
func (a *account) suspects() error {
	for id := range a.damaged {
		items, err := a.KV.GetMulti(a.ctx, row.Body(a.acct, id))
		if err != nil {
			return err
		}
		if a.damaged[id] = true; items[0].Rev == 0 {
			continue
		}
		whole, err := a.readable(mailstore.AcctID(a.acct), mailstore.MsgID(id), items[0].Value)
		if err != nil {
			return err
		}
		a.damaged[id] = !whole
	}
	return nil
}

// pass collects what one commit writes.
func (a *account) pass() error {
	a.boxes, a.msgs, a.at = map[uint32]*box{}, map[uint64]*msg{}, map[row.Place]uint64{}
	g := a.tx.Guard(0)
	var err error
	a.head, err = row.DecodeHead(g.Value)
	a.fresh = g.Rev == 0 || err != nil
	if !a.fresh && a.head.State == row.Deleting {
		return a.deadline(row.Deadline(a.head.Deadline, a.acct, 0, 0))
	}
	if g.Rev == 0 {
		some, err := a.worthwhile()
		if err != nil {
			return err
		}
		if !some {
			return a.erase()
		}
	}
	for _, step := range []func() error{
		a.loadBoxes, a.loadMessages, a.loadEntries, a.numbers, a.mendMessages, a.mendLogs, a.small, a.sums,
	} {
		if err := step(); err != nil || a.full() {
			return err
		}
	}
	return nil
}

// worthwhile tells whether rows without a head hold anything of a message, or a name leads to them.
func (a *account) worthwhile() (bool, error) {
	for i, n := range a.names {
		if owner, err := row.DecodeAcct(a.tx.Guard(i + 1).Value); n != a.spare() && a.tx.Guard(i+1).Rev != 0 &&
			err == nil && owner == a.acct {
			return true, nil
		}
	}
	q := kv.Prefix(row.OfAccount(row.TagBody, a.acct))
	q.Limit, q.KeysOnly = 1, true
	for _, err := range a.tx.Scan(a.ctx, q) {
		return err == nil, err
	}
	return false, nil
}

// each calls f for the account's rows of a kind.
func (a *account) each(tag byte, keysOnly bool, f func(k row.Key, it kv.Item) error) error {
	q := kv.Prefix(row.OfAccount(tag, a.acct))
	q.KeysOnly = keysOnly
	for it, err := range a.tx.Scan(a.ctx, q) {
		if err != nil {
			return err
		}
		k, ok := row.ParseKey(it.Key)
		if !ok {
			a.put(bytes.Clone(it.Key), nil)
			continue
		}
		if err := f(k, it); err != nil {
			return err
		}
	}
	return nil
}

// erase removes what is left of an account that has neither head nor mail.
func (a *account) erase() error {
	for _, tag := range []byte{row.TagMailbox, row.TagMailboxName, row.TagSubscription, row.TagCredential,
		row.TagEntry, row.TagInfo, row.TagThread, row.TagLog} {
		err := a.each(tag, true, func(_ row.Key, it kv.Item) error {
			if !a.full() {
				a.put(bytes.Clone(it.Key), nil)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// deadline writes a deadline that is missing.
func (a *account) deadline(key []byte) error {
	items, err := a.tx.GetMulti(a.ctx, key)
	if err == nil && items[0].Rev == 0 {
		a.put(key, []byte{})
	}
	return err
}

func (a *account) loadBoxes() error {
	return a.each(row.TagMailbox, false, func(k row.Key, it kv.Item) error {
		m, err := row.DecodeMailbox(it.Value)
		if err == nil {
			a.boxes[k.Mbox] = &box{row: m}
		}
		return nil
	})
}

// box is a mailbox, made anew if its row was lost.
func (a *account) box(id uint32) *box {
	b := a.boxes[id]
	if b == nil {
		b = &box{fresh: true, row: row.MailboxRow{RecentFloor: 1, Created: a.Now().Unix(), ObjectID: random()}}
		a.boxes[id] = b
	}
	return b
}

func (a *account) msg(id uint64) *msg {
	m := a.msgs[id]
	if m == nil {
		m = &msg{}
		a.msgs[id] = m
	}
	return m
}

func (a *account) loadMessages() error {
	err := a.each(row.TagInfo, false, func(k row.Key, it kv.Item) error {
		m := a.msg(k.Msg)
		x, err := row.DecodeInfo(it.Value)
		if err != nil {
			return nil
		}
		m.info, m.x = true, x
		// The long fields are read again if the row is written.
		m.x.Index, m.x.Envelope = nil, nil
		for _, p := range x.Places {
			a.at[p] = k.Msg
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.each(row.TagBody, true, func(k row.Key, _ kv.Item) error {
		a.msg(k.Msg).body = true
		return nil
	})
}

func (a *account) loadEntries() error {
	return a.each(row.TagEntry, false, func(k row.Key, it kv.Item) error {
		p := place{Place: row.Place{Mbox: k.Mbox, UID: k.UID}}
		b := a.box(k.Mbox)
		b.last = max(b.last, k.UID)
		e, err := row.DecodeEntry(it.Value)
		if err != nil {
			// The message may know that it is here; if so it gets a new row.
			if id, ok := a.at[p.Place]; !ok || id == 0 {
				a.loss("a row that cannot be read and that no message knows, %s UID %d", b.row.Name, k.UID)
			}
			a.put(bytes.Clone(it.Key), nil)
			return nil
		}
		p.e = e
		m := a.msg(e.Msg)
		m.rows = append(m.rows, p)
		return nil
	})
}

// numbers finds out where the sequences must go on.
func (a *account) numbers() error {
	h := &a.head
	now := a.Now()
	if a.fresh {
		*h = row.HeadRow{Created: now.Unix(), Names: nil, FirstMsg: 1, NextMbox: inbox + 1, Defaults: true}
	}
	top := h.ModSeq
	validity := uint64(h.NextValidity)
	for id, b := range a.boxes {
		if b.row.Highest < math.MaxInt64 {
			top = max(top, b.row.Highest)
		}
		validity = max(validity, uint64(b.row.UIDValidity)+1)
		if id >= h.NextMbox && id < math.MaxUint32-smallAhead {
			h.NextMbox = id + smallAhead
		}
	}
	for id := range a.msgs {
		if id >= h.NextMsg && id < math.MaxInt64 {
			h.NextMsg = id + ahead
		}
		h.FirstMsg = min(h.FirstMsg, id)
	}
	h.NextMsg = max(h.NextMsg, 1)
	if a.fresh {
		validity = max(validity, uint64(now.Unix())) + smallAhead
	}
	h.NextValidity = uint32(min(validity, math.MaxUint32))
	a.modseq = top + ahead
	h.ModSeq, h.Epoch = a.modseq, a.tx.Epoch()
	return a.ownNames()
}

// ownNames makes the account and the names that lead to it agree.
func (a *account) ownNames() error {
	var names []string
	for i, n := range a.names {
		g := a.tx.Guard(i + 1)
		owner, err := row.DecodeAcct(g.Value)
		known := slices.Contains(a.head.Names, n)
		switch {
		case g.Rev != 0 && err == nil && owner == a.acct:
			names = append(names, n)
		case known && (g.Rev == 0 || err != nil):
			a.put(row.Name(n), row.AppendAcct(nil, a.acct))
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		a.put(row.Name(a.spare()), row.AppendAcct(nil, a.acct))
		names = []string{a.spare()}
		a.loss("its names; it is %s now", a.spare())
	}
	a.head.Names = names
	if a.head.Address == "" {
		a.head.Address = names[0]
		a.loss("its limits, label, display name and counters")
	}
	return nil
}

// newUID gives a mailbox's next UID.
func (b *box) newUID() uint32 {
	uid := max(b.row.UIDNext, b.last+1, 1)
	b.row.UIDNext, b.last = uid+1, uid
	return uid
}

// expiry is when a row goes that was lost: as its deadline says, else never.
func (a *account) expiry(p row.Place) (uint32, error) {
	q := kv.Prefix([]byte{row.TagDeadline, row.Shard(a.acct)})
	q.KeysOnly = true
	for it, err := range a.tx.Scan(a.ctx, q) {
		if err != nil {
			return 0, err
		}
		if k, ok := row.ParseKey(it.Key); ok && k.Acct == a.acct && k.Mbox == p.Mbox && k.UID == p.UID {
			return k.Time, nil
		}
	}
	return 0, nil
}

// received is when a message came, for a row that was lost.
func (a *account) received(x *row.InfoRow) time.Time {
	if e, err := row.DecodeEnvelope(x.Envelope); err == nil && !e.Received.IsZero() {
		return e.Received
	}
	return a.Now()
}
