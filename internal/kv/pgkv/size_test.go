package pgkv_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv"
)

// TestSize: what is stored is told, and what was removed is spare once the
// database has noticed, though its files are as large as before.
func TestSize(t *testing.T) {
	t.Parallel()
	uri := fresh(t)
	s := open(t, uri)
	vacuum := func() {
		t.Helper()
		if err := server.ExecIn("eider", "vacuum analyze "+schemaOf(uri)+".kv"); err != nil {
			t.Fatal(err)
		}
	}
	const each, n = 10_000, 2000
	fill := func(prefix byte) {
		t.Helper()
		long, short := make([]byte, each), make([]byte, 100)
		for i := range long {
			long[i] = byte(rand.Uint32())
		}
		for i := 0; i < n; i += 100 {
			guard := []byte{prefix, byte(i), byte(i >> 8)}
			err := s.Update(t.Context(), [][]byte{guard}, func(tx kv.Tx) error {
				for j := range 100 {
					tx.Put(fmt.Appendf(nil, "%c%d-%d", prefix, i, j), long)
					tx.Put(fmt.Appendf(nil, "%c%d-%d-", prefix, i, j), short)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	const bytes = each * n
	fill('a')
	fill('b')
	vacuum()
	full := sizeOf(t, uri)
	if full.UsedBytes < 2*bytes || full.UsedBytes-full.SpareBytes > 3*bytes || full.SpareBytes > bytes/2 {
		t.Errorf("of %d bytes stored: %d, %d of them spare", 2*bytes, full.UsedBytes, full.SpareBytes)
	}
	if err := s.DeletePrefix(t.Context(), []byte("a")); err != nil {
		t.Fatal(err)
	}
	vacuum()
	half := sizeOf(t, uri)
	if left := half.UsedBytes - half.SpareBytes; left < bytes || left > bytes*3/2 {
		t.Errorf("of %d bytes that are left: %d, %d of them spare", bytes, half.UsedBytes, half.SpareBytes)
	}
	t.Logf("two: %d bytes, %d spare; one of them removed: %d, %d", full.UsedBytes, full.SpareBytes, half.UsedBytes, half.SpareBytes)
}

// sizeOf is what a new handle is told.
func sizeOf(t *testing.T, uri string) kv.Health {
	t.Helper()
	s := open(t, uri)
	defer s.Close()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		h, err := s.Ping(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if h.UsedBytes >= 0 {
			return h
		}
		if time.Now().After(end) {
			t.Fatal("no size is told")
		}
	}
}
