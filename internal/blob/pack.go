package blob

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/eidermail/eider/internal/codec"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Packed is what packing rows anew did.
type Packed struct {
	Rows          int   // that were written
	Before, After int64 // bytes of these
	Read          int64 // bytes that were looked at, decoded
}

// Add sums.
func (a *Packed) Add(b Packed) {
	a.Rows += b.Rows
	a.Before += b.Before
	a.After += b.After
	a.Read += b.Read
}

// Pack writes a blob's chunks anew where the packer makes them smaller, and
// notes its dictionary in the header. Chunks keep their keys and their content:
// who reads gets equal bytes before, after and between. A blob that is gone,
// condemned or packed by that dictionary is left alone, and so is a chunk that
// changed meanwhile. Collectors are not disturbed: a condemned header keeps its
// revision, and whether anybody links a blob is not touched.
func (s *Store) Pack(ctx context.Context, id row.BlobID, p *codec.Packer) (done Packed, err error) {
	b, ok, err := s.packable(ctx, s.kv, id, p.Dict())
	if err != nil || !ok {
		return done, err
	}
	for from := uint32(0); from < max(b.Chunks, 1); from += ChunksAtOnce {
		one, err := s.packChunks(ctx, &some{id, b, from, min(from+ChunksAtOnce, b.Chunks)}, p)
		done.Add(one)
		if err != nil || ctx.Err() != nil {
			return done, errors.Join(err, ctx.Err())
		}
	}
	return done, nil
}

// packable reads a header and tells whether its chunks may be packed with a dictionary.
func (s *Store) packable(ctx context.Context, rd kv.Reader, id row.BlobID, dict uint32,
) (b row.BlobRow, ok bool, err error) {
	items, err := rd.GetMulti(ctx, row.Blob(id))
	if err != nil || items[0].Rev == 0 {
		return b, false, err
	}
	b, err = row.DecodeBlob(items[0].Value)
	if err != nil {
		return b, false, nil // for fsck
	}
	return b, b.State == row.BlobLive && b.Codec == row.Framed && b.Dict < dict, nil
}

// some are chunks of a blob: those from from to before to.
type some struct {
	id       row.BlobID
	head     row.BlobRow
	from, to uint32
}

// better is a chunk that was made smaller.
type better struct {
	key   []byte
	rev   kv.Rev
	value []byte
	saved int64
}

// packChunks packs some chunks of a blob in one commit; with the last of them
// the header says that it is done.
func (s *Store) packChunks(ctx context.Context, c *some, p *codec.Packer) (done Packed, err error) {
	list, read, err := s.packed(ctx, c, p)
	if err != nil {
		return done, err
	}
	last := c.to >= c.head.Chunks
	if len(list) == 0 && !last {
		return Packed{Read: read}, nil
	}
	err = s.kv.Update(ctx, [][]byte{row.Blob(c.id)}, func(tx kv.Tx) error {
		done = Packed{Read: read}
		now, ok, err := s.packable(ctx, tx, c.id, p.Dict())
		if err != nil || !ok || now.Upload != c.head.Upload {
			return err
		}
		for _, b := range list {
			if err := b.put(ctx, tx, &now, &done); err != nil {
				return err
			}
		}
		if last {
			now.Dict = p.Dict()
		}
		tx.Put(row.Blob(c.id), now.Append(nil))
		return nil
	}, kv.Background(), kv.NoCombine())
	return done, err
}

// put writes a chunk, unless it changed since it was read.
func (c *better) put(ctx context.Context, tx kv.Tx, b *row.BlobRow, done *Packed) error {
	items, err := tx.GetMulti(ctx, c.key)
	if err != nil || items[0].Rev != c.rev {
		return err
	}
	tx.Put(c.key, c.value)
	if b.Stored != 0 {
		b.Stored -= c.saved
	}
	done.Rows++
	done.Before += int64(len(c.value)) + c.saved
	done.After += int64(len(c.value))
	return nil
}

// packed reads chunks and encodes those that get smaller by that.
func (s *Store) packed(ctx context.Context, c *some, p *codec.Packer) (list []better, read int64, err error) {
	b := &c.head
	keys := make([][]byte, 0, ChunksAtOnce)
	for n := c.from; n < c.to; n++ {
		keys = append(keys, row.Chunk(c.id, b.Upload, n))
	}
	items, err := s.kv.GetMulti(ctx, keys...)
	if err != nil {
		return nil, 0, err
	}
	q := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(q)
	for i, it := range items {
		if it.Rev == 0 {
			continue // deleted meanwhile; if not, that is for fsck
		}
		want := min(ChunkBytes, b.Size-int64(c.from+uint32(i))*ChunkBytes)
		raw, err := s.unframe(ctx, (*q)[:0], it.Value, b.Codec, want)
		if errors.Is(err, ErrCorrupt) {
			continue // what is damaged stays as it is, for fsck to see
		} else if err != nil {
			return nil, read, err
		}
		*q = raw[:0]
		read += want
		v := repacked(it.Value, raw, p)
		if v == nil {
			continue
		}
		// What comes out of it was compared before it takes the place of the old one.
		again, err := s.unframe(ctx, nil, v, b.Codec, want)
		if err != nil || !bytes.Equal(again, raw) {
			return nil, read, fmt.Errorf("%w: packing a chunk anew: %v", ErrCorrupt, err)
		}
		list = append(list, better{it.Key, it.Rev, v, int64(len(it.Value) - len(v))})
	}
	return list, read, nil
}

// packGain is the part of a chunk, one in so many, that a write must save.
const packGain = 64

// repacked is a chunk's new frame, or nil if that is not worth a write.
func repacked(stored, raw []byte, p *codec.Packer) []byte {
	out := binary.LittleEndian.AppendUint32([]byte{row.Zstd}, row.Checksum(raw))
	out, ok := p.Encode(out, raw)
	if !ok || len(out) > len(stored)-len(stored)/packGain {
		return nil
	}
	return slices.Clip(out)
}

// Sample calls f with chunks of live blobs that compression helps much, which
// are those that a dictionary can help. wants is asked before a blob is read.
func (s *Store) Sample(ctx context.Context, wants func(row.BlobID) bool, f func(row.BlobID, []byte)) error {
	for it, err := range s.kv.Scan(ctx, kv.Prefix([]byte{row.TagBlob})) {
		if err != nil {
			return err
		}
		k, ok := row.ParseKey(it.Key)
		b, err := row.DecodeBlob(it.Value)
		if !ok || err != nil || b.State != row.BlobLive || b.Codec != row.Framed || b.Stored == 0 ||
			b.Stored > b.Size-b.Size/sampleGain || !wants(k.Blob) {
			continue
		}
		if err := s.sampleBlob(ctx, k.Blob, &b, f); err != nil {
			return err
		}
	}
	return nil
}

// sampleGain is the part of a blob, one in so many, that compression must have
// saved for it to be a sample.
const sampleGain = 4

// Pace: chunks of one blob that are samples.
const sampleChunks = 2

func (s *Store) sampleBlob(ctx context.Context, id row.BlobID, b *row.BlobRow, f func(row.BlobID, []byte)) error {
	for n := range min(b.Chunks, sampleChunks) {
		items, err := s.kv.GetMulti(ctx, row.Chunk(id, b.Upload, n))
		if err != nil {
			return err
		}
		if items[0].Rev == 0 {
			return nil
		}
		raw, err := s.unframe(ctx, nil, items[0].Value, b.Codec, min(ChunkBytes, b.Size-int64(n)*ChunkBytes))
		if err == nil {
			f(id, raw)
		}
	}
	return nil
}
