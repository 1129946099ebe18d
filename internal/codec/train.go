package codec

import (
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// What the trainer looks at. A piece of a sample goes into the dictionary whole.
const (
	gramBytes  = 8       // what is counted: runs of so many bytes
	pieceBytes = 512     // what is chosen
	pieceStep  = 128     // where a piece may begin
	gramSlots  = 1 << 22 // of the table of counts
)

// Pace: bytes of samples that a dictionary is trained on at once.
const MaxSample = 32 << 20

// entropyBytes of samples, at most entropyEach of one, are enough to know how often
// which byte and length is. The library cannot take more of one than a block.
const (
	entropyBytes = 1 << 20
	entropyEach  = 64 << 10
)

// ErrNoTrain: the samples have nothing in common.
var ErrNoTrain = errors.New("codec: nothing to train a dictionary on")

// Train makes a dictionary of about size bytes from samples of what will be
// encoded with it. It takes those pieces that hold most of what comes back in
// other samples and is not in the dictionary already, one after the other, as
// cover algorithms do. The same samples give the same dictionary.
func Train(id uint32, samples [][]byte, size int) ([]byte, error) {
	t := newTrainer(samples)
	history := t.join(t.choose(size))
	if len(history) < pieceBytes {
		return nil, ErrNoTrain
	}
	return finish(id, samples, history)
}

// piece is a part of a sample.
type piece struct {
	sample, at int
	score      uint64
}

// trainer counts in how many samples each run of bytes is.
type trainer struct {
	samples [][]byte
	count   []uint16
}

func newTrainer(samples [][]byte) *trainer {
	t := &trainer{samples: samples, count: make([]uint16, gramSlots)}
	last := make([]int32, gramSlots)
	for i, s := range samples {
		for at := 0; at+gramBytes <= len(s); at++ {
			h := gram(s[at:])
			if last[h] != int32(i+1) {
				last[h] = int32(i + 1)
				if t.count[h] < math.MaxUint16 {
					t.count[h]++
				}
			}
		}
	}
	return t
}

func gram(b []byte) uint32 {
	return uint32(binary.LittleEndian.Uint64(b) * 0x9e3779b185ebca87 >> (64 - 22))
}

// value is what a run is worth: how many samples beside the first have it.
func (t *trainer) value(b []byte) uint64 {
	if c := t.count[gram(b)]; c > 1 {
		return uint64(c - 1)
	}
	return 0
}

func (t *trainer) bytes(p piece) []byte {
	s := t.samples[p.sample]
	return s[p.at:min(p.at+pieceBytes, len(s))]
}

// score is what a piece is worth now, each run in it once. It is nearly all of
// what training takes; a trainer belongs to one goroutine, and the race detector
// would make it thirty times as much.
//
//go:norace
func (t *trainer) score(p piece) (sum uint64) {
	b := t.bytes(p)
	for at := 0; at+gramBytes <= len(b); at++ {
		sum += t.value(b[at:])
	}
	return sum
}

// cover takes what a piece has out of the counts.
func (t *trainer) cover(p piece) {
	b := t.bytes(p)
	for at := 0; at+gramBytes <= len(b); at++ {
		t.count[gram(b[at:])] = 0
	}
}

// pieces is a heap of pieces, the best first. A score is never too low: what is
// chosen only takes away from others.
type pieces []piece

func (h pieces) Len() int           { return len(h) }
func (h pieces) Less(i, j int) bool { return h[i].score > h[j].score }
func (h pieces) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *pieces) Push(x any)        { *h = append(*h, x.(piece)) }
func (h *pieces) Pop() any {
	old := *h
	p := old[len(old)-1]
	*h = old[:len(old)-1]
	return p
}

// leastScore is what a piece must be worth: that each byte of it comes back
// in another sample.
const leastScore = pieceBytes / 2

// choose returns the best pieces, of size bytes together.
func (t *trainer) choose(size int) (chosen []piece) {
	var h pieces
	for i, s := range t.samples {
		for at := 0; at+pieceStep <= len(s); at += pieceStep {
			p := piece{sample: i, at: at}
			if p.score = t.score(p); p.score > leastScore {
				h = append(h, p)
			}
		}
	}
	heap.Init(&h)
	for size > 0 && len(h) > 0 {
		p := h[0]
		now := t.score(p)
		if now <= leastScore {
			heap.Pop(&h)
			continue
		}
		if now < p.score*7/8 {
			h[0].score = now
			heap.Fix(&h, 0)
			continue
		}
		heap.Pop(&h)
		p.score = now
		chosen = append(chosen, p)
		t.cover(p)
		size -= len(t.bytes(p))
	}
	return chosen
}

// join puts pieces one behind the other, the best last, where they are reached
// with the fewest bits. Pieces that follow each other in a sample stay together.
func (t *trainer) join(chosen []piece) (history []byte) {
	slices.SortFunc(chosen, func(a, b piece) int {
		if a.sample != b.sample {
			return a.sample - b.sample
		}
		return a.at - b.at
	})
	type run struct {
		sample, from, to int
		score            uint64
	}
	var runs []run
	for _, p := range chosen {
		to := p.at + len(t.bytes(p))
		if n := len(runs) - 1; n >= 0 && runs[n].sample == p.sample && p.at <= runs[n].to {
			runs[n].to = max(to, runs[n].to)
			runs[n].score += p.score
			continue
		}
		runs = append(runs, run{p.sample, p.at, to, p.score})
	}
	worth := func(r run) float64 { return float64(r.score) / float64(r.to-r.from) }
	slices.SortStableFunc(runs, func(a, b run) int {
		switch x, y := worth(a), worth(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	for _, r := range runs {
		history = append(history, t.samples[r.sample][r.from:r.to]...)
	}
	return history
}

// finish adds what RFC 8878 §5 wants in front of a dictionary's bytes: tables
// for what is not found in it.
func finish(id uint32, samples [][]byte, history []byte) (dict []byte, err error) {
	defer func() { // the library gives up in this way on samples that are too odd
		if p := recover(); p != nil {
			dict, err = nil, fmt.Errorf("%w: %v", ErrNoTrain, p)
		}
	}()
	step := 1
	total := 0
	for _, s := range samples {
		total += len(s)
	}
	step += total / entropyBytes
	var contents [][]byte
	for i := 0; i < len(samples); i += step {
		contents = append(contents, samples[i][:min(len(samples[i]), entropyEach)])
	}
	dict, err = zstd.BuildDict(zstd.BuildDictOptions{ID: id, Contents: contents, History: history,
		Offsets: [3]int{1, 4, 8}, Level: zstd.SpeedBetterCompression})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoTrain, err)
	}
	return dict, nil
}

// Gain is how many bytes samples take with the dictionary in use for a kind, and
// with another one that is not known yet.
func (c *Codec) Gain(kind Kind, dict []byte, samples [][]byte) (before, after int64, err error) {
	c.mu.RLock()
	old := c.dicts[c.use[kind]]
	c.mu.RUnlock()
	for i, d := range [][]byte{old, dict} {
		e, err := newEncoder(zstd.SpeedBetterCompression, d, 1)
		if err != nil {
			return 0, 0, err
		}
		sum := int64(0)
		var buf []byte
		for _, s := range samples {
			out, _ := encode(e, buf[:0], s)
			if len(out) == 0 {
				sum += int64(len(s))
			}
			sum += int64(len(out))
			buf = out
		}
		if i == 0 {
			before = sum
		} else {
			after = sum
		}
	}
	return before, after, nil
}
