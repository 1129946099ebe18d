package blob

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/eidermail/eider/internal/codec"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Blob reads one blob. ReadAt may be called from several goroutines. It holds
// one chunk.
type Blob struct {
	ctx  context.Context
	s    *Store
	id   row.BlobID
	mu   sync.Mutex
	row  row.BlobRow
	n    uint32 // the chunk that is held
	held []byte
}

// Open finds a blob. It reads for as long as ctx lives.
func (s *Store) Open(ctx context.Context, id row.BlobID) (*Blob, error) {
	b := &Blob{ctx: ctx, s: s, id: id}
	var err error
	b.row, err = s.header(ctx, id)
	return b, err
}

func (s *Store) header(ctx context.Context, id row.BlobID) (b row.BlobRow, err error) {
	items, err := s.kv.GetMulti(ctx, row.Blob(id))
	if err != nil {
		return b, err
	}
	if items[0].Rev == 0 {
		return b, fmt.Errorf("%w: no header", ErrCorrupt)
	}
	if b, err = row.DecodeBlob(items[0].Value); err != nil {
		return b, err
	}
	if b.Codec != row.Plain && b.Codec != row.Framed {
		return b, fmt.Errorf("%w: unknown codec %d", ErrCorrupt, b.Codec)
	}
	return b, nil
}

// Size is the number of bytes.
func (b *Blob) Size() int64 { return b.row.Size }

