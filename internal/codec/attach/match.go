package attach

import (
	"encoding/binary"
	"math/bits"
)

// How hard the matcher looks. Twice as hard saves less than a hundredth of the bytes.
const (
	depth    = 3  // places with the same hash that are tried in the input itself
	enough   = 24 // a match so long ends the search at its place...
	longish  = 12 // ...and one so long that for a better one behind it
	skipLog  = 5  // every 1<<skipLog literals make the step to the next place one longer
	minTable = 8  // bits of the size of the input's own table, at least; else it has
	maxTable = 14 // half as many entries as the input bytes, or more; and at most

	// keep, of 256, is how much of the price of literals a match saves: without it
	// some of them would be part of another.
	keep = 230
)

// prices are what literals, lengths and offsets take with the dictionary's tables,
// as most blocks use these.
type prices struct {
	lit    [256]price
	match  [128]price // lengths; longer ones are like the last
	offset [32]price  // codes and the bits behind them
}

func (p *prices) set(d *dict) {
	const rarest = 11 * bit // what has no code makes a block take another table
	for c, n := range d.huff.length {
		if p.lit[c] = price(n) * bit * keep / 256; n == 0 {
			p.lit[c] = rarest
		}
	}
	lits := min(d.repeat[litLen].price[1], rarest)
	for n := range p.match {
		c := matchCode(uint32(max(n, minMatch)))
		p.match[n] = min(d.repeat[matchLen].price[c], rarest) + price(matchCodes[c].extra)*bit + lits
	}
	for c := range p.offset {
		p.offset[c] = min(d.repeat[offset].price[c], rarest) + price(c)*bit
	}
}

// match is bytes that were there before, at a distance.
type match struct {
	len, dist int
	worth     price // what it saves
}

// matcher finds matches in a dictionary and in the input before them.
type matcher struct {
	src    []byte
	d      *dict
	lits   []price // what all literals before a place take
	reps   [3]int  // RFC 8878 §3.1.1.5
	anchor int     // where the literals begin
	next   int     // the first place that is not in the table
	shift  uint
	heads  []uint32 // the last place with a hash, plus one
	chain  []uint32 // by place, the one with the same hash before, plus one
}

// run cuts src into literals and sequences.
func (m *matcher) run(src []byte, d *dict, lits *literals, seqs *sequences) {
	m.reset(src, d)
	lits.b = lits.b[:0]
	seqs.reset()
	for s := 0; s+longBytes <= len(src); {
		best := m.find(s)
		if best.worth <= 0 {
			s += 1 + (s-m.anchor)>>skipLog
			continue
		}
		s, best = m.lookAhead(s, best)
		for s > m.anchor && m.before(s, best.dist) {
			s--
			best.len++
		}
		lits.b = append(lits.b, src[m.anchor:s]...)
		seqs.add(s-m.anchor, best.len, m.value(best.dist, s > m.anchor))
		s += best.len
		m.anchor = s
	}
	lits.b = append(lits.b, src[m.anchor:]...)
	m.src = nil
}

// reset makes a table for src, so large as that needs it: emptying it should not
// take longer than filling it.
func (m *matcher) reset(src []byte, d *dict) {
	m.src, m.d, m.reps, m.anchor, m.next = src, d, d.reps, 0, 0
	n := min(max(bits.Len(uint(len(src)))-1, minTable), maxTable)
	m.shift = uint(64 - n)
	if m.heads == nil {
		m.heads = make([]uint32, 1<<maxTable)
	}
	m.heads = m.heads[:1<<n]
	clear(m.heads)
	if cap(m.lits) <= len(src) {
		m.chain = make([]uint32, len(src))
		m.lits = make([]price, len(src)+1)
	}
	m.chain, m.lits = m.chain[:len(src)], m.lits[:len(src)+1]
	sum, sums := price(0), m.lits[:len(src)]
	for i, c := range src {
		sums[i] = sum
		sum += d.prices.lit[c]
	}
	m.lits[len(src)] = sum
}

// lookAhead tells whether a literal and then a match are worth more.
func (m *matcher) lookAhead(s int, best match) (int, match) {
	if best.len >= longish || s+1+longBytes > len(m.src) {
		return s, best
	}
	next := m.find(s + 1)
	if next.worth > best.worth+(m.lits[s+1]-m.lits[s])*(256-keep)/keep {
		return s + 1, next
	}
	return s, best
}

// value is a match's offset as it is written, which changes what the repeated ones
// are (RFC 8878 §3.1.1.5): without literals, the last one is none of them, but one
// less than it is.
func (m *matcher) value(dist int, lits bool) int {
	r := m.reps
	v := dist + 3
	switch {
	case lits && dist == r[0]:
		return 1
	case dist == r[1]:
		m.reps = [3]int{dist, r[0], r[2]}
		v = 2
	case dist == r[2]:
		m.reps = [3]int{dist, r[0], r[1]}
		v = 3
	case !lits && dist == r[0]-1:
		m.reps = [3]int{dist, r[0], r[1]}
		return 3
	default:
		m.reps = [3]int{dist, r[0], r[1]}
		return v
	}
	if !lits {
		v--
	}
	return v
}

