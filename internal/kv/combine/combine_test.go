package combine_test

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/combine"
	"github.com/eidermail/eider/internal/kv/kvtest"
	"github.com/eidermail/eider/internal/kv/memkv"
)

func TestManyUpdatesOfOneGuardCountExactly(t *testing.T) {
	t.Parallel()
	s := combine.New(memkv.New(), combine.Options{})
	defer s.Close()
	ctx := context.Background()
	head := []byte("head")
	const workers, each = 32, 200
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				err := s.Update(ctx, [][]byte{head}, func(tx kv.Tx) error {
					var n uint64
					if g := tx.Guard(0); g.Rev != 0 {
						n = binary.BigEndian.Uint64(g.Value)
					}
					v := binary.BigEndian.AppendUint64(nil, n+1)
					tx.Put(head, v)
					tx.Put(append([]byte("row/"), v...), nil)
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	items, err := s.GetMulti(ctx, head)
	if err != nil {
		t.Fatal(err)
	}
	if n := binary.BigEndian.Uint64(items[0].Value); n != workers*each {
		t.Fatalf("head counts %d, want %d", n, workers*each)
	}
	rows := 0
	for _, err := range s.Scan(ctx, kv.Prefix([]byte("row/"))) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	if rows != workers*each {
		t.Fatalf("%d rows, want %d", rows, workers*each)
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	kvtest.RunHandles(t, func(_ testing.TB, n int) []kv.Store {
		m := memkv.New()
		out := []kv.Store{combine.New(m, combine.Options{})}
		for len(out) < n {
			out = append(out, combine.New(m.Handle(), combine.Options{}))
		}
		return out
	})
}

func TestOptimisticStore(t *testing.T) {
	t.Parallel()
	kvtest.RunHandles(t, func(_ testing.TB, n int) []kv.Store {
		m := memkv.Open(memkv.Options{Optimistic: true})
		out := []kv.Store{combine.New(m, combine.Options{})}
		for len(out) < n {
			out = append(out, combine.New(m.Handle(), combine.Options{}))
		}
		return out
	})
}