// ReadAt reads bytes; one chunk is kept between calls.
func (b *Blob) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("blob: negative offset")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for n < len(p) && off < b.row.Size {
		c, err := b.chunk(uint32(off / ChunkBytes))
		if err != nil {
			return n, err
		}
		k := copy(p[n:], c[off%ChunkBytes:])
		n += k
		off += int64(k)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// chunk returns the i-th chunk, checked.
func (b *Blob) chunk(i uint32) ([]byte, error) {
	if b.held != nil && b.n == i {
		return b.held, nil
	}
	it, err := b.stored(i)
	if err != nil {
		return nil, err
	}
	want := min(ChunkBytes, b.row.Size-int64(i)*ChunkBytes)
	held, err := b.s.unframe(b.ctx, b.held[:0], it.Value, b.row.Codec, want)
	if err != nil {
		return nil, fmt.Errorf("chunk %d: %w", i, err)
	}
	b.held, b.n = held, i
	return held, nil
}

// stored reads a chunk's row. A chunk that is missing may have been written
// anew meanwhile, with all others, by a repack.
func (b *Blob) stored(i uint32) (kv.Item, error) {
	for again := false; ; again = true {
		items, err := b.s.kv.GetMulti(b.ctx, row.Chunk(b.id, b.row.Upload, i))
		if err != nil {
			return kv.Item{}, err
		}
		if items[0].Rev != 0 {
			return items[0], nil
		}
		head, err := b.s.header(b.ctx, b.id)
		if err != nil {
			return kv.Item{}, err
		}
		if again || head.Upload == b.row.Upload {
			return kv.Item{}, fmt.Errorf("%w: chunk %d is missing", ErrCorrupt, i)
		}
		b.row, b.held = head, nil
	}
}

// unframe decodes a stored chunk of so many bytes into dst.
func (s *Store) unframe(ctx context.Context, dst, stored []byte, kind uint8, want int64) ([]byte, error) {
	if kind == row.Plain {
		if int64(len(stored)) != want {
			return nil, fmt.Errorf("%w: %d bytes, not %d", ErrCorrupt, len(stored), want)
		}
		return append(dst, stored...), nil
	}
	if len(stored) < frameHead {
		return nil, fmt.Errorf("%w: no frame", ErrCorrupt)
	}
	how, sum, data := stored[0], binary.LittleEndian.Uint32(stored[1:]), stored[frameHead:]
	switch how {
	case row.Plain:
		dst = append(dst, data...)
	case row.Zstd:
		var err error
		if dst, err = s.Decode(ctx, dst, data, want); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%w: unknown codec %d", ErrCorrupt, how)
	}
	if int64(len(dst)) != want || row.Checksum(dst) != sum {
		return nil, fmt.Errorf("%w: checksum differs", ErrCorrupt)
	}
	return dst, nil
}

// Check reads a blob's chunks and tells what is wrong with it, or "". rd may be
// a transaction that holds the blob's guard.
func (s *Store) Check(ctx context.Context, rd kv.Reader, id row.BlobID, b *row.BlobRow) (text string, err error) {
	var n uint32
	var size, stored int64
	var buf []byte
	for it, err := range rd.Scan(ctx, kv.Prefix(row.Chunks(id, b.Upload))) {
		if err != nil {
			return "", err
		}
		k, ok := row.ParseKey(it.Key)
		if !ok || k.Number != n {
			return fmt.Sprintf("chunk %d is missing or odd", n), nil
		}
		want := min(ChunkBytes, b.Size-size)
		if buf, err = s.unframe(ctx, buf[:0], it.Value, b.Codec, want); errors.Is(err, ErrCorrupt) {
			return fmt.Sprintf("chunk %d: %v", n, err), nil
		} else if err != nil {
			return "", err
		}
		n++
		size += want
		stored += int64(len(it.Value))
	}
	switch {
	case n != b.Chunks || size != b.Size:
		return fmt.Sprintf("blob of %d chunks and %d bytes has %d and %d", b.Chunks, b.Size, n, size), nil
	case b.Stored != 0 && b.Stored != stored:
		return fmt.Sprintf("blob says its chunks take %d bytes, they take %d", b.Stored, stored), nil
	}
	return "", nil
}

// Survey makes a blob's header anew from its chunks: of the upload up, or of any
// if up is 0. Not whole says that they are not all of a blob, as far as that can
// be seen. rd may be a transaction that holds the blob's guard.
func (s *Store) Survey(ctx context.Context, rd kv.Reader, id row.BlobID, up row.UploadID,
) (b row.BlobRow, whole bool, err error) {
	q := kv.Prefix(append([]byte{row.TagChunk}, id[:]...))
	if up != 0 {
		q = kv.Prefix(row.Chunks(id, up))
	}
	b = row.BlobRow{State: row.BlobLive, Codec: row.Framed, Created: s.o.Now().Unix()}
	var buf []byte
	for it, err := range rd.Scan(ctx, q) {
		if err != nil {
			return b, false, err
		}
		k, ok := row.ParseKey(it.Key)
		if !ok || b.Chunks > 0 && k.Upload != b.Upload {
			break // another upload's
		}
		n := frameSize(it.Value)
		if b.Chunks == 0 && n < 0 {
			b.Codec = row.Plain
		}
		if b.Codec == row.Plain {
			n = int64(len(it.Value))
		}
		buf, err = s.unframe(ctx, buf[:0], it.Value, b.Codec, n)
		if err != nil || k.Number != b.Chunks || b.Size != int64(b.Chunks)*ChunkBytes || n > ChunkBytes {
			return b, false, nil
		}
		b.Upload = k.Upload
		b.Chunks++
		b.Size += n
		b.Stored += int64(len(it.Value))
	}
	return b, b.Chunks > 0, nil
}

// frameSize is the number of bytes that a stored chunk says it has, or -1.
func frameSize(stored []byte) int64 {
	if len(stored) < frameHead {
		return -1
	}
	switch data := stored[frameHead:]; stored[0] {
	case row.Plain:
		if row.Checksum(data) == binary.LittleEndian.Uint32(stored[1:]) {
			return int64(len(data))
		}
	case row.Zstd:
		return codec.SizeOf(data)
	}
	return -1
}

// Close lets the held chunk go.
func (b *Blob) Close() error {
	b.mu.Lock()
	b.held = nil
	b.mu.Unlock()
	return nil
}
