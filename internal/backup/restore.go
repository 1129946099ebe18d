package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

const (
	// seqJump is added to MODSEQs and message ids: more than the lost server can
	// have given out since the backup.
	seqJump = 1 << 32
	// mboxJump is added to the next mailbox id.
	mboxJump = 1 << 16
	// validityAhead is how far beyond the clock UIDVALIDITYs begin: more than the
	// lost server can have given out since.
	validityAhead = 1 << 17
	// Grace is how long all restored mail stays at least, for what was due
	// meanwhile would go at once.
	Grace = 24 * time.Hour
)

// ErrNotEmpty: a backup is restored into an empty store only.
var ErrNotEmpty = errors.New("the store is not empty")

// restoring is a restore under way.
type restoring struct {
	ctx   context.Context
	store kv.Store
	epoch uint64
	now   time.Time
	accts map[uint64]fresh
	keys  [][]byte // of the next commit, with their values
	vals  [][]byte
	bytes int
}

// fresh is what an account's numbers begin at.
type fresh struct {
	modseq   uint64
	validity uint32 // a mailbox's UIDVALIDITY is this and its id
}

// Restore writes a backup into an empty store. A store is worth something only
// if Restore returns nil.
//
// Clients may have seen what the lost store gave out after the backup, so that
// nothing of it may come again for something else: every mailbox gets a new,
// higher UIDVALIDITY, every account MODSEQs, message ids (UIDL, permalinks) and
// mailbox ids far above the old ones, and the change log begins anew. Mail that
// was due stays for Grace.
func Restore(ctx context.Context, store kv.Store, r io.Reader, now time.Time) (Summary, error) {
	for _, err := range store.Scan(ctx, kv.Range{Limit: 1, KeysOnly: true}) {
		if err != nil {
			return Summary{}, err
		}
		return Summary{}, ErrNotEmpty
	}
	h, err := store.Ping(ctx)
	if err != nil {
		return Summary{}, err
	}
	w := &restoring{ctx: ctx, store: store, epoch: h.Epoch, now: now, accts: map[uint64]fresh{}}
	s, err := Read(r, w.row)
	if err != nil {
		return s, err
	}
	return s, w.flush()
}

// row takes a row of the backup. Heads come before everything of their accounts.
func (w *restoring) row(key, value []byte) error {
	if key[0] == row.TagLog || key[0] == row.TagDeadline || skipped(key[0]) {
		return nil // written anew, or worth nothing here
	}
	k, ok := row.ParseKey(key)
	if ok {
		var err error
		switch k.Tag {
		case row.TagHead:
			value, err = w.head(k, value)
		case row.TagMailbox:
			value, err = w.mailbox(k, value)
		case row.TagEntry:
			value, err = w.entry(k, value)
		}
		if err != nil {
			return err
		}
	}
	return w.put(key, value)
}

// due is when something goes that was to go at a time.
func (w *restoring) due(at uint32) uint32 {
	return max(at, uint32(min(w.now.Add(Grace).Unix(), math.MaxUint32)))
}

func (w *restoring) head(k row.Key, value []byte) ([]byte, error) {
	h, err := row.DecodeHead(value)
	if err != nil {
		return value, nil // damaged before the backup: fsck tells
	}
	base := max(uint64(w.now.Unix())+validityAhead, uint64(h.NextValidity)+mboxJump)
	next := base + uint64(h.NextMbox) + mboxJump
	if next > math.MaxUint32 || uint64(h.NextMbox)+mboxJump > math.MaxUint32 {
		return nil, fmt.Errorf("account %x has used up its UIDVALIDITYs", k.Acct)
	}
	h.ModSeq += seqJump
	h.NextMsg += seqJump
	h.NextMbox += mboxJump
	h.NextValidity = uint32(next)
	h.Epoch = w.epoch
	w.accts[k.Acct] = fresh{h.ModSeq, uint32(base)}
	if h.Deadline != 0 {
		if h.State == row.Live {
			h.Deadline = w.due(h.Deadline)
		}
		if err := w.put(row.Deadline(h.Deadline, k.Acct, 0, 0), nil); err != nil {
			return nil, err
		}
	}
	return h.Append(nil), nil
}

func (w *restoring) mailbox(k row.Key, value []byte) ([]byte, error) {
	m, err := row.DecodeMailbox(value)
	if err != nil {
		return value, nil
	}
	a := w.accts[k.Acct]
	m.UIDValidity = a.validity + k.Mbox
	m.Highest, m.LogFloor, m.LogStart = a.modseq, a.modseq, a.modseq
	m.LogCount, m.LogOldest = 0, 0
	if m.State == row.Deleting {
		if err := w.put(row.Deadline(m.Due, k.Acct, k.Mbox, 0), nil); err != nil {
			return nil, err
		}
	}
	return m.Append(nil), nil
}

func (w *restoring) entry(k row.Key, value []byte) ([]byte, error) {
	e, err := row.DecodeEntry(value)
	if err != nil || e.Expire == 0 {
		return value, nil
	}
	e.Expire = w.due(e.Expire)
	if err := w.put(row.Deadline(e.Expire, k.Acct, k.Mbox, k.UID), nil); err != nil {
		return nil, err
	}
	return e.Append(nil), nil
}

// put adds a row to the next commit.
func (w *restoring) put(key, value []byte) error {
	l := w.store.Limits()
	size := len(key) + len(value)
	if len(w.keys)+1 > l.MaxTxKeys/2 || w.bytes+size > l.MaxTxBytes/2 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if value == nil {
		value = []byte{}
	}
	w.keys, w.vals, w.bytes = append(w.keys, key), append(w.vals, value), w.bytes+size
	return nil
}

func (w *restoring) flush() error {
	if len(w.keys) == 0 {
		return nil
	}
	keys, vals := w.keys, w.vals
	w.keys, w.vals, w.bytes = nil, nil, 0
	// Nobody else has the store, so one guard does for all.
	return w.store.Update(w.ctx, [][]byte{row.Format()}, func(tx kv.Tx) error {
		for i := range keys {
			tx.Put(keys[i], vals[i])
		}
		return nil
	}, kv.NoCombine())
}
