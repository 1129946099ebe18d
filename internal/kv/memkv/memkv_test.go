package memkv_test

import (
	"testing"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/kvtest"
	"github.com/eidermail/eider/internal/kv/memkv"
)

func handles(s *memkv.Store, n int) []kv.Store {
	out := []kv.Store{s}
	for len(out) < n {
		out = append(out, s.Handle())
	}
	return out
}

func TestStore(t *testing.T) {
	t.Parallel()
	kvtest.RunHandles(t, func(_ testing.TB, n int) []kv.Store { return handles(memkv.New(), n) })
}

func TestOptimistic(t *testing.T) {
	t.Parallel()
	kvtest.RunHandles(t, func(_ testing.TB, n int) []kv.Store {
		return handles(memkv.Open(memkv.Options{Optimistic: true}), n)
	})
}
