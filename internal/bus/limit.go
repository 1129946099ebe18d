package bus

import (
	"context"
	"time"
)

// Rate is how much may happen: Limit at once, refilled evenly over Per. The
// zero Rate is no limit.
type Rate struct {
	Limit int64
	Per   time.Duration
}

// On tells whether the rate limits anything.
func (r Rate) On() bool { return r.Limit > 0 && r.Per > 0 }

// Hit is something that is about to happen N times, counted under a key of a
// kind. Kinds are few and fixed; keys come from outside.
type Hit struct {
	Kind, Key string
	N         int64
	Rate      Rate
}

// Limiter counts what happens, for all servers of an installation together.
// What it knows may be lost; it then forgives. It never blocks for long: a
// form that asks another machine answers by itself when that does not.
type Limiter interface {
	// Take counts all hits, or none of them if one is over its rate: then wait
	// is how long until it would not be (at least 1 ms), and over which hit it was.
	// A hit larger than its whole Limit counts as Limit. A negative N gives back
	// what was taken.
	Take(ctx context.Context, hits ...Hit) (wait time.Duration, over int)
}
