package pebblekv

import (
	"fmt"
	"testing"
	"time"
)

// TestManyBadBlocks: so many damaged blocks are remembered, the oldest goes first.
func TestManyBadBlocks(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	b := &badBlocks{now: func() time.Time { return now }}
	for i := range maxBadBlocks + 1 {
		now = now.Add(time.Millisecond)
		b.note(fmt.Errorf("file 000007 is bad: block %d/100", i))
		if want := min(i+1, maxBadBlocks); len(b.at) != want {
			t.Fatalf("of %d blocks %d are remembered", i+1, len(b.at))
		}
	}
	for offset, bad := range map[int64]bool{0: false, 1: true, maxBadBlocks: true} {
		if err := b.check("000007", offset, 100+blockTrailer); (err != nil) != bad {
			t.Errorf("block %d: %v", offset, err)
		}
	}
}
