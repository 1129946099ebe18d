package attach

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/huff0"
)

// Limit: bytes of a dictionary's content: its index takes up to ten times as much memory.
const MaxDict = 1 << 20

// ErrDict: what should be a dictionary is none, or too large.
var ErrDict = errors.New("attach: not a dictionary")

const dictMagic = 0xEC30A437

// minDict is the least a dictionary must have of content, so that what follows
// need not ask whether there are eight bytes.
const minDict = 8

// dict is a dictionary as an encoder needs it. It is never changed.
type dict struct {
	id         uint32
	huff       huffman
	predefined [kinds]*table
	repeat     [kinds]*table
	reps       [3]int
	content    []byte
	index      index
	prices     prices
}

// readDict reads a dictionary (RFC 8878 §5).
func readDict(b []byte) (*dict, error) {
	if len(b) < 8 || binary.LittleEndian.Uint32(b) != dictMagic {
		return nil, fmt.Errorf("%w: no magic", ErrDict)
	}
	d := &dict{id: binary.LittleEndian.Uint32(b[4:]), predefined: predefined()}
	if d.id == 0 {
		return nil, fmt.Errorf("%w: number 0", ErrDict)
	}
	s, b, err := huff0.ReadTable(b[8:], nil)
	if err != nil {
		return nil, fmt.Errorf("%w: literals: %w", ErrDict, err)
	}
	d.huff.take(s)
	for _, k := range [...]kind{offset, matchLen, litLen} {
		t := new(table)
		n := t.readNorm(b, specs[k].symbols, specs[k].maxLog)
		if n == 0 {
			return nil, fmt.Errorf("%w: table of sequences", ErrDict)
		}
		b = b[n:]
		t.build()
		d.repeat[k] = t
	}
	if len(b) < 12+minDict || len(b) > 12+MaxDict {
		return nil, fmt.Errorf("%w: %d bytes of content", ErrDict, len(b)-12)
	}
	d.content = b[12:]
	for i := range d.reps {
		r := binary.LittleEndian.Uint32(b[4*i:])
		if r == 0 || int64(r) > int64(len(d.content)) {
			return nil, fmt.Errorf("%w: repeated offset %d", ErrDict, r)
		}
		d.reps[i] = int(r)
	}
	d.index.build(d.content)
	d.prices.set(d)
	return d, nil
}
