package recipe

import (
	"bytes"
	"encoding/base64"
	"hash"
	"io"

	"github.com/eidermail/eider/internal/message"
)

const (
	windowBytes = 32 << 10           // of the source that are held at once
	blockChars  = 16 << 10           // base64 characters decoded at once; whole quanta
	blockBytes  = blockChars / 4 * 3 // what they decode to
)

// scanner looks for regular base64, in one part after another.
type scanner struct {
	src   io.ReaderAt
	at    int64 // of buf[0] in the source
	end   int64
	err   error
	buf   []byte // the part of the source that is held
	n     int    // how much of buf is read already
	bol   bool   // at the start of a line
	run   run
	mem   [windowBytes]byte
	chars [blockChars]byte // of the run, not decoded yet
	again [blockChars]byte
	out   [blockBytes]byte
}

// run is one piece of regular base64 while it is read.
type run struct {
	Segment
	held int // of the scanner's chars
	sink hash.Hash
}

// piece is a segment with its place in the source.
type piece struct {
	Segment
	src message.Span
	sum []byte // of a blob's bytes
}

// more reads on, keeping what is not consumed; false at the end of the part.
func (s *scanner) more() bool {
	if s.err != nil {
		return false
	}
	rest := copy(s.mem[:], s.buf[s.n:])
	s.at += int64(s.n)
	s.n = 0
	want := min(int64(len(s.mem)-rest), s.end-s.at-int64(rest))
	s.buf = s.mem[:rest]
	if want <= 0 {
		return false
	}
	b := s.mem[rest : rest+int(want)]
	if s.err = readFull(s.src, b, s.at+int64(rest)); s.err != nil {
		return false
	}
	s.buf = s.mem[:rest+len(b)]
	return true
}

// readFull fills b from an offset.
func readFull(src io.ReaderAt, b []byte, off int64) error {
	n, err := src.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (s *scanner) pos() int64 { return s.at + int64(s.n) }

// peek returns at least n bytes that come next, or all that are left.
func (s *scanner) peek(n int) []byte {
	for len(s.buf)-s.n < n && s.more() {
	}
	return s.buf[s.n:]
}

// base64 looks for regular base64 in a span of the source: at most MaxRuns
// runs. The first that is long enough for a blob gets the sum of its decoded
// bytes by h, if there is an h.
func (s *scanner) base64(src io.ReaderAt, span message.Span, h hash.Hash) (runs []piece, err error) {
	s.src, s.at, s.end, s.buf, s.n, s.err, s.bol = src, span.Start, span.End, nil, 0, nil, true
	for tries := 0; tries < MaxRuns && s.skip(); tries++ {
		start := s.pos()
		if h != nil {
			h.Reset()
		}
		s.scanRun(h)
		if s.err != nil {
			return nil, s.err
		}
		p := piece{Segment: s.run.Segment, src: message.Span{Start: start, End: start + s.run.Len()}}
		if h != nil && p.Stored >= MinBlob {
			p.sum, h = h.Sum(nil), nil
		}
		if p.Stored >= minRun {
			runs = append(runs, p)
		}
		if s.pos() == start {
			s.bol = false // this line is not base64
		}
	}
	return runs, s.err
}

// skip passes over the rest of a line that was begun, and over empty lines;
// false at the end.
func (s *scanner) skip() bool {
	for {
		b := s.peek(1)
		if len(b) == 0 {
			return false
		}
		switch i := bytes.IndexByte(b, '\n'); {
		case s.bol && b[0] != '\r' && b[0] != '\n':
			return true
		case s.bol && b[0] == '\r':
			s.n++
		case i >= 0:
			s.n += i + 1
			s.bol = true
		default:
			s.n += len(b)
		}
	}
}

// scanRun reads one run from where the scanner stands. The scanner ends in the
// run's last line, or at the start of the next.
func (s *scanner) scanRun(h hash.Hash) {
	s.run = run{Segment: Segment{Blob: InSkeleton, Base64: true}, sink: h}
	for first := true; ; first = false {
		n, eol := s.line(first)
		if eol == 0 {
			break
		}
		if first {
			s.run.Width, s.run.LF = n, eol == 1
		} else if n < s.run.Width || int64(eol) != s.run.eol() {
			break
		}
	}
	s.flush(true)
}

// line takes the characters of one line, of at most the run's width. It
// returns their number, and the length of the line's end if there is one and
// the line was regular.
func (s *scanner) line(first bool) (n int64, eol int) {
	for {
		b := s.peek(2)
		if !first {
			b = b[:min(int64(len(b)), s.run.Width-n)]
		}
		k := bytes.IndexByte(b, '\n')
		if k < 0 {
			k = len(b)
		}
		if k > 0 && b[k-1] == '\r' {
			k-- // its LF stands behind it, or comes
		}
		if k > 0 {
			if !s.take(b[:k]) {
				return n, 0
			}
			s.n += k
			n += int64(k)
			s.bol = false
			continue
		}
		if n == 0 {
			return 0, 0
		}
		return n, s.lineEnd()
	}
}

// lineEnd reads a line's end and returns its length, or 0.
func (s *scanner) lineEnd() (eol int) {
	switch b := s.peek(2); {
	case len(b) > 0 && b[0] == '\n':
		eol = 1
	case len(b) > 1 && b[0] == '\r' && b[1] == '\n':
		eol = 2
	}
	s.n += eol
	s.bol = eol > 0
	return eol
}

// take adds characters to the run, decoding them block by block; false when
// they are not regular.
func (s *scanner) take(b []byte) bool {
	r := &s.run
	for len(b) > 0 {
		k := copy(s.chars[r.held:], b)
		r.held += k
		b = b[k:]
		if r.held == len(s.chars) && !s.flush(false) {
			return false
		}
	}
	return true
}

// flush decodes what was taken, as far as it is regular; false when that is
// the end of the run.
func (s *scanner) flush(last bool) bool {
	r := &s.run
	chars := s.chars[:r.held]
	r.held = 0
	if r.Stored%3 != 0 {
		return false // it was padded
	}
	n, raw := s.regular(chars, last)
	if n > 0 && r.sink != nil {
		_, _ = r.sink.Write(s.out[:n]) // a hash never fails
	}
	r.Stored += int64(n)
	r.NoPad = raw
	return n == len(chars)/4*3 && n%3 == 0
}

// regular decodes the longest start of chars that encodes to itself, and
// returns the number of its bytes; at the end of a run, unpadded if need be.
func (s *scanner) regular(chars []byte, last bool) (n int, raw bool) {
	if n, ok := s.same(base64.StdEncoding, chars); ok {
		return n, false
	}
	if n, ok := s.same(base64.RawStdEncoding, chars); ok && last && n%3 != 0 {
		return n, true
	}
	lo, hi := 0, len(chars)/4 // quanta that are right, quanta that there are
	for lo < hi {
		mid := (lo + hi + 1) / 2
		if _, ok := s.same(base64.StdEncoding, chars[:4*mid]); ok {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	n, _ = s.same(base64.StdEncoding, chars[:4*lo])
	return n, false
}

// same decodes chars into out and tells whether that encodes to the same.
func (s *scanner) same(enc *base64.Encoding, chars []byte) (int, bool) {
	n, err := enc.Decode(s.out[:], chars)
	if err != nil || enc.EncodedLen(n) != len(chars) {
		return 0, false
	}
	enc.Encode(s.again[:], s.out[:n])
	return n, bytes.Equal(s.again[:len(chars)], chars)
}
