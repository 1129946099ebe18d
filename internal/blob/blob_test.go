package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/kvtest"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

type world struct {
	kv  kv.Store
	s   *blob.Store
	now time.Time
}

func newWorld() *world {
	w := &world{kv: kvtest.Guarded(memkv.New(), row.Domain), now: time.Unix(1_760_000_000, 0)}
	w.s = blob.New(blob.Options{KV: w.kv, Now: func() time.Time { return w.now }})
	return w
}

func must(t *testing.T, err error) {
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

func (w *world) upload(t *testing.T, b []byte) *blob.Upload {
	t.Helper()
	u, err := w.s.Upload(context.Background(), bytes.NewReader(b), int64(len(b)))
	must(t, err)
	return u
}

// commit links an upload to messages of accounts 1, 2, and so on.
func (w *world) commit(u *blob.Upload, accts int) error {
	guards := [][]byte{u.Guard()}
	for a := range accts {
		guards = append(guards, row.Head(uint64(a+1)))
	}
	return w.kv.Update(context.Background(), guards, func(tx kv.Tx) error {
		for a := range accts {
			blob.Link(tx, u.ID, uint64(a+1), 7)
		}
		return u.Commit(context.Background(), tx)
	})
}

func (w *world) unlink(t *testing.T, u *blob.Upload, acct uint64) {
	must(t, w.kv.Update(context.Background(), [][]byte{row.Head(acct)}, func(tx kv.Tx) error {
		blob.Unlink(tx, u.ID, acct, 7, w.now)
		return nil
	}))
}

// gc runs all shards' collection and sweep.
func (w *world) gc(t *testing.T) (sum blob.Swept) {
	t.Helper()
	for shard := range byte(row.Shards) {
		c, err := w.s.Collect(context.Background(), shard)
		must(t, err)
		s, err := w.s.Sweep(context.Background(), shard, w.now)
		must(t, err)
		sum.Blobs += c.Blobs
		sum.Kept += c.Kept
		sum.Uploads += s.Uploads
	}
	return sum
}

// rows counts rows of a kind.
func (w *world) rows(t *testing.T, tags ...byte) (n int) {
	t.Helper()
	for _, tag := range tags {
		for _, err := range w.kv.Scan(context.Background(), kv.Prefix([]byte{tag})) {
			must(t, err)
			n++
		}
	}
	return n
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, n := range []int{0, 1, blob.ChunkBytes, blob.ChunkBytes + 1, 9*blob.ChunkBytes + 77} {
		b := noise(n)
		u := w.upload(t, b)
		if _, err := w.s.Open(context.Background(), u.ID); !errors.Is(err, blob.ErrCorrupt) {
			t.Errorf("an upload that is not committed opens: %v", err)
		}
		must(t, w.commit(u, 1))
		r, err := w.s.Open(context.Background(), u.ID)
		must(t, err)
		got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes come back as %d, %v", n, len(got), err)
		}
		must(t, r.Close())
	}
	if n := w.rows(t, row.TagUpload); n != 0 {
		t.Errorf("%d uploads in the journal after their commits", n)
	}
}

