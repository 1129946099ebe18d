package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// invariants: no link dangles, and no blob is without link and candidate.
func (w *world) invariants(t tester, after fmt.Stringer) {
	t.Helper()
	ctx := context.Background()
	blobs, held := map[row.BlobID]row.BlobRow{}, map[row.BlobID]bool{}
	for it, err := range w.kv.Scan(ctx, kv.Range{}) {
		must(t, err)
		switch k, _ := row.ParseKey(it.Key); k.Tag {
		case row.TagBlob:
			b, err := row.DecodeBlob(it.Value)
			must(t, err)
			blobs[k.Blob] = b
		case row.TagGarbage:
			held[k.Blob] = true
		case row.TagLink:
			held[k.Blob] = true
			if b, ok := blobs[k.Blob]; !ok { // headers sort before links
				t.Fatalf("%v: a link to nothing", after)
			} else if text, err := w.s.Check(ctx, w.kv, k.Blob, &b); err != nil || text != "" {
				t.Fatalf("%v: a linked blob is not whole: %s %v", after, text, err)
			}
		}
	}
	for id := range blobs {
		if !held[id] {
			t.Fatalf("%v: a blob without link and candidate", after)
		}
	}
}

func soak() bool { return os.Getenv("EIDER_SOAK") == "1" }

type trace []string

func (t *trace) String() string { return fmt.Sprint(*t) }

// linker is a message that comes with a part and goes.
type linker struct {
	w      *world
	acct   uint64
	part   blob.Part
	staged time.Time
}

func (l *linker) stage(t tester) {
	st, err := l.w.s.Stage(context.Background(), []blob.Part{l.part})
	must(t, err)
	l.staged = st.At
}

// link commits, staging again where it came too late, as a deposit does.
func (l *linker) link(t tester) {
	for {
		err := l.w.link(l.w.s, l.part.ID, l.staged, l.acct)
		if !errors.Is(err, blob.ErrStale) {
			must(t, err)
			return
		}
		l.stage(t)
	}
}

// turns lets one of several actors do one call of the store at a time.
type turns struct {
	kv.Store
	ask  chan struct{} // this actor wants to do a call
	take chan struct{} // it may
}

func (s *turns) wait() {
	s.ask <- struct{}{}
	<-s.take
}

func (s *turns) Update(ctx context.Context, guards [][]byte, fn func(kv.Tx) error, o ...kv.Option) error {
	s.wait()
	return s.Store.Update(ctx, guards, fn, o...)
}

func (s *turns) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	s.wait()
	return s.Store.GetMulti(ctx, keys...)
}

func (s *turns) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	s.wait()
	return s.Store.Scan(ctx, r)
}

func (s *turns) DeletePrefix(ctx context.Context, p []byte) error {
	s.wait()
	return s.Store.DeletePrefix(ctx, p)
}

// TestCallsInterleaved mixes the single calls of the store that two linkers and
// a collector make, large and small parts, and time that passes in between.
func TestCallsInterleaved(t *testing.T) {
	t.Parallel()
	seeds := uint64(60)
	if soak() {
		seeds = 20_000
	}
	small, large := noise(100), noise(blob.StageAtOnce+9*blob.ChunkBytes)
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 5))
		b := small
		if seed%10 == 0 {
			b = large
		}
		interleave(t, r, b)
	}
}

func interleave(t *testing.T, r *rand.Rand, b []byte) {
	w := newWorld()
	inner := w.kv
	key := bytes.Repeat([]byte{7}, 32)
	actor := func(run func(s *blob.Store, via kv.Store)) *turns {
		a := &turns{Store: inner, ask: make(chan struct{}), take: make(chan struct{})}
		s := blob.New(blob.Options{KV: a, Codec: shared, Key: key, Grace: grace, Now: func() time.Time { return w.now },
			Running: func() time.Duration { return w.now.Sub(time.Unix(1_760_000_000, 0)) }})
		go func() { a.wait(); run(s, a); close(a.ask) }()
		return a
	}
	mail := func(acct uint64) func(*blob.Store, kv.Store) {
		return func(s *blob.Store, via kv.Store) {
			v := &world{kv: via, s: s, now: w.now}
			for range 2 {
				l := &linker{w: v, acct: acct, part: part(s, "", b)}
				l.stage(t)
				l.link(t)
				v.unlink(t, l.part.ID, acct)
			}
		}
	}
	actors := []*turns{actor(mail(1)), actor(mail(2)), actor(func(s *blob.Store, _ kv.Store) {
		shard := part(s, "", b).ID[0] % row.Shards
		for range 12 {
			_, _, err := s.Collect(context.Background(), shard)
			must(t, err)
		}
	})}
	for _, a := range actors {
		<-a.ask // all stand still, each before its next call
	}
	var tr trace
	for len(actors) > 0 {
		i := r.IntN(len(actors))
		if r.IntN(4) == 0 {
			w.now = w.now.Add(time.Duration(r.IntN(int(grace))))
		}
		tr = append(tr, fmt.Sprint(i))
		actors[i].take <- struct{}{}
		if _, again := <-actors[i].ask; !again {
			actors = append(actors[:i], actors[i+1:]...)
		}
		w.invariants(t, &tr)
	}
	w.kv = inner
	w.settle(t)
	w.now = w.now.Add(2 * blob.UploadLife)
	w.settle(t)
	if n := w.rows(t, row.TagBlob, row.TagChunk, row.TagGarbage, row.TagUpload); n != 0 {
		t.Fatalf("%v: %d rows are left when all is over", &tr, n)
	}
}
