package blob_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/codec"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/kvtest"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

const grace = time.Hour

// shared spares each world its own encoders.
var shared = codec.New()

// world is a store with a clock of its own and one process.
type world struct {
	kv  kv.Store
	s   *blob.Store
	now time.Time
}

func newWorld() *world {
	w := &world{kv: kvtest.Guarded(memkv.New(), row.Domain), now: time.Unix(1_760_000_000, 0)}
	w.s = w.process(false)
	return w
}

// process is one more process on the same store.
func (w *world) process(exclusive bool) *blob.Store {
	start := w.now
	return blob.New(blob.Options{KV: w.kv, Codec: shared, Key: bytes.Repeat([]byte{7}, 32), Grace: grace, Exclusive: exclusive,
		Now:     func() time.Time { return w.now },
		Running: func() time.Duration { return w.now.Sub(start) }})
}

// tester is what testing.T and others have in common.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func must(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

func text(n int) []byte { return bytes.Repeat([]byte("all work and no play\r\n"), n/22+1)[:n] }

// part names bytes as a message would.
func part(s *blob.Store, scope string, b []byte) blob.Part {
	h := s.Hash([]byte(scope))
	defer s.GiveBack(h)
	_, _ = h.Write(b)
	return blob.Part{ID: row.BlobID(h.Sum(nil)), Size: int64(len(b)),
		Open: func() io.Reader { return bytes.NewReader(b) }}
}

// put stages bytes and links them to message 7 of accounts.
func (w *world) put(t tester, b []byte, accts ...uint64) blob.Part {
	t.Helper()
	p := part(w.s, "", b)
	st, err := w.s.Stage(context.Background(), []blob.Part{p})
	must(t, err)
	must(t, w.link(w.s, p.ID, st.At, accts...))
	return p
}

