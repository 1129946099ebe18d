package blob

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/eidermail/eider/internal/codec"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Part is a blob that a message needs.
type Part struct {
	ID   row.BlobID
	Size int64
	Open func() io.Reader // its bytes, from the first; it may be called again
}

// Staged is what Stage did.
type Staged struct {
	// At is when the blobs were looked up; see Fresh.
	At time.Time
	// New are the blobs that were not there, with their bytes before and after
	// compression; Found those that were, with the bytes that need no room.
	New, Found            int
	NewBytes, StoredBytes int64
	FoundBytes            int64
}

// Limit: parts of one message.
const MaxParts = 256

// Stage makes sure that all parts are there, live, and will be for a while. A
// message is stored in at most one commit for the parts that are new, one for
// each that is larger than StageAtOnce, and more for each ChunksAtOnce of those.
// These commits may become durable only with the one that links to the parts.
func (s *Store) Stage(ctx context.Context, parts []Part) (st Staged, err error) {
	if len(parts) > MaxParts || len(s.o.Key) == 0 {
		return st, fmt.Errorf("blob: %d parts cannot be staged", len(parts))
	}
	st.At = s.o.Now().Round(0)
	parts = distinct(parts)
	keys := make([][]byte, len(parts))
	for i := range parts {
		keys[i] = row.Blob(parts[i].ID)
	}
	items, err := s.kv.GetMulti(ctx, keys...)
	if err != nil {
		return st, err
	}
	var group []Part
	size := int64(0)
	flush := func() error {
		err := s.stageGroup(ctx, group, &st)
		group, size = group[:0], 0
		return err
	}
	for i, it := range items {
		p := parts[i]
		if live, err := s.live(it, p.Size); err != nil {
			return st, err
		} else if live {
			st.Found++
			st.FoundBytes += p.Size
			continue
		}
		if it.Rev == 0 && p.Size > StageAtOnce {
			if err := s.stageLarge(ctx, p, &st); err != nil {
				return st, err
			}
			continue
		}
		if len(group) > 0 && size+p.Size > StageAtOnce {
			if err := flush(); err != nil {
				return st, err
			}
		}
		group, size = append(group, p), size+p.Size
	}
	if len(group) == 0 {
		return st, nil
	}
	return st, flush()
}

// distinct leaves out parts that a message has twice.
func distinct(parts []Part) []Part {
	out := make([]Part, 0, len(parts))
	for _, p := range parts {
		if !slices.ContainsFunc(out, func(o Part) bool { return o.ID == p.ID }) {
			out = append(out, p)
		}
	}
	return out
}

// live tells whether a header is that of a live blob of so many bytes.
func (s *Store) live(it kv.Item, size int64) (bool, error) {
	if it.Rev == 0 {
		return false, nil
	}
	b, err := row.DecodeBlob(it.Value)
	if err != nil {
		return false, err
	}
	if b.Size != size {
		return false, fmt.Errorf("%w: a blob of %d bytes under the name of one of %d", ErrCorrupt, b.Size, size)
	}
	return b.State == row.BlobLive, nil
}

// ready is a part whose chunks are encoded.
type ready struct {
	Part
	head   row.BlobRow
	chunks [][]byte
}

// stageGroup stores parts, those that are still missing, in one commit, and
// revives those that are condemned.
func (s *Store) stageGroup(ctx context.Context, parts []Part, st *Staged) error {
	all := make([]ready, len(parts))
	guards := make([][]byte, len(parts))
	for i, p := range parts {
		guards[i] = row.Blob(p.ID)
		r := ready{Part: p, head: s.newHead(p.Size)}
		in := p.Open()
		for left := p.Size; left > 0; {
			b, n, err := s.readChunk(in, left)
			if err != nil {
				return err
			}
			left -= n
			r.chunks = append(r.chunks, b)
			r.head.Stored += int64(len(b))
		}
		r.head.Chunks = uint32(len(r.chunks))
		all[i] = r
	}
	made := make([]bool, len(parts))
	err := s.kv.Update(ctx, guards, func(tx kv.Tx) error {
		clear(made)
		for i := range all {
			r := &all[i]
			if missing, err := s.orRevive(tx, i, r.Part); err != nil || !missing {
				if err != nil {
					return err
				}
				continue
			}
			made[i] = true
			for n, c := range r.chunks {
				tx.Put(row.Chunk(r.ID, r.head.Upload, uint32(n)), c)
			}
			tx.Put(row.Blob(r.ID), r.head.Append(nil))
			s.candidate(tx, r.ID, uint64(r.head.Upload))
		}
		return nil
	}, kv.Lazy())
	for i := range made {
		if err == nil {
			st.count(&all[i].head, made[i])
		}
	}
	return err
}

func (st *Staged) count(b *row.BlobRow, made bool) {
	if made {
		st.New++
		st.NewBytes += b.Size
		st.StoredBytes += b.Stored
	} else {
		st.Found++
		st.FoundBytes += b.Size
	}
}

func (s *Store) newHead(size int64) row.BlobRow {
	return row.BlobRow{State: row.BlobLive, Codec: row.Framed, Size: size, Upload: row.UploadID(random()),
		Created: s.o.Now().Unix()}
}

