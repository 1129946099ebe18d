package pebblekv_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/combine"
	"github.com/eidermail/eider/internal/kv/pebblekv"
)

// parts is how many rows one delivery writes beside its head.
const parts = 3

// deliver counts head up and writes the rows of that number, and returns it.
func deliver(ctx context.Context, s kv.Store, acct byte) (n uint64, err error) {
	head := []byte{'A', acct}
	err = s.Update(ctx, [][]byte{head}, func(tx kv.Tx) error {
		n = 1
		if g := tx.Guard(0); g.Rev != 0 {
			n = binary.BigEndian.Uint64(g.Value) + 1
		}
		v := binary.BigEndian.AppendUint64(nil, n)
		tx.Put(head, v)
		for p := range parts {
			key := binary.BigEndian.AppendUint64([]byte{'E', acct}, n)
			tx.Put(append(key, byte(p)), v)
		}
		return nil
	})
	return n, err
}

// verify checks an account after a crash: whole deliveries up to its head, no
// part of one beyond, and none missing that was acknowledged.
func verify(t *testing.T, s kv.Store, acct byte, acked uint64) {
	t.Helper()
	items, err := s.GetMulti(t.Context(), []byte{'A', acct})
	if err != nil {
		t.Fatal(err)
	}
	head := uint64(0)
	if items[0].Rev != 0 {
		head = binary.BigEndian.Uint64(items[0].Value)
	}
	if head < acked {
		t.Errorf("account %d: head %d, but %d was acknowledged", acct, head, acked)
	}
	rows := uint64(0)
	for it, err := range s.Scan(t.Context(), kv.Prefix([]byte{'E', acct})) {
		if err != nil {
			t.Fatal(err)
		}
		if n, p := binary.BigEndian.Uint64(it.Key[2:]), uint64(it.Key[10]); n != rows/parts+1 || p != rows%parts {
			t.Fatalf("account %d: row %d is part %d of %d", acct, rows, p, n)
		}
		rows++
	}
	if rows != head*parts {
		t.Errorf("account %d: head %d, but %d rows", acct, head, rows)
	}
}

func epoch(t *testing.T, s kv.Store) uint64 {
	t.Helper()
	h, err := s.Ping(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h.Epoch
}

// TestCrash cuts the power at random moments of a busy store, again and again.
func TestCrash(t *testing.T) {
	t.Parallel()
	const accounts, workers, rounds = 3, 6, 12
	rnd := rand.New(rand.NewPCG(1, 2))
	fs := vfs.NewCrashableMem()
	wasEpoch := uint64(0)
	for round := range rounds {
		s := open(t, pebblekv.Options{Dir: "/var/data", FS: fs, MemTableBytes: 256 << 10})
		if now := epoch(t, s); now <= wasEpoch {
			t.Fatalf("round %d: the epoch is %d after %d", round, now, wasEpoch)
		}
		wasEpoch = epoch(t, s)
		var acked [accounts]atomic.Uint64
		for a := range accounts {
			verify(t, s, byte(a), acked[a].Load())
		}
		store := combine.New(s, combine.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		enough := make(chan struct{})
		var total atomic.Int64
		goal := int64(1 + rnd.IntN(400))
		for w := range workers {
			wg.Go(func() {
				for ctx.Err() == nil {
					a := byte(w % accounts)
					n, err := deliver(ctx, store, a)
					if err != nil {
						if !errors.Is(err, context.Canceled) {
							t.Error(err)
						}
						return
					}
					for old := acked[a].Load(); old < n && !acked[a].CompareAndSwap(old, n); old = acked[a].Load() {
					}
					if total.Add(1) == goal {
						close(enough)
					}
				}
			})
		}
		<-enough
		var known [accounts]uint64 // acknowledged before the power goes
		for a := range accounts {
			known[a] = acked[a].Load()
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rnd.IntN(101), RNG: rnd})
		cancel()
		wg.Wait()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		fs = crashed
		s = open(t, pebblekv.Options{Dir: "/var/data", FS: fs})
		for a := range accounts {
			verify(t, s, byte(a), known[a])
		}
		fs = fs.CrashClone(vfs.CrashCloneCfg{}) // and once more, right after the recovery
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
}

// TestFailingDisk lets every write to the disk fail from the n-th on, for
// growing n. The process must end or the call must fail, and what was
// acknowledged must be there afterwards.
func TestFailingDisk(t *testing.T) {
	t.Parallel()
	for _, fault := range []error{syscall.EIO, syscall.ENOSPC} {
		fatals := 0
		for n := int64(1); n < 200; n += 1 + n/12 {
			mem := vfs.NewCrashableMem()
			var writes, acked atomic.Int64
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && writes.Add(1) >= n {
					return fault
				}
				return nil
			}))
			dead := make(chan struct{})
			var once sync.Once
			o := pebblekv.Options{Dir: "/var/data", FS: fs, ReserveBytes: -1, ReserveFraction: -1, Fatal: func(error) {
				once.Do(func() { close(dead) })
				runtime.Goexit() // as if the process had ended
			}}
			done := make(chan struct{})
			go func() {
				defer close(done)
				s, err := pebblekv.Open(o)
				if err != nil {
					return
				}
				for range 25 {
					n, err := deliver(t.Context(), s, 0)
					if err != nil {
						return
					}
					acked.Store(int64(n))
				}
			}()
			select {
			case <-done:
			case <-dead:
				fatals++
			}
			known := uint64(acked.Load())
			after := open(t, pebblekv.Options{Dir: "/var/data", FS: mem.CrashClone(vfs.CrashCloneCfg{})})
			verify(t, after, 0, known)
			if err := after.Close(); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				t.Fatalf("%v from write %d on", fault, n)
			}
		}
		if fatals == 0 {
			t.Errorf("%v: no fault ended the process; the test proves nothing", fault)
		}
	}
}

