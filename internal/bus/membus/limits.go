package membus

import (
	"context"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/bus"
)

// Limit: keys of one kind that are counted; beyond it those nearest to being forgiven are forgotten.
const MaxCounted = 65_536

// Limits is a bus.Limiter inside one process: the generic cell rate algorithm,
// one time for each key.
type Limits struct {
	now func() time.Time

	mu    sync.Mutex
	kinds map[string]map[string]time.Time // when all is forgiven
}

var _ bus.Limiter = (*Limits)(nil)

// NewLimits returns Limits that have counted nothing; now is time.Now if nil.
func NewLimits(now func() time.Time) *Limits {
	if now == nil {
		now = time.Now
	}
	return &Limits{now: now, kinds: map[string]map[string]time.Time{}}
}

// Take counts all hits or none.
func (l *Limits) Take(_ context.Context, hits ...bus.Hit) (wait time.Duration, over int) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, h := range hits {
		if !h.Rate.On() || h.N <= 0 {
			continue
		}
		if d := l.after(h, now).Sub(now) - h.Rate.Per; d > 0 {
			if wait = max(wait, d, time.Millisecond); wait == d || over == 0 {
				over = i
			}
		}
	}
	if wait > 0 {
		return wait, over
	}
	for _, h := range hits {
		if h.Rate.On() {
			l.put(h, now)
		}
	}
	return 0, 0
}

// after is when all is forgiven if h is counted.
func (l *Limits) after(h bus.Hit, now time.Time) time.Time {
	until := l.kinds[h.Kind][h.Key]
	if until.Before(now) {
		until = now
	}
	n := min(h.N, h.Rate.Limit)
	// In floating point: n × Per does not fit an integer for bytes and days.
	return until.Add(time.Duration(float64(h.Rate.Per) * (float64(n) / float64(h.Rate.Limit))))
}

func (l *Limits) put(h bus.Hit, now time.Time) {
	keys := l.kinds[h.Kind]
	if keys == nil {
		keys = map[string]time.Time{}
		l.kinds[h.Kind] = keys
	}
	if _, ok := keys[h.Key]; !ok && len(keys) >= MaxCounted {
		shrink(keys, now)
	}
	keys[h.Key] = l.after(h, now)
}

// shrink forgets what is forgiven, and if that is less than an eighth, those
// that owe least: whoever fills the table does not empty the worst from it.
func shrink(keys map[string]time.Time, now time.Time) {
	want := len(keys) - len(keys)/8
	least := now
	for d := time.Second; len(keys) > want; d *= 4 {
		for k, until := range keys {
			if !until.After(least) {
				delete(keys, k)
			}
		}
		least = now.Add(d)
	}
}

// Counted is how many keys of a kind are kept.
func (l *Limits) Counted(kind string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.kinds[kind])
}