// orRevive looks, under the i-th guard, whether the blob is missing; a
// condemned one it revives.
func (s *Store) orRevive(tx kv.Tx, i int, p Part) (missing bool, err error) {
	g := tx.Guard(i)
	live, err := s.live(g, p.Size)
	if err != nil || live || g.Rev == 0 {
		return g.Rev == 0, err
	}
	b, err := row.DecodeBlob(g.Value)
	if err != nil {
		return false, err
	}
	b.State, b.By = row.BlobLive, 0
	tx.Put(row.Blob(p.ID), b.Append(nil))
	s.candidate(tx, p.ID, random())
	return false, nil
}

// Pace: times that a large blob is begun anew because it was swept away.
const uploadTries = 3

// stageLarge stores a blob in several commits. The upload is written down
// before its first chunk, so that whatever becomes of it is swept away.
func (s *Store) stageLarge(ctx context.Context, p Part, st *Staged) (err error) {
	for range uploadTries {
		if err = s.upload(ctx, p, st); !errors.Is(err, errUploadDead) {
			return err
		}
	}
	return err
}

func (s *Store) upload(ctx context.Context, p Part, st *Staged) error {
	head := s.newHead(p.Size)
	guard := [][]byte{row.Blob(p.ID)}
	journal := row.Upload(uint32(head.Created), head.Upload, p.ID)
	err := s.kv.Update(ctx, guard, func(tx kv.Tx) error {
		tx.Put(journal, row.AppendUpload(nil, row.UploadLive))
		return nil
	}, kv.Lazy())
	if err != nil {
		return err
	}
	if err := s.uploadChunks(ctx, p, &head, journal); err != nil {
		return err
	}
	made := false
	err = s.kv.Update(ctx, guard, func(tx kv.Tx) error {
		made = false
		if err := uploadLive(ctx, tx, journal); err != nil {
			return err
		}
		missing, err := s.orRevive(tx, 0, p)
		if err != nil {
			return err
		}
		if !missing { // another was faster
			tx.Put(journal, row.AppendUpload(nil, row.UploadDead))
			return nil
		}
		made = true
		tx.Put(row.Blob(p.ID), head.Append(nil))
		s.candidate(tx, p.ID, uint64(head.Upload))
		tx.Delete(journal)
		return nil
	}, kv.Lazy())
	if err == nil {
		st.count(&head, made)
	}
	return err
}

func (s *Store) uploadChunks(ctx context.Context, p Part, head *row.BlobRow, journal []byte) error {
	in := p.Open()
	for left := p.Size; left > 0; {
		var chunks [][]byte
		for len(chunks) < ChunksAtOnce && left > 0 {
			b, n, err := s.readChunk(in, left)
			if err != nil {
				return err
			}
			left -= n
			chunks = append(chunks, b)
			head.Stored += int64(len(b))
		}
		err := s.kv.Update(ctx, [][]byte{row.Blob(p.ID)}, func(tx kv.Tx) error {
			if err := uploadLive(ctx, tx, journal); err != nil {
				return err
			}
			for i, c := range chunks {
				tx.Put(row.Chunk(p.ID, head.Upload, head.Chunks+uint32(i)), c)
			}
			return nil
		}, kv.Lazy())
		if err != nil {
			return err
		}
		head.Chunks += uint32(len(chunks))
	}
	return nil
}

// uploadLive checks, under the blob's guard, that the upload was not swept.
func uploadLive(ctx context.Context, tx kv.Tx, journal []byte) error {
	items, err := tx.GetMulti(ctx, journal)
	if err != nil {
		return err
	}
	state, err := row.DecodeUpload(items[0].Value)
	if items[0].Rev == 0 || err == nil && state != row.UploadLive {
		return errUploadDead
	}
	return err
}

// A stored chunk is one byte that says how it is encoded, the CRC-32C of the
// chunk, and the chunk.
const frameHead = 5

// readChunk reads the next chunk and encodes it.
func (s *Store) readChunk(r io.Reader, left int64) (stored []byte, n int64, err error) {
	p := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(p)
	b := (*p)[:min(left, ChunkBytes)]
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, 0, fmt.Errorf("blob: reading what is stored: %w", err)
	}
	return s.frame(b, s.codec.Encode), int64(len(b)), nil
}

// frame encodes a chunk.
func (s *Store) frame(b []byte, encode func(dst, src []byte, dict uint32) ([]byte, bool)) []byte {
	q := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(q)
	out := append((*q)[:0], row.Zstd)
	out = binary.LittleEndian.AppendUint32(out, row.Checksum(b))
	dict := uint32(0)
	if len(b) <= dictBytes {
		dict = s.codec.Current(codec.Parts)
	}
	out, ok := encode(out, b, dict)
	if !ok {
		out[0] = row.Plain
		out = append(out, b...)
	}
	*q = out[:0]
	return slices.Clone(out)
}

// Pace: bytes up to which a chunk is compressed with the dictionary: a larger
// one soon has better matches of its own, and is encoded in half the time without.
const dictBytes = 16 << 10
