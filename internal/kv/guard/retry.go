package guard

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Pace: longest pause between two tries of a conflicting transaction, doubled from 2 ms.
const maxPause = 64 * time.Millisecond

// Retry runs attempt until it reports no conflict, at most attempts times (0:
// until ctx ends), with short random pauses. What attempt returns as err is
// returned unchanged.
func Retry(ctx context.Context, attempts int, attempt func() (conflict bool, err error)) error {
	for n := 1; ; n++ {
		conflict, err := attempt()
		if !conflict || n == attempts {
			return err
		}
		most := min(2*time.Millisecond<<min(n-1, 5), maxPause)
		pause := time.NewTimer(rand.N(most))
		select {
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("%w: %w", err, ctx.Err())
		case <-pause.C:
		}
	}
}
