package repack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/backup"
	"github.com/eidermail/eider/internal/codec"
	"github.com/eidermail/eider/internal/fsck"
	"github.com/eidermail/eider/internal/janitor"
	"github.com/eidermail/eider/internal/janitor/repack"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/combine"
	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/kvtest"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/spool"
)

const grace = 5 * time.Minute

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hooked calls before ahead of an Update of the repack: what another does just
// then, it does between what was read and what is written.
type hooked struct {
	kv.Store
	before func()
}

func (h *hooked) Update(ctx context.Context, guards [][]byte, fn func(kv.Tx) error, opts ...kv.Option) error {
	if o := kv.Options(opts...); h.before != nil && o.Background && o.NoCombine {
		f := h.before
		h.before = nil
		f()
		h.before = f
	}
	return h.Store.Update(ctx, guards, fn, opts...)
}

// world is a mail store with a clock that is moved, and what must be in it.
type world struct {
	*mailstore.Store
	kv   kv.Store
	hook *hooked
	now  time.Time
	ids  []mailstore.AcctID
	want map[mailstore.AcctID]map[mailstore.MsgID][]byte
}

func open(t testing.TB, engine kv.Store) *world {
	t.Helper()
	w := &world{now: time.Unix(1_760_000_000, 0), want: map[mailstore.AcctID]map[mailstore.MsgID][]byte{}}
	w.hook = &hooked{Store: kvtest.Guarded(combine.New(engine, combine.Options{}), row.Domain)}
	w.kv = w.hook
	w.reopen(t)
	for i := range 2 {
		a, err := w.CreateAccount(context.Background(), mailstore.NewAccount{
			Address: fmt.Sprintf("u%d@test", i), Credential: []byte("c")})
		must(t, err)
		w.ids = append(w.ids, a.ID)
		w.want[a.ID] = map[mailstore.MsgID][]byte{}
	}
	return w
}

// reopen is another process with the same data.
func (w *world) reopen(t testing.TB) {
	t.Helper()
	start := w.now
	var err error
	w.Store, err = mailstore.Open(context.Background(), mailstore.Options{KV: w.kv, Now: func() time.Time { return w.now },
		BlobGrace: grace, Running: func() time.Duration { return w.now.Sub(start) }})
	must(t, err)
}

func (w *world) repacker() *repack.Repacker {
	return repack.New(repack.Options{KV: w.kv, Blobs: w.Blobs(), Now: func() time.Time { return w.now },
		After: time.Hour, NoRest: true, Quick: true})
}

func unsaved(context.Context, []byte) error { return nil }

func (w *world) pass(t testing.TB) bool {
	t.Helper()
	did, err := w.repacker().Pass(context.Background(), unsaved)
	must(t, err)
	return did
}

func (w *world) put(t testing.TB, acct int, b []byte, expire time.Duration) mailstore.MsgID {
	t.Helper()
	m := spool.New(spool.Options{}).Message()
	defer m.Close()
	_, _ = m.Write(b)
	d := mailstore.Deposit{}
	if expire > 0 {
		must(t, w.SetLimits(context.Background(), w.ids[acct], mailstore.AccountLimits{Retention: expire}))
	}
	got, err := w.Deposit(context.Background(), w.ids[acct:acct+1], d, m)
	must(t, err)
	if expire > 0 {
		must(t, w.SetLimits(context.Background(), w.ids[acct], mailstore.AccountLimits{}))
	}
	w.want[w.ids[acct]][got[0].Msg] = b
	return got[0].Msg
}

// check compares every message with what was sent, and runs fsck.
func (w *world) check(t testing.TB, what any) {
	t.Helper()
	for id, msgs := range w.want {
		for msg, want := range msgs {
			c, err := w.Content(context.Background(), id, msg)
			if err != nil {
				t.Fatalf("%v: message %d: %v", what, msg, err)
			}
			got := make([]byte, c.Size())
			if _, err := c.ReadAt(got, 0); err != nil && err != io.EOF || !bytes.Equal(got, want) {
				t.Fatalf("%v: message %d differs: %v", what, msg, err)
			}
			c.Close()
		}
	}
	sum, err := fsck.Run(context.Background(), w.kv, func(f fsck.Fault) { t.Errorf("%v: fsck: %s", what, f) })
	if err != nil || sum.Faults > 0 {
		t.Fatalf("%v: fsck: %d faults, %v", what, sum.Faults, err)
	}
}

