package pebblekv_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/pebblekv"
)

// TestBadBlock flips one bit of a large block. Whoever reads it gets an error,
// which names the block the first time and later comes without a look at it;
// the blocks beside it are read as ever.
func TestBadBlock(t *testing.T) {
	t.Parallel()
	o := pebblekv.Options{Dir: t.TempDir(), BallastBytes: -1}
	s := open(t, o)
	values := make([][]byte, 8)
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range values {
		values[i] = make([]byte, 64<<10)
		for j := range values[i] {
			values[i][j] = byte(rnd.Uint32())
		}
		must(t, s.Update(t.Context(), nil, func(tx kv.Tx) error { tx.Put([]byte{'k', byte(i)}, values[i]); return nil }))
	}
	must(t, s.Close())
	tables, err := filepath.Glob(filepath.Join(o.Dir, "*.sst"))
	must(t, err)
	bad := -1
	for _, p := range tables {
		b, err := os.ReadFile(p)
		must(t, err)
		if at := strings.Index(string(b), string(values[5])); at >= 0 {
			b[at+50_000] ^= 4
			must(t, os.WriteFile(p, b, 0o600))
			bad = 5
		}
	}
	if bad < 0 {
		t.Fatal("the value lies in no table as it is")
	}
	s = open(t, o)
	defer s.Close()
	for round := range 4 {
		for i := range values {
			items, err := s.GetMulti(t.Context(), []byte{'k', byte(i)})
			switch {
			case i != bad:
				if err != nil || !slices.Equal(items[0].Value, values[i]) {
					t.Errorf("value %d: %v", i, err)
				}
			case !errors.Is(err, kv.ErrCorrupt):
				t.Errorf("the damaged value: %v", err)
			case strings.Contains(err.Error(), "was wrong before") != (round > 0):
				t.Errorf("round %d: %v", round, err)
			}
		}
		// A list that comes by ends there, too.
		var last error
		for _, err := range s.Scan(t.Context(), kv.Prefix([]byte{'k'})) {
			last = err
		}
		if !errors.Is(last, kv.ErrCorrupt) || !strings.Contains(last.Error(), "was wrong before") {
			t.Errorf("a scan over it: %v", last)
		}
	}
}
