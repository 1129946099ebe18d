package attach

import "math/bits"

// kind is what a code of a sequence says (RFC 8878 §3.1.1.3.2.1.1).
type kind int

const (
	litLen kind = iota
	offset
	matchLen
	kinds
)

// The ways a kind's codes are described (RFC 8878 §3.1.1.3.2.1).
const (
	modePredefined = 0
	modeRLE        = 1
	modeCompressed = 2
	modeRepeat     = 3
)

const (
	minMatch = 3
	// manySequences take 3 bytes for their number.
	manySequences = 0x7F00
	// leastFit is how many sequences there must be for tables of their own.
	leastFit = 24
)

// spec is what the RFC says of a kind: the number of its codes, the largest accuracy
// of a table, and the table that is known without a dictionary (§3.1.1.3.2.2).
type spec struct {
	symbols int
	maxLog  uint
	log     uint
	norm    []int16
}

var specs = [kinds]spec{
	litLen: {36, 9, 6, []int16{
		4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1,
		-1, -1, -1, -1}},
	offset: {32, 8, 5, []int16{
		1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1}},
	matchLen: {53, 9, 6, []int16{
		1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1}},
}

func predefined() (ts [kinds]*table) {
	for k := range ts {
		ts[k] = &table{log: specs[k].log}
		copy(ts[k].norm[:], specs[k].norm)
		ts[k].build()
	}
	return ts
}

// lengthCode is a code of lengths: the shortest one, and how many bits say the rest.
type lengthCode struct {
	base  uint32
	extra uint8
}

// The codes of literal lengths from 16 on, and of match lengths less 3 from 32 on;
// lower ones stand for themselves.
var (
	litLenCodes = codesFrom(16, []uint8{1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	matchCodes  = codesFrom(32, []uint8{1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	litLenShort = shortCodes(litLenCodes)
	matchShort  = shortCodes(matchCodes)
)

func codesFrom(first int, extra []uint8) (codes [maxSymbols]lengthCode) {
	for i := range first {
		codes[i].base = uint32(i)
	}
	base := uint32(first)
	for i, n := range extra {
		codes[first+i] = lengthCode{base, n}
		base += 1 << n
	}
	return codes
}

// shortCodes are the codes of lengths below 128.
func shortCodes(codes [maxSymbols]lengthCode) (short [128]uint8) {
	c := uint8(0)
	for n := range short {
		for int(c)+1 < len(codes) && codes[c+1].base > 0 && codes[c+1].base <= uint32(n) {
			c++
		}
		short[n] = c
	}
	return short
}

// litLenCode and matchCode: longer ones have a code for each power of two.
func litLenCode(n uint32) uint8 {
	if n < 64 {
		return litLenShort[n]
	}
	return uint8(bits.Len32(n)) + 18
}

func matchCode(n uint32) uint8 {
	if n -= minMatch; n < 128 {
		return matchShort[n]
	}
	return uint8(bits.Len32(n)) + 35
}

func offsetCode(value uint32) uint8 { return uint8(bits.Len32(value) - 1) }

// sequence is literals and a match behind them. Its offset is a value in the sense of
// RFC 8878 §3.1.1.5: 1 to 3 are repeated ones.
type sequence struct {
	litLen, matchLen, offset uint32
	codes                    [kinds]uint8
}

// sequences are those of a block.
type sequences struct {
	list   []sequence
	counts [kinds][maxSymbols]uint32
	own    [kinds]table
}

func (q *sequences) reset() {
	q.list = q.list[:0]
	q.counts = [kinds][maxSymbols]uint32{}
}

func (q *sequences) add(lits, match, value int) {
	s := sequence{litLen: uint32(lits), matchLen: uint32(match), offset: uint32(value)}
	s.codes = [kinds]uint8{litLenCode(s.litLen), offsetCode(s.offset), matchCode(s.matchLen)}
	for k, c := range s.codes {
		q.counts[k][c]++
	}
	q.list = append(q.list, s)
}

// append appends the section (RFC 8878 §3.1.1.3.2).
func (q *sequences) append(dst []byte, d *dict) []byte {
	n := len(q.list)
	switch {
	case n == 0:
		return append(dst, 0)
	case n < 128:
		dst = append(dst, byte(n))
	case n < manySequences:
		dst = append(dst, byte(n>>8)+128, byte(n))
	default:
		dst = append(dst, 255, byte(n-manySequences), byte((n-manySequences)>>8))
	}
	modes := len(dst)
	dst = append(dst, 0)
	var tables [kinds]*table // nil where all codes are the same
	for k := range kinds {
		var mode byte
		if tables[k], mode = q.choose(k, d); mode == modeCompressed {
			dst = tables[k].writeNorm(dst)
		} else if mode == modeRLE {
			dst = append(dst, q.list[0].codes[k])
		}
		dst[modes] |= mode << (6 - 2*k)
	}
	return q.stream(dst, &tables)
}

// choose takes the cheapest table of a kind.
func (q *sequences) choose(k kind, d *dict) (t *table, mode byte) {
	counts, n := &q.counts[k], len(q.list)
	t, mode = d.predefined[k], modePredefined
	best := t.cost(counts)
	if c := d.repeat[k].cost(counts); c <= best {
		t, mode, best = d.repeat[k], modeRepeat, c
	}
	if int(counts[q.list[0].codes[k]]) == n {
		if 8*bit < best {
			return nil, modeRLE
		}
		return t, mode
	}
	if n < leastFit {
		return t, mode
	}
	own := &q.own[k]
	own.fit(counts, n, int(specs[k].maxLog))
	if own.guess(counts) < best {
		own.build()
		t, mode = own, modeCompressed
	}
	return t, mode
}

// stream appends the codes and what they leave open, from the last sequence to the
// first (RFC 8878 §3.1.1.3.2.1.2).
func (q *sequences) stream(dst []byte, tables *[kinds]*table) []byte {
	var state [kinds]uint32
	last := len(q.list) - 1
	for k, t := range tables {
		if t != nil {
			state[k] = t.start(q.list[last].codes[k])
		}
	}
	w := bitWriter{out: dst}
	q.list[last].rest(&w)
	for i := last - 1; i >= 0; i-- {
		s := &q.list[i]
		for _, k := range [...]kind{offset, matchLen, litLen} {
			if t := tables[k]; t != nil {
				state[k] = t.encode(&w, state[k], s.codes[k])
			}
		}
		w.flush()
		s.rest(&w)
	}
	for _, k := range [...]kind{matchLen, offset, litLen} {
		if t := tables[k]; t != nil {
			w.add(state[k]&(1<<t.log-1), t.log)
		}
	}
	w.flush()
	return w.end()
}

// rest writes the bits that follow a sequence's codes.
func (s *sequence) rest(w *bitWriter) {
	c := litLenCodes[s.codes[litLen]]
	w.add(s.litLen-c.base, uint(c.extra))
	w.flush()
	c = matchCodes[s.codes[matchLen]]
	w.add(s.matchLen-minMatch-c.base, uint(c.extra))
	w.flush()
	n := uint(s.codes[offset])
	w.add(s.offset-1<<n, n)
	w.flush()
}