// rows are all values of one kind, by key, and their bytes.
func (w *world) rows(t testing.TB, tag byte) (all map[string]string, size int) {
	t.Helper()
	all = map[string]string{}
	for it, err := range w.kv.Scan(context.Background(), kv.Prefix([]byte{tag})) {
		must(t, err)
		all[string(it.Key)] = string(it.Value)
		size += len(it.Value)
	}
	return all, size
}

// writer makes mail that resembles itself and no other.
type writer struct {
	r     *rand.Rand
	words []string
}

func newWriter(seed uint64) *writer {
	w := &writer{r: rand.New(rand.NewPCG(seed, 1))}
	for range 400 {
		b := make([]byte, 4+w.r.IntN(9))
		for i := range b {
			b[i] = byte('a' + w.r.IntN(26))
		}
		w.words = append(w.words, string(b))
	}
	return w
}

func (w *writer) text(n int) string {
	var b strings.Builder
	for b.Len() < n {
		for range 5 + w.r.IntN(9) {
			b.WriteString(w.words[w.r.IntN(len(w.words))] + " ")
		}
		b.WriteString("\r\n")
	}
	return b.String()
}

// mail has a head and a text; with a file also a shared part of so many bytes.
func (w *writer) mail(text, file int) []byte {
	head := fmt.Sprintf("From: a@test\r\nTo: b@test\r\nSubject: %s\r\n", w.words[w.r.IntN(len(w.words))])
	if file == 0 {
		return []byte(head + "\r\n" + w.text(text))
	}
	return []byte(head + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=zz\r\n\r\n--zz\r\n\r\n" +
		w.text(text) + "\r\n--zz\r\nContent-Type: text/x-list\r\n\r\n" + w.text(file) + "\r\n--zz--\r\n")
}

// TestDictionaryAndPack: a store with enough mail gets a dictionary of its own,
// its mail gets smaller and stays what it was, here and in other processes; what
// is young or leaves soon is left alone, and a second pass finds nothing to do.
// A page has more than commitBytes of skeletons, and one file more than sampleChunks.
func TestDictionaryAndPack(t *testing.T) {
	t.Parallel()
	w, wr := open(t, memkv.New()), newWriter(1)
	for range 160 { // below the size of shared parts
		w.put(t, 0, wr.mail(7000, 7000), 0)
	}
	for range 8 {
		w.put(t, 1, wr.mail(300, 40_000), 0)
	}
	w.put(t, 1, wr.mail(300, 700_000), 0)
	_, err := w.Blobs().KeepDict(context.Background(), row.DictRow{Kind: uint8(codec.Parts), Data: dictFor(t, 1)})
	must(t, err)
	soon := w.put(t, 1, wr.mail(5000, 0), repack.MinLife)
	w.now = w.now.Add(2 * time.Hour)
	young := w.put(t, 1, wr.mail(5000, 0), 0)
	other := *w
	other.reopen(t) // it learns of the dictionary when it meets it
	bodies, before := w.rows(t, row.TagBody)
	_, parts := w.rows(t, row.TagChunk)

	p := w.repacker()
	did, err := p.Pass(context.Background(), unsaved)
	must(t, err)
	if !did || p.Stats().Dictionaries == 0 || p.Stats().Rows < 150 {
		t.Errorf("did %v: %+v", did, p.Stats())
	}
	packed, after := w.rows(t, row.TagBody)
	if after > before*9/10 {
		t.Errorf("skeletons took %d bytes and take %d", before, after)
	}
	if _, n := w.rows(t, row.TagChunk); n > parts*97/100 {
		t.Errorf("parts took %d bytes and take %d", parts, n)
	}
	for _, msg := range []mailstore.MsgID{soon, young} {
		if k := string(row.Body(uint64(w.ids[1]), uint64(msg))); bodies[k] != packed[k] {
			t.Error("a message was packed that is young or leaves soon")
		}
	}
	w.check(t, "after the pass")
	other.check(t, "in another process")
	if w.pass(t) {
		t.Error("a second pass finds something to do")
	}
	if now, _ := w.rows(t, row.TagBody); len(now) != len(packed) {
		t.Error("rows came or went")
	}
	w.restored(t)
}

// restored: a backup carries the dictionaries.
func (w *world) restored(t testing.TB) {
	t.Helper()
	var b bytes.Buffer
	_, err := backup.Write(context.Background(), w.kv, &b, w.now)
	must(t, err)
	r := *w
	r.kv = memkv.New()
	_, err = backup.Restore(context.Background(), r.kv, &b, w.now)
	must(t, err)
	r.reopen(t)
	r.check(t, "restored")
}

// dicts are the dictionaries that were trained, by seed.
var dicts sync.Map

