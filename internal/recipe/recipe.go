// Package recipe takes a message apart and puts it together again, byte for
// byte. A message becomes a list of segments: base64 (RFC 2045 §6.8) stands
// decoded, with the width and the end of its lines and its padding; all else
// stands as it is. A segment's bytes lie in the skeleton, which holds what is
// the message's own, or are one blob, which messages share.
//
// It promises that what a plan puts together is the message: base64 is taken
// only as far as encoding it again gives the very same bytes, which is tried on
// all of it when the plan is made. Whatever is odd stays literal; nothing is
// refused. Memory is bounded for any message: the source is read in pieces, and
// so is what is put together. Decoding a stored recipe never panics, and it
// describes no more bytes than it says.
//
// It knows nothing of stores and compression.
package recipe

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Limit: decoded bytes from which a part is a blob of its own; smaller ones stand in the skeleton.
const MinBlob = 8 << 10

// Limit: blobs of one message: its largest parts.
const MaxBlobs = 64

// Limit: parts of one message that are looked at: the largest.
const MaxParts = 512

// Limit: pieces of regular base64 that are looked for in one part.
const MaxRuns = 4

// Limit: segments of one recipe.
const MaxSegments = 2*(MaxParts*MaxRuns) + 1

// minRun is the least of decoded base64 that is worth a segment.
const minRun = 96

// ErrCorrupt: a stored recipe cannot be read.
var ErrCorrupt = errors.New("recipe: stored recipe is corrupt")

// InSkeleton is the Blob of a segment whose bytes lie in the skeleton.
const InSkeleton = -1

// Segment is one piece of a message.
type Segment struct {
	Blob   int   // which blob has the bytes, or InSkeleton
	Stored int64 // how many bytes that are
	Base64 bool  // they stand decoded
	// Of base64: characters of a line (0: one line without an end), whether its
	// lines end in LF alone, and whether padding is left out.
	Width int64
	LF    bool
	NoPad bool
}

// eol is the length of a line's end.
func (s *Segment) eol() int64 {
	if s.LF {
		return 1
	}
	return 2
}

// chars is the number of base64 characters.
func (s *Segment) chars() int64 {
	if s.NoPad {
		return s.Stored/3*4 + [3]int64{0, 2, 3}[s.Stored%3]
	}
	return (s.Stored + 2) / 3 * 4
}

// Len is the number of the message's bytes. The end of the last line of base64
// is not part of the segment.
func (s *Segment) Len() int64 {
	if !s.Base64 {
		return s.Stored
	}
	n := s.chars()
	if s.Width > 0 && n > 0 {
		n += (n - 1) / s.Width * s.eol()
	}
	return n
}

func (s *Segment) encoding() *base64.Encoding {
	if s.NoPad {
		return base64.RawStdEncoding
	}
	return base64.StdEncoding
}

// The bits of a stored segment's first number.
const (
	bitBase64 = 1 << iota
	bitBlob
	bitLF
	bitNoPad
	bitsAll = 1<<iota - 1
)

// Append encodes segments. A message that is one literal in the skeleton has
// an empty recipe.
func Append(b []byte, segs []Segment) []byte {
	if len(segs) == 1 && segs[0] == (Segment{Blob: InSkeleton, Stored: segs[0].Stored}) {
		return b
	}
	for i := range segs {
		s := &segs[i]
		bits := uint64(0)
		for _, f := range []struct {
			set bool
			bit uint64
		}{{s.Base64, bitBase64}, {s.Blob >= 0, bitBlob}, {s.LF, bitLF}, {s.NoPad, bitNoPad}} {
			if f.set {
				bits |= f.bit
			}
		}
		b = protowire.AppendVarint(b, bits)
		b = protowire.AppendVarint(b, uint64(s.Stored))
		if s.Base64 {
			b = protowire.AppendVarint(b, uint64(s.Width))
		}
		if s.Blob >= 0 {
			b = protowire.AppendVarint(b, uint64(s.Blob))
		}
	}
	return b
}

// Decode is the inverse of Append, for a message of size bytes with so many
// blobs. skeleton is the number of bytes that lie in the skeleton.
func Decode(b []byte, size int64, blobs int) (segs []Segment, skeleton int64, err error) {
	if len(b) == 0 {
		return []Segment{{Blob: InSkeleton, Stored: size}}, size, nil
	}
	total := int64(0)
	for len(b) > 0 {
		if len(segs) == MaxSegments {
			return nil, 0, fmt.Errorf("%w: too many segments", ErrCorrupt)
		}
		var s Segment
		if s, b, err = decodeSegment(b, size, blobs); err != nil {
			return nil, 0, err
		}
		if total += s.Len(); total > size {
			return nil, 0, fmt.Errorf("%w: longer than the message", ErrCorrupt)
		}
		if s.Blob == InSkeleton {
			skeleton += s.Stored
		}
		segs = append(segs, s)
	}
	if total != size {
		return nil, 0, fmt.Errorf("%w: %d bytes of %d", ErrCorrupt, total, size)
	}
	return segs, skeleton, nil
}

func decodeSegment(b []byte, size int64, blobs int) (s Segment, rest []byte, err error) {
	next := func(most uint64) int64 {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 || v > most {
			err = ErrCorrupt
			return 0
		}
		b = b[n:]
		return int64(v)
	}
	bits := next(bitsAll)
	s = Segment{Blob: InSkeleton, Base64: bits&bitBase64 != 0, LF: bits&bitLF != 0, NoPad: bits&bitNoPad != 0}
	s.Stored = next(uint64(size))
	if s.Base64 && err == nil {
		s.Width = next(math.MaxInt64 / 2)
	}
	if bits&bitBlob != 0 && err == nil {
		s.Blob = int(next(math.MaxInt32))
		if s.Blob >= blobs {
			err = ErrCorrupt
		}
	}
	if err != nil {
		return s, nil, fmt.Errorf("%w: bad segment", ErrCorrupt)
	}
	return s, b, nil
}
