// Package indexcache keeps the few indexes of messages that were made anew
// last: those too large to be stored.
package indexcache

import (
	"sync"

	"github.com/eidermail/eider/internal/message"
)

// Pace: indexes too large for their row that are kept in memory.
const Max = 8

// Cache is used by many at once. The zero Cache is empty.
type Cache struct {
	mu   sync.Mutex
	list []cached // the newest last
}

type cached struct {
	acct, msg uint64
	index     *message.Index
}

// Find returns a message's index, nil if it is not there.
func (c *Cache) Find(acct, msg uint64) *message.Index {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.list {
		if e.acct == acct && e.msg == msg {
			return e.index
		}
	}
	return nil
}

// Keep keeps an index in place of the oldest.
func (c *Cache) Keep(acct, msg uint64, x *message.Index) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.list) >= Max {
		c.list = append(c.list[:0], c.list[1:]...)
	}
	c.list = append(c.list, cached{acct, msg, x})
}
