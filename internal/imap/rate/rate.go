// Package rate bounds the commands that one IMAP session sends. A session that
// is over its rate is made to wait, neither refused nor cut off, so that no
// loop of valid commands keeps the server busy all by itself.
package rate

import (
	"context"
	"time"
)

// Limit: IMAP commands that one session may send at once; then PerSecond holds.
// A client that asks for thousands of messages one by one does not come so far.
const Burst = 10_000

// Limit: commands a second that one IMAP session may send when its Burst is
// spent; the next ones wait.
const PerSecond = 2_000

// Pace: how long an IMAP session waits that is over its rate: so long that the
// answers of some hundred commands still go out together.
const Pause = 100 * time.Millisecond

// Count counts the commands of a session.
type Count struct {
	// due is when all commands would have come if they had come at PerSecond.
	due time.Time
}

// Take counts a command, and tells whether it must wait.
func (c *Count) Take(now time.Time) bool {
	const each = time.Second / PerSecond
	if c.due.Before(now) {
		c.due = now
	}
	c.due = c.due.Add(each)
	return c.due.Sub(now) > Burst*each
}

// Wait waits as long as one Pause, and no longer than ctx lasts.
func Wait(ctx context.Context) error {
	pause := time.NewTimer(Pause)
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