func (w *world) link(s *blob.Store, id row.BlobID, staged time.Time, accts ...uint64) error {
	for _, a := range accts {
		err := w.kv.Update(context.Background(), [][]byte{row.Head(a)}, func(tx kv.Tx) error {
			if err := s.Fresh(staged); err != nil {
				return err
			}
			blob.Link(tx, id, a, 7)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *world) unlink(t tester, id row.BlobID, acct uint64) {
	t.Helper()
	must(t, w.kv.Update(context.Background(), [][]byte{row.Head(acct)}, func(tx kv.Tx) error {
		blob.Unlink(tx, id, acct, 7, w.now)
		return nil
	}))
}

// gc has a process look at everything once.
func (w *world) gc(t tester, s *blob.Store) (sum blob.Swept) {
	t.Helper()
	for shard := range byte(row.Shards) {
		for more := true; more; {
			var sw blob.Swept
			var err error
			sw, more, err = s.Collect(context.Background(), shard)
			must(t, err)
			sum.Add(sw)
		}
		sw, err := s.Sweep(context.Background(), shard, w.now)
		must(t, err)
		sum.Add(sw)
	}
	return sum
}

// settle lets all grace times pass.
func (w *world) settle(t tester) (sum blob.Swept) {
	t.Helper()
	for range 4 {
		sum.Add(w.gc(t, w.s))
		w.now = w.now.Add(grace + time.Second)
	}
	return sum
}

// rows counts rows of kinds.
func (w *world) rows(t tester, tags ...byte) (n int) {
	t.Helper()
	for _, tag := range tags {
		for _, err := range w.kv.Scan(context.Background(), kv.Prefix([]byte{tag})) {
			must(t, err)
			n++
		}
	}
	return n
}

func (w *world) read(t tester, id row.BlobID) []byte {
	t.Helper()
	r, err := w.s.Open(context.Background(), id)
	must(t, err)
	b, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	must(t, err)
	must(t, r.Close())
	return b
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, n := range []int{0, 1, 8000, blob.ChunkBytes, blob.ChunkBytes + 1, blob.StageAtOnce + 1, 9*blob.ChunkBytes + 77} {
		for _, b := range [][]byte{noise(n), text(n)} {
			p := w.put(t, b, 1)
			if got := w.read(t, p.ID); !bytes.Equal(got, b) {
				t.Errorf("%d bytes come back as %d", n, len(got))
			}
		}
	}
	if n := w.rows(t, row.TagUpload); n != 0 {
		t.Errorf("%d uploads in the journal after their commits", n)
	}
}

func TestEqualContentIsStoredOnce(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, size := range []int{20_000, 900_000} {
		b := text(size)
		p := w.put(t, b, 1)
		chunks := w.rows(t, row.TagChunk)
		st, err := w.s.Stage(context.Background(), []blob.Part{p, p, part(w.process(false), "", b)})
		must(t, err)
		if st.New != 0 || st.Found != 1 || st.FoundBytes != int64(size) || w.rows(t, row.TagChunk) != chunks {
			t.Errorf("%d bytes again: %+v, %d chunks were %d", size, st, w.rows(t, row.TagChunk), chunks)
		}
		if o := part(w.s, "account 2", b); o.ID == p.ID {
			t.Error("another scope gives the same name")
		}
		if st.StoredBytes > 0 || w.put(t, append(b, 1), 1).ID == p.ID {
			t.Error("other content has the same name")
		}
	}
	other := blob.New(blob.Options{KV: w.kv, Key: bytes.Repeat([]byte{8}, 32)})
	if part(other, "", []byte("x")).ID == part(w.s, "", []byte("x")).ID {
		t.Error("names do not depend on the key")
	}
}

func TestCompression(t *testing.T) {
	t.Parallel()
	w := newWorld()
	st, err := w.s.Stage(context.Background(), []blob.Part{part(w.s, "", text(300_000)), part(w.s, "", noise(100_000))})
	must(t, err)
	if st.New != 2 || st.StoredBytes < 100_000 || st.StoredBytes > 105_000 {
		t.Errorf("300,000 bytes of text and 100,000 of noise take %d", st.StoredBytes)
	}
}

func TestLastLinkEndsABlob(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10_000, 9 * blob.ChunkBytes} { // chunks that go with the header, and by themselves
		w := newWorld()
		p := w.put(t, noise(size), 1, 2, 3)
		for acct := uint64(1); acct <= 3; acct++ {
			if got := w.settle(t); got.Blobs != 0 {
				t.Fatalf("collected with %d links left", 4-acct)
			}
			w.unlink(t, p.ID, acct)
		}
		if got := w.gc(t, w.s); got.Condemned != 1 || got.Blobs != 0 {
			t.Errorf("first look: %+v", got)
		}
		w.now = w.now.Add(2 * grace)
		if got := w.gc(t, w.s); got.Blobs != 0 {
			t.Errorf("deleted %v after it was condemned, but never seen so", 2*grace)
		}
		w.now = w.now.Add(grace - time.Second)
		if got := w.gc(t, w.s); got.Blobs != 0 {
			t.Errorf("deleted within the grace time")
		}
		w.now = w.now.Add(2 * time.Second)
		if got := w.gc(t, w.s); got.Blobs != 1 || got.Bytes < int64(size) {
			t.Errorf("after the grace time: %+v", got)
		}
		if n := w.rows(t, row.TagBlob, row.TagChunk, row.TagLink, row.TagGarbage, row.TagUpload); n != 0 {
			t.Errorf("%d rows are left", n)
		}
	}
}

// TestRestart: where a process has the store for itself, what the process
// before it condemned goes at once; where not, it waits anew.
func TestRestart(t *testing.T) {
	t.Parallel()
	for _, exclusive := range []bool{true, false} {
		w := newWorld()
		w.s = w.process(exclusive)
		p := w.put(t, noise(100), 1)
		w.unlink(t, p.ID, 1)
		w.gc(t, w.s)
		if got := w.gc(t, w.s); got.Blobs != 0 {
			t.Fatal("deleted within the grace time")
		}
		if got := w.gc(t, w.process(exclusive)); (got.Blobs == 1) != exclusive {
			t.Errorf("exclusive %v: the next process deletes %d", exclusive, got.Blobs)
		}
	}
}

func TestCondemnedIsRevived(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 900_000} {
		w := newWorld()
		b := noise(size)
		p := w.put(t, b, 1)
		w.unlink(t, p.ID, 1)
		w.gc(t, w.s)
		w.gc(t, w.s)
		w.now = w.now.Add(grace + time.Second) // the next look would delete it
		if again := w.put(t, b, 2); again.ID != p.ID {
			t.Fatal("another name")
		}
		if got := w.settle(t); got.Blobs != 0 {
			t.Errorf("a revived blob was deleted: %+v", got)
		}
		if !bytes.Equal(w.read(t, p.ID), b) {
			t.Error("it comes back changed")
		}
	}
}

func TestStaleLinkIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld()
	p := part(w.s, "", noise(100))
	st, err := w.s.Stage(context.Background(), []blob.Part{p})
	must(t, err)
	for _, d := range []time.Duration{blob.MaxLinkAge + time.Second, -time.Second} {
		before := w.now
		w.now = w.now.Add(d)
		if err := w.link(w.s, p.ID, st.At, 1); !errors.Is(err, blob.ErrStale) {
			t.Errorf("%v after it was looked up: %v", d, err)
		}
		w.now = before
	}
	must(t, w.link(w.s, p.ID, st.At, 1))
}

