package repack

import (
	"context"
	"errors"
	"hash/fnv"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/body"
	"github.com/eidermail/eider/internal/codec"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

const (
	// MinTrain is how much mail there must be for a dictionary of its own.
	MinTrain = 2 << 20
	// growth is how many times more mail there must be for the next one.
	growth = 2
	// heldOut samples, one in so many, are not trained on but measured.
	heldOut = 16
	// MinHeldGain is the least part of the held-out bytes, one in so many, that a
	// dictionary must save there to be kept.
	MinHeldGain = 50
	// pays is how many times its own size a dictionary must save at once.
	pays = 2
	// dictPart is the part of its samples, one in so many, that a dictionary has.
	dictPart = 16
)

// trainedDict is what a dictionary's content has at most: with its tables it
// stays within codec.MaxDict.
const trainedDict = codec.MaxDict - 8<<10

// train makes a new dictionary if there is much more mail than at the last one,
// and keeps it if it helps.
func (r *Repacker) train(ctx context.Context, kind codec.Kind, save func(context.Context, []byte) error,
) (trained bool, err error) {
	tried := &r.state.Tried[kind]
	if *tried != 0 && r.state.Total < growth**tried || !r.o.Blobs.Codec().Room() {
		return false, nil
	}
	s, err := r.sample(ctx, kind)
	if err != nil {
		return false, err
	}
	// Before it is tried: what ends this process is not tried again and again.
	*tried = max(r.state.Total, 1)
	if s.bytes < MinTrain {
		return false, nil
	}
	if err := r.keep(ctx, save, true); err != nil {
		return false, err
	}
	return r.tryDict(ctx, kind, s)
}

// tryDict trains a dictionary, measures it, and keeps it if it helps.
func (r *Repacker) tryDict(ctx context.Context, kind codec.Kind, s *sampler) (kept bool, err error) {
	var learn, held [][]byte
	for i, b := range s.list {
		if i%heldOut == heldOut-1 {
			held = append(held, b.data)
		} else {
			learn = append(learn, b.data)
		}
	}
	dict, err := codec.Train(1, learn, min(trainedDict, s.bytes/dictPart))
	if errors.Is(err, codec.ErrNoTrain) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	c := r.o.Blobs.Codec()
	before, after, err := c.Gain(kind, dict, held)
	if err != nil || before-after < before/MinHeldGain {
		return false, err
	}
	allBefore, allAfter, err := c.Gain(kind, dict, learn)
	if err != nil || allBefore-allAfter < pays*int64(len(dict))/2 { // it is packed too
		return false, err
	}
	id, err := r.o.Blobs.KeepDict(ctx, row.DictRow{Kind: uint8(kind), Data: dict,
		Sampled: before + allBefore, Saved: before - after + allBefore - allAfter})
	if errors.Is(err, blob.ErrDictTaken) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	r.made.Add(1)
	r.o.Log.Info("a dictionary was trained on stored mail", "id", id, "bytes", len(dict), "sample", s.bytes,
		"saved_of_held_out", float64(before-after)/float64(max(before, 1)))
	return true, nil
}

// sampler keeps samples up to codec.MaxSample, spread over all there is: by a
// hash of their keys, of which ever fewer are wanted.
type sampler struct {
	list  []sample
	bytes int
	every uint32 // one in so many is wanted
}

type sample struct {
	hash uint32
	data []byte
}

func hashOf(key []byte) uint32 {
	h := fnv.New32a()
	_, _ = h.Write(key)
	x := h.Sum32()
	return (x ^ x>>15) * 0x9e3779b1 >> 7
}

func (s *sampler) wants(hash uint32) bool { return hash%s.every == 0 }

func (s *sampler) add(hash uint32, data []byte) {
	s.list = append(s.list, sample{hash, data})
	s.bytes += len(data)
	for s.bytes > codec.MaxSample {
		s.every *= 2
		kept := s.list[:0]
		s.bytes = 0
		for _, b := range s.list {
			if s.wants(b.hash) {
				kept = append(kept, b)
				s.bytes += len(b.data)
			}
		}
		clear(s.list[len(kept):])
		s.list = kept
	}
}

// sample reads samples of a kind.
func (r *Repacker) sample(ctx context.Context, kind codec.Kind) (*sampler, error) {
	s := &sampler{every: 1}
	if kind == codec.Parts {
		err := r.o.Blobs.Sample(ctx, func(id row.BlobID) bool { return s.wants(hashOf(id[:])) },
			func(id row.BlobID, b []byte) { s.add(hashOf(id[:]), b) })
		return s, err
	}
	r.state.Total = 0
	for it, err := range r.o.KV.Scan(ctx, kv.Prefix([]byte{row.TagBody})) {
		if err != nil {
			return nil, err
		}
		b, err := row.DecodeBody(it.Value)
		if err != nil {
			continue
		}
		r.state.Total += b.Raw
		if h := hashOf(it.Key); s.wants(h) {
			if raw := body.Skeleton(ctx, r.o.Blobs, &b); raw != nil {
				s.add(h, raw)
			}
		}
	}
	return s, nil
}
