// Package repair mends what fsck finds. Bytes of messages are the truth: rows
// that sum up, point and remember are made again from what they are about, and
// what was lost is told. It runs beside a live server: each account is mended
// under its guard.
//
// It promises: a message whose bytes are whole is in a mailbox afterwards, a
// message that is not whole is never given out, numbers are not given out twice,
// and a client that kept anything of a mended account reads it anew. Rows that
// it removes or overwrites are handed to Options.Keep first.
package repair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/fsck"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Limit: how often a store is walked for one repair; each walk mends what the one before uncovered.
const MaxRounds = 5

// Pace: rows written in one commit of a repair.
const MaxWrites = 2000

// maxBytes is the like for bytes.
const maxBytes = 3 << 20

// Options say how a store is mended.
type Options struct {
	KV  kv.Store
	Now func() time.Time
	// Fault hears of each fault of the first walk, with what will be done about it.
	Fault func(f fsck.Fault, repair string)
	// Lost hears of what cannot be brought back.
	Lost func(text string)
	// Keep hears of each row that was removed or overwritten, as it was.
	Keep func(key, value []byte) error
}

// Result counts what was done.
type Result struct {
	Faults  int // of the first walk
	Written int // rows
	Left    int // faults of the last walk
	Lost    int
	fsck.Summary
}

// run is one repair.
type run struct {
	Options
	ctx context.Context
	res Result
	// To read messages and blobs with; opened when they are needed.
	mail   *mailstore.Store
	shared *blob.Store
}

// readable reads a message to its end, and tells whether it is what was stored.
func (r *run) readable(acct mailstore.AcctID, msg mailstore.MsgID, body []byte) (bool, error) {
	b, err := row.DecodeBody(body)
	if err != nil {
		return false, nil
	}
	if r.mail == nil {
		if r.mail, err = mailstore.Open(r.ctx, mailstore.Options{KV: r.KV, Now: r.Now}); err != nil {
			return false, err
		}
	}
	c, err := r.mail.Content(r.ctx, acct, msg)
	if err != nil {
		return false, corrupt(err)
	}
	defer c.Close()
	crc := row.NewChecksum()
	if _, err := io.Copy(crc, io.NewSectionReader(c, 0, c.Size())); err != nil {
		return false, corrupt(err)
	}
	return crc.Sum32() == b.CRC, nil
}

// blobs reads blobs.
func (r *run) blobs() *blob.Store {
	if r.shared == nil {
		r.shared = blob.New(blob.Options{KV: r.KV, Now: r.Now})
	}
	return r.shared
}

// corrupt is nil for the error of damaged data: that is an answer.
func corrupt(err error) error {
	switch k := mailstore.KindOf(err); {
	case k == mailstore.Corrupt, k == mailstore.NotExist, errors.Is(err, blob.ErrCorrupt), errors.Is(err, kv.ErrCorrupt):
		return nil
	}
	return err
}

// Run mends a store.
func Run(ctx context.Context, o Options) (Result, error) {
	r := &run{Options: o, ctx: ctx}
	for round := range MaxRounds {
		var found []fsck.Fault
		sum, err := fsck.Run(ctx, o.KV, func(f fsck.Fault) {
			if round == 0 && o.Fault != nil {
				o.Fault(f, What(f.Key))
			}
			found = append(found, f)
		})
		if err != nil {
			return r.res, err
		}
		if round == 0 {
			r.res.Faults = sum.Faults
		}
		r.res.Summary, r.res.Left = sum, sum.Faults
		if sum.Faults == 0 || round == MaxRounds-1 {
			break
		}
		before := r.res.Written
		if err := r.mend(found); err != nil {
			return r.res, err
		}
		if r.res.Written == before {
			break // what is left cannot be mended
		}
	}
	return r.res, nil
}

// lost notes what cannot be brought back.
func (r *run) lost(format string, args ...any) {
	r.res.Lost++
	if r.Lost != nil {
		r.Lost(fmt.Sprintf(format, args...))
	}
}

// What says what a repair does about a fault of a row.
func What(key []byte) string {
	k, ok := row.ParseKey(key)
	if !ok {
		if len(key) > 0 && ofAccount(key[0]) || len(key) > 0 && shared(key[0]) {
			return "the row is removed: no program can find it"
		}
		return "left as it is"
	}
	switch k.Tag {
	case row.TagFormat:
		return "a missing format row is written"
	case row.TagHead:
		return "the account is counted again; a head that is lost is made from its rows"
	case row.TagCredential:
		return "the password is lost: the account gets one that nobody knows, until it is set"
	case row.TagName:
		return "names and account are made to agree"
	case row.TagMailbox, row.TagMailboxName:
		return "the mailbox is counted again, and gets its name, or a new UIDVALIDITY, where that was lost"
	case row.TagEntry, row.TagInfo:
		return "rows and messages are made to name each other; a message without bytes is removed"
	case row.TagBody:
		return "a message whose bytes are damaged is removed; bytes without a message come into Recovered"
	case row.TagLog:
		return "the change log begins anew: clients read the mailbox again"
	case row.TagSubscription, row.TagThread, row.TagLink, row.TagChunk, row.TagUpload, row.TagGarbage:
		return "the row is removed, or written where it is missing"
	case row.TagCount:
		return "the accounts are counted again"
	case row.TagDeadline:
		return "the deadline is written as its row says, or removed"
	case row.TagDict:
		return "a dictionary that cannot be used is removed, and then the messages that need it"
	case row.TagBlob:
		return "a blob that is not whole is removed with its messages; one that nobody links is collected"
	}
	return "left as it is"
}

