package node_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/node"
)

// world is three servers on one store, each with a way to it of its own.
type world struct {
	nodes [3]*node.Node
	ways  [3]*faultkv.Store
	buses [3]*membus.Bus
	end   func()
}

func newWorld(t *testing.T, shareBus bool) *world { return newWorldOn(t, memkv.New(), shareBus) }

func newWorldOn(t *testing.T, store *memkv.Store, shareBus bool) *world {
	t.Helper()
	w := &world{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 3)
	for i := range w.nodes {
		w.buses[i] = membus.New()
		if shareBus {
			w.buses[i] = w.buses[0]
		}
		w.ways[i] = faultkv.Wrap(store.Handle(), 1)
		w.nodes[i] = node.New(ctx, node.Options{KV: w.ways[i], Bus: w.buses[i], Name: fmt.Sprint("n", i), Version: "v1", Shared: true})
		go func() { done <- w.nodes[i].Run(ctx) }()
	}
	w.end = func() {
		cancel()
		for range w.nodes {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	return w
}

// unready is which servers are not ready.
func (w *world) unready() string {
	var out []string
	for i, n := range w.nodes {
		if !n.State().Ready {
			out = append(out, fmt.Sprint(i))
		}
	}
	return strings.Join(out, ",")
}

// watch returns when each set of servers was seen to be unready, to a tenth of a second.
func (w *world) watch(t *testing.T, d time.Duration, want func(time.Duration, string) bool) {
	t.Helper()
	begin := time.Now()
	for time.Since(begin) < d {
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if since, u := time.Since(begin), w.unready(); !want(since, u) {
			t.Fatalf("after %v: unready %q; %q", since, u, w.nodes[0].State().Text)
		}
	}
}

func TestAFailoverIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, true)
		defer w.end()
		w.watch(t, 10*time.Second, func(_ time.Duration, u string) bool { return u == "" })
		for i, s := range w.ways {
			time.Sleep(time.Duration(i) * 30 * time.Millisecond) // they do not notice in one moment
			s.Away(true)
		}
		w.watch(t, 25*time.Second, func(d time.Duration, u string) bool {
			return u == "" && (d < 3*time.Second || w.nodes[1].State().Degraded)
		})
		// They come back one after the other, as after a failover.
		for _, s := range w.ways {
			s.Away(false)
			w.watch(t, 600*time.Millisecond, func(_ time.Duration, u string) bool { return u == "" })
		}
		w.watch(t, 5*time.Second, func(_ time.Duration, u string) bool { return u == "" })
		if s := w.nodes[0].State(); s.Text != "ok" || s.Degraded {
			t.Errorf("afterwards: %+v", s)
		}
	})
}

func TestAStoreThatStaysAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, true)
		defer w.end()
		time.Sleep(time.Second)
		for _, s := range w.ways {
			s.Away(true)
		}
		w.watch(t, time.Minute, func(d time.Duration, u string) bool {
			switch {
			case d < node.AwayTime-node.BeatEvery:
				return u == ""
			case d > node.AwayTime+time.Second:
				return u == "0,1,2"
			}
			return true
		})
		for _, s := range w.ways {
			s.Away(false)
		}
		w.watch(t, 5*time.Second, func(d time.Duration, u string) bool { return d < time.Second || u == "" })
	})
}

// TestOneIsCutOff: the one that alone cannot commit says so within seconds.
func TestOneIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, true)
		defer w.end()
		time.Sleep(3 * time.Second)
		w.ways[1].Away(true)
		w.watch(t, time.Minute, func(d time.Duration, u string) bool {
			switch {
			case d < node.AloneTime:
				return u == ""
			case d > node.AloneTime+2*node.BeatEvery+time.Second:
				return u == "1"
			}
			return u == "" || u == "1"
		})
		w.ways[1].Away(false)
		w.watch(t, 5*time.Second, func(d time.Duration, u string) bool { return d < time.Second || u == "" })
	})
}

// TestCutOffFromAll: without the bus a server cannot know that it is alone, and waits.
func TestCutOffFromAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		defer w.end()
		time.Sleep(3 * time.Second)
		w.ways[1].Away(true)
		w.watch(t, 40*time.Second, func(d time.Duration, u string) bool {
			switch {
			case d < node.AwayTime-node.BeatEvery:
				return u == ""
			case d > node.AwayTime+time.Second:
				return u == "1"
			}
			return true
		})
	})
}

