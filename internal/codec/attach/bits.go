package attach

import "encoding/binary"

// bitWriter writes streams that are read from their end (RFC 8878 §4): bits go
// in from the lowest of the first byte on.
type bitWriter struct {
	out  []byte
	acc  uint64
	fill uint // bits in acc, less than 32 after flush
}

// add takes the n lowest bits of v, whose others are 0. Between two calls of
// flush there is room for 32.
func (w *bitWriter) add(v uint32, n uint) {
	w.acc |= uint64(v) << w.fill
	w.fill += n
}

// flush makes room.
func (w *bitWriter) flush() {
	if w.fill >= 32 {
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(w.acc))
		w.acc >>= 32
		w.fill -= 32
	}
}

// pad ends a forward stream at a whole byte.
func (w *bitWriter) pad() []byte {
	for ; w.fill > 0; w.fill -= min(w.fill, 8) {
		w.out = append(w.out, byte(w.acc))
		w.acc >>= 8
	}
	return w.out
}

// end ends a backward stream: the highest bit that is set is not part of it.
func (w *bitWriter) end() []byte {
	w.add(1, 1)
	return w.pad()
}

// bitReader reads a forward stream; behind its end it reads zeros and says so.
type bitReader struct {
	b  []byte
	at int // bits
}

func (r *bitReader) read(n int) (v int) {
	for i := range n {
		if p := r.at + i; p>>3 < len(r.b) {
			v |= int(r.b[p>>3]>>(p&7)&1) << i
		}
	}
	r.at += n
	return v
}

// bytes is how many bytes were read, the last one maybe in part.
func (r *bitReader) bytes() int { return (r.at + 7) / 8 }

func (r *bitReader) overread() bool { return r.bytes() > len(r.b) }
