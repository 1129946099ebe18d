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
	// maxSequence is how many bytes a sequence takes at most.
	maxSequence = 10
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
	q.list = append(q.list, sequence{})
	s := &q.list[len(q.list)-1]
	s.litLen, s.matchLen, s.offset = uint32(lits), uint32(match), uint32(value)
	lit, off, length := litLenCode(s.litLen), offsetCode(s.offset), matchCode(s.matchLen)
	s.codes[litLen], s.codes[offset], s.codes[matchLen] = lit, off, length
	q.counts[litLen][lit]++
	q.counts[offset][off]++
	q.counts[matchLen][length]++
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
	var tables [kinds]*table
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
			return &single, modeRLE
		}
		return t, mode
	}
	if n < leastFit {
		return t, mode
	}
	own := &q.own[k]
	own.fit(counts, n, int(specs[k].maxLog))
	if own.guess(counts) < best-best/32 {
		own.build()
		t, mode = own, modeCompressed
	}
	return t, mode
}

// stream appends the codes and what they leave open, from the last sequence to the
// first (RFC 8878 §3.1.1.3.2.1.2).
func (q *sequences) stream(dst []byte, tables *[kinds]*table) []byte {
	lits, offs, matches := tables[litLen], tables[offset], tables[matchLen]
	last := len(q.list) - 1
	s := &q.list[last]
	lit, off, match := lits.start(s.codes[litLen]), offs.start(s.codes[offset]), matches.start(s.codes[matchLen])
	out, at := room(dst, len(q.list)*maxSequence+4)
	b, at := s.rest(bitQueue{}).flush(out, at)
	for i := last - 1; i >= 0; i-- {
		s := &q.list[i]
		b, off = offs.encode(b, off, s.codes[offset])
		b, match = matches.encode(b, match, s.codes[matchLen])
		b, lit = lits.encode(b, lit, s.codes[litLen])
		b, at = b.flush(out, at)
		b, at = s.rest(b).flush(out, at)
	}
	b = b.add(match&(1<<matches.log-1), matches.log)
	b = b.add(off&(1<<offs.log-1), offs.log)
	b = b.add(lit&(1<<lits.log-1), lits.log)
	return out[:b.end(out, at)]
}

// rest appends the bits that follow a sequence's codes: 52 at most, as an offset is
// less than 1<<21 with a dictionary of MaxDict bytes.
func (s *sequence) rest(b bitQueue) bitQueue {
	c := &litLenCodes[s.codes[litLen]]
	b = b.add(s.litLen-c.base, uint(c.extra))
	c = &matchCodes[s.codes[matchLen]]
	b = b.add(s.matchLen-minMatch-c.base, uint(c.extra))
	n := uint(s.codes[offset])
	return b.add(s.offset-1<<n, n)
}
