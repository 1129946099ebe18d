package attach

import (
	"encoding/binary"
	"math/bits"
)

// The index of a dictionary: two hash tables of small buckets, one for runs of
// eight bytes, one for runs of five, below which a place so far away costs more
// than it saves. The tags of a bucket, which are more bits of the hashes, lie
// together and apart from the places, so that most places that do not match are
// passed by with one look at little memory.
const (
	longBytes  = 8
	shortBytes = 5

	bucket  = 8
	tagBits = 64 / bucket
)

// Numbers of which each bucket's tag has one, to look at all at once.
const (
	ones = 0x0101_0101_0101_0101
	tops = ones << (tagBits - 1)
)

// The hashes multiply by a large odd number; the highest bits are the best.
const mix = 0x9E3779B97F4A7C15

type index struct {
	long, short slots
}

// slots is one of the tables.
type slots struct {
	shift  uint     // of a hash, to the bucket
	tags   []uint64 // 0: free
	places [][bucket]uint32
}

func longHash(v uint64) uint64  { return v * mix }
func shortHash(v uint64) uint64 { return v << (64 - 8*shortBytes) * mix }

// tag is the tag of a hash; its bits are not those that choose a bucket.
func tag(h uint64) uint64 { return max(h>>39&(1<<tagBits-1), 1) }

func newSlots(places int) slots {
	n := max(bits.Len(uint(places/bucket))-1, 4) // half of them have another with the same bytes
	return slots{shift: uint(64 - n), tags: make([]uint64, 1<<n), places: make([][bucket]uint32, 1<<n)}
}

// find returns the bucket of a hash, and in hits the highest bit of each of the
// tags that are its tag; one above such a tag may be said to be so and is not.
func (s *slots) find(h uint64) (at, hits uint64) {
	at = h >> s.shift
	x := s.tags[at] ^ tag(h)*ones
	return at, (x - ones) &^ x & tops
}

// build indexes content. Where a bucket is too small the last places stay: they are nearest,
// and a trained dictionary has its best at its end. A place whose next bytes are those
// of one that is there already gives way to others: it finds nothing longer
// than that, or is in the table of longer runs.
func (x *index) build(content []byte) {
	x.long, x.short = newSlots(len(content)), newSlots(len(content))
	for at := len(content) - longBytes; at >= 0; at-- {
		v := binary.LittleEndian.Uint64(content[at:])
		x.short.put(shortHash(v), at, content, longBytes)
		x.long.put(longHash(v), at, content, 2*longBytes)
	}
}

// put adds a place to the bucket of a hash unless that is full, or has one with n equal bytes.
func (s *slots) put(h uint64, at int, content []byte, n int) {
	b := h >> s.shift
	for i := range bucket {
		if s.tags[b]>>(i*tagBits)&(1<<tagBits-1) == 0 {
			s.tags[b] |= tag(h) << (i * tagBits)
			s.places[b][i] = uint32(at)
			return
		}
		other := content[s.places[b][i]:]
		if len(other) >= n && string(other[:n]) == string(content[at:at+n]) {
			return
		}
	}
}
