package repair

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"

	"golang.org/x/text/unicode/norm"

	"github.com/eidermail/eider/internal/kv"
	credential "github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// mendLogs removes the change log: it begins anew, and clients read again.
func (a *account) mendLogs() error {
	return a.each(row.TagLog, true, func(_ row.Key, it kv.Item) error {
		if !a.full() {
			a.put(bytes.Clone(it.Key), nil)
		}
		return nil
	})
}

// small mends subscriptions, threads and the credential.
func (a *account) small() error {
	err := a.each(row.TagSubscription, false, func(_ row.Key, it kv.Item) error {
		if _, err := row.DecodeSubscription(it.Value); err != nil {
			a.put(bytes.Clone(it.Key), nil)
			a.loss("a subscription")
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = a.each(row.TagThread, false, func(k row.Key, it kv.Item) error {
		t, err := row.DecodeThread(it.Value)
		if m := a.msgs[t.Msg]; err != nil || m == nil || !slices.Contains(m.x.Hashes, k.Hash) {
			a.put(bytes.Clone(it.Key), nil)
		}
		return nil
	})
	if err != nil {
		return err
	}
	items, err := a.tx.GetMulti(a.ctx, row.Credential(a.acct))
	if err != nil || items[0].Rev != 0 {
		return err
	}
	hash := make([]byte, 32)
	rand.Read(hash)
	a.put(row.Credential(a.acct), credential.Record{Class: credential.Generated, Key: 1, Hash: hash}.Encode())
	a.head.CredEpoch++
	a.loss("its password: set a new one")
	return nil
}

// sums counts mailboxes and account again, and writes them.
func (a *account) sums() error {
	if err := a.mailboxNames(); err != nil {
		return err
	}
	h := &a.head
	h.Bytes, h.Messages, h.Mailboxes = 0, 0, 0
	for _, b := range a.boxes {
		b.row.Exists, b.row.Unseen, b.row.Deleted, b.row.Bytes = 0, 0, 0, 0
	}
	for _, m := range a.msgs {
		for _, p := range m.rows {
			r := &a.box(p.Mbox).row
			r.Exists++
			r.Bytes += p.e.Size
			if p.e.Flags&flagSeen == 0 {
				r.Unseen++
			}
			if p.e.Flags&flagDeleted != 0 {
				r.Deleted++
			}
			h.Bytes += p.e.Size
			h.Messages++
		}
	}
	ids := a.boxIDs()
	used := map[uint32]bool{0: true}
	for _, id := range ids {
		b := a.boxes[id]
		r := &b.row
		if used[r.UIDValidity] {
			r.UIDValidity = h.NextValidity
			h.NextValidity++
		}
		used[r.UIDValidity] = true
		if b.fresh {
			r.UIDNext = max(r.UIDNext, b.last+smallAhead)
		}
		r.UIDNext = max(r.UIDNext, b.last+1, 1)
		r.RecentFloor = min(max(r.RecentFloor, 1), r.UIDNext)
		r.Highest, r.LogFloor, r.LogStart, r.LogCount, r.LogOldest = a.modseq, a.modseq, a.modseq, 0, 0
		if r.State == row.Live {
			h.Mailboxes++
		} else if err := a.deadline(row.Deadline(r.Due, a.acct, id, 0)); err != nil {
			return err
		}
		a.put(row.Mailbox(a.acct, id), r.Append(nil))
	}
	if h.Deadline != 0 {
		if err := a.deadline(row.Deadline(h.Deadline, a.acct, 0, 0)); err != nil {
			return err
		}
	}
	a.put(row.Head(a.acct), h.Append(nil))
	return nil
}

// The bits of mailstore's flags that are counted.
const (
	flagSeen    = 1
	flagDeleted = 8
)

func (a *account) boxIDs() []uint32 {
	var ids []uint32
	for id := range a.boxes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// mailboxNames makes mailboxes and the names that lead to them agree.
func (a *account) mailboxNames() error {
	rows := map[string]uint32{} // by key
	names := map[string]string{}
	err := a.each(row.TagMailboxName, false, func(k row.Key, it kv.Item) error {
		id, err := row.DecodeMbox(it.Value)
		key := string(it.Key)
		rows[key], names[key] = id, string(k.Name)
		if b := a.boxes[id]; err != nil || b == nil || b.row.State != row.Live {
			rows[key] = 0
		}
		return nil
	})
	if err != nil {
		return err
	}
	if b := a.box(inbox); b.row.Name != "INBOX" || b.row.State != row.Live {
		b.row.Name, b.row.State = "INBOX", row.Live
	}
	// A mailbox whose row was lost has the name that leads to it.
	for key, id := range rows {
		if b := a.boxes[id]; b != nil && b.row.Name == "" {
			b.row.Name = names[key]
		}
	}
	taken := map[string]bool{}
	for _, id := range a.boxIDs() {
		b := a.boxes[id]
		if b.row.State != row.Live {
			continue
		}
		if b.fresh {
			a.loss("what mailbox %d was (its row): clients read it anew", id)
		}
		if b.row.Name == "" {
			b.row.Name = fmt.Sprintf("%s-%d", recovered, id)
		}
		key := a.nameKey(b.row.Name)
		if taken[key] {
			b.row.Name = fmt.Sprintf("%s-%d", b.row.Name, id)
			key = a.nameKey(b.row.Name)
		}
		taken[key] = true
		if rows[key] != id {
			a.put([]byte(key), row.AppendMbox(nil, id))
		}
	}
	for key := range rows {
		if !taken[key] {
			a.put([]byte(key), nil)
		}
	}
	return nil
}

// nameKey is the key of a mailbox's name.
func (a *account) nameKey(name string) string {
	return string(row.MailboxName(a.acct, norm.NFC.String(name)))
}