// TestBallast fills the disk for real: the ballast is given up, the update that
// met the full disk succeeds, and then only reclaiming ones are let through.
func TestBallast(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	if err := mem.MkdirAll("/data", 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := mem.Create("/data/ballast", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 2 << 30})
	var full atomic.Bool
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind != errorfs.OpFileWrite || !full.Load() {
			return nil
		}
		if _, err := mem.Stat("/data/ballast"); err != nil {
			return nil
		}
		return syscall.ENOSPC
	}))
	s := open(t, pebblekv.Options{Dir: "/data", FS: fs, BallastBytes: 1 << 20, ReserveBytes: 1 << 20})
	defer s.Close()
	if _, err := deliver(t.Context(), s, 0); err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1000, TotalBytes: 2 << 30})
	if _, err := deliver(t.Context(), s, 0); err != nil {
		t.Fatalf("the update that met the full disk: %v", err)
	}
	if _, err := mem.Stat("/data/ballast"); err == nil {
		t.Error("the ballast is still there")
	}
	if _, err := deliver(t.Context(), s, 0); !errors.Is(err, kv.ErrNoSpace) {
		t.Errorf("the next update: %v", err)
	}
	err = s.Update(t.Context(), nil, func(tx kv.Tx) error { tx.Delete([]byte("x")); return nil }, kv.Reclaim())
	if err != nil {
		t.Errorf("a reclaiming update: %v", err)
	}
	verify(t, s, 0, 2)
}

// TestBallastComesAndGoes: an ordinary disk has no ballast, one that runs short
// gets it while there is room, and it goes when there is plenty again.
func TestBallastComesAndGoes(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	disk := func(free uint64) { mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: free, TotalBytes: 2 << 30}) }
	disk(1 << 30)
	s := open(t, pebblekv.Options{Dir: "/data", FS: mem, BallastBytes: 1 << 20, ReserveBytes: 4 << 20, ReserveFraction: -1}) // DefaultBallastBytes are more
	defer s.Close()
	for _, step := range []struct {
		free  uint64
		there bool
	}{{1 << 30, false}, {13 << 20, false}, {5 << 20, false}, {11 << 20, true}, {20 << 20, true}, {3 << 20, true}, {1 << 30, false}, {9 << 20, true}} {
		disk(step.free)
		time.Sleep(1500 * time.Millisecond) // it looks once a second
		there := !step.there
		for start := time.Now(); time.Since(start) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
			if h, err := s.Ping(t.Context()); err != nil || h.FreeBytes != int64(step.free) {
				continue // it has not looked yet
			}
			st, err := mem.Stat("/data/ballast")
			if there = err == nil && st.Size() == 1<<20; there == step.there {
				break
			}
		}
		if there != step.there {
			t.Fatalf("with %d MiB free: ballast %v", step.free>>20, there)
		}
	}
}

func TestReserve(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 100 << 20, TotalBytes: 100 << 30})
	for _, c := range []struct {
		reserve int64
		part    float64
		full    bool
	}{
		{-1, -1, false},
		{100<<20 + 1, -1, true},
		{100 << 20, -1, false},
		{0, 0, true},    // DefaultReserveBytes
		{1, 0.02, true}, // 2 GB
		{1, 0.0001, false},
	} {
		s, err := pebblekv.Open(pebblekv.Options{Dir: "/d", FS: mem, ReserveBytes: c.reserve, ReserveFraction: c.part})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := deliver(t.Context(), s, 0); errors.Is(err, kv.ErrNoSpace) != c.full {
			t.Errorf("reserve %d and %g: %v", c.reserve, c.part, err)
		}
		h, err := s.Ping(t.Context())
		if err != nil || h.FreeBytes != 100<<20 || (h.FreeBytes < h.ReserveBytes) != c.full {
			t.Errorf("Ping: %+v %v", h, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, pebblekv.Options{Dir: dir})
	_, err := pebblekv.Open(pebblekv.Options{Dir: dir})
	if !errors.Is(err, pebblekv.ErrLocked) || !strings.Contains(err.Error(), dir) ||
		!strings.Contains(err.Error(), "pid") {
		t.Errorf("a second open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, pebblekv.Options{Dir: dir}).Close(); err != nil {
		t.Error(err)
	}
}

func TestEpochAndRevisions(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	seen := map[kv.Rev]bool{}
	write := func(s kv.Store) {
		t.Helper()
		for range 5 {
			if _, err := deliver(t.Context(), s, 0); err != nil {
				t.Fatal(err)
			}
			items, err := s.GetMulti(t.Context(), []byte{'A', 0})
			if err != nil || seen[items[0].Rev] || items[0].Rev>>63 != 0 {
				t.Fatalf("revision %d was used before (%v)", items[0].Rev, err)
			}
			seen[items[0].Rev] = true
		}
	}
	for i, c := range []struct {
		write, crash bool
		epoch        uint64 // when opened
	}{
		{true, false, 1}, {false, false, 1}, {true, false, 1},
		{true, true, 1}, {false, true, 2}, {false, false, 3}, {false, true, 3}, {true, false, 3},
	} {
		s := open(t, pebblekv.Options{Dir: "/d", FS: fs})
		if got := epoch(t, s); got != c.epoch {
			t.Errorf("open %d: epoch %d, want %d", i, got, c.epoch)
		}
		if c.write {
			write(s)
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if c.crash {
			fs = crashed
		}
	}
}
