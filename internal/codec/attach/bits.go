package attach

import (
	"encoding/binary"
	"slices"
)

// bitQueue holds the next bits of a stream that is read from its end (RFC 8878 §4): they
// go in from the lowest of the first byte on. They are passed by value, so that
// they stay in registers.
type bitQueue struct {
	bits uint64
	n    uint // less than 8 after flush
}

// add appends the n lowest bits of v, whose others are 0. Between two calls of
// flush there is room for 56.
func (q bitQueue) add(v uint32, n uint) bitQueue {
	return bitQueue{q.bits | uint64(v)<<(q.n&63), q.n + n}
}

// flush makes room: it writes whole bytes to out at at, and some behind them that are not
// yet valid. It tells where the next ones go.
func (q bitQueue) flush(out []byte, at int) (bitQueue, int) {
	binary.LittleEndian.PutUint64(out[at:], q.bits)
	return bitQueue{q.bits >> (q.n &^ 7 & 63), q.n & 7}, at + int(q.n>>3)
}

// pad ends a forward stream at a whole byte, and tells where that is.
func (q bitQueue) pad(out []byte, at int) int {
	q.n += 7
	_, at = q.flush(out, at)
	return at
}

// end ends a backward stream: the highest bit that is set is not part of it.
func (q bitQueue) end(out []byte, at int) int {
	q, at = q.flush(out, at)
	return q.add(1, 1).pad(out, at)
}

// slack is how many bytes there must be for flush behind those of a stream.
const slack = 8

// room makes room for n bytes and the slack behind dst, and returns all of it and where it begins.
func room(dst []byte, n int) (out []byte, at int) {
	at = len(dst)
	return slices.Grow(dst, n+slack)[:at+n+slack], at
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
