package mailstore

import (
	"sync"
	"time"

	"github.com/eidermail/eider/internal/bus"
)

// hub tells watchers that their account may have changed: at each hint of the
// bus, and every PollEvery in any case, so that nothing depends on the bus.
type hub struct {
	bus     bus.Bus
	mu      sync.Mutex
	accts   map[AcctID]*watched
	polling chan struct{} // closed to end the poller; nil while there is none
}

// watched is an account with its watchers.
type watched struct {
	chans  map[chan struct{}]struct{}
	cancel func() // ends the subscription
}

func newHub(b bus.Bus) *hub { return &hub{bus: b, accts: make(map[AcctID]*watched)} }

// pollSlots spreads the accounts over PollEvery, so that not all watchers read
// the store in the same moment.
const pollSlots = 30

// Watch returns a channel that gets a value soon after the account changed,
// and at least every PollEvery; readers then call Changes. A slow reader
// misses values but never the last one. cancel closes the channel.
func (s *Store) Watch(id AcctID) (changed <-chan struct{}, cancel func()) {
	ch := make(chan struct{}, 1)
	h := s.watch
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.accts[id]
	if w == nil {
		w = &watched{chans: make(map[chan struct{}]struct{})}
		h.accts[id] = w
		h.subscribe(id, w)
	}
	w.chans[ch] = struct{}{}
	if h.polling == nil {
		h.polling = make(chan struct{})
		go h.poll(h.polling)
	}
	var once sync.Once
	return ch, func() { once.Do(func() { h.leave(id, ch) }) }
}

// subscribe starts the one goroutine that an account's watchers share; it ends
// with the subscription.
func (h *hub) subscribe(id AcctID, w *watched) {
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
func (h *hub) signal(id AcctID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w := h.accts[id]; w != nil {
		w.signal()
	}
}

func (w *watched) signal() {
	for ch := range w.chans {
		select {
		case ch <- struct{}{}:
		default: // it has one waiting, and will read what is newest
		}
	}
}

func (h *hub) leave(id AcctID, ch chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.accts[id]
	delete(w.chans, ch)
	close(ch)
	if len(w.chans) > 0 {
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
func (h *hub) poll(end chan struct{}) {
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
			if uint64(id)%pollSlots == slot {
				w.signal()
			}
		}
		h.mu.Unlock()
	}
}