// find finds the match at s that is worth most; worth 0 if there is none.
func (m *matcher) find(s int) (best match) {
	v := binary.LittleEndian.Uint64(m.src[s:])
	h := shortHash(v)
	short := &m.d.index.short
	b, hits := short.find(h)
	m.fill(s)
	m.repeat(s, uint32(v), &best)
	if best.len >= enough {
		return best
	}
	if p := int(m.heads[h>>m.shift]) - 1; p >= 0 {
		m.inInput(s, p, uint32(v), &best)
	}
	if hits == 0 || best.len >= enough {
		return best
	}
	m.inDict(s, &short.places[b], hits, &best)
	long := &m.d.index.long
	if b, hits := long.find(longHash(v)); hits != 0 {
		m.inDict(s, &long.places[b], hits, &best)
	}
	return best
}

// fill adds the places before s to the table.
func (m *matcher) fill(s int) {
	src, heads, chain, shift := m.src, m.heads, m.chain, m.shift
	for at := m.next; at < s; at++ {
		head := &heads[shortHash(binary.LittleEndian.Uint64(src[at:]))>>shift]
		chain[at] = *head
		*head = uint32(at + 1)
	}
	m.next = max(m.next, s)
}

// repeat tries the last offset, or the one before where there are no literals
// between; the others are seldom worth a look. The bytes at s begin with v.
func (m *matcher) repeat(s int, v uint32, best *match) {
	dist := m.reps[0]
	if s == m.anchor {
		dist = m.reps[1]
	}
	n := 0
	if p := s - dist; p >= 0 {
		if binary.LittleEndian.Uint32(m.src[p:])^v != 0 {
			return
		}
		n = equal(m.src[s:], m.src[p:])
	} else if p += len(m.d.content); p >= 0 && p+4 <= len(m.d.content) {
		if binary.LittleEndian.Uint32(m.d.content[p:])^v != 0 {
			return
		}
		n = m.equalDict(s, p)
	}
	if n >= minMatch {
		m.better(s, match{len: n, dist: dist}, m.d.prices.offset[0], best)
	}
}

// better takes a match if it is worth more, with the price of its offset.
func (m *matcher) better(s int, x match, offset price, best *match) {
	x.worth = m.lits[s+x.len] - m.lits[s] - offset - m.d.prices.match[min(x.len, len(m.d.prices.match)-1)]
	if x.worth > best.worth {
		*best = x
	}
}

func (m *matcher) offsetPrice(dist int) price {
	return m.d.prices.offset[offsetCode(uint32(dist+3))]
}

// inInput looks in the input itself, at p and before, for what is longer: nearer
// than the first are none.
func (m *matcher) inInput(s, p int, v uint32, best *match) {
	for i := 0; i < depth && p >= 0 && s+best.len < len(m.src); i++ {
		if binary.LittleEndian.Uint32(m.src[p:]) == v && m.src[p+best.len] == m.src[s+best.len] {
			n := equal(m.src[s:], m.src[p:])
			m.better(s, match{len: n, dist: s - p}, m.offsetPrice(s-p), best)
		}
		p = int(m.chain[p]) - 1
	}
}

// inDict looks at those places of the dictionary that are hits.
func (m *matcher) inDict(s int, places *[bucket]uint32, hits uint64, best *match) {
	for ; hits != 0; hits &= hits - 1 {
		p := int(places[bits.TrailingZeros64(hits)/tagBits])
		if n := m.equalDict(s, p); n >= shortBytes {
			dist := s + len(m.d.content) - p
			m.better(s, match{len: n, dist: dist}, m.offsetPrice(dist), best)
		}
	}
}

// equalDict is how many bytes at s are those of the dictionary at p, and of the
// input, which is behind its end.
func (m *matcher) equalDict(s, p int) int {
	n := equal(m.src[s:], m.d.content[p:])
	if p+n == len(m.d.content) {
		n += equal(m.src[s+n:], m.src)
	}
	return n
}

// before tells whether a match is longer by the byte before s.
func (m *matcher) before(s, dist int) bool {
	p := s - 1 - dist
	if p >= 0 {
		return m.src[s-1] == m.src[p]
	}
	p += len(m.d.content)
	return p >= 0 && m.src[s-1] == m.d.content[p]
}

// equal is how many first bytes are the same in a and b.
func equal(a, b []byte) (n int) {
	most := min(len(a), len(b))
	for ; n+8 <= most; n += 8 {
		if x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
	}
	for n < most && a[n] == b[n] {
		n++
	}
	return n
}