// full is a store in which no heartbeat finds a place.
type full struct{ kv.Store }

func (full) Update(ctx context.Context, _ [][]byte, _ func(kv.Tx) error, _ ...kv.Option) error {
	<-ctx.Done()
	return fmt.Errorf("%w: all connections are busy (%w)", kv.ErrUnavailable, ctx.Err())
}

// TestACrowd: a heartbeat that has no turn among the commits of its process says
// nothing about the store.
func TestACrowd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var commits atomic.Bool
		commits.Store(true)
		n := node.New(t.Context(), node.Options{KV: full{memkv.New()}, Bus: membus.New(), Shared: true, Committed: func() time.Time {
			if commits.Load() {
				return time.Now()
			}
			return time.Time{}
		}})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Run(ctx) }()
		for range 60 {
			time.Sleep(time.Second)
			if s := n.State(); !s.Ready {
				t.Fatalf("while commits are taken: %+v", s)
			}
		}
		commits.Store(false)
		time.Sleep(node.AwayTime + 2*node.AttemptTime)
		if n.State().Ready {
			t.Error("without commits it is ready still")
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestAClockThatGoesBack: what was heard by a clock that was ahead does not make
// a failover look as if others could commit.
func TestAClockThatGoesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Int64
		w := newWorldOn(t, memkv.Open(memkv.Options{Now: func() time.Time {
			return time.Now().Add(-time.Duration(back.Load()))
		}}), true)
		defer w.end()
		time.Sleep(10 * time.Second)
		back.Store(int64(20 * time.Second))
		time.Sleep(5 * time.Second)
		for _, s := range w.ways {
			s.Away(true)
		}
		w.watch(t, 20*time.Second, func(_ time.Duration, u string) bool { return u == "" })
	})
}

func TestSkewedClock(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{75 * time.Second, -2 * time.Hour} {
		store := memkv.Open(memkv.Options{Now: func() time.Time { return time.Now().Add(-off) }})
		n := node.New(t.Context(), node.Options{KV: store, Bus: membus.New()})
		s := n.State()
		if d := n.Skew() - off; !s.Ready || !s.Degraded || !strings.Contains(s.Text, "clock") || d.Abs() > time.Second {
			t.Errorf("%v: %+v, skew %v", off, s, n.Skew())
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, true)
		list := func() []string {
			all, err := node.List(t.Context(), w.ways[0])
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, n := range all {
				if n.Version != "v1" || time.Since(n.Started) > time.Hour {
					t.Errorf("%+v", n)
				}
				names = append(names, n.Name)
			}
			slices.Sort(names)
			return names
		}
		time.Sleep(time.Second)
		if got := list(); !slices.Equal(got, []string{"n0", "n1", "n2"}) {
			t.Errorf("listed: %v", got)
		}
		w.ways[2].Away(true) // killed: its row is swept by others
		time.Sleep(2 * node.ForgetAfter)
		if got := list(); !slices.Equal(got, []string{"n0", "n1"}) {
			t.Errorf("after a while: %v", got)
		}
		w.end() // a clean end takes the row away
		if got := list(); len(got) != 0 {
			t.Errorf("after the end: %v", got)
		}
	})
}

// TestList_Many: a list ends at MaxNodes, whatever rows there are.
func TestList_Many(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, true)
		time.Sleep(time.Second)
		var value []byte
		for it, err := range w.ways[0].Scan(t.Context(), kv.Prefix([]byte{row.TagNode})) {
			if err != nil {
				t.Fatal(err)
			}
			value = it.Value
		}
		if err := w.ways[0].Update(t.Context(), nil, func(tx kv.Tx) error {
			for i := range node.MaxNodes + 1 {
				tx.Put(fmt.Appendf([]byte{row.TagNode}, "x%04d", i), value)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if all, err := node.List(t.Context(), w.ways[0]); err != nil || len(all) != node.MaxNodes {
			t.Errorf("%d servers: %v", len(all), err)
		}
		w.end()
	})
}
