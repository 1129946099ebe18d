// Package bustest is the suite that every bus passes. For tests only.
package bustest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/bus"
)

// Limit: time that a hint may take in a test.
const patience = 10 * time.Second

// Run runs the suite. open returns a fresh bus; the suite closes it.
func Run(t *testing.T, open func(t testing.TB) bus.Bus) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, bus.Bus)
	}{
		{"Topics", testTopics},
		{"Newest", testNewest},
		{"Resync", testResync},
		{"Cancel", testCancel},
		{"Close", testClose},
		{"Race", testRace},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			defer b.Close()
			c.run(t, b)
		})
	}
}

// until reads hints until one reaches modseq, and returns it.
func until(t *testing.T, ch <-chan bus.Hint, modseq uint64) bus.Hint {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case h, ok := <-ch:
			if !ok {
				t.Fatal("the channel was closed")
			}
			if h.Modseq >= modseq {
				return h
			}
		case <-timer.C:
			t.Fatalf("no hint of MODSEQ %d", modseq)
		}
	}
}

func closed(t *testing.T, ch <-chan bus.Hint) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case _, ok := <-ch:
			if !ok {
				return
			}
		case <-timer.C:
			t.Fatal("the channel stays open")
		}
	}
}

func testTopics(t *testing.T, b bus.Bus) {
	one, cancel1 := b.Subscribe(1)
	defer cancel1()
	again, cancel2 := b.Subscribe(1)
	defer cancel2()
	two, cancel3 := b.Subscribe(2)
	defer cancel3()
	b.Publish(t.Context(), bus.Hint{Topic: 1, Modseq: 5})
	b.Publish(t.Context(), bus.Hint{Topic: 3, Modseq: 6}) // nobody reads it
	b.Publish(t.Context(), bus.Hint{Topic: 2, Modseq: 7})
	for _, ch := range []<-chan bus.Hint{one, again} {
		if h := until(t, ch, 5); h.Topic != 1 || h.Modseq != 5 {
			t.Errorf("hint %+v", h)
		}
	}
	if h := until(t, two, 7); h.Topic != 2 || h.Modseq != 7 {
		t.Errorf("hint %+v", h)
	}
}

// testNewest: a reader that slept finds the newest hint, and no publisher waited for it.
func testNewest(t *testing.T, b bus.Bus) {
	ch, cancel := b.Subscribe(1)
	defer cancel()
	const n = 1000
	for i := range n {
		b.Publish(t.Context(), bus.Hint{Topic: 1, Modseq: uint64(i + 1)})
	}
	until(t, ch, n)
	b.Publish(t.Context(), bus.Hint{Topic: 1, Modseq: n + 1})
	until(t, ch, n+1)
}

// testResync: a resync is not lost behind a newer hint.
func testResync(t *testing.T, b bus.Bus) {
	ch, cancel := b.Subscribe(1)
	defer cancel()
	b.Publish(t.Context(), bus.Hint{Topic: 1, Resync: true})
	b.Publish(t.Context(), bus.Hint{Topic: 1, Modseq: 9})
	timer := time.NewTimer(patience)
	defer timer.Stop()
	resync := false
	for {
		select {
		case h := <-ch:
			resync = resync || h.Resync
			if h.Modseq == 9 {
				if !resync {
					t.Error("the resync was lost")
				}
				return
			}
		case <-timer.C:
			t.Fatal("no hint")
		}
	}
}

func testCancel(t *testing.T, b bus.Bus) {
	ch, cancel := b.Subscribe(1)
	other, cancelOther := b.Subscribe(1)
	defer cancelOther()
	cancel()
	closed(t, ch)
	cancel() // once more is harmless
	b.Publish(t.Context(), bus.Hint{Topic: 1, Modseq: 1})
	until(t, other, 1)
}

func testClose(t *testing.T, b bus.Bus) {
	ch, cancel := b.Subscribe(1)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	closed(t, ch)
	cancel()
	b.Publish(context.Background(), bus.Hint{Topic: 1, Modseq: 1})
	late, cancelLate := b.Subscribe(1)
	closed(t, late)
	cancelLate()
}

// testRace: readers come and go while others publish.
func testRace(t *testing.T, b bus.Bus) {
	var wg sync.WaitGroup
	for p := range 4 {
		wg.Go(func() {
			for i := range 200 {
				b.Publish(t.Context(), bus.Hint{Topic: bus.Topic(i % 3), Modseq: uint64(p*200 + i)})
			}
		})
		wg.Go(func() {
			for i := range 100 {
				ch, cancel := b.Subscribe(bus.Topic(i % 3))
				select {
				case <-ch:
				default:
				}
				cancel()
				closed(t, ch)
			}
		})
	}
	wg.Wait()
}
