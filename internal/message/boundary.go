package message

import "math/rand/v2"

// boundaries is the set of boundary strings that may end a part here. A line
// is matched by its longest prefix that is a boundary (RFC 2046 §5.1.1 asks for
// a prefix only), the innermost where two are equal. The cost of a lookup
// follows the length of the line, not the number of boundaries.
type boundaries struct {
	list   []boundary
	byHash map[uint64]int // hash → innermost index in list
	lens   []uint16       // how many boundaries have this length
	maxLen int
	minLen int
	seed   uint64
}

type boundary struct {
	text  string
	hash  uint64
	prev  int // the index that byHash named before, -1 if none
	frame int // index of the multipart's frame
}

func (s *boundaries) hash(b string) uint64 {
	h := s.seed
	for i := range len(b) {
		h = (h ^ uint64(b[i])) * s.mul()
	}
	return h
}

// mul is the odd multiplier of the rolling hash.
func (s *boundaries) mul() uint64 { return s.seed | 1 }

// push adds the boundary of the multipart at frame.
func (s *boundaries) push(text string, frame int) {
	if s.byHash == nil {
		s.byHash = make(map[uint64]int, 4)
		s.lens = make([]uint16, MaxBoundary+1)
		s.seed = rand.Uint64() | 1<<63 //nolint:gosec // only against made collisions
	}
	b := boundary{text: text, hash: s.hash(text), prev: -1, frame: frame}
	if i, ok := s.byHash[b.hash]; ok {
		b.prev = i
	}
	s.byHash[b.hash] = len(s.list)
	s.list = append(s.list, b)
	s.lens[len(text)]++
	s.bounds()
}

// pop removes the innermost boundary.
func (s *boundaries) pop() {
	n := len(s.list) - 1
	b := s.list[n]
	s.list = s.list[:n]
	if b.prev < 0 {
		delete(s.byHash, b.hash)
	} else {
		s.byHash[b.hash] = b.prev
	}
	s.lens[len(b.text)]--
	s.bounds()
}

func (s *boundaries) bounds() {
	s.minLen, s.maxLen = MaxBoundary+1, 0
	for i := range s.list {
		s.minLen = min(s.minLen, len(s.list[i].text))
		s.maxLen = max(s.maxLen, len(s.list[i].text))
	}
}

// need is how many bytes of a line decide whether it is a delimiter.
func (s *boundaries) need() int { return s.maxLen + 4 }

// match looks at a line that begins with "--". It returns the frame of the
// multipart whose delimiter it is, and whether it is the closing one.
func (s *boundaries) match(line []byte) (frame int, closing, ok bool) {
	if len(line) < 2+s.minLen {
		return 0, false, false
	}
	rest := line[2:]
	if len(s.list) == 1 { // the common case needs no hash
		b := s.list[0]
		if string(rest[:len(b.text)]) != b.text {
			return 0, false, false
		}
		return b.frame, closes(rest[len(b.text):]), true
	}
	h, m := s.seed, s.mul()
	best := -1
	for i := 0; i < len(rest) && i < s.maxLen; i++ {
		h = (h ^ uint64(rest[i])) * m
		if s.lens[i+1] == 0 {
			continue
		}
		if at, ok := s.byHash[h]; ok {
			if at = s.verify(at, rest[:i+1]); at >= 0 {
				best = at
			}
		}
	}
	if best < 0 {
		return 0, false, false
	}
	b := s.list[best]
	return b.frame, closes(rest[len(b.text):]), true
}

// verify follows the chain of equal hashes to the innermost equal text.
func (s *boundaries) verify(at int, text []byte) int {
	for at >= 0 && s.list[at].text != string(text) {
		at = s.list[at].prev
	}
	return at
}

func closes(b []byte) bool { return len(b) >= 2 && b[0] == '-' && b[1] == '-' }
