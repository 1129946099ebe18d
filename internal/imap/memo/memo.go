// Package memo keeps in memory what was worked out of things that never change:
// how a message's envelope is written, by what it is sorted. What is not used
// is forgotten first, and a limit of bytes holds.
package memo

import "sync"

// Key names something of a message.
type Key struct {
	Account, Message uint64
	Item             uint64 // what of it
}

// shards lets many connections look at once.
const shards = 16

// Cache keeps values by Key. All methods may be called at once.
type Cache[V any] struct {
	shards [shards]shard[V]
	limit  int // bytes of one generation of one shard
}

// shard has two generations: what is used comes into the young one, and when
// that is full the old one is forgotten and it becomes old itself.
type shard[V any] struct {
	mu         sync.Mutex
	young, old map[Key]V
	bytes      int
}

// New returns a Cache of about so many bytes.
func New[V any](bytes int) *Cache[V] { return &Cache[V]{limit: bytes / shards / 2} }

func (c *Cache[V]) shard(k Key) *shard[V] {
	return &c.shards[(k.Message^k.Account>>7^k.Item)%shards]
}

// Get finds a value. What is only in the old generation must be Put again to
// stay: old says so.
func (c *Cache[V]) Get(k Key) (v V, ok, old bool) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok = s.young[k]; ok {
		return v, true, false
	}
	v, ok = s.old[k]
	return v, ok, ok
}

// overhead is about what an entry costs beside its value.
const overhead = 96

// Put keeps a value that has so many bytes.
func (c *Cache[V]) Put(k Key, v V, bytes int) {
	bytes += overhead
	if bytes > c.limit/8 {
		return
	}
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes+bytes > c.limit {
		s.old, s.young, s.bytes = s.young, nil, 0
	}
	if s.young == nil {
		s.young = make(map[Key]V)
	}
	s.young[k] = v
	s.bytes += bytes
}
