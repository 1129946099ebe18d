package attach

import (
	"math"
	"math/bits"
)

// Finite state entropy codes (RFC 8878 §4.1).
const (
	minLog = 5
	maxLog = 9
	rare   = -1 // the probability "less than 1" of a distribution
)

// price is a number of bits, in 1/256.
type price = int32

const (
	bit price = 256
	// never is the price of what a table has no code for.
	never price = math.MaxInt32
)

// logs are the logarithms of 1 to 2, in steps of 1/256.
var logs = func() (l [257]price) {
	for i := range l {
		l[i] = price(math.Round(float64(bit) * math.Log2(1+float64(i)/256)))
	}
	return l
}()

// log2 is about the logarithm of n, which is not 0.
func log2(n uint32) price {
	k := bits.Len32(n) - 1
	return price(k)*bit + logs[uint64(n)<<8>>(k&31)&255]
}

// table encodes the symbols of a distribution. It is not changed once it is built.
type table struct {
	log     uint
	norm    [maxSymbols]int16  // probabilities in 1/2^log
	symbols [maxSymbols]symbol // how each is encoded
	states  [1 << maxLog]uint16
}

// maxSymbols is one more than the largest symbol of any kind of code.
const maxSymbols = 53

// symbol leads from a state of the table to the one before it, which belongs to
// the symbol and has its number in order, counted from its probability p, in the
// state's highest bits. These are all but so many as the sum of bits and the state
// has above its lowest 16: one fewer in the lower states.
type symbol struct {
	first int32 // states[first+number] is it
	bits  uint32
}

// build makes the rest of a table of its log and norm.
func (t *table) build() {
	size := 1 << t.log
	order := t.spread()
	at := 0
	for s, p := range t.norm {
		if p == 0 {
			continue
		}
		n := max(int(p), 1)
		most := t.log - uint(bits.Len(uint(n))-1)
		t.symbols[s] = symbol{first: int32(at - n), bits: uint32(most<<16) - uint32(n)<<most}
		at += n
	}
	var next [maxSymbols]int
	for state, s := range order[:size] {
		sym := &t.symbols[s]
		n := max(int(t.norm[s]), 1)
		t.states[int(sym.first)+n+next[s]] = uint16(size + state)
		next[s]++
	}
}

// spread tells the symbol of each state (RFC 8878 §4.1.1).
func (t *table) spread() (order [1 << maxLog]uint8) {
	size := 1 << t.log
	high := size
	for s, p := range t.norm {
		if p == rare {
			high--
			order[high] = uint8(s)
		}
	}
	at := 0
	for s, p := range t.norm {
		for range max(p, 0) {
			order[at] = uint8(s)
			for at = t.step(at); at >= high; {
				at = t.step(at)
			}
		}
	}
	return order
}

func (t *table) step(at int) int {
	size := 1 << t.log
	return (at + size>>1 + size>>3 + 3) & (size - 1)
}

// single encodes the only symbol there is, with no bits.
var single = func() (t table) {
	for s := range t.symbols {
		t.norm[s] = 1
		t.symbols[s].first = -1
	}
	t.states[0] = 1
	return t
}()

// start is a state for the symbol that is decoded last: the lowest, after which
// the fewest bits follow.
func (t *table) start(s uint8) uint32 {
	return uint32(t.states[int(t.symbols[s].first)+max(int(t.norm[s]), 1)])
}

// encode appends what leads from the state of s to state, and returns the former.
func (t *table) encode(q bitQueue, state uint32, s uint8) (bitQueue, uint32) {
	sym := &t.symbols[s]
	n := (state + sym.bits) >> 16
	return q.add(state&(1<<(n&31)-1), uint(n)), uint32(t.states[int32(state>>(n&31))+sym.first])
}

// price is about what a symbol takes; never if it has no code.
func (t *table) price(s int) price {
	if t.norm[s] == 0 {
		return never
	}
	return price(t.log)*bit - log2(uint32(max(t.norm[s], 1)))
}

