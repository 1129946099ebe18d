package inflate

// huffman is a canonical Huffman code (RFC 1951 §3.2.2). Codes of up to quick
// bits are looked up, longer ones are walked.
type huffman struct {
	table  [1 << quick]uint16 // symbol<<4 | bits, 0 where no code is so short
	count  [maxBits + 1]uint16
	symbol [maxSymbols]uint16 // by code
}

const (
	quick      = 9
	maxBits    = 15
	maxSymbols = 288

	endOfBlock   = 256
	lastLength   = 285
	lastDistance = 29
)

// span is a base value and the number of bits that are added to it.
type span struct {
	base  uint16
	extra uint8
}

// lengths and distances: RFC 1951 §3.2.5.
var lengths = [...]span{
	{3, 0}, {4, 0}, {5, 0}, {6, 0}, {7, 0}, {8, 0}, {9, 0}, {10, 0}, {11, 1}, {13, 1}, {15, 1}, {17, 1},
	{19, 2}, {23, 2}, {27, 2}, {31, 2}, {35, 3}, {43, 3}, {51, 3}, {59, 3}, {67, 4}, {83, 4}, {99, 4}, {115, 4},
	{131, 5}, {163, 5}, {195, 5}, {227, 5}, {258, 0},
}

var distances = [...]span{
	{1, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 1}, {7, 1}, {9, 2}, {13, 2}, {17, 3}, {25, 3}, {33, 4}, {49, 4},
	{65, 5}, {97, 5}, {129, 6}, {193, 6}, {257, 7}, {385, 7}, {513, 8}, {769, 8}, {1025, 9}, {1537, 9},
	{2049, 10}, {3073, 10}, {4097, 11}, {6145, 11}, {8193, 12}, {12289, 12}, {16385, 13}, {24577, 13},
}

// build makes the code of symbols that have so many bits each. A code that is
// not complete is one with a single symbol at most; zlib takes that too.
func (h *huffman) build(bits []uint8) bool {
	clear(h.count[:])
	clear(h.table[:])
	for _, n := range bits {
		h.count[n]++
	}
	used := len(bits) - int(h.count[0])
	h.count[0] = 0
	left := 1
	var next, first [maxBits + 2]int // of each length: where its symbols stand, its first code
	for n := 1; n <= maxBits; n++ {
		left = left<<1 - int(h.count[n])
		if left < 0 {
			return false
		}
		next[n+1] = next[n] + int(h.count[n])
		first[n+1] = (first[n] + int(h.count[n])) << 1
	}
	if left > 0 && (used > 1 || used == 1 && h.count[1] != 1) {
		return false
	}
	for sym, n := range bits {
		if n == 0 {
			continue
		}
		h.symbol[next[n]] = uint16(sym)
		next[n]++
		code := first[n]
		first[n]++
		if n <= quick {
			entry := uint16(sym)<<4 | uint16(n)
			for i := reverse(code, uint(n)); i < len(h.table); i += 1 << n {
				h.table[i] = entry
			}
		}
	}
	return true
}

// reverse turns the n bits of a code around: it comes with its first bit first.
func reverse(code int, n uint) (r int) {
	for ; n > 0; n-- {
		r = r<<1 | code&1
		code >>= 1
	}
	return r
}

// decode reads the symbol at the low end of b, and how many bits it has; 0 bits
// if there is no such code.
func (h *huffman) decode(b uint64) (sym int, n uint) {
	if e := h.table[b&(1<<quick-1)]; e != 0 {
		return int(e >> 4), uint(e & 15)
	}
	code, first, index := 0, 0, 0
	for n = 1; n <= maxBits; n++ {
		code |= int(b & 1)
		b >>= 1
		count := int(h.count[n])
		if code-first < count {
			return int(h.symbol[index+code-first]), n
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return 0, 0
}

// fixed makes the codes of RFC 1951 §3.2.6.
func (c *codes) fixed() {
	var bits [maxSymbols]uint8
	for i := range bits {
		switch {
		case i < 144:
			bits[i] = 8
		case i < 256:
			bits[i] = 9
		case i < 280:
			bits[i] = 7
		default:
			bits[i] = 8
		}
	}
	c.literal.build(bits[:])
	for i := range 32 {
		bits[i] = 5
	}
	c.distance.build(bits[:32])
}
