package janitor

import (
	"context"
	"time"
)

const (
	// Pace: commits of others in a second from which on expiry holds back.
	busyRate = 20
	// Pace: share of the time that expiry takes while others work, when nothing is late.
	leastShare = 0.1
	// Pace: how late expiry is when it takes all the time, whoever else works.
	allTimeLag = time.Hour
	// Pace: the longest rest after one batch.
	maxRest = 5 * time.Second
)

// share is how much of the time expiry may take while others work. It grows with
// the square of the delay: a day's mail that falls due within a second is spread
// over minutes, while what keeps coming is taken as fast as it comes.
func share(late time.Duration) float64 {
	x := min(max(late, 0).Seconds()/allTimeLag.Seconds(), 1)
	return leastShare + (1-leastShare)*x*x
}

// pacer lets expiry give way to others.
type pacer struct {
	others func() int64 // commits of others so far; nil: there are none
	began  time.Time
	seen   int64
}

// begin notes the start of a batch.
func (p *pacer) begin() {
	p.began = time.Now()
	if p.others != nil {
		p.seen = p.others()
	}
}

// rest waits after a batch, if others worked beside it.
func (p *pacer) rest(ctx context.Context, late time.Duration) {
	took := time.Since(p.began)
	if p.others == nil || float64(p.others()-p.seen) < busyRate*took.Seconds() || took <= 0 {
		return
	}
	t := time.NewTimer(min(time.Duration(float64(took)*(1/share(late)-1)), maxRest))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
