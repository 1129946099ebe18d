package fsck

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// account is the check of one account.
type account struct {
	ctx    context.Context
	r      kv.Reader
	blobs  *blob.Store
	acct   uint64
	head   row.HeadRow
	boxes  map[uint32]*box
	places map[uint64][]row.Place // by message, from the rows
	sizes  map[uint64]int64
	infos  map[uint64]bool
	faults []Fault
	sum    Summary
}

// box is a mailbox with what its rows add up to.
type box struct {
	row                     row.MailboxRow
	exists, unseen, deleted uint32
	bytes                   int64
	log                     map[uint32]touch // what the log says last of a UID
}

// touch is what the log says last of a UID.
type touch struct {
	modseq uint64
	gone   bool
}

func (a *account) fault(key []byte, format string, args ...any) {
	a.sum.Faults++
	if len(a.faults) < MaxFaults {
		a.faults = append(a.faults, Fault{key, fmt.Sprintf(format, args...)})
	}
}

// accounts checks every account. One that changes while it is checked is
// checked again, at last under its guard.
func (r *run) accounts() error {
	var ids []uint64
	q := kv.Prefix([]byte{row.TagHead})
	q.KeysOnly = true
	for it, err := range r.kv.Scan(r.ctx, q) {
		if err != nil {
			return err
		}
		if k, ok := row.ParseKey(it.Key); ok {
			ids = append(ids, k.Acct)
		} else {
			r.fault(it.Key, "bad key")
		}
	}
	for _, id := range ids {
		if err := r.account(id); err != nil {
			return err
		}
	}
	return nil
}

// openTries is how often an account is checked while others may write to it.
const openTries = 3

func (r *run) account(id uint64) error {
	for range openTries {
		before, err := r.kv.GetMulti(r.ctx, row.Head(id))
		if err != nil {
			return err
		}
		a, err := r.checkAccount(r.kv, id)
		if err != nil {
			return err
		}
		after, err := r.kv.GetMulti(r.ctx, row.Head(id))
		if err != nil {
			return err
		}
		if len(a.faults) == 0 {
			r.sum.add(a.sum)
			return nil
		}
		if before[0].Rev == after[0].Rev {
			break // it stood still: the guard will show the same
		}
	}
	var a *account
	err := r.confirm([][]byte{row.Head(id)}, func(rd kv.Reader) (_ []Fault, err error) {
		if a, err = r.checkAccount(rd, id); err != nil {
			return nil, err
		}
		return a.faults, nil
	})
	if a != nil {
		r.sum.add(a.sum)
		r.sum.Faults += a.sum.Faults - len(a.faults) // those beyond MaxFaults
	}
	return err
}

