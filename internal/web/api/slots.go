package api

import (
	"sync"

	"github.com/eidermail/eider/internal/mailstore"
)

// slots counts what an account holds open, and refuses one too many.
type slots struct {
	max  int
	mu   sync.Mutex
	used map[mailstore.AcctID]int
}

// take returns the function that gives the slot back, or false if there is none left.
func (s *slots) take(id mailstore.AcctID) (release func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used == nil {
		s.used = map[mailstore.AcctID]int{}
	}
	if s.used[id] >= s.max {
		return nil, false
	}
	s.used[id]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.used[id]--; s.used[id] <= 0 {
			delete(s.used, id)
		}
	}, true
}
