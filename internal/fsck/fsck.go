// Package fsck walks a store and checks every invariant of the mail in it:
// that the head of an account sums up its rows, that UIDs and MODSEQs are below
// what was given out, that rows, messages, bytes, deadlines, links, blobs and
// chunks all have each other, and that the change log tells what happened. It
// reports each fault with its key. It runs beside a live server: what looks
// like a fault is looked at again under the guard that protects it before it
// is reported. It never writes.
package fsck

import (
	"context"
	"fmt"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Limit: faults that are reported of one account; the rest are only counted.
const MaxFaults = 1000

// Fault is one thing that must not be.
type Fault struct {
	Key  []byte // the row that is wrong, or missing
	Text string
}

func (f Fault) String() string { return fmt.Sprintf("%s: %s", KeyText(f.Key), f.Text) }

// Summary counts what was looked at.
type Summary struct {
	Accounts, Mailboxes, Rows, Messages, Bodies, LogRecords int
	Deadlines, Blobs, Chunks, Links, Uploads, Candidates    int
	Dictionaries                                            int
	Bytes                                                   int64 // of all bodies
	Faults                                                  int
}

func (s *Summary) add(o Summary) {
	s.Accounts += o.Accounts
	s.Mailboxes += o.Mailboxes
	s.Rows += o.Rows
	s.Messages += o.Messages
	s.Bodies += o.Bodies
	s.LogRecords += o.LogRecords
	s.Bytes += o.Bytes
}

// run is one walk.
type run struct {
	ctx    context.Context
	kv     kv.Store
	shared *blob.Store
	report func(Fault)
	sum    Summary
}

// Run checks the whole store and calls report for each fault. The error is
// that of a store that could not be read; faults are no error.
func Run(ctx context.Context, store kv.Store, report func(Fault)) (Summary, error) {
	r := &run{ctx: ctx, kv: store, report: report, shared: blob.New(blob.Options{KV: store})}
	for _, step := range []func() error{
		r.format, r.tags, r.dictionaries, r.accounts, r.counts, r.orphans, r.names, r.deadlines, r.blobs, r.chunks,
		r.links, r.journal,
	} {
		if err := step(); err != nil {
			return r.sum, err
		}
	}
	return r.sum, nil
}

func (r *run) fault(key []byte, format string, args ...any) {
	r.sum.Faults++
	r.report(Fault{key, fmt.Sprintf(format, args...)})
}

// confirm looks again, under guards, and reports what check still finds.
func (r *run) confirm(guards [][]byte, check func(kv.Reader) ([]Fault, error)) error {
	var found []Fault
	err := r.kv.Update(r.ctx, guards, func(tx kv.Tx) (err error) {
		found, err = check(tx)
		return err
	}, kv.NoCombine(), kv.Reclaim(), kv.Background())
	for _, f := range found {
		r.fault(f.Key, "%s", f.Text)
	}
	return err
}

// confirmOne is confirm for a check that finds one fault or "".
func (r *run) confirmOne(key []byte, guards [][]byte, check func(kv.Reader) (string, error)) error {
	return r.confirm(guards, func(rd kv.Reader) ([]Fault, error) {
		text, err := check(rd)
		if err != nil || text == "" {
			return nil, err
		}
		return []Fault{{key, text}}, nil
	})
}

func (r *run) format() error {
	items, err := r.kv.GetMulti(r.ctx, row.Format())
	if err != nil {
		return err
	}
	i, err := row.DecodeInstallation(items[0].Value)
	switch {
	case items[0].Rev == 0:
		r.fault(row.Format(), "no format row")
	case err != nil:
		r.fault(row.Format(), "%v", err)
	case i.Format != row.FormatVersion:
		r.fault(row.Format(), "format %d, this program knows %d", i.Format, row.FormatVersion)
	case len(i.ID) == 0:
		r.fault(row.Format(), "no installation id")
	case len(i.BlobKey) != 0 && len(i.BlobKey) != blobKeyBytes:
		r.fault(row.Format(), "key of blob names of %d bytes", len(i.BlobKey))
	}
	return nil
}

// blobKeyBytes is the size of mailstore's key of blob names. A store of an older
// version gets one at its next start.
const blobKeyBytes = 32

// dictionaries checks the dictionaries and makes them known: without them what
// was encoded with them is lost.
func (r *run) dictionaries() error {
	return r.each(row.TagDict, false, func(_ row.Key, it kv.Item) error {
		r.sum.Dictionaries++
		if err := r.shared.AddDict(it); err != nil {
			r.fault(it.Key, "%v", err)
		}
		return nil
	})
}

// knownTags are the tags of rows that there can be today.
var knownTags = [256]bool{
	row.TagFormat: true, row.TagKeyRing: true, row.TagHead: true, row.TagName: true, row.TagMailbox: true,
	row.TagMailboxName: true, row.TagSubscription: true, row.TagCredential: true, row.TagEntry: true,
	row.TagInfo: true, row.TagBody: true, row.TagThread: true, row.TagLog: true, row.TagDeadline: true,
	row.TagLease: true, row.TagBlob: true, row.TagChunk: true, row.TagLink: true, row.TagGarbage: true,
	row.TagUpload: true, row.TagCount: true, row.TagOperator: true,
	row.TagDelivery: true, row.TagToken: true, row.TagDict: true, row.TagPack: true, row.TagNode: true,
	row.TagCert: true, row.TagSearch: true,
}

// tags looks for rows of no kind.
func (r *run) tags() error {
	for tag := range 256 {
		if knownTags[tag] {
			continue
		}
		q := kv.Prefix([]byte{byte(tag)})
		q.Limit, q.KeysOnly = 1, true
		for it, err := range r.kv.Scan(r.ctx, q) {
			if err != nil {
				return err
			}
			r.fault(it.Key, "row of an unknown kind")
		}
	}
	return nil
}

// present tells which keys exist.
func present(ctx context.Context, rd kv.Reader, keys ...[]byte) ([]bool, error) {
	items, err := rd.GetMulti(ctx, keys...)
	if err != nil {
		return nil, err
	}
	out := make([]bool, len(keys))
	for i := range items {
		out[i] = items[i].Rev != 0
	}
	return out, nil
}

// KeyText is a key for people.
func KeyText(key []byte) string {
	k, ok := row.ParseKey(key)
	if !ok {
		return fmt.Sprintf("key %x", key)
	}
	t := string(rune(k.Tag))
	switch k.Tag {
	case row.TagName:
		return fmt.Sprintf("%s %q", t, k.Name)
	case row.TagMailboxName, row.TagSubscription:
		return fmt.Sprintf("%s %x %q", t, k.Acct, k.Name)
	case row.TagHead, row.TagCredential:
		return fmt.Sprintf("%s %x", t, k.Acct)
	case row.TagMailbox:
		return fmt.Sprintf("%s %x %d", t, k.Acct, k.Mbox)
	case row.TagEntry:
		return fmt.Sprintf("%s %x %d %d", t, k.Acct, k.Mbox, k.UID)
	case row.TagInfo, row.TagBody:
		return fmt.Sprintf("%s %x %d", t, k.Acct, k.Msg)
	case row.TagThread:
		return fmt.Sprintf("%s %x %x", t, k.Acct, k.Hash)
	case row.TagLog:
		return fmt.Sprintf("%s %x %d %d", t, k.Acct, k.Mbox, k.ModSeq)
	case row.TagDeadline:
		return fmt.Sprintf("%s %d %d %x %d %d", t, k.Shard, k.Time, k.Acct, k.Mbox, k.UID)
	case row.TagBlob:
		return fmt.Sprintf("%s %x", t, k.Blob)
	case row.TagChunk:
		return fmt.Sprintf("%s %x %x %d", t, k.Blob, uint64(k.Upload), k.Number)
	case row.TagLink:
		return fmt.Sprintf("%s %x %x %d", t, k.Blob, k.Acct, k.Msg)
	case row.TagGarbage:
		return fmt.Sprintf("%s %x day %d %x %d", t, k.Blob, k.Time, k.Acct, k.Msg)
	case row.TagDict:
		return fmt.Sprintf("%s %d", t, k.Number)
	default:
		return fmt.Sprintf("%s %x", t, key[1:])
	}
}
