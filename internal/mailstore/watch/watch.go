// Package watch wakes those who wait for a change of an account: at each hint
// of the bus, and every PollEvery in any case, so that nothing depends on the bus.
package watch

import (
	"sync"
	"time"

	"github.com/eidermail/eider/internal/bus"
)

// PollEvery is how long a watcher waits at most where no hint comes.
const PollEvery = 30 * time.Second

// Hub tells watchers that their account may have changed.
type Hub struct {
	bus     bus.Bus
	mu      sync.Mutex
	accts   map[uint64]*watched
	polling chan struct{} // closed to end the poller; nil while there is none
}

// watched is an account with its watchers.
type watched struct {
	watchers map[*watcher]struct{}
	cancel   func() // ends the subscription
}

// watcher is what one of them wants to be done.
type watcher struct{ wake func() }

// New returns a Hub; without a bus it only polls.
func New(b bus.Bus) *Hub { return &Hub{bus: b, accts: make(map[uint64]*watched)} }

// pollSlots spreads the accounts over PollEvery, so that not all watchers read
// the store in the same moment.
const pollSlots = 30

// Watch returns a channel that gets a value soon after the account changed,
// and at least every PollEvery; readers then call Changes. A slow reader
// misses values but never the last one. cancel closes the channel.
func (h *Hub) Watch(id uint64) (changed <-chan struct{}, cancel func()) {
	ch := make(chan struct{}, 1)
	leave := h.Call(id, func() {
		select {
		case ch <- struct{}{}:
		default: // it has one waiting, and will read what is newest
		}
	})
	var once sync.Once
	return ch, func() { once.Do(func() { leave(); close(ch) }) }
}

// Call is Watch for one who has no goroutine that waits: it calls wake, which
// must not wait for anything, until cancel has returned.
func (h *Hub) Call(id uint64, wake func()) (cancel func()) {
	one := &watcher{wake}
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.accts[id]
	if w == nil {
		w = &watched{watchers: make(map[*watcher]struct{})}
		h.accts[id] = w
		h.subscribe(id, w)
	}
	w.watchers[one] = struct{}{}
	if h.polling == nil {
		h.polling = make(chan struct{})
		go h.poll(h.polling)
	}
	return func() { h.leave(id, one) }
}

// subscribe starts the one goroutine that an account's watchers share; it ends
// with the subscription.
func (h *Hub) subscribe(id uint64, w *watched) {
	w.cancel = func() {}
	if h.bus == nil {
		return
	}
	hints, cancel := h.bus.Subscribe(bus.Topic(id))
	w.cancel = cancel
	go func() {
		for range hints {
			h.signal(id)
		}
	}()
}

// signal wakes an account's watchers.
func (h *Hub) signal(id uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w := h.accts[id]; w != nil {
		w.signal()
	}
}

func (w *watched) signal() {
	for one := range w.watchers {
		one.wake()
	}
}

func (h *Hub) leave(id uint64, one *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.accts[id]
	if w == nil {
		return // it has left
	}
	delete(w.watchers, one)
	if len(w.watchers) > 0 {
		return
	}
	delete(h.accts, id)
	w.cancel()
	if len(h.accts) == 0 {
		close(h.polling)
		h.polling = nil
	}
}

// poll wakes each account's watchers every PollEvery, one slot of accounts at a time.
func (h *Hub) poll(end chan struct{}) {
	tick := time.NewTicker(PollEvery / pollSlots)
	defer tick.Stop()
	for slot := uint64(0); ; slot = (slot + 1) % pollSlots {
		select {
		case <-end:
			return
		case <-tick.C:
		}
		h.mu.Lock()
		for id, w := range h.accts {
			if id%pollSlots == slot {
				w.signal()
			}
		}
		h.mu.Unlock()
	}
}
