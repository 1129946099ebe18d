// Package blob keeps what is too large for a message's own row, as chunks
// under an id. It promises that a blob which some message links is whole and
// stays, and that what nobody links any more goes in the end, whatever fails
// in between: an upload is written down before its first chunk, and whoever
// takes a link off writes a candidate for collection in the same commit.
//
// Today every blob has a random id and all its links are made in the very
// commit that makes its header. So the links of a blob that can be seen only
// become fewer, and a blob without links can be deleted at once. When blobs
// are named by their content, a link can come back: then collection condemns,
// waits and looks again, and the rows for that have their place already.
//
// It never reads or writes under an account's guard; package mailstore does
// that, with the rows that Commit and Unlink write.
package blob

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Limit: bytes of one chunk of a blob.
const ChunkBytes = 255 << 10

// Limit: chunks of a blob that are written in one commit. Few, for the memory
// of a message that is being received is what one commit holds, here and in the
// engine: with 8 a message of 60 MB took 34 MB, with 2 it takes 22.
const ChunksAtOnce = 2

// UploadLife is how long an upload may take before it is swept away.
const UploadLife = time.Hour

// The errors of the package, beside those of kv.
var (
	// ErrUploadDead: the upload was swept away before it was committed; upload again.
	ErrUploadDead = errors.New("blob: upload was swept")
	// ErrCorrupt: a chunk that must be there is not.
	ErrCorrupt = errors.New("blob: stored data is corrupt")
)

// Options configure a Store.
type Options struct {
	KV  kv.Store
	Now func() time.Time
}

// Store keeps blobs.
type Store struct {
	kv  kv.Store
	now func() time.Time
}

// New returns a Store.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{kv: o.KV, now: o.Now}
}

// Upload is a blob whose chunks are stored and which nothing links yet.
type Upload struct {
	ID     row.BlobID
	Size   int64
	at     uint32
	up     row.UploadID
	chunks uint32
	now    int64
}

// Upload stores the bytes of r as chunks, size of them. What fails or is never
// committed is swept away later.
func (s *Store) Upload(ctx context.Context, r io.Reader, size int64) (*Upload, error) {
	u := &Upload{Size: size, at: uint32(s.now().Unix()), now: s.now().Unix()}
	var b [24]byte
	rand.Read(b[:])
	u.ID, u.up = row.BlobID(b[:16]), row.UploadID(binary.BigEndian.Uint64(b[16:]))
	guard := [][]byte{row.Blob(u.ID)}
	journal := row.Upload(u.at, u.up, u.ID)
	err := s.kv.Update(ctx, guard, func(tx kv.Tx) error {
		tx.Put(journal, row.AppendUpload(nil, row.UploadLive))
		return nil
	})
	if err != nil {
		return nil, err
	}
	// The same buffers serve every commit: the store is done with them once
	// Update has returned without an error.
	buf := make([]byte, min(size, ChunkBytes*ChunksAtOnce))
	var chunks [][]byte
	for left := size; left > 0; {
		buf = buf[:min(left, int64(len(buf)))]
		if _, err := io.ReadFull(r, buf); err != nil {
			return nil, fmt.Errorf("blob: reading what is stored: %w", err)
		}
		left -= int64(len(buf))
		chunks = slices.AppendSeq(chunks[:0], slices.Chunk(buf, ChunkBytes))
		err := s.kv.Update(ctx, guard, func(tx kv.Tx) error {
			if err := u.live(ctx, tx); err != nil {
				return err
			}
			for i, c := range chunks {
				tx.Put(row.Chunk(u.ID, u.up, u.chunks+uint32(i)), c)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		u.chunks += uint32(len(chunks))
	}
	return u, nil
}

// live checks, under the blob's guard, that the upload was not swept.
func (u *Upload) live(ctx context.Context, tx kv.Tx) error {
	items, err := tx.GetMulti(ctx, row.Upload(u.at, u.up, u.ID))
	if err != nil {
		return err
	}
	state, err := row.DecodeUpload(items[0].Value)
	if items[0].Rev == 0 || err == nil && state != row.UploadLive {
		return ErrUploadDead
	}
	return err
}

// Guard is what a transaction must hold, beside the accounts' heads, to Commit.
func (u *Upload) Guard() []byte { return row.Blob(u.ID) }

// Commit makes the upload a blob, in a transaction that also links it.
func (u *Upload) Commit(ctx context.Context, tx kv.Tx) error {
	if err := u.live(ctx, tx); err != nil {
		return err
	}
	b := row.BlobRow{State: row.BlobLive, Codec: row.Plain,
		Size: u.Size, Upload: u.up, Chunks: u.chunks, Created: u.now}
	tx.Put(row.Blob(u.ID), b.Append(nil))
	tx.Delete(row.Upload(u.at, u.up, u.ID))
	return nil
}

// Link says that a message needs the blob; under the account's guard.
func Link(tx kv.Tx, id row.BlobID, acct, msg uint64) {
	tx.Put(row.Link(id, acct, msg), []byte{})
}

// Unlink takes a message's link off and leaves a candidate for collection;
// under the account's guard.
func Unlink(tx kv.Tx, id row.BlobID, acct, msg uint64, now time.Time) {
	tx.Delete(row.Link(id, acct, msg))
	tx.Put(row.Garbage(day(now), id, acct, msg), []byte{})
}

func day(t time.Time) uint32 { return uint32(t.Unix() / (24 * 60 * 60)) }
