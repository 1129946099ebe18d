package bustest

import (
	"testing"

	"github.com/eidermail/eider/internal/bus"
)

// RunShared runs the suite of a bus between processes. open returns the buses
// of two of them; the suite closes both.
func RunShared(t *testing.T, open func(t testing.TB) (a, b bus.Bus)) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, bus.Bus, bus.Bus)
	}{
		{"Both", testBoth},
		{"NewestOfOther", testNewestOfOther},
		{"ResyncOfOther", testResyncOfOther},
		{"OneGoes", testOneGoes},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, b := open(t)
			defer a.Close()
			defer b.Close()
			c.run(t, a, b)
		})
	}
}

// testBoth: hints come to both, and to their topic only.
func testBoth(t *testing.T, a, b bus.Bus) {
	near, cancel1 := a.Subscribe(7)
	defer cancel1()
	far, cancel2 := b.Subscribe(7)
	defer cancel2()
	other, cancel3 := b.Subscribe(8)
	defer cancel3()
	a.Publish(t.Context(), bus.Hint{Topic: 7, Modseq: 5})
	for _, ch := range []<-chan bus.Hint{near, far} {
		if h := until(t, ch, 5); h.Topic != 7 || h.Modseq != 5 || h.Resync {
			t.Errorf("hint %+v", h)
		}
	}
	b.Publish(t.Context(), bus.Hint{Topic: 7, Modseq: 6})
	until(t, near, 6)
	until(t, far, 6)
	a.Publish(t.Context(), bus.Hint{Topic: bus.Nodes, Modseq: 1}) // nobody reads it
	a.Publish(t.Context(), bus.Hint{Topic: 8, Modseq: 9})
	if h := until(t, other, 1); h.Topic != 8 || h.Modseq != 9 {
		t.Errorf("hint %+v", h)
	}
	if err := a.Err(); err != nil {
		t.Errorf("the bus is not well: %v", err)
	}
}

func testNewestOfOther(t *testing.T, a, b bus.Bus) {
	far, cancel := b.Subscribe(1)
	defer cancel()
	const n = 5000
	for i := range n {
		a.Publish(t.Context(), bus.Hint{Topic: 1, Modseq: uint64(i + 1)})
		a.Publish(t.Context(), bus.Hint{Topic: bus.Topic(i + 2), Modseq: 1})
	}
	until(t, far, n)
}

func testResyncOfOther(t *testing.T, a, b bus.Bus) {
	far, cancel := b.Subscribe(1)
	defer cancel()
	a.Publish(t.Context(), bus.Hint{Topic: 1, Resync: true, Modseq: 3})
	a.Publish(t.Context(), bus.Hint{Topic: 1, Modseq: 4})
	resync := false
	for h := (bus.Hint{}); h.Modseq < 4; {
		h = until(t, far, 3)
		resync = resync || h.Resync
	}
	if !resync {
		t.Error("the resync was lost")
	}
}

// testOneGoes: what a process said last is not lost when it ends.
func testOneGoes(t *testing.T, a, b bus.Bus) {
	far, cancel := b.Subscribe(1)
	defer cancel()
	a.Publish(t.Context(), bus.Hint{Topic: 1, Modseq: 5})
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	until(t, far, 5)
	b.Publish(t.Context(), bus.Hint{Topic: 1, Modseq: 6})
	until(t, far, 6)
}
