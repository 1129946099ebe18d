package census

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Usage is what the mail of a store comes to, as one walk found it.
type Usage struct {
	At   time.Time     // when the walk ended
	Took time.Duration // how long it took

	// Messages and their bytes as people see them: a copy counts again.
	Messages, Logical int64
	// Parts are the shared parts that mail needs, with their bytes before and
	// after compression.
	Parts, PartBytes, PartStored int64
	// Links are the uses of these parts, and LinkedBytes what they would take if
	// each message had its own.
	Links, LinkedBytes int64
	// Garbage are parts that no mail needs any more, with the bytes that they
	// take until they are collected.
	Garbage, GarbageBytes int64
}

// DedupSaved is how many bytes were not stored because the same part was there.
func (u *Usage) DedupSaved() int64 { return u.LinkedBytes - u.PartBytes }

// Walk sums up the heads of all accounts and the headers of all shared parts
// with their links. It reads no mail: small rows only, one for each account and
// one for each part and its uses. What changes meanwhile is counted or not.
func Walk(ctx context.Context, s kv.Reader, now func() time.Time) (u Usage, err error) {
	start := now()
	for it, err := range s.Scan(ctx, kv.Prefix([]byte{row.TagHead})) {
		if err != nil {
			return u, fmt.Errorf("census: %w", err)
		}
		h, err := row.DecodeHead(it.Value)
		if err != nil {
			continue // a fault that fsck finds
		}
		u.Messages += h.Messages
		u.Logical += h.Bytes
	}
	if err := u.parts(ctx, s); err != nil {
		return u, fmt.Errorf("census: %w", err)
	}
	u.At = now()
	u.Took = u.At.Sub(start)
	return u, nil
}

// parts goes through headers and links side by side: both lie in the order of
// the parts' names.
func (u *Usage) parts(ctx context.Context, s kv.Reader) error {
	links := kv.Prefix([]byte{row.TagLink})
	links.KeysOnly = true
	next, stop := iter.Pull2(s.Scan(ctx, links))
	defer stop()
	link, err, more := next()
	for it, scanErr := range s.Scan(ctx, kv.Prefix([]byte{row.TagBlob})) {
		if scanErr != nil {
			return scanErr
		}
		name := it.Key[1:]
		b, bad := row.DecodeBlob(it.Value)
		n := int64(0)
		for ; more && err == nil; link, err, more = next() {
			of := link.Key[1:min(len(link.Key), 1+len(name))]
			c := bytes.Compare(of, name)
			if c > 0 {
				break
			}
			if c == 0 {
				n++
			}
		}
		if err != nil {
			return err
		}
		if bad == nil {
			u.add(&b, n)
		}
	}
	return err
}

// add counts one part that is used n times.
func (u *Usage) add(b *row.BlobRow, n int64) {
	stored := b.Stored
	if stored == 0 {
		stored = b.Size // of a time when it was not counted
	}
	if n == 0 {
		u.Garbage++
		u.GarbageBytes += stored
		return
	}
	u.Parts++
	u.PartBytes += b.Size
	u.PartStored += stored
	u.Links += n
	u.LinkedBytes += n * b.Size
}
