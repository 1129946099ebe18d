// Package body is how a message's bytes are stored: its Body row with the
// recipe and the skeleton, and the parts in package blob. It takes messages
// apart and opens those that are stored, of every kind that there ever was.
//
// It promises that what is opened is, byte for byte, what was made, or an
// error: everything that is stored has a checksum, which is compared when it is
// read. A reader holds its skeleton and one chunk.
package body

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/recipe"
)

// Limit: bytes of a skeleton (what is left of a message without its shared
// parts) that is read and compressed as one; a larger one is a part itself.
const MaxSkeleton = 256 << 10

// Limit: bytes of a compressed skeleton in a message's row.
const MaxRow = 64 << 10

// Content is a stored message's bytes, exactly as they were stored. ReadAt may
// be called from several goroutines. Memory stays bounded for any size.
type Content interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// inline is a message that is in memory.
type inline struct {
	*bytes.Reader
	b []byte
}

// Bytes returns the whole message if c holds it in memory, else nil. It must
// not be changed.
func Bytes(c Content) []byte {
	if m, ok := c.(inline); ok {
		return m.b
	}
	return nil
}

func (inline) Close() error { return nil }

// Open opens a body of any kind. It reads for as long as ctx lives. Its errors
// are those of kv, and blob.ErrCorrupt.
func Open(ctx context.Context, blobs *blob.Store, r *row.BodyRow) (Content, error) {
	switch {
	case r.Kind == row.Recipe:
		return openRecipe(ctx, blobs, r)
	case r.Codec != row.Plain:
		return nil, corrupt("unknown codec %d", r.Codec)
	case r.Kind == row.Inline:
		return checked(r.Data, r.CRC)
	case r.Kind == row.InBlob:
		b, err := blobs.Open(ctx, r.Blob)
		if err != nil {
			return nil, err
		}
		if b.Size() != r.Size {
			return nil, corrupt("blob of another size")
		}
		return b, nil
	default:
		return nil, corrupt("unknown kind of body %d", r.Kind)
	}
}

// checked is a whole message that is in memory.
func checked(b []byte, crc uint32) (Content, error) {
	if row.Checksum(b) != crc {
		return nil, corrupt("checksum differs")
	}
	return inline{bytes.NewReader(b), b}, nil
}

// openRecipe opens a body that is put together. One without shared parts is
// put together at once.
func openRecipe(ctx context.Context, blobs *blob.Store, r *row.BodyRow) (Content, error) {
	segs, skel, err := recipe.Decode(r.Segments, r.Size, len(r.Blobs))
	if err != nil || skel != r.Raw {
		return nil, corrupt("recipe for %d bytes with a skeleton of %d, not %d: %v", r.Size, skel, r.Raw, err)
	}
	c := &cooked{ctx: ctx, blobs: blobs, recipe: recipe.New(segs), ids: r.Blobs,
		skeletonBlob: int(r.SkeletonBlob) - 1, at: -1}
	if r.SkeletonBlob == 0 {
		if c.skeleton, err = openSkeleton(ctx, blobs, r); err != nil {
			return nil, err
		}
	}
	if skeletonSum(r, c.skeleton) != r.RawCRC {
		return nil, corrupt("checksum of the recipe differs")
	}
	if len(r.Blobs) > 0 {
		return c, nil
	}
	whole := c.skeleton
	if len(r.Segments) > 0 {
		whole = make([]byte, r.Size)
		if _, err := c.ReadAt(whole, 0); err != nil && err != io.EOF {
			return nil, err
		}
	}
	return checked(whole, r.CRC)
}

// openSkeleton decodes and checks a skeleton that stands in its row.
func openSkeleton(ctx context.Context, blobs *blob.Store, r *row.BodyRow) (b []byte, err error) {
	switch r.Codec {
	case row.Plain:
		b = r.Data
	case row.Zstd:
		if b, err = blobs.Decode(ctx, nil, r.Data, r.Raw); err != nil {
			return nil, err
		}
	default:
		return nil, corrupt("unknown codec %d", r.Codec)
	}
	if int64(len(b)) != r.Raw {
		return nil, corrupt("skeleton of %d bytes, not %d", len(b), r.Raw)
	}
	return b, nil
}

// cooked is a message that is put together while it is read. It holds its
// skeleton and one chunk of one part.
type cooked struct {
	ctx          context.Context
	blobs        *blob.Store
	recipe       *recipe.Recipe
	ids          []row.BlobID
	skeleton     []byte
	skeletonBlob int // -1: the skeleton is in memory

	mu   sync.Mutex
	at   int // the part that is open, -1 for none
	part *blob.Blob
	base *blob.Blob // the skeleton, if it is a blob
}

func (c *cooked) Size() int64 { return c.recipe.Size() }

// ReadAt implements io.ReaderAt.
func (c *cooked) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.recipe.ReadAt(p, off, c.open)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = corrupt("a part is too short")
	}
	return n, err
}

// open returns a part, or the skeleton.
func (c *cooked) open(i int) (io.ReaderAt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i == recipe.InSkeleton {
		if c.skeletonBlob < 0 {
			return bytesAt(c.skeleton), nil
		}
		if c.base == nil {
			b, err := c.blobs.Open(c.ctx, c.ids[c.skeletonBlob])
			if err != nil {
				return nil, err
			}
			c.base = b
		}
		return c.base, nil
	}
	if c.at != i {
		b, err := c.blobs.Open(c.ctx, c.ids[i])
		if err != nil {
			return nil, err
		}
		c.at, c.part = i, b
	}
	return c.part, nil
}

// Close lets go what is held.
func (c *cooked) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.part, c.base = -1, nil, nil
	return nil
}

// bytesAt is an io.ReaderAt without a struct of its own.
type bytesAt []byte

func (b bytesAt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// skeletonSum covers what is needed to put a message together beside its
// parts. Where the skeleton is the whole message, that has a checksum.
func skeletonSum(r *row.BodyRow, skeleton []byte) uint32 {
	if len(r.Blobs)+len(r.Segments) == 0 {
		return 0
	}
	h := row.NewChecksum()
	if r.SkeletonBlob == 0 {
		_, _ = h.Write(skeleton)
	}
	_, _ = h.Write(r.Segments)
	for i := range r.Blobs {
		_, _ = h.Write(r.Blobs[i][:])
	}
	return h.Sum32()
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", blob.ErrCorrupt, fmt.Sprintf(format, args...))
}

// Sizes tells how many bytes each of a body's blobs must have.
func Sizes(r *row.BodyRow) ([]int64, error) {
	sizes := make([]int64, len(r.Blobs))
	if r.Kind != row.Recipe {
		for i := range sizes {
			sizes[i] = r.Size
		}
		return sizes, nil
	}
	segs, _, err := recipe.Decode(r.Segments, r.Size, len(r.Blobs))
	if err != nil {
		return nil, corrupt("%v", err)
	}
	if r.SkeletonBlob > 0 {
		sizes[r.SkeletonBlob-1] = r.Raw
	}
	for _, s := range segs {
		if s.Blob >= 0 {
			sizes[s.Blob] = s.Stored
		}
	}
	return sizes, nil
}