// checkAccount checks all that stands under an account's guard.
func (r *run) checkAccount(rd kv.Reader, id uint64) (*account, error) {
	a := &account{ctx: r.ctx, r: rd, blobs: r.shared, acct: id, boxes: map[uint32]*box{}, places: map[uint64][]row.Place{},
		sizes: map[uint64]int64{}, infos: map[uint64]bool{}}
	items, err := rd.GetMulti(r.ctx, row.Head(id), row.Credential(id))
	if err != nil {
		return nil, err
	}
	if items[0].Rev == 0 {
		return a, nil // it went meanwhile
	}
	if a.head, err = row.DecodeHead(items[0].Value); err != nil {
		a.fault(row.Head(id), "%v", err)
		return a, nil
	}
	a.sum.Accounts = 1
	if a.head.State == row.Deleting {
		return a, a.deleting()
	}
	if items[1].Rev == 0 {
		a.fault(row.Credential(id), "account without a credential")
	}
	for _, step := range []func() error{
		a.ownNames, a.mailboxes, a.mailboxNames, a.logs, a.entries, a.messages, a.bodies, a.threads, a.totals,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// deleting checks an account that is being deleted: it must have the deadline
// by which the janitor finds it. Its rows may be there or not.
func (a *account) deleting() error {
	key := row.Deadline(a.head.Deadline, a.acct, 0, 0)
	ok, err := present(a.ctx, a.r, key)
	if err == nil && !ok[0] {
		a.fault(key, "account is being deleted, and has no deadline")
	}
	return err
}

func (a *account) ownNames() error {
	if len(a.head.Names) == 0 {
		a.fault(row.Head(a.acct), "account without a name")
	}
	for _, n := range a.head.Names {
		items, err := a.r.GetMulti(a.ctx, row.Name(n))
		if err != nil {
			return err
		}
		if owner, err := row.DecodeAcct(items[0].Value); items[0].Rev == 0 || err != nil || owner != a.acct {
			a.fault(row.Name(n), "name does not lead to its account")
		}
	}
	if a.head.Deadline != 0 {
		key := row.Deadline(a.head.Deadline, a.acct, 0, 0)
		ok, err := present(a.ctx, a.r, key)
		if err != nil {
			return err
		}
		if !ok[0] {
			a.fault(key, "the account's deadline is missing")
		}
	}
	return nil
}

// scan calls f for each of the account's rows of one kind.
func (a *account) scan(tag byte, f func(k row.Key, it kv.Item) error) error {
	for it, err := range a.r.Scan(a.ctx, kv.Prefix(row.OfAccount(tag, a.acct))) {
		if err != nil {
			return err
		}
		k, ok := row.ParseKey(it.Key)
		if !ok {
			a.fault(it.Key, "bad key")
			continue
		}
		if err := f(k, it); err != nil {
			return err
		}
	}
	return nil
}

func (a *account) mailboxes() error {
	live := uint32(0)
	validities := map[uint32]bool{}
	err := a.scan(row.TagMailbox, func(k row.Key, it kv.Item) error {
		a.sum.Mailboxes++
		m, err := row.DecodeMailbox(it.Value)
		if err != nil {
			a.fault(it.Key, "%v", err)
			return nil
		}
		a.boxes[k.Mbox] = &box{row: m, log: map[uint32]touch{}}
		switch {
		case k.Mbox >= a.head.NextMbox:
			a.fault(it.Key, "mailbox id was not given out")
		case m.UIDValidity >= a.head.NextValidity || m.UIDValidity == 0:
			a.fault(it.Key, "UIDVALIDITY was not given out")
		case validities[m.UIDValidity]:
			a.fault(it.Key, "UIDVALIDITY of another mailbox")
		case m.Highest > a.head.ModSeq:
			a.fault(it.Key, "HIGHESTMODSEQ %d is above the account's %d", m.Highest, a.head.ModSeq)
		case m.LogFloor > m.Highest || m.LogStart > m.LogFloor:
			a.fault(it.Key, "log floor %d, start %d, HIGHESTMODSEQ %d", m.LogFloor, m.LogStart, m.Highest)
		case m.RecentFloor > m.UIDNext:
			a.fault(it.Key, "recent floor %d is above UIDNEXT %d", m.RecentFloor, m.UIDNext)
		}
		validities[m.UIDValidity] = true
		if m.State == row.Deleting {
			return a.has(row.Deadline(m.Due, a.acct, k.Mbox, 0), "mailbox is being deleted, and has no deadline")
		}
		live++
		return nil
	})
	if live != a.head.Mailboxes {
		a.fault(row.Head(a.acct), "head counts %d mailboxes, there are %d", a.head.Mailboxes, live)
	}
	return err
}

// has reports a key that is missing.
func (a *account) has(key []byte, text string) error {
	ok, err := present(a.ctx, a.r, key)
	if err == nil && !ok[0] {
		a.fault(key, "%s", text)
	}
	return err
}

func (a *account) mailboxNames() error {
	named := map[uint32][]byte{}
	err := a.scan(row.TagMailboxName, func(k row.Key, it kv.Item) error {
		id, err := row.DecodeMbox(it.Value)
		b := a.boxes[id]
		switch {
		case err != nil:
			a.fault(it.Key, "%v", err)
		case b == nil || b.row.State != row.Live:
			a.fault(it.Key, "name of a mailbox that is not there")
		case named[id] != nil:
			a.fault(it.Key, "second name of mailbox %d", id)
		}
		named[id] = k.Name
		return nil
	})
	if err != nil {
		return err
	}
	for id, b := range a.boxes {
		if b.row.State == row.Live && named[id] == nil {
			a.fault(row.Mailbox(a.acct, id), "mailbox without a name row")
		}
	}
	if !bytes.Equal(named[1], []byte("INBOX")) {
		a.fault(row.Mailbox(a.acct, 1), "no INBOX")
	}
	return a.scan(row.TagSubscription, func(_ row.Key, it kv.Item) error {
		if _, err := row.DecodeSubscription(it.Value); err != nil {
			a.fault(it.Key, "%v", err)
		}
		return nil
	})
}

// entries checks the rows of all mailboxes.
func (a *account) entries() error {
	var deadlines [][]byte
	flush := func(least int) error {
		if len(deadlines) <= least {
			return nil
		}
		ok, err := present(a.ctx, a.r, deadlines...)
		for i := range ok {
			if !ok[i] {
				a.fault(deadlines[i], "row without its deadline")
			}
		}
		deadlines = deadlines[:0]
		return err
	}
	err := a.scan(row.TagEntry, func(k row.Key, it kv.Item) error {
		a.sum.Rows++
		e, err := row.DecodeEntry(it.Value)
		if err != nil {
			a.fault(it.Key, "%v", err)
			return nil
		}
		a.places[e.Msg] = append(a.places[e.Msg], row.Place{Mbox: k.Mbox, UID: k.UID})
		if size, known := a.sizes[e.Msg]; known && size != e.Size {
			a.fault(it.Key, "size %d, another row of the message says %d", e.Size, size)
		}
		a.sizes[e.Msg] = e.Size
		if e.Expire != 0 {
			deadlines = append(deadlines, row.Deadline(e.Expire, a.acct, k.Mbox, k.UID))
		}
		a.entry(k, it.Key, &e)
		return flush(500)
	})
	if err != nil {
		return err
	}
	return flush(0)
}

// seen and deleted are the bits of mailstore's flags that are counted.
const (
	flagSeen    = 1
	flagDeleted = 8
)

// entry checks one row against its mailbox and the log.
func (a *account) entry(k row.Key, key []byte, e *row.EntryRow) {
	b := a.boxes[k.Mbox]
	if b == nil {
		a.fault(key, "row of a mailbox that is not there")
		return
	}
	b.exists++
	b.bytes += e.Size
	if e.Flags&flagSeen == 0 {
		b.unseen++
	}
	if e.Flags&flagDeleted != 0 {
		b.deleted++
	}
	if k.UID >= b.row.UIDNext || k.UID == 0 {
		a.fault(key, "UID was not given out: UIDNEXT is %d", b.row.UIDNext)
	}
	if b.row.State != row.Live {
		return
	}
	if e.ModSeq > b.row.Highest || e.ModSeq == 0 {
		a.fault(key, "MODSEQ %d, the mailbox's highest is %d", e.ModSeq, b.row.Highest)
	}
	t, told := b.log[k.UID]
	delete(b.log, k.UID)
	switch {
	case told && t.gone:
		a.fault(key, "row is there, the log says it vanished at %d", t.modseq)
	case told && t.modseq != e.ModSeq:
		a.fault(key, "MODSEQ %d, the log's last is %d", e.ModSeq, t.modseq)
	case !told && e.ModSeq > b.row.LogFloor:
		a.fault(key, "MODSEQ %d is not in the log, whose floor is %d", e.ModSeq, b.row.LogFloor)
	}
}

// totals compares the sums with the rows.
func (a *account) totals() error {
	var bytes, rows int64
	for id, b := range a.boxes {
		bytes += b.bytes
		rows += int64(b.exists)
		key := row.Mailbox(a.acct, id)
		m := &b.row
		if m.Exists != b.exists || m.Unseen != b.unseen || m.Deleted != b.deleted || m.Bytes != b.bytes {
			a.fault(key, "mailbox counts %d rows, %d unseen, %d deleted, %d bytes; there are %d, %d, %d, %d",
				m.Exists, m.Unseen, m.Deleted, m.Bytes, b.exists, b.unseen, b.deleted, b.bytes)
		}
		if m.State != row.Live {
			continue
		}
		var lost []uint32
		for uid, t := range b.log {
			if !t.gone {
				lost = append(lost, uid)
			}
		}
		slices.Sort(lost)
		for _, uid := range lost {
			a.fault(row.Entry(a.acct, id, uid), "the log tells of a row that is not there")
		}
	}
	if bytes != a.head.Bytes || rows != a.head.Messages {
		a.fault(row.Head(a.acct), "head counts %d rows and %d bytes; there are %d and %d",
			a.head.Messages, a.head.Bytes, rows, bytes)
	}
	return nil
}