func TestLastLinkEndsABlob(t *testing.T) {
	t.Parallel()
	w := newWorld()
	u := w.upload(t, noise(600_000))
	must(t, w.commit(u, 3))
	for acct := uint64(1); acct <= 3; acct++ {
		if got := w.gc(t); got.Blobs != 0 {
			t.Fatalf("collected with %d links left", 4-acct)
		}
		w.unlink(t, u, acct)
	}
	if got := w.gc(t); got.Blobs != 1 {
		t.Errorf("%+v", got)
	}
	if n := w.rows(t, row.TagBlob, row.TagChunk, row.TagLink, row.TagGarbage, row.TagUpload); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

func TestUploadsAreSwept(t *testing.T) {
	t.Parallel()
	w := newWorld()
	old := w.upload(t, noise(600_000))
	w.now = w.now.Add(blob.UploadLife - time.Minute)
	young := w.upload(t, noise(600_000))
	w.now = w.now.Add(2 * time.Minute)
	if got := w.gc(t); got.Uploads != 1 {
		t.Errorf("%+v", got)
	}
	if err := w.commit(old, 1); !errors.Is(err, blob.ErrUploadDead) {
		t.Errorf("a swept upload commits: %v", err)
	}
	must(t, w.commit(young, 1))
	if got := w.gc(t); got.Uploads != 0 || got.Blobs != 0 {
		t.Errorf("%+v", got)
	}
	r, err := w.s.Open(context.Background(), young.ID)
	must(t, err)
	if _, err := io.Copy(io.Discard, io.NewSectionReader(r, 0, r.Size())); err != nil {
		t.Error(err)
	}
}

func TestUploadThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld()
	if _, err := w.s.Upload(context.Background(), bytes.NewReader(make([]byte, 100)), 1000); err == nil {
		t.Error("a reader that ends early is no error")
	}
	w.now = w.now.Add(2 * blob.UploadLife)
	w.gc(t)
	if n := w.rows(t, row.TagChunk, row.TagUpload); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

func TestMissingChunkIsCorrupt(t *testing.T) {
	t.Parallel()
	w := newWorld()
	u := w.upload(t, noise(600_000))
	must(t, w.commit(u, 1))
	var second []byte
	for it, err := range w.kv.Scan(context.Background(), kv.Prefix([]byte{row.TagChunk})) {
		must(t, err)
		if k, _ := row.ParseKey(it.Key); k.Number == 1 {
			second = it.Key
		}
	}
	must(t, w.kv.Update(context.Background(), [][]byte{row.Blob(u.ID)}, func(tx kv.Tx) error {
		tx.Delete(second)
		return nil
	}))
	r, err := w.s.Open(context.Background(), u.ID)
	must(t, err)
	if _, err := r.ReadAt(make([]byte, 10), 0); err != nil {
		t.Error(err)
	}
	if _, err := r.ReadAt(make([]byte, 10), 300_000); !errors.Is(err, blob.ErrCorrupt) {
		t.Errorf("reading a missing chunk: %v", err)
	}
}

// TestInterleavings plays every order of the steps of two owners of a blob who
// drop it, and of two collectors, each of which can stop half-way. No order may
// lose a linked blob or keep an unlinked one.
func TestInterleavings(t *testing.T) {
	t.Parallel()
	steps := []string{"unlink1", "unlink2", "gc", "gc", "late"}
	var orders [][]string
	permute(steps, 0, &orders)
	for _, order := range orders {
		w := newWorld()
		u := w.upload(t, make([]byte, 300_000))
		late := w.upload(t, noise(10))
		must(t, w.commit(u, 2))
		links := 2
		for _, s := range order {
			switch s {
			case "unlink1", "unlink2":
				w.unlink(t, u, uint64(s[6]-'0'))
				links--
			case "late": // a commit that comes when others are collected
				must(t, w.commit(late, 1))
			case "gc":
				w.gc(t)
			}
			_, err := w.s.Open(context.Background(), u.ID)
			if links > 0 && err != nil {
				t.Fatalf("%v: after %s a linked blob is lost: %v", order, s, err)
			}
		}
		w.gc(t)
		if n := w.rows(t, row.TagBlob); n != 1 {
			t.Fatalf("%v: %d blobs at the end, want the late one", order, n)
		}
		if n := w.rows(t, row.TagGarbage, row.TagUpload); n != 0 {
			t.Fatalf("%v: %d candidates and uploads at the end", order, n)
		}
	}
}

func permute(s []string, i int, out *[][]string) {
	if i == len(s) {
		*out = append(*out, append([]string(nil), s...))
		return
	}
	for j := i; j < len(s); j++ {
		s[i], s[j] = s[j], s[i]
		permute(s, i+1, out)
		s[i], s[j] = s[j], s[i]
	}
}
