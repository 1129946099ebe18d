package inflate

// dynamic is the head of a block that brings its codes (RFC 1951 §3.2.7).
type dynamic struct {
	literals, distances, lengths int // how many there are of each
	n                            int // how many lengths were read
	bits                         [maxSymbols + 32]uint8
}

// order is that of the code lengths of the code of code lengths.
var order = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

func (r *Reader) dynamicHead() (ok bool, err error) {
	if !r.need(14) {
		return false, nil
	}
	h := &r.head
	*h = dynamic{literals: int(r.take(5)) + 257, distances: int(r.take(5)) + 1, lengths: int(r.take(4)) + 4}
	if h.literals > lastLength+1 || h.distances > lastDistance+1 {
		return false, ErrCorrupt
	}
	r.state = codeLengths
	return true, nil
}

func (r *Reader) codeLengths() (ok bool, err error) {
	h := &r.head
	for ; h.n < h.lengths; h.n++ {
		if !r.need(3) {
			return false, nil
		}
		h.bits[order[h.n]] = uint8(r.take(3))
	}
	if !r.codes.literal.build(h.bits[:len(order)]) {
		return false, ErrCorrupt
	}
	clear(h.bits[:])
	h.n, r.state = 0, symbolLengths
	return true, nil
}

func (r *Reader) symbolLengths() (ok bool, err error) {
	h := &r.head
	for total := h.literals + h.distances; h.n < total; {
		r.need(14)
		sym, n := r.codes.literal.decode(r.bits)
		if n > r.nbits || n == 0 {
			return false, r.shortOf(14)
		}
		var fill uint8
		times, extra := 1, uint(0)
		switch {
		case sym < 16:
			fill = uint8(sym)
		case sym == 16:
			if h.n == 0 {
				return false, ErrCorrupt
			}
			fill, times, extra = h.bits[h.n-1], 3, 2
		case sym == 17:
			times, extra = 3, 3
		default:
			times, extra = 11, 7
		}
		if n+extra > r.nbits {
			return false, nil
		}
		r.take(n)
		times += int(r.take(extra))
		if h.n+times > total {
			return false, ErrCorrupt
		}
		for range times {
			h.bits[h.n] = fill
			h.n++
		}
	}
	if !r.codes.literal.build(h.bits[:h.literals]) || !r.codes.distance.build(h.bits[h.literals:h.n]) {
		return false, ErrCorrupt
	}
	r.state = symbols
	return true, nil
}

// shortOf is the error if n bits were enough for a code: there is no such one.
func (r *Reader) shortOf(n uint) error {
	if r.nbits >= n {
		return ErrCorrupt
	}
	return nil
}
