// Package ferretdb_test sends what mongokv sends to FerretDB 1.24, a server of
// MongoDB's protocol by others than the fake's writer: it takes the shapes of
// the commands, and sorts keys as bytes. FerretDB has no transactions, so a
// door before it answers for them: nothing here proves that one is undone, that
// two see each other's conflicts, or anything of a failover.
//
// It is a module of its own, so that FerretDB's dependencies are nobody else's.
package ferretdb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/kvtest"
	"github.com/eidermail/eider/internal/kv/mongokv"
)

// start runs FerretDB on SQLite and returns its address.
func start(t *testing.T) string {
	t.Helper()
	f, err := ferretdb.New(&ferretdb.Config{Listener: ferretdb.ListenerConfig{TCP: "127.0.0.1:0"}, Handler: "sqlite",
		SQLiteURL: "file:" + t.TempDir() + "/", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(f.MongoDBURI())
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func open(t testing.TB, uri string) *mongokv.Store {
	t.Helper()
	s, err := mongokv.Open(t.Context(), mongokv.Options{URI: uri})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a case may have closed it
	return s
}

// TestRefused: FerretDB itself is refused, for it has no transactions.
func TestRefused(t *testing.T) {
	s, err := mongokv.Open(t.Context(), mongokv.Options{URI: "mongodb://" + start(t) + "/db"})
	if err == nil {
		s.Close()
		t.Fatal("a server without transactions is taken for a store")
	}
	if !strings.Contains(err.Error(), "--replSet") {
		t.Error(err)
	}
}

// TestShapes: every command that mongokv sends is understood, and the cases of
// the suite that need no transaction pass.
func TestShapes(t *testing.T) {
	d := openDoor(t, start(t))
	var databases atomic.Int64
	t.Run("suite", func(t *testing.T) {
		kvtest.RunAlone(t, func(t testing.TB) kv.Store {
			return open(t, fmt.Sprintf("mongodb://%s/suite%d?replicaSet=rs", d.addr, databases.Add(1)))
		})
	})
	t.Run("expectations", func(t *testing.T) { expectations(t, open(t, "mongodb://"+d.addr+"/expect?replicaSet=rs")) })
	t.Run("key order", func(t *testing.T) { keyOrder(t, open(t, "mongodb://"+d.addr+"/order?replicaSet=rs")) })
	t.Run("size", func(t *testing.T) { size(t, open(t, "mongodb://"+d.addr+"/order?replicaSet=rs")) })
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range []string{"create", "find", "getMore", "insert", "update", "delete", "findAndModify", "getParameter", "dbStats"} {
		if d.seen[c] == 0 {
			t.Errorf("%s was never sent: %v", c, d.seen)
		}
	}
	t.Logf("FerretDB answered %v", d.seen)
}

// size: the answer about a database's size is read.
func size(t *testing.T, s kv.Store) {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		h, err := s.Ping(t.Context())
		if err != nil || time.Now().After(end) {
			t.Fatal("no size is told", err)
		}
		if h.UsedBytes > 0 {
			return
		}
	}
}

// expectations: the absence of a key, and its revision, hold or do not.
func expectations(t *testing.T, s kv.Store) {
	guard, key := []byte("guard"), []byte("key")
	put := func(rev kv.Rev, value string) error {
		return s.Update(t.Context(), [][]byte{guard}, func(tx kv.Tx) error {
			tx.Expect(key, rev)
			tx.Put(key, []byte(value))
			return nil
		}, kv.Attempts(1))
	}
	if err := put(0, "one"); err != nil {
		t.Fatal(err)
	}
	items, err := s.GetMulti(t.Context(), key, guard)
	if err != nil || string(items[0].Value) != "one" || items[1].Rev != 0 {
		t.Fatalf("%v %v", items, err)
	}
	if err := put(items[0].Rev+1, "two"); !errors.Is(err, kv.ErrConflict) {
		t.Errorf("a revision that is not there: %v", err)
	}
	if err := put(0, "two"); !errors.Is(err, kv.ErrConflict) {
		t.Errorf("a key that is not absent: %v", err)
	}
	if err := put(items[0].Rev, "three"); err != nil {
		t.Error(err)
	}
}

// keyOrder: ids sort on the server as keys do as bytes, in both directions,
// with bounds and limits, and a range of them is removed.
func keyOrder(t *testing.T, s kv.Store) {
	keys := randomKeys(400)
	for part := range slices.Chunk(keys, 40) {
		err := s.Update(t.Context(), [][]byte{part[0]}, func(tx kv.Tx) error {
			for _, k := range part {
				tx.Put(k, k)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(keys, bytes.Compare)
	for range 40 {
		from, to := rand.IntN(len(keys)), rand.IntN(len(keys)+1)
		r := kv.Range{Start: keys[from], Limit: rand.IntN(2) * 50, Reverse: rand.IntN(2) == 0, KeysOnly: rand.IntN(2) == 0}
		want := slices.Clone(keys[from:])
		if to < len(keys) {
			r.End = keys[to]
			want = slices.Clone(keys[from:max(from, to)])
		}
		if r.Reverse {
			slices.Reverse(want)
		}
		if r.Limit > 0 && len(want) > r.Limit {
			want = want[:r.Limit]
		}
		if got := scan(t, s, r); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("%+v: %d keys, want %d: %x", r, len(got), len(want), got)
		}
	}
	if err := s.DeletePrefix(t.Context(), []byte{0xff}); err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(slices.Clone(keys), func(k []byte) bool { return k[0] == 0xff })
	if got := scan(t, s, kv.Range{}); !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%d keys are left, want %d", len(got), len(want))
	}
}

func scan(t *testing.T, s kv.Store, r kv.Range) (out [][]byte) {
	t.Helper()
	for it, err := range s.Scan(t.Context(), r) {
		if err != nil {
			t.Fatal(err)
		}
		if !r.KeysOnly && !bytes.Equal(it.Key, it.Value) {
			t.Fatalf("key %x has the value %x", it.Key, it.Value)
		}
		out = append(out, it.Key)
	}
	return out
}

// randomKeys are n different keys, many of which begin alike or with each other.
func randomKeys(n int) [][]byte {
	seen := map[string]bool{}
	var out [][]byte
	for len(out) < n {
		k := make([]byte, 1+rand.IntN(20))
		for i := range k {
			k[i] = []byte{0, 1, 0x3f, 0x40, 'a', 0x7f, 0x80, 0xfe, 0xff, byte(rand.IntN(256))}[rand.IntN(10)]
		}
		if !seen[string(k)] {
			seen[string(k)] = true
			out = append(out, k)
		}
	}
	return out
}
