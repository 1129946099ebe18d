// Package attach encodes small inputs as zstd frames (RFC 8878) with a
// dictionary. The dictionary is read and indexed once, and all calls share the
// index and never write to it: what a call costs depends on its input alone.
//
// It is made to be quick: a scan stops where tags of the dictionary's index, or the
// last place of the input with the same hash, promise a match. There the input is
// tried first, then the dictionary, whose longest match of a few is taken; after
// a short one, a better one of the input at the next place. Prices with the
// dictionary's tables tell which is worth most. Tables and trees of a block's own
// are made only where an estimate says that they save something.
//
// It promises frames of one block with the size of their content, the number
// of the dictionary and no checksum. Any zstd decodes them.
package attach

import (
	"encoding/binary"
	"sync"
)

// Limit: bytes that are encoded at once: what a block may hold (RFC 8878 §3.1.1.2.4).
const MaxBytes = 128 << 10

// Frames and blocks (RFC 8878 §3.1.1).
const (
	frameMagic    = 0xFD2FB528
	singleSegment = 1 << 5

	lastBlock       = 1
	blockRaw        = 0
	blockRLE        = 1
	blockCompressed = 2
	blockHeader     = 3 // bytes
)

// Encoder encodes with one dictionary. It may be used by several goroutines.
type Encoder struct {
	d    *dict
	free sync.Pool // of *work
}

// work is what one call needs: buffers, no state.
type work struct {
	m    matcher
	lits literals
	seqs sequences
}

// New returns an Encoder with a dictionary in the form of RFC 8878 §5. It keeps b.
func New(b []byte) (*Encoder, error) {
	d, err := readDict(b)
	if err != nil {
		return nil, err
	}
	return &Encoder{d: d}, nil
}

// Encode appends src as a frame to dst. Where src is more than MaxBytes long,
// dst comes back as it was.
func (e *Encoder) Encode(dst, src []byte) []byte {
	if len(src) > MaxBytes {
		return dst
	}
	dst = e.d.appendHeader(dst, len(src))
	if len(src) > 0 && allEqual(src) {
		return append(appendBlockHeader(dst, blockRLE, len(src)), src[0])
	}
	w, _ := e.free.Get().(*work)
	if w == nil {
		w = new(work)
	}
	defer e.free.Put(w)
	at := len(dst)
	dst = w.appendBlock(appendBlockHeader(dst, blockCompressed, 0), src, e.d)
	if size := len(dst) - at - blockHeader; size < len(src) {
		appendBlockHeader(dst[:at], blockCompressed, size)
		return dst
	}
	return append(appendBlockHeader(dst[:at], blockRaw, len(src)), src...)
}

// appendBlock appends a compressed block without its header (RFC 8878 §3.1.1.3).
func (w *work) appendBlock(dst, src []byte, d *dict) []byte {
	w.m.run(src, d, &w.lits, &w.seqs)
	dst = w.lits.append(dst, d)
	return w.seqs.append(dst, d)
}

// appendHeader appends a frame's header (RFC 8878 §3.1.1.1) for n bytes.
func (d *dict) appendHeader(dst []byte, n int) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, frameMagic)
	at := len(dst)
	dst = append(dst, singleSegment)
	switch {
	case d.id < 1<<8:
		dst[at] |= 1
		dst = append(dst, byte(d.id))
	case d.id < 1<<16:
		dst[at] |= 2
		dst = binary.LittleEndian.AppendUint16(dst, uint16(d.id))
	default:
		dst[at] |= 3
		dst = binary.LittleEndian.AppendUint32(dst, d.id)
	}
	switch {
	case n < 256:
		return append(dst, byte(n))
	case n < 256+1<<16:
		dst[at] |= 1 << 6
		return binary.LittleEndian.AppendUint16(dst, uint16(n-256))
	}
	dst[at] |= 2 << 6
	return binary.LittleEndian.AppendUint32(dst, uint32(n))
}

// appendBlockHeader appends the header of the one block (RFC 8878 §3.1.1.2).
func appendBlockHeader(dst []byte, kind, size int) []byte {
	h := lastBlock | kind<<1 | size<<3
	return append(dst, byte(h), byte(h>>8), byte(h>>16))
}

func allEqual(b []byte) bool {
	for _, c := range b {
		if c != b[0] {
			return false
		}
	}
	return true
}
