package faces

import (
	"context"
	"sync"

	"github.com/eidermail/eider/internal/mailstore"
)

// Pace: answers of the faces of other catchers with messages in them that one
// account is sent at once; more wait. They are read while they are sent.
const AnswersAtOnce = 8

// Pace: searches of the faces of other catchers under way at once for one account; more wait.
const SearchesAtOnce = 4

// Pace: searches of the faces of other catchers under way at once; more wait.
const AllSearches = 16

// Pace: messages that one account stores at once by Mailpit's API; more wait.
const SendsAtOnce = 2

// Pace: messages that are stored at once by Mailpit's API, each of which is in memory; more wait.
const AllSends = 4

// turns lets so many at once begin, of one account and of all; the others wait.
type turns struct {
	each, all int // all: 0 is any number

	mu    sync.Mutex
	used  map[mailstore.AcctID]int
	total int
	ended chan struct{} // closed when a turn ends
}

func newTurns(each, all int) *turns {
	return &turns{each: each, all: all, used: map[mailstore.AcctID]int{}, ended: make(chan struct{})}
}

// take waits for a turn, for as long as ctx lives, and returns what ends it.
func (t *turns) take(ctx context.Context, id mailstore.AcctID) (end func(), err error) {
	for {
		wait := t.try(id)
		if wait == nil {
			return func() { t.end(id) }, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// try takes a turn, or returns what tells that it is worth trying again.
func (t *turns) try(id mailstore.AcctID) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used[id] >= t.each || t.all > 0 && t.total >= t.all {
		return t.ended
	}
	t.used[id]++
	t.total++
	return nil
}

func (t *turns) end(id mailstore.AcctID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total--
	if t.used[id]--; t.used[id] <= 0 {
		delete(t.used, id)
	}
	close(t.ended)
	t.ended = make(chan struct{})
}
