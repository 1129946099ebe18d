package redisbus_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/bus/redisbus"
	"github.com/eidermail/eider/test/harness"
)

// patient opens a bus that waits for Redis as long as a busy machine needs:
// with the usual times it would rightly count alone.
func patient(t *testing.T, spec string) *redisbus.Bus {
	t.Helper()
	o, err := redisbus.ParseSpec(spec)
	if err != nil {
		t.Fatal(err)
	}
	b, err := redisbus.Open(t.Context(), o.Patient(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestLimits: two processes count together, to the hit.
func TestLimits(t *testing.T) {
	t.Parallel()
	r := harness.StartRedis(t, 1)
	a, b := patient(t, r.URL()), patient(t, r.URL())
	defer a.Close()
	defer b.Close()
	never := membus.NewLimits(nil)
	both := []bus.Limiter{a.Limits(never), b.Limits(never)}
	hit := func(key string, n int64) bus.Hit {
		return bus.Hit{Kind: "k", Key: key, N: n, Rate: bus.Rate{Limit: 50, Per: time.Hour}}
	}
	var taken atomic.Int32
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			wait, over := both[i%2].Take(t.Context(), hit("a", 1))
			if wait == 0 {
				taken.Add(1)
			} else if over != 0 || wait > time.Hour/50 || wait < time.Hour/50-time.Minute {
				t.Errorf("wait %v over %d", wait, over)
			}
		})
	}
	wg.Wait()
	if n := taken.Load(); n != 50 {
		t.Errorf("%d of 50 were let through", n)
	}
	// All or none, and which one is over.
	if wait, over := both[0].Take(t.Context(), hit("b", 1), bus.Hit{Kind: "none", N: 9}, hit("a", 1)); wait == 0 || over != 2 {
		t.Errorf("wait %v over %d", wait, over)
	}
	if wait, _ := both[1].Take(t.Context(), hit("b", 50)); wait != 0 {
		t.Errorf("refused hits were counted: wait %v", wait)
	}
	// What is given back can be taken again, and time forgives.
	both[0].Take(t.Context(), hit("b", -2))
	if wait, _ := both[1].Take(t.Context(), hit("b", 2)); wait != 0 {
		t.Errorf("given back, yet wait %v", wait)
	}
	quick := bus.Hit{Kind: "q", Key: strings.Repeat("long ", 1000), N: 99, Rate: bus.Rate{Limit: 2, Per: 4 * time.Second}}
	if wait, _ := both[0].Take(t.Context(), quick); wait != 0 {
		t.Errorf("a large hit from a fresh start waits %v", wait)
	}
	quick.N = 1
	wait, _ := both[1].Take(t.Context(), quick)
	if wait <= 0 || wait > 2*time.Second {
		t.Fatalf("wait %v", wait)
	}
	time.Sleep(wait)
	if wait, _ := both[1].Take(t.Context(), quick); wait != 0 {
		t.Errorf("after the wait it waits %v", wait)
	}
	if got := never.Counted("k") + never.Counted("q"); got != 0 {
		t.Errorf("%d keys were counted alone", got)
	}
}

// TestLimitsAlone: without Redis each process counts, and nobody waits for it.
func TestLimitsAlone(t *testing.T) {
	t.Parallel()
	r := harness.StartRedis(t, 1)
	b := open(t, r.URL())
	defer b.Close()
	alone := membus.NewLimits(nil)
	l := b.Limits(alone)
	h := bus.Hit{Kind: "k", Key: "a", N: 1, Rate: bus.Rate{Limit: 5, Per: time.Hour}}
	l.Take(t.Context(), bus.Hit{Kind: "first", Key: "a", N: 1, Rate: h.Rate}) // connects, or is late
	r.Kill(r.Ports[0])
	begin, n := time.Now(), 0
	for range 1000 {
		if wait, _ := l.Take(t.Context(), h); wait == 0 {
			n++
		}
	}
	// Were each to wait for Redis, it would be 250 s.
	if took := time.Since(begin); n != 5 || took > 10*time.Second || alone.Counted("k") != 1 {
		t.Errorf("%d were let through in %v, %d counted alone", n, took, alone.Counted("k"))
	}
	r.Start(t, r.Ports[0])
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if wait, _ := l.Take(t.Context(), h); wait == 0 { // Redis forgot
			break
		}
		if time.Now().After(end) {
			t.Fatal("Redis is not asked again")
		}
	}
}
