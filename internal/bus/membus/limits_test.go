package membus_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/bus/membus"
)

// clock is a time that a test moves.
type clock struct{ t atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.t.Load()) }
func (c *clock) advance(d time.Duration) { c.t.Add(int64(d)) }

func hit(kind, key string, n, limit int64, per time.Duration) bus.Hit {
	return bus.Hit{Kind: kind, Key: key, N: n, Rate: bus.Rate{Limit: limit, Per: per}}
}

func TestLimits_Take(t *testing.T) {
	t.Parallel()
	c := &clock{}
	l := membus.NewLimits(c.now)
	h := hit("k", "a", 1, 10, 10*time.Second)
	for i := range 10 {
		if wait, _ := l.Take(t.Context(), h); wait != 0 {
			t.Fatalf("hit %d waits %v", i, wait)
		}
	}
	if wait, _ := l.Take(t.Context(), h); wait != time.Second {
		t.Errorf("the eleventh waits %v, want 1s", wait)
	}
	if wait, _ := l.Take(t.Context(), hit("k", "b", 1, 10, 10*time.Second)); wait != 0 {
		t.Errorf("another key waits %v", wait)
	}
	c.advance(time.Second)
	if wait, _ := l.Take(t.Context(), h); wait != 0 {
		t.Errorf("a second later it waits %v", wait)
	}
	if wait, _ := l.Take(t.Context(), bus.Hit{Kind: "k", Key: "a", N: 1 << 40}); wait != 0 {
		t.Errorf("no rate, yet it waits %v", wait)
	}
}

// One hit over its rate counts none of them, and is the one that is named.
func TestLimits_AllOrNone(t *testing.T) {
	t.Parallel()
	c := &clock{}
	l := membus.NewLimits(c.now)
	one, two := hit("one", "a", 1, 5, time.Minute), hit("two", "a", 1, 1, time.Hour)
	if wait, _ := l.Take(t.Context(), one, two); wait != 0 {
		t.Fatal(wait)
	}
	for range 20 {
		if wait, over := l.Take(t.Context(), one, two); wait <= 0 || over != 1 {
			t.Fatalf("wait %v over %d", wait, over)
		}
	}
	for i := range 4 {
		if wait, _ := l.Take(t.Context(), one); wait != 0 {
			t.Fatalf("refused hits were counted: %d waits %v", i, wait)
		}
	}
}

// Bytes of a day: what is larger than all of it goes once, from a fresh start.
func TestLimits_Large(t *testing.T) {
	t.Parallel()
	c := &clock{}
	l := membus.NewLimits(c.now)
	h := hit("bytes", "a", 5<<40, 1<<30, 24*time.Hour)
	if wait, _ := l.Take(t.Context(), h); wait != 0 {
		t.Fatal(wait)
	}
	h.N = 1 << 20
	wait, _ := l.Take(t.Context(), h)
	if wait < time.Minute || wait > 2*time.Minute {
		t.Errorf("1 MiB of 1 GiB a day waits %v, want about 84s", wait)
	}
}

// A flood of keys costs bounded memory and does not make the worst be forgotten.
func TestLimits_Bounded(t *testing.T) {
	t.Parallel()
	c := &clock{}
	l := membus.NewLimits(c.now)
	worst := hit("k", "worst", 50, 50, time.Hour)
	l.Take(t.Context(), worst)
	for i := range 4 * membus.MaxCounted {
		l.Take(t.Context(), hit("k", fmt.Sprint(i), 1, 50, time.Hour))
	}
	if n := l.Counted("k"); n > membus.MaxCounted {
		t.Errorf("%d keys are kept, at most %d", n, membus.MaxCounted)
	}
	worst.N = 1
	if wait, _ := l.Take(t.Context(), worst); wait == 0 {
		t.Error("the worst was forgotten")
	}
}

func TestLimits_Concurrent(t *testing.T) {
	t.Parallel()
	c := &clock{}
	l := membus.NewLimits(c.now)
	var wg sync.WaitGroup
	var took atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if wait, _ := l.Take(t.Context(), hit("k", "a", 1, 500, time.Hour)); wait == 0 {
					took.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if took.Load() != 500 {
		t.Errorf("%d were let in, want 500", took.Load())
	}
}

func BenchmarkLimits(b *testing.B) {
	l := membus.NewLimits(nil)
	hits := []bus.Hit{hit("a", "x", 1, 1<<40, time.Hour), hit("b", "y", 1, 1<<40, time.Hour)}
	b.ReportAllocs()
	for b.Loop() {
		l.Take(b.Context(), hits...)
	}
}
