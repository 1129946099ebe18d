// Package codec compresses what is stored: zstd (RFC 8878), with dictionaries
// that know what mail looks like. One dictionary is shipped; a store can add
// its own, which it keeps for as long as anything is encoded with it.
//
// It promises that decoding takes no more memory than the size that was asked
// for, whatever the input is, and gives exactly that many bytes or an error.
// What gains less than MinGain is not compressed. Encoders and decoders are
// made when they are first needed, and their number is bounded. Package attach
// encodes what is small; the library does the rest and decodes all of it.
package codec

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/eidermail/eider/internal/codec/attach"
)

// Limit: bytes that are encoded or decoded at once.
const MaxBytes = 1 << 20

// Limit: bytes of one dictionary.
const MaxDict = 512 << 10

// Limit: dictionaries of one store.
const MaxDicts = 64

// Pace: encoders and decoders of each kind that work at once; others wait.
const MaxWorkers = 4

// MinGain is the least part of the bytes, one in so many, that must be saved
// for them to be compressed.
const MinGain = 33

// Shipped is the id of the dictionary that comes with the program.
const Shipped = 1

// shipped was trained on generated mail by `make dictionary`; see
// docs/operating.md. It must never change: a new one gets a new id.
//
//go:embed shipped.dict
var shipped []byte

var (
	// ErrCorrupt: the input is not what Encode made, or not of that size.
	ErrCorrupt = errors.New("codec: data is corrupt")
	// ErrNoDict: the input was encoded with a dictionary that was not added.
	ErrNoDict = errors.New("codec: unknown dictionary")
)

// Kind is what a dictionary is for.
type Kind uint8

// The kinds of what is compressed with dictionaries.
const (
	Skeletons Kind = iota // messages without their shared parts
	Parts                 // shared parts
	Kinds                 // how many there are
)

// Codec compresses and decompresses. It may be used by several goroutines.
type Codec struct {
	mu    sync.RWMutex
	dicts map[uint32][]byte
	dec   *zstd.Decoder
	use   [Kinds]uint32
	fast  map[uint32]*zstd.Encoder          // by dictionary, 0 for none
	small map[uint32]func() *attach.Encoder // by dictionary, for what is not large; made once

	checks sync.Pool // of *[]byte: what was encoded, decoded again
}

// New returns a Codec that knows the shipped dictionary and uses it.
func New() *Codec {
	return &Codec{dicts: map[uint32][]byte{Shipped: shipped}, use: [Kinds]uint32{Shipped, Shipped},
		fast: map[uint32]*zstd.Encoder{}, small: map[uint32]func() *attach.Encoder{}}
}

// Add makes a dictionary known.
func (c *Codec) Add(id uint32, dict []byte) error {
	if len(dict) > MaxDict || id == 0 {
		return fmt.Errorf("%w: dictionary %d of %d bytes", ErrCorrupt, id, len(dict))
	}
	d, err := zstd.InspectDictionary(dict)
	if err != nil || d.ID() != id {
		return fmt.Errorf("%w: dictionary %d: %v", ErrCorrupt, id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dicts[id] != nil {
		return nil
	}
	if len(c.dicts) >= MaxDicts {
		return fmt.Errorf("codec: more than %d dictionaries", MaxDicts)
	}
	c.dicts[id] = slices.Clone(dict)
	c.dec = nil
	return nil
}

// NextID is the number after those of all known dictionaries, at least first.
func (c *Codec) NextID(first uint32) uint32 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for id := range c.dicts {
		first = max(first, id+1)
	}
	return first
}

// Room tells whether another dictionary can be added.
func (c *Codec) Room() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.dicts) < MaxDicts
}

// Use makes a known dictionary the one for new data of a kind.
func (c *Codec) Use(kind Kind, id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kind >= Kinds || c.dicts[id] == nil {
		return
	}
	old := c.use[kind]
	if c.use[kind] = id; !slices.Contains(c.use[:], old) {
		delete(c.fast, old)
		delete(c.small, old)
	}
}

// Current is the dictionary for new data of a kind.
func (c *Codec) Current(kind Kind) uint32 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.use[kind]
}

// workers is how many of a kind work at once.
func workers() int { return min(max(runtime.GOMAXPROCS(0), 1), MaxWorkers) }

// encoder returns the fast encoder with a dictionary.
func (c *Codec) encoder(dict uint32) (*zstd.Encoder, error) {
	c.mu.RLock()
	e, d := c.fast[dict], c.dicts[dict]
	c.mu.RUnlock()
	if e != nil {
		return e, nil
	}
	e, err := newEncoder(zstd.SpeedDefault, d, workers())
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fast[dict] == nil {
		c.fast[dict] = e
	}
	return c.fast[dict], nil
}

// attached returns the encoder of small inputs with a dictionary, nil if there is
// none. However many need it first, one makes it.
func (c *Codec) attached(dict uint32) *attach.Encoder {
	c.mu.RLock()
	e := c.small[dict]
	d := c.dicts[dict]
	c.mu.RUnlock()
	if e == nil && d != nil {
		c.mu.Lock()
		if e = c.small[dict]; e == nil {
			e = attachedTo(dict, d)
			c.small[dict] = e
		}
		c.mu.Unlock()
	}
	if e == nil {
		return nil
	}
	return e()
}

// attachedShipped is that of the shipped dictionary for all of the process: its
// index takes less than a megabyte, and much longer to make than a message.
var attachedShipped = attachOnce(shipped)

func attachedTo(id uint32, dict []byte) func() *attach.Encoder {
	if id == Shipped {
		return attachedShipped
	}
	return attachOnce(dict)
}

