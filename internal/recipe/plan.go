package recipe

import (
	"bytes"
	"encoding/base64"
	"hash"
	"io"
	"slices"
	"sync"

	"github.com/eidermail/eider/internal/message"
)

// Planner makes plans. It may be used by several goroutines.
type Planner struct{ scanners sync.Pool }

// NewPlanner returns a Planner.
func NewPlanner() *Planner {
	return &Planner{sync.Pool{New: func() any { return new(scanner) }}}
}

// Plan is how a message is taken apart. It reads the message again for each of
// its parts; nothing of them is held.
type Plan struct {
	Segments []Segment
	// Sums are the hashes of the blobs' bytes, by number. Two of a message may
	// be equal.
	Sums     [][]byte
	Skeleton int64 // bytes of the skeleton
	src      io.ReaderAt
	pieces   []piece
	blobs    []int // the piece of each blob
}

// Plan takes apart a message of size bytes, whose index is x. h hashes the
// bytes of blobs.
func (p *Planner) Plan(src io.ReaderAt, size int64, x *message.Index, h hash.Hash) (*Plan, error) {
	pl := &Plan{src: src}
	parts := leaves(nil, x.Root)
	if len(parts) > 0 {
		s := p.scanners.Get().(*scanner)
		err := pl.cut(s, largest(parts), h)
		s.src = nil
		p.scanners.Put(s)
		if err != nil {
			return nil, err
		}
	}
	pl.fill(size)
	return pl, nil
}

// leaves collects the parts that may be worth a segment.
func leaves(parts []*message.Part, p *message.Part) []*message.Part {
	switch {
	case p == nil:
	case p.Message != nil:
		return leaves(parts, p.Message.Root)
	case len(p.Parts) > 0:
		for _, c := range p.Parts {
			parts = leaves(parts, c)
		}
	case p.Encoding == "base64" && p.Body.Len() > minRun, p.Body.Len() >= MinBlob:
		parts = append(parts, p)
	}
	return parts
}

// largest keeps the largest parts, the largest first.
func largest(parts []*message.Part) []*message.Part {
	slices.SortStableFunc(parts, func(a, b *message.Part) int { return int(min(max(b.Body.Len()-a.Body.Len(), -1), 1)) })
	return parts[:min(len(parts), MaxParts)]
}

// cut finds the pieces of parts, in the order of the source.
func (pl *Plan) cut(s *scanner, parts []*message.Part, h hash.Hash) error {
	blobs := 0
	for _, part := range parts {
		span, could := part.Body, blobs < MaxBlobs && part.Body.Len() >= MinBlob
		var got []piece
		if part.Encoding == "base64" {
			sink := h
			if !could {
				sink = nil
			}
			var err error
			if got, err = s.base64(pl.src, span, sink); err != nil {
				return err
			}
		}
		if could && covered(got) < span.Len()/2 {
			h.Reset()
			if _, err := io.Copy(h, io.NewSectionReader(pl.src, span.Start, span.Len())); err != nil {
				return err
			}
			got = []piece{{Segment{Blob: InSkeleton, Stored: span.Len()}, span, h.Sum(nil)}}
		}
		for i := range got {
			if got[i].sum != nil {
				blobs++
			}
		}
		pl.pieces = append(pl.pieces, got...)
	}
	slices.SortFunc(pl.pieces, func(a, b piece) int { return int(min(max(a.src.Start-b.src.Start, -1), 1)) })
	return nil
}

// covered is how much of the source pieces take.
func covered(ps []piece) (n int64) {
	for i := range ps {
		n += ps[i].src.Len()
	}
	return n
}

// fill puts literals between the pieces, numbers the blobs and adds up.
func (pl *Plan) fill(size int64) {
	var all []piece
	at := int64(0)
	literal := func(to int64) {
		if to > at {
			all = append(all, piece{Segment: Segment{Blob: InSkeleton, Stored: to - at}, src: message.Span{Start: at, End: to}})
		}
		at = to
	}
	for _, p := range pl.pieces {
		if p.src.Start < at {
			continue // parts never overlap; if they did, what comes is literal
		}
		literal(p.src.Start)
		if p.sum != nil {
			p.Blob = len(pl.Sums)
			pl.Sums = append(pl.Sums, p.sum)
			pl.blobs = append(pl.blobs, len(all))
		}
		all = append(all, p)
		at = p.src.End
	}
	literal(size)
	pl.pieces = all
	pl.Segments = make([]Segment, len(all))
	for i := range all {
		pl.Segments[i] = all[i].Segment
		if all[i].Blob == InSkeleton {
			pl.Skeleton += all[i].Stored
		}
	}
}

// BlobSize is the number of a blob's bytes.
func (pl *Plan) BlobSize(i int) int64 { return pl.pieces[pl.blobs[i]].Stored }

// Blob reads a blob's bytes.
func (pl *Plan) Blob(i int) io.Reader { return pl.open(&pl.pieces[pl.blobs[i]]) }

// ReadSkeleton reads the skeleton, from its start.
func (pl *Plan) ReadSkeleton() io.Reader {
	var rs []io.Reader
	for i := range pl.pieces {
		if pl.pieces[i].Blob == InSkeleton {
			rs = append(rs, pl.open(&pl.pieces[i]))
		}
	}
	return io.MultiReader(rs...)
}

func (pl *Plan) open(p *piece) io.Reader {
	if !p.Base64 {
		return io.NewSectionReader(pl.src, p.src.Start, p.src.Len())
	}
	return &decoder{src: pl.src, p: p}
}

// decoder reads the decoded bytes of a piece of regular base64.
type decoder struct {
	src  io.ReaderAt
	p    *piece
	off  int64 // characters read
	left []byte
	in   [4 << 10]byte
	out  [3 << 10]byte
}

// Read decodes into b itself where there is room for a block.
func (d *decoder) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(d.left) == 0 {
		n, err := d.block(d.out[:])
		if err != nil {
			return 0, err
		}
		d.left = d.out[:n]
	}
	n := copy(b, d.left)
	d.left = d.left[n:]
	for len(b)-n >= len(d.out) {
		k, err := d.block(b[n:])
		if err != nil {
			break // it comes again with the next call
		}
		n += k
	}
	return n, nil
}

// block decodes the next characters.
func (d *decoder) block(out []byte) (int, error) {
	s := &d.p.Segment
	left := s.chars() - d.off
	if left <= 0 {
		return 0, io.EOF
	}
	from := d.off
	if s.Width > 0 {
		from += d.off / s.Width * s.eol()
	}
	in := d.in[:min(int64(len(d.in)), d.p.src.Len()-from)]
	if err := readFull(d.src, in, d.p.src.Start+from); err != nil {
		return 0, err
	}
	chars := unwrap(in)
	if int64(len(chars)) < left {
		chars = chars[:len(chars)/4*4]
	}
	d.off += int64(len(chars))
	return s.encoding().Decode(out, chars)
}

// unwrap takes line ends out of b, in place.
func unwrap(b []byte) []byte {
	i := bytes.IndexByte(b, '\n')
	out := b[:0]
	for at := b; ; i = bytes.IndexByte(at, '\n') {
		line := at
		if i >= 0 {
			line = at[:i]
		}
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		out = append(out, line...)
		if i < 0 {
			return out
		}
		at = at[i+1:]
	}
}

var _ = base64.StdEncoding