// dictFor is a dictionary for what a writer writes.
func dictFor(t testing.TB, seed uint64) []byte {
	t.Helper()
	if d, ok := dicts.Load(seed); ok {
		return d.([]byte)
	}
	wr := newWriter(seed)
	var samples [][]byte
	for range 60 {
		samples = append(samples, []byte(wr.text(4000)))
	}
	d, err := codec.Train(1, samples, 16<<10)
	must(t, err)
	dicts.Store(seed, d)
	return d
}

// learn gives the store dictionaries for all kinds.
func (w *world) learn(t testing.TB, dict []byte) {
	t.Helper()
	for kind := range codec.Kinds {
		_, err := w.Blobs().KeepDict(context.Background(), row.DictRow{Kind: uint8(kind), Data: dict})
		must(t, err)
	}
}

// small is a store below what training needs, all of it cold, with dictionaries
// that are newer than it.
func small(t testing.TB, engine kv.Store) *world {
	w, wr := open(t, engine), newWriter(2)
	for i := range 4 {
		w.put(t, i%2, wr.mail(3000, 0), 0)
	}
	w.put(t, 0, wr.mail(300, 9000), 0)
	w.put(t, 1, wr.mail(300, 600_000), 0) // three chunks, two commits
	w.learn(t, dictFor(t, 2))
	w.now = w.now.Add(2 * time.Hour)
	return w
}

// stride is how many of the moments of a pass a test leaves out between two that
// it looks at. EIDER_SOAK=1 looks at each.
func stride() int {
	if os.Getenv("EIDER_SOAK") == "1" {
		return 1
	}
	return 4
}

// TestFaults fails every write of a pass, before it happened and after; then a
// pass without faults does the rest.
func TestFaults(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken on purpose")
	for _, when := range []faultkv.When{faultkv.Before, faultkv.After} {
		for n := 1; ; n += stride() {
			f := faultkv.Wrap(memkv.New(), 1)
			w := small(t, f)
			_, before := w.rows(t, row.TagChunk)
			struck, remove := f.Add(faultkv.Fault{Ops: faultkv.Writes, Nth: n, When: when, Err: broken})
			_, err := w.repacker().Pass(context.Background(), unsaved)
			remove()
			if struck() == 0 {
				if _, after := w.rows(t, row.TagChunk); n < 5 || after > before*97/100 {
					t.Errorf("a pass has %d writes; chunks took %d bytes and take %d", n-1, before, after)
				}
				break
			}
			if !errors.Is(err, broken) {
				t.Errorf("write %d: %v", n, err)
			}
			w.check(t, fmt.Sprintf("write %d failed", n))
			w.pass(t)
			w.check(t, fmt.Sprintf("write %d failed, second pass", n))
			if w.pass(t) {
				t.Errorf("write %d failed: the third pass finds something to do", n)
			}
		}
	}
}

// meanwhile is what others do between the reads and the write of a repack.
var meanwhile = map[string]func(t testing.TB, w *world){
	"delete account": func(t testing.TB, w *world) {
		must(t, w.DeleteAccount(context.Background(), w.ids[0]))
		delete(w.want, w.ids[0])
		w.collect(t)
	},
	"expunge and collect": func(t testing.TB, w *world) {
		for _, id := range w.ids {
			_, _, err := w.Expunge(context.Background(), id, 1, nil, false)
			must(t, err)
			w.want[id] = map[mailstore.MsgID][]byte{}
		}
		w.collect(t)
	},
	"copy": func(t testing.TB, w *world) {
		_, err := w.Copy(context.Background(), w.ids[0], 1, []mailstore.UID{1, 2, 3}, "INBOX")
		must(t, err)
	},
	"condemn": func(t testing.TB, w *world) {
		_, _, err := w.Expunge(context.Background(), w.ids[1], 1, nil, false)
		must(t, err)
		w.want[w.ids[1]] = map[mailstore.MsgID][]byte{}
		for shard := range byte(row.Shards) {
			_, _, err := w.Blobs().Collect(context.Background(), shard)
			must(t, err)
		}
	},
	"the same again": func(t testing.TB, w *world) {
		wr := newWriter(2)
		for range 4 {
			w.put(t, 0, wr.mail(3000, 0), 0)
		}
		w.put(t, 1, wr.mail(300, 9000), 0)
		w.put(t, 0, wr.mail(300, 600_000), 0)
	},
	"another repack": func(t testing.TB, w *world) { w.pass(t) },
}

