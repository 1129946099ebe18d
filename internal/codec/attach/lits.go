package attach

import (
	"github.com/klauspost/compress/huff0"
)

// Literals sections (RFC 8878 §3.1.1.3.1).
const (
	litsRaw        = 0
	litsRLE        = 1
	litsCompressed = 2
	litsTreeless   = 3

	maxCode   = 11   // bits of the longest code of a literal
	oneStream = 1023 // literals at most, and bytes they become
	// leastTree is how many literals there must be for a tree of their own.
	leastTree = 64
)

// huffman is the dictionary's code for literals (RFC 8878 §4.2).
type huffman struct {
	length [256]uint8 // 0: no code
	code   [256]uint16
}

// take takes the lengths from a table that was read, and gives out the codes in the order
// of RFC 8878 §4.2.1.3: the longest first, from 0 on, and equally long ones by symbol.
func (h *huffman) take(s *huff0.Scratch) {
	for c := range h.length {
		var count [256]uint32
		count[c] = 8 // takes as many bytes as one takes bits
		if n := s.EstimateSize(&count); n > 0 {
			h.length[c] = uint8(n)
		}
	}
	next := uint16(0)
	for n := uint8(maxCode); n > 0; n-- {
		for c, l := range h.length {
			if l == n {
				h.code[c] = next
				next++
			}
		}
		next >>= 1
	}
}

// size is how many bits literals take; not ok if one has no code.
func (h *huffman) size(count *[256]uint32) (n int, ok bool) {
	for c, k := range count {
		if k > 0 && h.length[c] == 0 {
			return 0, false
		}
		n += int(k) * int(h.length[c])
	}
	return n, true
}

// append appends one stream (RFC 8878 §4.2.2), the last literal first.
func (h *huffman) append(dst, lits []byte) []byte {
	out, at := room(dst, len(lits)*maxCode/8+2)
	var q bitQueue
	for ; len(lits) >= 4; lits = lits[:len(lits)-4] {
		l := (*[4]byte)(lits[len(lits)-4:])
		q = h.add(h.add(h.add(h.add(q, l[3]), l[2]), l[1]), l[0])
		q, at = q.flush(out, at)
	}
	for ; len(lits) > 0; lits = lits[:len(lits)-1] {
		q = h.add(q, lits[len(lits)-1])
	}
	return out[:q.end(out, at)]
}

func (h *huffman) add(q bitQueue, c byte) bitQueue {
	return q.add(uint32(h.code[c]), uint(h.length[c]))
}

// append4 appends four streams behind their sizes (RFC 8878 §3.1.1.3.1.6). Not ok: one is too long.
func (h *huffman) append4(dst, lits []byte) (out []byte, ok bool) {
	jump := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0)
	each := (len(lits) + 3) / 4
	for i := range 4 {
		at := len(dst)
		dst = h.append(dst, lits[:min(each, len(lits))])
		lits = lits[min(each, len(lits)):]
		if n := len(dst) - at; n >= 1<<16 {
			return dst, false
		} else if i < 3 {
			dst[jump+2*i], dst[jump+2*i+1] = byte(n), byte(n>>8)
		}
	}
	return dst, true
}

// literals are the bytes of a block that no match covers.
type literals struct {
	b     []byte
	count [256]uint32
	own   huff0.Scratch
}

// append appends the section, in the form that takes the fewest bytes.
func (l *literals) append(dst []byte, d *dict) []byte {
	clear(l.count[:])
	for _, c := range l.b {
		l.count[c]++
	}
	if len(l.b) > 1 && int(l.count[l.b[0]]) == len(l.b) {
		return append(appendLitsHeader(dst, litsRLE, len(l.b)), l.b[0])
	}
	n, ok := d.huff.size(&l.count)
	best := len(l.b)
	if ok = ok && n/8+1 < best; ok {
		best = n/8 + 1
	}
	if len(l.b) >= leastTree && l.guess() < best-best/64 {
		if streams := l.withTree(); streams != nil && len(streams) < best {
			return append(appendCompressedHeader(dst, litsCompressed, len(l.b), len(streams)), streams...)
		}
	}
	if ok {
		if out, ok := l.treeless(dst, &d.huff); ok {
			return out
		}
	}
	return append(appendLitsHeader(dst, litsRaw, len(l.b)), l.b...)
}

// guess is about how many bytes literals take with a tree of their own: by their
// entropy, and half a byte for each kind of them.
func (l *literals) guess() int {
	all := log2(uint32(len(l.b)))
	sum, kinds := 0, 0
	for _, n := range l.count {
		if n > 0 {
			sum += int(n) * int(all-log2(n))
			kinds++
		}
	}
	return sum/int(8*bit) + kinds/2
}

// withTree is a tree for these literals and their streams, nil if they are not for it.
func (l *literals) withTree() []byte {
	l.own.Reuse = huff0.ReusePolicyNone
	compress := huff0.Compress4X
	if len(l.b) <= oneStream {
		compress = huff0.Compress1X
	}
	out, _, err := compress(l.b, &l.own)
	if err != nil {
		return nil // it says how they should be encoded instead, which append finds out
	}
	return out
}

// treeless appends the section with the dictionary's code. Not ok: it saves nothing.
func (l *literals) treeless(dst []byte, h *huffman) (out []byte, ok bool) {
	at := len(dst)
	dst = appendCompressedHeader(dst, litsTreeless, len(l.b), 0)
	streams := len(dst)
	if ok = true; len(l.b) <= oneStream {
		dst = h.append(dst, l.b)
	} else {
		dst, ok = h.append4(dst, l.b)
	}
	n := len(dst) - streams
	if !ok || n >= len(l.b) {
		return dst[:at], false
	}
	appendCompressedHeader(dst[:at], litsTreeless, len(l.b), n)
	return dst, true
}

// appendLitsHeader appends the header of raw and of RLE literals.
func appendLitsHeader(dst []byte, kind, n int) []byte {
	switch {
	case n < 1<<5:
		return append(dst, byte(kind|n<<3))
	case n < 1<<12:
		h := kind | 1<<2 | n<<4
		return append(dst, byte(h), byte(h>>8))
	}
	h := kind | 3<<2 | n<<4
	return append(dst, byte(h), byte(h>>8), byte(h>>16))
}

// appendCompressedHeader appends the header of n literals that become fewer bytes. Its
// size depends on n alone.
func appendCompressedHeader(dst []byte, kind, n, streams int) []byte {
	format, width := 0, 10
	switch {
	case n >= 1<<14:
		format, width = 3, 18
	case n > oneStream:
		format, width = 2, 14
	}
	h := uint64(kind | format<<2 | n<<4 | streams<<(4+width))
	for range (4 + 2*width) / 8 {
		dst = append(dst, byte(h))
		h >>= 8
	}
	return dst
}