// ofAccount tells whether rows of a kind stand under their account's guard.
func ofAccount(tag byte) bool {
	switch tag {
	case row.TagHead, row.TagCredential, row.TagMailbox, row.TagMailboxName, row.TagSubscription, row.TagEntry,
		row.TagInfo, row.TagBody, row.TagThread, row.TagLog:
		return true
	}
	return false
}

// shared are the other kinds that are mended.
func shared(tag byte) bool {
	switch tag {
	case row.TagDeadline, row.TagBlob, row.TagChunk, row.TagLink, row.TagGarbage, row.TagUpload, row.TagName,
		row.TagCount, row.TagDict:
		return true
	}
	return false
}

// faults is what a walk found, by who mends it.
type faults struct {
	accounts map[uint64]*account
	order    []uint64
	others   []fsck.Fault
}

func (r *run) sort(found []fsck.Fault) *faults {
	f := &faults{accounts: map[uint64]*account{}}
	for _, x := range found {
		k, ok := row.ParseKey(x.Key)
		if !ok || !ofAccount(k.Tag) && k.Tag != row.TagName && k.Tag != row.TagDeadline && k.Tag != row.TagLink {
			f.others = append(f.others, x)
			continue
		}
		if k.Tag == row.TagName || k.Tag == row.TagDeadline || k.Tag == row.TagLink {
			f.others = append(f.others, x)
			if k.Tag == row.TagName {
				continue // which account it is of is found out by reading all names
			}
		}
		a := f.account(r, k.Acct)
		if k.Tag == row.TagBody {
			a.damaged[k.Msg] = true
		}
	}
	return f
}

func (f *faults) account(r *run, acct uint64) *account {
	a := f.accounts[acct]
	if a == nil {
		a = &account{run: r, acct: acct, damaged: map[uint64]bool{}}
		f.accounts[acct] = a
		f.order = append(f.order, acct)
	}
	return a
}

// mend does what can be done about faults, once.
func (r *run) mend(found []fsck.Fault) error {
	f := r.sort(found)
	names, err := r.names(f)
	if err != nil {
		return err
	}
	for _, x := range f.others {
		if err := r.other(f, x); err != nil {
			return err
		}
	}
	for _, id := range f.order {
		a := f.accounts[id]
		a.names = names[id]
		if err := a.mend(); err != nil {
			return fmt.Errorf("account %x: %w", id, err)
		}
	}
	return nil
}

// names reads which names lead to which account. A name that leads to an account
// of a fault makes that account be mended too.
func (r *run) names(f *faults) (map[uint64][]string, error) {
	out := map[uint64][]string{}
	for it, err := range r.KV.Scan(r.ctx, kv.Prefix([]byte{row.TagName})) {
		if err != nil {
			return nil, err
		}
		if acct, err := row.DecodeAcct(it.Value); err == nil {
			out[acct] = append(out[acct], string(it.Key[1:]))
		}
	}
	wrong := map[string]bool{}
	for _, x := range f.others {
		if k, ok := row.ParseKey(x.Key); ok && k.Tag == row.TagName {
			wrong[string(k.Name)] = true
		}
	}
	if len(wrong) == 0 {
		return out, nil
	}
	for acct, names := range out {
		if slices.ContainsFunc(names, func(n string) bool { return wrong[n] }) {
			f.account(r, acct)
		}
	}
	for it, err := range r.KV.Scan(r.ctx, kv.Prefix([]byte{row.TagHead})) {
		if err != nil {
			return nil, err
		}
		k, ok := row.ParseKey(it.Key)
		if h, err := row.DecodeHead(it.Value); ok && err == nil &&
			slices.ContainsFunc(h.Names, func(n string) bool { return wrong[n] }) {
			f.account(r, k.Acct)
		}
	}
	return out, nil
}

// write is one row that a commit writes; a nil value removes it.
type write struct{ key, value []byte }

// commit writes rows under guards, and keeps what they were.
func (r *run) commit(guards [][]byte, make func(kv.Tx) ([]write, error)) (int, error) {
	var done []write
	var old []kv.Item
	err := r.KV.Update(r.ctx, guards, func(tx kv.Tx) error {
		var err error
		if done, err = make(tx); err != nil || len(done) == 0 {
			return err
		}
		keys := [][]byte{}
		for _, w := range done {
			keys = append(keys, w.key)
		}
		if old, err = tx.GetMulti(r.ctx, keys...); err != nil {
			return err
		}
		for _, w := range done {
			if w.value == nil {
				tx.Delete(w.key)
			} else {
				tx.Put(w.key, w.value)
			}
		}
		return nil
	}, kv.NoCombine(), kv.Reclaim(), kv.Background())
	if err != nil {
		return 0, err
	}
	r.res.Written += len(done)
	for i := range done {
		if old[i].Rev != 0 && r.Keep != nil {
			if err := r.Keep(old[i].Key, old[i].Value); err != nil {
				return len(done), err
			}
		}
	}
	return len(done), nil
}
