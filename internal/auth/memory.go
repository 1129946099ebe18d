package auth

import (
	"net/netip"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
)

// Limit: (peer, account) pairs whose failed logins are counted; beyond it old ones are forgotten.
const MaxThrottled = 65_536

// Limit: failed logins of one peer to one account before it must wait.
const FailBurst = 10

// Limit: time between further failed logins of one peer to one account.
const FailEvery = 5 * time.Second

// Limit: failed logins of one peer to any accounts before it must wait.
const PeerBurst = 60

// Limit: time between further failed logins of one peer to any accounts.
const PeerEvery = time.Second

// Limit: pairs of login and password whose check is remembered.
const MaxMemos = 16_384

// memoLife is how long the outcome of a check is remembered. A password
// changed meanwhile ends it at once.
const memoLife = time.Minute

// slot is who is throttled. Without an account it is for all of a peer's failures.
type slot struct {
	peer netip.Addr
	acct memoKey
}

// pace is how many failures a slot may have, and how fast they are forgiven.
func (s slot) pace() (burst, every time.Duration) {
	if s.acct == (memoKey{}) {
		return PeerBurst, PeerEvery
	}
	return FailBurst, FailEvery
}

// throttle counts failures: a generic cell rate algorithm, one time per slot.
type throttle struct {
	mu    sync.Mutex
	until map[slot]time.Time // when all failures are forgiven
}

func newThrottle() *throttle { return &throttle{until: map[slot]time.Time{}} }

// blocked tells whether another failure would be refused.
func (t *throttle) blocked(s slot, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	burst, every := s.pace()
	return t.until[s].Sub(now) > (burst-1)*every
}

// take counts a failure before it has happened, so that many at once do not
// slip through. It tells whether one more was allowed.
func (t *throttle) take(s slot, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	burst, every := s.pace()
	u := t.until[s]
	if u.Sub(now) > (burst-1)*every {
		return false
	}
	if u.Before(now) {
		if u.IsZero() && len(t.until) >= MaxThrottled {
			shrink(t.until, func(u time.Time) bool { return u.Before(now) })
		}
		u = now
	}
	t.until[s] = u.Add(every)
	return true
}

// giveBack takes a take back.
func (t *throttle) giveBack(s slot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u, ok := t.until[s]; ok {
		_, every := s.pace()
		t.until[s] = u.Add(-every)
	}
}

// clear forgives: the right password was given.
func (t *throttle) clear(s slot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.until, s)
}

// memoKey is the keyed hash of a login and a password.
type memoKey [16]byte

// verdict is the outcome of a check: acct is 0 where there was no account.
type verdict struct {
	acct  mailstore.AcctID
	epoch uint32 // CredEpoch that was checked against
	good  bool
	until time.Time
}

// memory remembers verdicts for a moment.
type memory struct {
	mu sync.Mutex
	m  map[memoKey]verdict
}

func newMemory() *memory { return &memory{m: map[memoKey]verdict{}} }

func (c *memory) get(k memoKey, now time.Time) (verdict, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.m[k]
	return v, ok && now.Before(v.until)
}

func (c *memory) put(k memoKey, v verdict, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.m[k]; !ok && len(c.m) >= MaxMemos {
		shrink(c.m, func(v verdict) bool { return !now.Before(v.until) })
	}
	c.m[k] = v
}

func (c *memory) drop(k memoKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.m, k)
}

// shrink makes room in a full table: it drops what is over, and if that is
// less than an eighth, others at random. Its cost is spread over the entries
// that then fit.
func shrink[K comparable, V any](m map[K]V, over func(V) bool) {
	want := len(m) - len(m)/8
	for k, v := range m {
		if over(v) {
			delete(m, k)
		}
	}
	for k := range m {
		if len(m) <= want {
			break
		}
		delete(m, k)
	}
}