// cost is the price of symbols, so many of each; never if one has no code.
func (t *table) cost(counts *[maxSymbols]uint32) (sum price) {
	for s, n := range counts {
		if n > 0 {
			p := t.price(s)
			if p == never {
				return never
			}
			sum += price(n) * p
		}
	}
	return sum
}

// guess is the cost of symbols with a table that is not built, and of its description.
func (t *table) guess(counts *[maxSymbols]uint32) (sum price) {
	n := 4
	for s, p := range t.norm {
		if p != 0 {
			sum += price(counts[s]) * t.price(s)
			n += bits.Len(uint(max(p, 1))) + 1
		}
	}
	return sum + price(n)*bit
}

// readNorm reads a distribution (RFC 8878 §4.1.1) and tells how many bytes it took, 0
// if it is none of at most so many symbols and of that log.
func (t *table) readNorm(b []byte, symbols int, most uint) int {
	r := bitReader{b: b}
	t.log = uint(r.read(4)) + minLog
	if t.log > most {
		return 0
	}
	left, s := 1<<t.log, 0
	for left > 0 {
		if s >= symbols || r.overread() {
			return 0
		}
		p := r.value(left+1) - 1
		t.norm[s] = int16(p)
		s++
		left -= max(p, -p)
		for more := 3; p == 0 && more == 3; s += more {
			if more = r.read(2); s+more > symbols || r.overread() {
				return 0
			}
		}
	}
	if r.overread() {
		return 0
	}
	return r.bytes()
}

// value reads a number from 0 to top; the lowest ones take one bit less.
func (r *bitReader) value(top int) int {
	n := bits.Len(uint(top))
	low := 1<<n - 1 - top
	v := r.read(n - 1)
	if v < low {
		return v
	}
	if v |= r.read(1) << (n - 1); v >= 1<<(n-1) {
		v -= low
	}
	return v
}

// writeNorm appends the distribution in the form that readNorm reads.
func (t *table) writeNorm(dst []byte) []byte {
	out, at := room(dst, 2*maxSymbols)
	q := bitQueue{}.add(uint32(t.log-minLog), 4)
	left := 1 << t.log
	for s := 0; left > 0; s++ {
		p := int(t.norm[s])
		q, at = q.value(p+1, left+1).flush(out, at)
		left -= max(p, -p)
		if p != 0 {
			continue
		}
		zeros := 0
		for t.norm[s+1] == 0 {
			zeros++
			s++
		}
		for ; zeros >= 3; zeros -= 3 {
			q, at = q.add(3, 2).flush(out, at)
		}
		q = q.add(uint32(zeros), 2)
	}
	return out[:q.pad(out, at)]
}

func (q bitQueue) value(v, top int) bitQueue {
	n := bits.Len(uint(top))
	low := 1<<n - 1 - top
	if v < low {
		return q.add(uint32(v), uint(n-1))
	}
	if v >= 1<<(n-1) {
		v += low
	}
	return q.add(uint32(v), uint(n))
}

// fit makes the distribution that is nearest to counts of total symbols.
func (t *table) fit(counts *[maxSymbols]uint32, total, most int) {
	t.log = uint(min(max(bits.Len(uint(total))-2, minLog+1), most))
	size := 1 << t.log
	left, top := size, 0
	for s, n := range counts {
		scaled := int(n) * size
		switch {
		case n == 0:
			t.norm[s] = 0
		case scaled < total:
			t.norm[s] = rare
			left--
		default:
			t.norm[s] = int16((scaled + total/2) / total)
			left -= int(t.norm[s])
		}
		if n > counts[top] {
			top = s
		}
	}
	if left >= 0 || int(t.norm[top]) > -2*left {
		t.norm[top] += int16(left)
		return
	}
	for ; left < 0; left++ { // there are many rare ones: the largest give
		for s := range t.norm {
			if t.norm[s] > t.norm[top] {
				top = s
			}
		}
		t.norm[top]--
	}
}