func TestStagedAndNeverLinked(t *testing.T) {
	t.Parallel()
	w := newWorld()
	_, err := w.s.Stage(context.Background(), []blob.Part{part(w.s, "", noise(100)), part(w.s, "", noise(900_000))})
	must(t, err)
	w.settle(t)
	if n := w.rows(t, row.TagBlob, row.TagChunk, row.TagGarbage, row.TagUpload); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

func TestUploadThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, size := range []int64{1000, 900_000} {
		p := part(w.s, "", noise(700_000))
		p.Open = func() io.Reader { return strings.NewReader(strings.Repeat("x", int(size/2))) }
		p.Size = size
		if _, err := w.s.Stage(context.Background(), []blob.Part{p}); err == nil {
			t.Error("a reader that ends early is no error")
		}
	}
	w.now = w.now.Add(2 * blob.UploadLife)
	w.settle(t)
	if n := w.rows(t, row.TagChunk, row.TagUpload, row.TagBlob); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// TestUploadIsSwept: an upload that takes too long is begun again.
func TestUploadIsSwept(t *testing.T) {
	t.Parallel()
	w := newWorld()
	b := noise(900_000)
	p := part(w.s, "", b)
	opened := 0
	p.Open = func() io.Reader {
		opened++
		return readerFunc(func(q []byte) (int, error) {
			if opened == 1 {
				w.now = w.now.Add(2 * blob.UploadLife)
				w.gc(t, w.s)
				opened++
			}
			return 0, io.EOF
		}, bytes.NewReader(b))
	}
	_, err := w.s.Stage(context.Background(), []blob.Part{p})
	must(t, err)
	if opened < 3 || !bytes.Equal(w.read(t, p.ID), b) {
		t.Errorf("opened %d times", opened)
	}
}

// readerFunc calls f when r has given half of what is asked.
func readerFunc(f func([]byte) (int, error), r *bytes.Reader) io.Reader {
	half := r.Size() / 2
	return io.MultiReader(io.LimitReader(r, half), fn(f), r)
}

type fn func([]byte) (int, error)

func (f fn) Read(p []byte) (int, error) { return f(p) }

func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{noise(600_000), text(600_000)} {
		w := newWorld()
		p := w.put(t, b, 1)
		var second []byte
		var value []byte
		for it, err := range w.kv.Scan(context.Background(), kv.Prefix([]byte{row.TagChunk})) {
			must(t, err)
			if k, _ := row.ParseKey(it.Key); k.Number == 1 {
				second, value = it.Key, it.Value
			}
		}
		set := func(v []byte) {
			must(t, w.kv.Update(context.Background(), [][]byte{row.Blob(p.ID)}, func(tx kv.Tx) error {
				if v == nil {
					tx.Delete(second)
				} else {
					tx.Put(second, v)
				}
				return nil
			}))
		}
		check := func(what string) {
			r, err := w.s.Open(context.Background(), p.ID)
			must(t, err)
			if _, err := r.ReadAt(make([]byte, 10), 0); err != nil {
				t.Errorf("%s: the first chunk: %v", what, err)
			}
			// Some bits of a frame mean nothing.
			got := make([]byte, 100_000)
			if _, err := r.ReadAt(got, 300_000); err == nil && what == "a flipped bit" && bytes.Equal(got, b[300_000:400_000]) {
				return
			} else if !errors.Is(err, blob.ErrCorrupt) {
				t.Errorf("%s: %v", what, err)
			}
		}
		for range 200 {
			v := bytes.Clone(value)
			v[rand.IntN(len(v))] ^= 1 << rand.IntN(8)
			set(v)
			check("a flipped bit")
		}
		set(value[:len(value)-1])
		check("cut")
		set([]byte{})
		check("empty")
		set(nil)
		check("missing")
	}
}

