package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Blob reads one blob. ReadAt may be called from several goroutines.
type Blob struct {
	ctx  context.Context
	kv   kv.Reader
	id   row.BlobID
	row  row.BlobRow
	mu   sync.Mutex
	n    uint32 // the chunk that is held
	held []byte
}

// Open finds a blob. It reads for as long as ctx lives.
func (s *Store) Open(ctx context.Context, id row.BlobID) (*Blob, error) {
	items, err := s.kv.GetMulti(ctx, row.Blob(id))
	if err != nil {
		return nil, err
	}
	if items[0].Rev == 0 {
		return nil, fmt.Errorf("%w: no header", ErrCorrupt)
	}
	b := &Blob{ctx: ctx, kv: s.kv, id: id}
	if b.row, err = row.DecodeBlob(items[0].Value); err != nil {
		return nil, err
	}
	if b.row.Codec != row.Plain {
		return nil, fmt.Errorf("%w: unknown codec %d", ErrCorrupt, b.row.Codec)
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

// chunk returns the i-th chunk, checked for its length.
func (b *Blob) chunk(i uint32) ([]byte, error) {
	b.mu.Lock()
	held, n := b.held, b.n
	b.mu.Unlock()
	if held != nil && n == i {
		return held, nil
	}
	items, err := b.kv.GetMulti(b.ctx, row.Chunk(b.id, b.row.Upload, i))
	if err != nil {
		return nil, err
	}
	want := min(ChunkBytes, b.row.Size-int64(i)*ChunkBytes)
	if items[0].Rev == 0 || int64(len(items[0].Value)) != want {
		return nil, fmt.Errorf("%w: chunk %d is missing or short", ErrCorrupt, i)
	}
	b.mu.Lock()
	b.held, b.n = items[0].Value, i
	b.mu.Unlock()
	return items[0].Value, nil
}

// Close lets the held chunk go.
func (b *Blob) Close() error {
	b.mu.Lock()
	b.held = nil
	b.mu.Unlock()
	return nil
}