// collect lets the janitor do all that is due, blobs too.
func (w *world) collect(t testing.TB) {
	t.Helper()
	j := janitor.New(janitor.Options{Store: w.Store, KV: w.kv, Now: func() time.Time { return w.now }})
	for range 4 {
		if r, _ := j.Pass(context.Background()); r.Failed > 0 {
			t.Fatalf("janitor: %+v", r)
		}
		w.now = w.now.Add(grace + time.Second)
	}
}

// TestInterleavings does everything else at each point at which a repack has
// read and not yet written.
func TestInterleavings(t *testing.T) {
	t.Parallel()
	for name, act := range meanwhile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			points := 1
			for at := 0; at < points; at += stride() {
				w, n := small(t, memkv.New()), 0
				w.hook.before = func() {
					if n == at {
						act(t, w)
					}
					n++
				}
				_, err := w.repacker().Pass(context.Background(), unsaved)
				must(t, err)
				w.hook.before = nil
				if at == 0 {
					points = max(n, 2)
				}
				w.check(t, fmt.Sprintf("%s at write %d", name, at))
				w.pass(t)
				w.collect(t)
				w.check(t, fmt.Sprintf("%s at write %d, then a pass and the collector", name, at))
			}
		})
	}
}

// TestResumed: a pass over more than pageRows that was ended goes on where it was.
func TestResumed(t *testing.T) {
	t.Parallel()
	w, wr := open(t, memkv.New()), newWriter(3)
	for range 150 {
		w.put(t, 0, wr.mail(1000, 0), 0)
	}
	w.now = w.now.Add(2 * time.Hour)
	ctx, cancel := context.WithCancel(context.Background())
	w.hook.before = func() { cancel() } // within the first page
	first := w.repacker()
	_, err := first.Pass(ctx, unsaved)
	if err == nil {
		t.Fatal("the pass came to its end")
	}
	w.hook.before = nil
	n := first.Stats().Rows
	did, err := first.Pass(context.Background(), unsaved)
	must(t, err)
	if !did || first.Stats().Rows <= n {
		t.Errorf("%d rows, then %d", n, first.Stats().Rows)
	}
	w.pass(t)
	w.check(t, "resumed")
	if w.pass(t) {
		t.Error("something was left out")
	}
}

// TestKeepDict: a dictionary is there before anything is encoded with it, and
// one that could not be stored is not used.
func TestKeepDict(t *testing.T) {
	t.Parallel()
	f := faultkv.Wrap(memkv.New(), 1)
	w, wr := open(t, f), newWriter(4)
	d := dictFor(t, 4)
	c := w.Blobs().Codec()
	_, remove := f.Add(faultkv.Fault{Ops: faultkv.Update, Err: errors.New("broken on purpose")})
	if _, err := w.Blobs().KeepDict(context.Background(), row.DictRow{Data: d}); err == nil || c.Current(codec.Skeletons) != codec.Shipped {
		t.Errorf("%v, dictionary %d is used", err, c.Current(codec.Skeletons))
	}
	remove()
	id, err := w.Blobs().KeepDict(context.Background(), row.DictRow{Data: d})
	must(t, err)
	if c.Current(codec.Skeletons) != id || c.Current(codec.Parts) != codec.Shipped {
		t.Error("the dictionary is not used for its kind only")
	}
	w.put(t, 0, wr.mail(3000, 0), 0)
	w.check(t, "with a dictionary")
	w.reopen(t)
	w.check(t, "opened again")
}

// lengthy is a store whose bodies take a while to look through.
type lengthy struct {
	kv.Store
	each  time.Duration
	looks *int
}

func (l lengthy) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	if len(r.Start) > 0 && r.Start[0] == row.TagBody {
		*l.looks++
		time.Sleep(l.each)
	}
	return l.Store.Scan(ctx, r)
}

// A pass over a large store takes long: then the next one is late, so that no
// store is read all the time for nothing.
func TestALongPassIsRare(t *testing.T) {
	looks := func(each time.Duration) (n int) {
		synctest.Test(t, func(t *testing.T) {
			w := open(t, memkv.New())
			ctx, cancel := context.WithTimeout(t.Context(), 48*time.Hour)
			defer cancel()
			r := repack.New(repack.Options{KV: lengthy{w.kv, each, &n}, Blobs: w.Blobs(), After: time.Hour, Quick: true})
			must(t, r.Run(ctx))
		})
		return n
	}
	quick, slow := looks(time.Second), looks(10*time.Minute)
	t.Logf("48 hours: %d looks of a second, %d of ten minutes", quick, slow)
	// A pass has two looks: hourly ones, or such that take a twentieth of the time.
	if quick < 2*40 || slow > 48*6/20+4 || slow < 4 {
		t.Errorf("%d looks of a second, %d of ten minutes", quick, slow)
	}
}
