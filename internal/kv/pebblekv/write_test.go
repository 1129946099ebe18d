package pebblekv

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/eidermail/eider/internal/kv"
)

// TestDense: what comes compressed lies in files of its own, which are not packed
// with care; all the rest is packed, and everything reads as it was.
func TestDense(t *testing.T) {
	s, err := Open(Options{Dir: "data", FS: vfs.NewMem(), Dense: []byte{'C', 'S'}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, s.Close()) })
	value := bytes.Repeat([]byte("0123456789"), 400)
	for _, first := range "ACMSTZ" {
		for n := range uint64(20) {
			key := binary.BigEndian.AppendUint64([]byte{byte(first)}, n)
			put(t, s, key, value)
		}
	}
	for _, step := range []func() error{
		s.db.Flush, func() error { return s.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false) },
	} {
		must(t, step())
		levels, err := s.db.SSTables(pebble.WithProperties())
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[bool]int{}
		for _, level := range levels {
			for _, file := range level {
				from, to := file.Smallest.UserKey, file.Largest.UserKey
				dense := len(from) > 1 && (from[1] == 'C' || from[1] == 'S')
				if dense && from[1] != to[1] {
					t.Errorf("a file goes from %q to %q", from, to)
				}
				if packed := file.Properties.CompressionName == "eider"; packed == dense {
					t.Errorf("the file from %q to %q is packed by %s", from, to, file.Properties.CompressionName)
				}
				kinds[dense]++
			}
		}
		if kinds[true] < 2 || kinds[false] < 3 {
			t.Errorf("%d files are dense and %d are not", kinds[true], kinds[false])
		}
	}
	n := 0
	for it, err := range s.Scan(t.Context(), kv.Range{}) {
		if err != nil || !bytes.Equal(it.Value, value) {
			t.Fatalf("%q: another value, %v", it.Key, err)
		}
		n++
	}
	if n != 6*20 {
		t.Errorf("%d rows", n)
	}
}

// TestLazy: a lazy commit is seen at once and does not wait for the disk; the next
// that is not lazy takes it along. Without one, a crash leaves a first part of them.
func TestLazy(t *testing.T) {
	const rows = 20
	row := func(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'L'}, n) }
	for _, followed := range []bool{true, false} {
		mem := vfs.NewCrashableMem()
		var syncs atomic.Int64
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData {
				syncs.Add(1)
			}
			return nil
		}))
		s, err := Open(Options{Dir: "data", FS: fs})
		must(t, err)
		put(t, s, []byte("first"), nil)
		before := syncs.Load()
		for n := range uint64(rows) {
			put(t, s, row(n), []byte("value"), kv.Lazy())
		}
		if n := count(t, s); n != rows || syncs.Load() != before {
			t.Errorf("%d of %d rows are seen; the disk was waited for %d times", n, rows, syncs.Load()-before)
		}
		if followed {
			if put(t, s, []byte("last"), nil); syncs.Load() == before {
				t.Error("the disk was not waited for")
			}
		}
		crashed := mem.CrashClone(vfs.CrashCloneCfg{})
		must(t, s.Close())
		s, err = Open(Options{Dir: "data", FS: crashed})
		must(t, err)
		left := count(t, s)
		if followed && left != rows {
			t.Errorf("after the crash %d of %d rows are there", left, rows)
		}
		items, err := s.GetMulti(t.Context(), []byte("first"), row(uint64(max(left, 1)-1)))
		if must(t, err); items[0].Rev == 0 || left > 0 && items[1].Rev == 0 {
			t.Errorf("what is left is not the first %d", left)
		}
		must(t, s.Close())
	}
}

// count is how many rows of TestLazy there are.
func count(t *testing.T, s *Store) (n int) {
	t.Helper()
	for _, err := range s.Scan(t.Context(), kv.Prefix([]byte("L"))) {
		must(t, err)
		n++
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, s *Store, key, value []byte, opts ...kv.Option) {
	t.Helper()
	must(t, s.Update(t.Context(), nil, func(tx kv.Tx) error { tx.Put(key, value); return nil }, opts...))
}
