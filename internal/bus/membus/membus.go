// Package membus is the bus inside one process. It loses nothing but what a
// slow reader no longer needs: of several hints about a topic only the newest
// waits for it.
package membus

import (
	"context"
	"sync"

	"github.com/eidermail/eider/internal/bus"
)

// Bus is a bus.Bus.
type Bus struct {
	mu     sync.RWMutex
	topics map[bus.Topic]map[*reader]struct{} // nil once closed
}

var _ bus.Bus = (*Bus)(nil)

// reader is one subscription.
type reader struct {
	mu     sync.Mutex
	ch     chan bus.Hint
	closed bool
}

// New returns a Bus without subscriptions.
func New() *Bus { return &Bus{topics: map[bus.Topic]map[*reader]struct{}{}} }

// Publish hands the hint to everyone who reads its topic, and never blocks.
func (b *Bus) Publish(_ context.Context, h bus.Hint) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for r := range b.topics[h.Topic] {
		r.offer(h)
	}
}

// offer leaves h for the reader, joined with what still waits for it.
func (r *reader) offer(h bus.Hint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	select {
	case old := <-r.ch:
		// Reading up to the newer MODSEQ makes up for the older hint, but
		// nothing makes up for a resync.
		h.Modseq = max(h.Modseq, old.Modseq)
		h.Resync = h.Resync || old.Resync
	default:
	}
	r.ch <- h // there is room: only offer sends
}

func (r *reader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		close(r.ch)
	}
}

// Subscribe returns a channel of hints about topic. On a closed bus the
// channel is closed.
func (b *Bus) Subscribe(topic bus.Topic) (<-chan bus.Hint, func()) {
	r := &reader{ch: make(chan bus.Hint, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.topics == nil {
		r.close()
		return r.ch, func() {}
	}
	if b.topics[topic] == nil {
		b.topics[topic] = map[*reader]struct{}{}
	}
	b.topics[topic][r] = struct{}{}
	return r.ch, func() { b.cancel(topic, r) }
}

func (b *Bus) cancel(topic bus.Topic, r *reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if readers := b.topics[topic]; readers != nil {
		delete(readers, r)
		if len(readers) == 0 {
			delete(b.topics, topic)
		}
	}
	r.close()
}

// Topics are those that somebody reads.
func (b *Bus) Topics() []bus.Topic {
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := make([]bus.Topic, 0, len(b.topics))
	for t := range b.topics {
		out = append(out, t)
	}
	return out
}

// Err is nil: there are no other processes.
func (b *Bus) Err() error { return nil }

// Close ends all subscriptions.
func (b *Bus) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, readers := range b.topics {
		for r := range readers {
			r.close()
		}
	}
	b.topics = nil
	return nil
}
