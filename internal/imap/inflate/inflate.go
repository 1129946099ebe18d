// Package inflate reads a DEFLATE stream (RFC 1951) as it arrives: whatever
// can be decoded of the input that is there is handed out, before more is
// waited for.
//
// compress/flate hands out its window when it is full or when a stored block
// ends, so a client that flushes with Z_PARTIAL_FLUSH, as some IMAP clients do,
// would wait for ever for its answer. Here the decoder goes on from any symbol.
//
// Memory: 64 KiB for the window, 4 KiB of input, about 6 KiB of tables.
package inflate

import (
	"errors"
	"io"
)

const (
	window    = 32 << 10 // how far back a match may reach
	inputSize = 4 << 10
	longest   = 258 // bytes of one match
)

// ErrCorrupt is a stream that is not DEFLATE.
var ErrCorrupt = errors.New("inflate: corrupt stream")

// state is where in the stream the reader is.
type state uint8

const (
	blockHead state = iota
	storedHead
	stored
	dynamicHead
	codeLengths // of the code of the code lengths
	symbolLengths
	symbols
	ended
)

// Reader inflates a stream.
type Reader struct {
	src   io.Reader
	in    []byte // input that is not in bits yet
	buf   []byte
	bits  uint64
	nbits uint
	err   error

	out         []byte // the window and what follows it
	given, made int    // out[given:made] is to be handed out

	state state
	final bool
	left  int // bytes of a stored block
	head  dynamic
	codes codes
}

// codes are the codes of the block that is being read.
type codes struct{ literal, distance huffman }

// NewReader returns a Reader of src; first is input that was read already.
func NewReader(src io.Reader, first []byte) *Reader {
	return &Reader{src: src, in: append([]byte(nil), first...), buf: make([]byte, inputSize), out: make([]byte, 2*window)}
}

// Read hands out what is decoded; it waits for input only if that is nothing.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if r.given < r.made {
			n := copy(p, r.out[r.given:r.made])
			r.given += n
			return n, nil
		}
		if r.err != nil {
			return 0, r.err
		}
		more, err := r.decode()
		if err != nil {
			r.err = err
			continue
		}
		if more || r.given < r.made {
			continue
		}
		n, err := r.src.Read(r.buf)
		r.in = r.buf[:n]
		if n == 0 && err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, err // of the connection, not of the stream: a deadline may be moved
		}
	}
}

// decode decodes until the output is full (more) or the input is used up.
func (r *Reader) decode() (more bool, err error) {
	if r.made > len(r.out)-longest { // all is handed out: keep the window
		n := copy(r.out, r.out[r.made-window:r.made])
		r.given, r.made = n, n
	}
	for {
		var ok bool
		switch r.state {
		case blockHead:
			ok, err = r.blockHead()
		case storedHead:
			ok, err = r.storedHead()
		case stored:
			ok, more = r.stored()
		case dynamicHead:
			ok, err = r.dynamicHead()
		case codeLengths:
			ok, err = r.codeLengths()
		case symbolLengths:
			ok, err = r.symbolLengths()
		case symbols:
			ok, more, err = r.symbols()
		default:
			return false, io.EOF
		}
		if !ok || err != nil || more {
			return more, err
		}
	}
}

// need makes n bits ready, or tells that there is not so much input.
func (r *Reader) need(n uint) bool {
	for r.nbits < n {
		if len(r.in) == 0 {
			return false
		}
		r.bits |= uint64(r.in[0]) << r.nbits
		r.in = r.in[1:]
		r.nbits += 8
	}
	return true
}

// take takes n bits that need has made ready.
func (r *Reader) take(n uint) uint {
	v := r.bits & (1<<n - 1)
	r.bits >>= n
	r.nbits -= n
	return uint(v)
}

// blockHead: RFC 1951 §3.2.3.
func (r *Reader) blockHead() (ok bool, err error) {
	if r.final {
		r.state = ended
		return true, nil
	}
	if !r.need(3) {
		return false, nil
	}
	r.final = r.take(1) == 1
	switch r.take(2) {
	case 0:
		r.take(r.nbits % 8)
		r.state = storedHead
	case 1:
		r.codes.fixed()
		r.state = symbols
	case 2:
		r.state = dynamicHead
	default:
		return false, ErrCorrupt
	}
	return true, nil
}

// storedHead: RFC 1951 §3.2.4.
func (r *Reader) storedHead() (ok bool, err error) {
	if !r.need(32) {
		return false, nil
	}
	n, not := r.take(16), r.take(16)
	if n != ^not&0xffff {
		return false, ErrCorrupt
	}
	r.left, r.state = int(n), stored
	return true, nil
}

func (r *Reader) stored() (ok, full bool) {
	for r.left > 0 {
		if r.made == len(r.out) {
			return false, true
		}
		if r.nbits > 0 { // whole bytes, for the block starts on one
			r.out[r.made] = byte(r.take(8))
			r.made++
			r.left--
			continue
		}
		n := copy(r.out[r.made:], r.in[:min(r.left, len(r.in))])
		if n == 0 {
			return false, false
		}
		r.in, r.made, r.left = r.in[n:], r.made+n, r.left-n
	}
	r.state = blockHead
	return true, false
}

// symbols decodes the symbols of a block: RFC 1951 §3.2.5. One symbol with all
// that belongs to it has at most 48 bits, so it is taken whole or not at all.
func (r *Reader) symbols() (ok, full bool, err error) {
	for {
		if r.made > len(r.out)-longest {
			return false, true, nil
		}
		r.need(56)
		b, have := r.bits, r.nbits
		sym, n := r.codes.literal.decode(b)
		if n > have || n == 0 {
			return r.starved(have)
		}
		used := n
		switch {
		case sym < endOfBlock:
			r.take(used)
			r.out[r.made] = byte(sym)
			r.made++
			continue
		case sym == endOfBlock:
			r.take(used)
			r.state = blockHead
			return true, false, nil
		case sym > lastLength:
			return false, false, ErrCorrupt
		}
		l := lengths[sym-endOfBlock-1]
		length := int(l.base) + int(b>>used&(1<<l.extra-1))
		used += uint(l.extra)
		dist, n := r.codes.distance.decode(b >> used)
		if used+n > have || n == 0 {
			return r.starved(have)
		}
		used += n
		if dist > lastDistance {
			return false, false, ErrCorrupt
		}
		d := distances[dist]
		back := int(d.base) + int(b>>used&(1<<d.extra-1))
		if used += uint(d.extra); used > have {
			return r.starved(have)
		}
		if back > r.made || back > window {
			return false, false, ErrCorrupt
		}
		r.take(used)
		r.repeat(back, length)
	}
}

// starved: there is no whole symbol. With 48 bits there would be one, if there were any.
func (r *Reader) starved(have uint) (ok, full bool, err error) {
	if have >= 48 {
		return false, false, ErrCorrupt
	}
	return false, false, nil
}

// repeat writes length bytes from back bytes before.
func (r *Reader) repeat(back, length int) {
	from := r.made - back
	for length > 0 { // the two may overlap: what is written is copied too
		n := copy(r.out[r.made:r.made+length], r.out[from:r.made])
		r.made += n
		length -= n
	}
}
