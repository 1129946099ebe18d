package memo

import (
	"sync"
	"testing"
)

func TestCache(t *testing.T) {
	t.Parallel()
	c := New[string](1 << 20)
	k := Key{1, 2, 3}
	if _, ok, _ := c.Get(k); ok {
		t.Error("something is in an empty cache")
	}
	c.Put(k, "x", 1)
	if v, ok, old := c.Get(k); v != "x" || !ok || old {
		t.Error(v, ok, old)
	}
	if _, ok, _ := c.Get(Key{1, 2, 4}); ok {
		t.Error("another item is there")
	}
	c.Put(Key{9, 9, 9}, "large", 1<<20)
	if _, ok, _ := c.Get(Key{9, 9, 9}); ok {
		t.Error("what is larger than all others is kept")
	}
	// What is used stays, and memory has a limit.
	for i := range uint64(100_000) {
		c.Put(Key{1, i, 7}, "filler", 100)
		if v, ok, old := c.Get(k); !ok {
			t.Fatal("forgotten after", i)
		} else if old {
			c.Put(k, v, 1)
		}
	}
	n := 0
	for i := range c.shards {
		n += len(c.shards[i].young) + len(c.shards[i].old)
	}
	if limit := 1<<20/(100+overhead) + 2*shards; n > limit || n < limit/3 {
		t.Errorf("%d entries, the limit is %d", n, limit)
	}
}

func TestCacheAtOnce(t *testing.T) {
	t.Parallel()
	c := New[uint64](1 << 16)
	var wg sync.WaitGroup
	for g := range uint64(4) {
		wg.Go(func() {
			for i := range uint64(20_000) {
				k := Key{g % 2, i % 300, 0}
				if v, ok, _ := c.Get(k); ok && v != k.Account*1000+k.Message {
					t.Error(k, v)
				}
				c.Put(k, k.Account*1000+k.Message, 8)
			}
		})
	}
	wg.Wait()
}
