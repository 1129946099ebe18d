package body

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/codec"
	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/recipe"
)

// Maker makes bodies. It may be used by several goroutines.
type Maker struct {
	blobs   *blob.Store
	planner *recipe.Planner
	scratch sync.Pool // of *[]byte: skeletons
}

// NewMaker returns a Maker of bodies whose parts blobs keeps.
func NewMaker(blobs *blob.Store) *Maker {
	m := &Maker{blobs: blobs, planner: recipe.NewPlanner()}
	m.scratch.New = func() any { b := make([]byte, 0, firstScratch); return &b }
	return m
}

// firstScratch is what most skeletons take with their compressed form.
const firstScratch = 16 << 10

// Body is a message that is ready to be stored.
type Body struct {
	Row   []byte      // the value of its Body row
	Parts []blob.Part // what must be staged and linked; they read the source
}

// Source is a message to store.
type Source struct {
	io.ReaderAt
	Size  int64
	CRC   uint32 // CRC-32C of it
	Index *message.Index
	// Scope keeps its parts apart from those of other scopes; see blob.Hash.
	Scope []byte
	// RowBytes is the most that its skeleton may take in the row.
	RowBytes int
}

// Make takes a message apart. It reads it several times.
func (m *Maker) Make(src *Source) (*Body, error) {
	h := m.blobs.Hash(src.Scope)
	defer m.blobs.GiveBack(h)
	pl, err := m.planner.Plan(src, src.Size, src.Index, h)
	if err != nil {
		return nil, fmt.Errorf("body: taking a message apart: %w", err)
	}
	b := &Body{}
	r := row.BodyRow{Kind: row.Recipe, Size: src.Size, CRC: src.CRC, Raw: pl.Skeleton,
		Segments: recipe.Append(nil, pl.Segments)}
	for i, sum := range pl.Sums {
		p := blob.Part{ID: row.BlobID(sum), Size: pl.BlobSize(i), Open: func() io.Reader { return pl.Blob(i) }}
		r.Blobs = append(r.Blobs, p.ID)
		b.need(p)
	}
	buf := m.scratch.Get().(*[]byte)
	defer m.giveBack(buf)
	fits, err := m.skeleton(&r, pl, buf, min(MaxRow, src.RowBytes))
	if err != nil {
		return nil, err
	}
	if !fits {
		p, err := m.skeletonPart(pl, src.Scope)
		if err != nil {
			return nil, err
		}
		r.Blobs = append(r.Blobs, p.ID)
		r.SkeletonBlob = uint32(len(r.Blobs))
		r.Data, r.Codec, r.Dict = nil, row.Plain, 0
		b.need(p)
	}
	r.RawCRC = skeletonSum(&r, (*buf)[:min(len(*buf), int(r.Raw))])
	b.Row = r.Append(make([]byte, 0, headBytes+len(r.Segments)+len(r.Data)+(2+len(row.BlobID{}))*len(r.Blobs)))
	return b, nil
}

// headBytes is about what a body row has beside its bytes.
const headBytes = 64

// giveBack keeps a buffer for the next message, unless it is a rare large one.
func (m *Maker) giveBack(buf *[]byte) {
	if cap(*buf) <= 2*MaxSkeleton+headBytes {
		m.scratch.Put(buf)
	}
}

// need adds a part, once.
func (b *Body) need(p blob.Part) {
	if !slices.ContainsFunc(b.Parts, func(o blob.Part) bool { return o.ID == p.ID }) {
		b.Parts = append(b.Parts, p)
	}
}

// skeleton reads the skeleton to the front of buf and compresses it into
// r.Data, which is part of buf too; not fits says that it is too large for a row.
func (m *Maker) skeleton(r *row.BodyRow, pl *recipe.Plan, buf *[]byte, most int) (fits bool, err error) {
	if pl.Skeleton > MaxSkeleton {
		*buf = (*buf)[:0]
		return false, nil
	}
	n := int(pl.Skeleton)
	b := slices.Grow((*buf)[:0], 2*n+headBytes)[:n]
	if _, err := io.ReadFull(pl.ReadSkeleton(), b); err != nil {
		return false, fmt.Errorf("body: reading what is stored: %w", err)
	}
	c := m.blobs.Codec()
	dict := c.Current(codec.Skeletons)
	out, ok := c.Encode(b, b, dict)
	if *buf = out; ok {
		r.Codec, r.Dict, r.Data = row.Zstd, dict, out[n:]
	} else {
		r.Data = out
	}
	return len(r.Data) <= most, nil
}

// skeletonPart makes a large skeleton a part. With a scope it is shared with nothing.
func (m *Maker) skeletonPart(pl *recipe.Plan, scope []byte) (p blob.Part, err error) {
	if len(scope) > 0 {
		scope = []byte(rand.Text())
	}
	h := m.blobs.Hash(scope)
	defer m.blobs.GiveBack(h)
	if _, err := io.Copy(h, pl.ReadSkeleton()); err != nil {
		return p, fmt.Errorf("body: reading what is stored: %w", err)
	}
	return blob.Part{ID: row.BlobID(h.Sum(nil)), Size: pl.Skeleton, Open: pl.ReadSkeleton}, nil
}

// Joined reads header lines of ours and then the message behind them.
func Joined(prepend []byte, m io.ReaderAt) io.ReaderAt { return joined{prepend, m} }

type joined struct {
	prepend []byte
	m       io.ReaderAt
}

// ReadAt implements io.ReaderAt.
func (j joined) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("body: negative offset")
	}
	if off < int64(len(j.prepend)) {
		n = copy(p, j.prepend[off:])
	}
	if n == len(p) {
		return n, nil
	}
	k, err := j.m.ReadAt(p[n:], off+int64(n)-int64(len(j.prepend)))
	return n + k, err
}
