package attach

import (
	"encoding/binary"
	"math/bits"
)

// How hard the matcher looks.
const (
	tries    = 3  // places of the dictionary with the same hash that are looked at
	enough   = 16 // a match so long in the input makes a look at the dictionary needless...
	longish  = 12 // ...and one so long that for a better one behind it
	skipLog  = 5  // every 1<<skipLog literals make the step to the next place one longer
	minTable = 8  // bits of the size of the input's own table, at least; else it has
	maxTable = 14 // as many entries as the input bytes, or more; and at most

	// saved is about what a literal takes that a match covers.
	saved = 11 * bit / 2
)

// prices are what the lengths and offsets of matches take with the dictionary's tables,
// as most blocks use these.
type prices struct {
	length [128]price // longer ones are like the last
	offset [32]price  // codes and the bits behind them
}

func (p *prices) set(d *dict) {
	const rarest = 11 * bit // what has no code makes a block take another table
	lits := min(d.repeat[litLen].price(1), rarest)
	for n := range p.length {
		c := int(matchCode(uint32(max(n, minMatch))))
		p.length[n] = min(d.repeat[matchLen].price(c), rarest) + price(matchCodes[c].extra)*bit + lits
	}
	for c := range p.offset {
		p.offset[c] = min(d.repeat[offset].price(c), rarest) + price(c)*bit
	}
}

// worth is what a match saves.
func (p *prices) worth(n int, offset uint8) price {
	return price(n)*saved - p.offset[offset&31] - p.length[min(n, len(p.length)-1)]
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
	reps   [3]int // RFC 8878 §3.1.1.5
	anchor int    // where the literals begin
	shift  uint
	heads  []uint32 // the last place with a hash
}

// run cuts src into literals and sequences.
func (m *matcher) run(src []byte, d *dict, lits *literals, seqs *sequences) {
	m.reset(src, d)
	lits.b = lits.b[:0]
	seqs.reset()
	for s := 1; ; { // a match at the first place is found from the second
		if s = m.scan(s); s < 0 {
			break
		}
		best := m.near(s)
		if best.len < enough {
			m.far(s, &best)
		}
		if best.worth <= 0 {
			s++
			continue
		}
		s, best = m.lookAhead(s, best)
		for s > m.anchor && m.before(s, best.dist) {
			s--
			best.len++
		}
		lits.b = append(lits.b, src[m.anchor:s]...)
		seqs.add(s-m.anchor, best.len, m.value(best.dist, s > m.anchor))
		m.fill(s, s+best.len)
		s += best.len
		m.anchor = s
	}
	lits.b = append(lits.b, src[m.anchor:]...)
	m.src = nil
}

// fill adds two places of a match, near its start and its end.
func (m *matcher) fill(s, end int) {
	if end+longBytes > len(m.src) {
		return
	}
	for _, at := range [...]int{s + 2, end - 2} {
		v := binary.LittleEndian.Uint64(m.src[at:])
		m.heads[shortHash(v)>>m.shift] = uint32(at)
	}
}

// scan finds the next place from s on where there may be a match, -1 if there is none.
func (m *matcher) scan(s int) int {
	src, heads, shift := m.src, m.heads, m.shift&63
	tags, dshift := m.d.index.short.tags, m.d.index.short.shift&63
	for ; s+longBytes < len(src); s += 1 + (s-m.anchor)>>skipLog {
		v := binary.LittleEndian.Uint64(src[s:])
		h := shortHash(v)
		x := tags[h>>dshift] ^ tag(h)*ones
		p := heads[h>>shift]
		if (x-ones)&^x&tops != 0 || binary.LittleEndian.Uint32(src[p:]) == uint32(v) {
			return s
		}
		heads[h>>shift] = uint32(s)
	}
	return -1
}

// reset makes an empty table for src: all places are the first.
func (m *matcher) reset(src []byte, d *dict) {
	m.src, m.d, m.reps, m.anchor = src, d, d.reps, 0
	n := min(max(bits.Len(uint(len(src))), minTable), maxTable)
	m.shift = uint(64 - n)
	if m.heads == nil {
		m.heads = make([]uint32, 1<<maxTable)
	}
	m.heads = m.heads[:1<<n]
	clear(m.heads)
}

// lookAhead tells whether a literal and then a match with the input are worth more.
func (m *matcher) lookAhead(s int, best match) (int, match) {
	if best.len >= longish || s+1+longBytes > len(m.src) {
		return s, best
	}
	if next := m.near(s + 1); next.worth > best.worth {
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

// near finds the match at s, with what is at the last offset or has the same hash,
// that is worth most; worth 0 if there is none.
func (m *matcher) near(s int) (best match) {
	v := binary.LittleEndian.Uint64(m.src[s:])
	m.repeat(s, uint32(v), &best)
	head := &m.heads[shortHash(v)>>m.shift]
	p := int(*head)
	*head = uint32(s)
	if binary.LittleEndian.Uint32(m.src[p:]) == uint32(v) {
		m.better(match{len: equal(m.src[s:], m.src[p:]), dist: s - p}, &best)
	}
	return best
}

// far takes the longest match in the dictionary at s if it is worth more. What is not
// among the places with the same few bytes is not looked for among those with more.
func (m *matcher) far(s int, best *match) {
	v := binary.LittleEndian.Uint64(m.src[s:])
	x := &m.d.index
	b, hits := x.short.find(shortHash(v))
	if hits == 0 {
		return
	}
	p, n := 0, 0
	if b, hits := x.long.find(longHash(v)); hits != 0 {
		p, n = m.longest(s, v, &x.long.places[b], hits)
	}
	if n < longBytes {
		p, n = m.longest(s, v, &x.short.places[b], hits)
	}
	if n >= shortBytes {
		m.better(match{len: n, dist: s + len(m.d.content) - p}, best)
	}
}

// repeat tries the last offset, or the one before where there are no literals
// between; the others are seldom worth a look. The bytes at s begin with v.
func (m *matcher) repeat(s int, v uint32, best *match) {
	dist := m.reps[0]
	if s == m.anchor {
		dist = m.reps[1]
	}
	var n int
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
	} else {
		return
	}
	*best = match{n, dist, m.d.prices.worth(n, 0)}
}

// better takes a match if it is worth more.
func (m *matcher) better(x match, best *match) {
	x.worth = m.d.prices.worth(x.len, offsetCode(uint32(x.dist+3)))
	if x.worth > best.worth {
		*best = x
	}
}

// longest finds the longest match at s, which begins with v, among those places of the
// dictionary that are hits.
func (m *matcher) longest(s int, v uint64, places *[bucket]uint32, hits uint64) (p, n int) {
	for i := 0; hits != 0 && i < tries; hits, i = hits&(hits-1), i+1 {
		q := int(places[bits.TrailingZeros64(hits)/tagBits])
		k := longBytes
		if x := binary.LittleEndian.Uint64(m.d.content[q:]) ^ v; x != 0 {
			k = bits.TrailingZeros64(x) / 8
		} else {
			k += m.equalDict(s+longBytes, q+longBytes)
		}
		if k > n {
			p, n = q, k
		}
	}
	return p, n
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