// TestMostParts: a message has so many parts that are stored, and one more is refused.
func TestMostParts(t *testing.T) {
	t.Parallel()
	w := newWorld()
	parts := make([]blob.Part, blob.MaxParts+1)
	for i := range parts {
		parts[i] = part(w.s, "", []byte{byte(i), byte(i >> 8)})
	}
	if _, err := w.s.Stage(t.Context(), parts); err == nil {
		t.Errorf("%d parts are taken", len(parts))
	}
	if _, err := w.s.Stage(t.Context(), parts[:blob.MaxParts]); err != nil || w.rows(t, row.TagBlob) != blob.MaxParts {
		t.Errorf("%d parts: %v", blob.MaxParts, err)
	}
}

// TestMostMarks: a process that counts the time of MaxMarks condemned blobs lets
// the others wait, and collects them when there is room again: at the latest when
// nobody has come back to those for long, as another process has deleted them.
func TestMostMarks(t *testing.T) {
	t.Parallel()
	for _, freed := range []bool{true, false} {
		w := newWorld()
		p := w.put(t, noise(10_000), 1)
		free := w.s.FillMarks(blob.MaxMarks)
		w.unlink(t, p.ID, 1)
		if got := w.gc(t, w.s); got.Condemned != 1 {
			t.Errorf("%+v", got)
		}
		w.now = w.now.Add(grace - time.Minute)
		if got := w.gc(t, w.s); got.Blobs != 0 {
			t.Errorf("with no room for its mark: %+v", got)
		}
		if freed {
			free()
		}
		if got := w.settle(t); got.Blobs != 1 {
			t.Errorf("with room (%v): %+v", freed, got)
		}
	}
}

// TestNames: a blob's name must never change, or what is stored is not found again.
// The sums are those of another implementation of BLAKE3.
func TestNames(t *testing.T) {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	s := blob.New(blob.Options{KV: memkv.New(), Key: key})
	for _, c := range []struct {
		n    int
		want string
	}{
		{0, "73492b19995d71cdb1e9d74decc09809"}, {1, "d08b45c6b127ee94f3f8527a0b82a5f8"},
		{1024, "f45a9249a627fdf1fcf13c0e6376f6a9"}, {1025, "82223147a9b804a0c3f9a921b8d8aee2"},
		{16 << 10, "8880ce020ab0459420eee7e95f173d8a"}, {100_003, "5d3a7db0a4c3ed2636983d9d9b70bf3b"},
	} {
		b := make([]byte, c.n)
		for i := range b {
			b[i] = byte(i % 251)
		}
		h := s.Hash(nil)
		_, _ = h.Write(b[:c.n/3])
		_, _ = h.Write(b[c.n/3:])
		if got := hex.EncodeToString(h.Sum(nil)); got != c.want {
			t.Errorf("%d bytes: %s, not %s", c.n, got, c.want)
		}
		s.GiveBack(h)
	}
}
