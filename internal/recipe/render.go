package recipe

import (
	"errors"
	"io"
	"sort"
)

// Pace: bytes of a message that are put together at once.
const renderBytes = 48 << 10

// Recipe puts a message together. ReadAt may be called from several goroutines.
type Recipe struct {
	segs  []Segment
	start []int64 // of each segment in the message
	from  []int64 // of each segment in the skeleton or, for a blob, 0
	size  int64
}

// New returns a Recipe of segments.
func New(segs []Segment) *Recipe {
	r := &Recipe{segs: segs, start: make([]int64, len(segs)), from: make([]int64, len(segs))}
	skel := int64(0)
	for i := range segs {
		r.start[i] = r.size
		r.size += segs[i].Len()
		if segs[i].Blob == InSkeleton {
			r.from[i] = skel
			skel += segs[i].Stored
		}
	}
	return r
}

// Size is the number of the message's bytes.
func (r *Recipe) Size() int64 { return r.size }

// ReadAt puts together the bytes of the message from off on. open gives the
// bytes of a blob, or of the skeleton for InSkeleton.
func (r *Recipe) ReadAt(p []byte, off int64, open func(blob int) (io.ReaderAt, error)) (n int, err error) {
	if off < 0 {
		return 0, errors.New("recipe: negative offset")
	}
	i := sort.Search(len(r.segs), func(i int) bool { return r.start[i] > off }) - 1
	for ; i >= 0 && i < len(r.segs) && n < len(p); i++ {
		s := &r.segs[i]
		in := off + int64(n) - r.start[i]
		k := int(min(int64(len(p)-n), s.Len()-in))
		if k <= 0 {
			continue
		}
		src, err := open(s.Blob)
		if err != nil {
			return n, err
		}
		if !s.Base64 {
			err = readFull(src, p[n:n+k], r.from[i]+in)
		} else {
			err = s.render(p[n:n+k], in, src, r.from[i])
		}
		if err != nil {
			return n, err
		}
		n += k
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// render writes the bytes of a base64 segment from in on. Its decoded bytes
// begin at from in src.
func (s *Segment) render(p []byte, in int64, src io.ReaderAt, from int64) error {
	for len(p) > 0 {
		k := min(len(p), renderBytes)
		if err := s.renderPiece(p[:k], in, src, from); err != nil {
			return err
		}
		p, in = p[k:], in+int64(k)
	}
	return nil
}

func (s *Segment) renderPiece(p []byte, in int64, src io.ReaderAt, from int64) error {
	c0, c1 := s.charAt(in), s.charAt(in+int64(len(p)))
	q0 := c0 / 4 // whole quanta are encoded
	b0, b1 := q0*3, min((c1+3)/4*3, s.Stored)
	var chars []byte
	if b1 > b0 {
		dec := make([]byte, b1-b0)
		if err := readFull(src, dec, from+b0); err != nil {
			return err
		}
		chars = s.encoding().AppendEncode(make([]byte, 0, s.encoding().EncodedLen(len(dec))), dec)[c0-q0*4:]
	}
	if s.Width == 0 {
		copy(p, chars)
		return nil
	}
	line := s.Width + s.eol()
	for len(p) > 0 {
		col := in % line
		var n int
		if col < s.Width {
			n = copy(p, chars[:min(s.Width-col, int64(len(chars)))])
			chars = chars[n:]
		} else {
			n = copy(p, s.eolBytes()[col-s.Width:])
		}
		p, in = p[n:], in+int64(n)
	}
	return nil
}

// charAt is the number of characters before an offset of the segment.
func (s *Segment) charAt(in int64) int64 {
	if s.Width == 0 {
		return in
	}
	line := s.Width + s.eol()
	return in/line*s.Width + min(in%line, s.Width)
}

func (s *Segment) eolBytes() string {
	if s.LF {
		return "\n"
	}
	return "\r\n"
}