// attachOnce makes an encoder when it is first called.
func attachOnce(dict []byte) func() *attach.Encoder {
	return sync.OnceValue(func() *attach.Encoder {
		e, err := attach.New(dict)
		if err != nil {
			return nil // it is too odd, and the library is more patient
		}
		return e
	})
}

func newEncoder(level zstd.EncoderLevel, dict []byte, n int) (*zstd.Encoder, error) {
	o := []zstd.EOption{
		zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(n), zstd.WithEncoderCRC(false),
		zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(MaxBytes),
	}
	if dict != nil {
		o = append(o, zstd.WithEncoderDict(dict))
	}
	e, err := zstd.NewWriter(nil, o...)
	if err != nil {
		return nil, fmt.Errorf("codec: %w", err)
	}
	return e, nil
}

// Encode appends src compressed to dst, with a dictionary (0: none). Not ok means
// that it gains too little, and dst is as it was.
func (c *Codec) Encode(dst, src []byte, dict uint32) (out []byte, ok bool) {
	if dict != 0 && len(src) > 0 && len(src) <= attach.MaxBytes {
		if e := c.attached(dict); e != nil {
			out, ok = worthy(e.Encode(dst, src), len(dst), len(src))
			if !ok || c.gives(out[len(dst):], src) {
				return out, ok
			}
			dst = out[:len(dst)] // the library is older
		}
	}
	e, err := c.encoder(dict)
	if err != nil {
		return dst, false // it is stored as it is
	}
	return encode(e, dst, src)
}

func encode(e *zstd.Encoder, dst, src []byte) ([]byte, bool) {
	if len(src) == 0 || len(src) > MaxBytes {
		return dst, false
	}
	return worthy(e.EncodeAll(src, dst), len(dst), len(src))
}

// gives tells whether what was encoded is src when it is decoded. Mail is not
// kept on the word of an encoder of our own.
func (c *Codec) gives(encoded, src []byte) bool {
	p, _ := c.checks.Get().(*[]byte)
	if p == nil {
		p = new([]byte)
	}
	defer c.checks.Put(p)
	*p = slices.Grow((*p)[:0], len(src))
	got, err := c.Decode(*p, encoded, int64(len(src)))
	return err == nil && bytes.Equal(got, src)
}

// worthy cuts off what was encoded, behind at, of raw bytes, where it gains too little.
func worthy(out []byte, at, raw int) ([]byte, bool) {
	if !Worth(raw, len(out)-at) {
		return out[:at], false
	}
	return out, true
}

// Worth tells whether so few bytes are worth decoding them each time.
func Worth(raw, encoded int) bool { return encoded < raw-raw/MinGain }

// Packer compresses well and slowly, in one goroutine, for data that stays. It
// takes about 70 MB of memory; let it go when the work is done.
type Packer struct {
	e    *zstd.Encoder
	dict uint32
}

// NewPacker returns a Packer with a dictionary (0: none). A quick one takes a
// tenth of the memory and of the time, and packs a little less.
func (c *Codec) NewPacker(dict uint32, quick bool) (*Packer, error) {
	c.mu.RLock()
	d := c.dicts[dict]
	c.mu.RUnlock()
	level := zstd.SpeedBestCompression
	if quick {
		level = zstd.SpeedBetterCompression
	}
	e, err := newEncoder(level, d, 1)
	return &Packer{e, dict}, err
}

// Dict is the dictionary of the Packer.
func (p *Packer) Dict() uint32 { return p.dict }

// Encode is Codec.Encode.
func (p *Packer) Encode(dst, src []byte) ([]byte, bool) { return encode(p.e, dst, src) }

// Decode appends to dst what src was before Encode: size bytes of it.
func (c *Codec) Decode(dst, src []byte, size int64) ([]byte, error) {
	if size < 0 || size > MaxBytes {
		return dst, fmt.Errorf("%w: %d bytes", ErrCorrupt, size)
	}
	var h zstd.Header
	if err := h.Decode(src); err != nil || !h.HasFCS || h.FrameContentSize != uint64(size) {
		return dst, fmt.Errorf("%w: not a frame of %d bytes", ErrCorrupt, size)
	}
	d, err := c.decoder(h.DictionaryID)
	if err != nil {
		return dst, err
	}
	n := len(dst)
	dst = slices.Grow(dst, int(size))
	out, err := d.DecodeAll(src, dst[:n:n+int(size)])
	if err != nil || len(out) != n+int(size) {
		return dst[:n], fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return out, nil
}

// SizeOf is the number of bytes that src says it was before Encode, or -1 for
// what is no such thing.
func SizeOf(src []byte) int64 {
	var h zstd.Header
	if h.Decode(src) != nil || !h.HasFCS || h.FrameContentSize > MaxBytes {
		return -1
	}
	return int64(h.FrameContentSize)
}

// decoder returns the decoder, which must know dict.
func (c *Codec) decoder(dict uint32) (*zstd.Decoder, error) {
	c.mu.RLock()
	d, known := c.dec, dict == 0 || c.dicts[dict] != nil
	c.mu.RUnlock()
	if !known {
		return nil, fmt.Errorf("%w: %d", ErrNoDict, dict)
	}
	if d != nil {
		return d, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dec != nil {
		return c.dec, nil
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(workers()), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxBytes), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderDicts(slices.Collect(maps.Values(c.dicts))...))
	if err != nil {
		return nil, fmt.Errorf("codec: %w", err)
	}
	c.dec = d
	return d, nil
}
