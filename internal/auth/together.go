package auth

import (
	"context"
	"time"

	"github.com/eidermail/eider/internal/bus"
)

// together counts failed logins of all servers, beside each one's own
// throttle: who is turned away here is not let guess on at the neighbour.
// Whoever gives a right generated password is let in as ever.
type together struct{ limiter bus.Limiter }

// take counts a failure before it has happened; false: one more is not allowed.
func (t together) take(ctx context.Context, s slot, key string) bool {
	if t.limiter == nil {
		return true
	}
	wait, _ := t.limiter.Take(ctx, hits(s, key, 1)...)
	return wait == 0
}

// giveBack takes a take back.
func (t together) giveBack(ctx context.Context, s slot, key string) {
	if t.limiter != nil {
		t.limiter.Take(ctx, hits(s, key, -1)...)
	}
}

// hits are a failure of one peer at one account, and at any.
func hits(s slot, key string, n int64) []bus.Hit {
	peer := s.peer.String()
	return []bus.Hit{
		{Kind: "login", Key: peer + " " + key, N: n, Rate: bus.Rate{Limit: FailBurst, Per: FailBurst * FailEvery}},
		{Kind: "login-peer", Key: peer, N: n, Rate: bus.Rate{Limit: PeerBurst, Per: time.Duration(PeerBurst) * PeerEvery}},
	}
}
