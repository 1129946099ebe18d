// Package node is what one server knows of itself and of its neighbours on the
// same store: can it commit, since when not, can others, how far off is its
// clock. A shared store has a row for each server, rewritten every BeatEvery;
// each commit of it is told over the bus.
//
// It promises to be calm: a store that is away means waiting, because it may
// be a failover that is over in seconds, and a server that turns away its
// clients then makes it worse. A server is not ready when the store has been
// away for AwayTime, or when it alone cannot reach it: its own attempts have
// failed for AloneTime, and a neighbour has committed meanwhile.
package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Pace: time for the store to take one heartbeat.
const AttemptTime = 2 * time.Second

const (
	// BeatEvery is how often a server that is well tries to commit.
	BeatEvery = 2 * time.Second
	// retryEvery is the same while it cannot.
	retryEvery = 500 * time.Millisecond
	// AwayTime is how long the store may be away before a server is not ready.
	AwayTime = 30 * time.Second
	// AloneTime is how long one server may fail to commit while others do not.
	AloneTime = 3 * time.Second
	// aloneMargin is how much later than the first failure a neighbour's commit
	// must have begun: what began in the same moment may have been the last.
	aloneMargin = time.Second
	// aloneGrace is how long a server tries on after it heard of that commit:
	// when a failover is over, all reach the store, but not in one moment.
	aloneGrace = 1500 * time.Millisecond
	// MaxSkew is how far a clock may be off the store's before that is told.
	MaxSkew = 60 * time.Second
	// ForgetAfter is after how long the row of a server that is gone is removed.
	ForgetAfter = 10 * time.Minute
)

// Options describe a server.
type Options struct {
	KV  kv.Store
	Bus bus.Bus
	Log *slog.Logger
	// Name is what people call it, normally the host's name.
	Name, Version string
	// Shared: others work on the same store, so heartbeats are written.
	Shared bool
	// Committed is when the store last took a commit of this process: in a crowd
	// of them a heartbeat may find no room. Nil: only heartbeats are known.
	Committed func() time.Time
}

// Node is this server.
type Node struct {
	o       Options
	id      uint64
	started time.Time

	mu      sync.Mutex
	health  kv.Health // the store's last answer
	asked   time.Time // when it came
	err     error     // of the last attempt
	good    time.Time // when the last attempt succeeded
	failing time.Time // when the first failed attempt since then began; zero: none failed
	heard   time.Time // store's time at which a neighbour's newest commit began
	rival   time.Time // when a commit of a neighbour was known that began while ours fail; zero: none
	alone   bool      // an attempt that began aloneGrace after that failed, too
	skewed  bool
}

// New returns a Node that has tried once.
func New(ctx context.Context, o Options) *Node {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var id [8]byte
	rand.Read(id[:])
	now := time.Now()
	n := &Node{o: o, id: binary.BigEndian.Uint64(id[:]), started: now, good: now}
	n.attempt(ctx)
	return n
}

// Run tries until ctx ends, and takes this server's row away then.
func (n *Node) Run(ctx context.Context) error {
	hints, cancel := n.o.Bus.Subscribe(bus.Nodes)
	defer cancel()
	swept := time.Time{}
	for {
		if n.o.Shared && time.Since(swept) >= ForgetAfter/2 {
			swept = time.Now()
			n.sweep(ctx)
		}
		due := time.Now().Add(n.pause())
		for n.wait(ctx, &hints, due) {
		}
		if ctx.Err() != nil {
			return n.leave(ctx)
		}
		n.attempt(ctx)
	}
}

// wait waits for a hint or until the next attempt is due, and tells whether to wait on.
func (n *Node) wait(ctx context.Context, hints *<-chan bus.Hint, due time.Time) bool {
	t := time.NewTimer(time.Until(due))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case h, ok := <-*hints:
		if !ok {
			*hints = nil // the bus was closed
		}
		return !n.hear(h)
	}
	return false
}

// pause is how long to wait before the next attempt.
func (n *Node) pause() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failing.IsZero() {
		return max(BeatEvery-time.Since(n.asked), time.Millisecond)
	}
	return retryEvery
}

// hear notes a commit of a neighbour (or of this server), and tells whether it
// is a reason to try at once.
func (n *Node) hear(h bus.Hint) bool {
	at := time.UnixMilli(int64(h.Modseq))
	n.mu.Lock()
	defer n.mu.Unlock()
	if !at.After(n.heard) {
		return false
	}
	n.heard = at
	n.compare()
	return !n.failing.IsZero()
}

// compare notes that a neighbour has committed while this server's attempts fail.
func (n *Node) compare() {
	if n.failing.IsZero() || !n.rival.IsZero() || n.health.Time.IsZero() {
		return
	}
	since := n.health.Time.Add(n.failing.Sub(n.asked)) // by the store's clock
	if n.heard.After(since.Add(aloneMargin)) {
		n.rival = time.Now()
	}
}

// attempt commits a heartbeat, or asks a store of our own whether it could.
func (n *Node) attempt(ctx context.Context) {
	begin := time.Now()
	call, cancel := context.WithTimeout(ctx, AttemptTime)
	defer cancel()
	h, err := n.o.KV.Ping(call)
	asked := time.Now()
	if err == nil && n.o.Shared {
		err = n.beat(call, h)
	}
	if ctx.Err() != nil {
		return // it says nothing about the store
	}
	switch {
	case err == nil:
		n.succeeded(h, asked)
		if n.o.Shared {
			n.o.Bus.Publish(ctx, bus.Hint{Topic: bus.Nodes, Modseq: uint64(h.Time.UnixMilli())})
		}
	case call.Err() != nil && n.o.Committed != nil && n.o.Committed().After(begin):
		n.crowded(h, asked)
	default:
		n.failed(begin, err)
	}
}

// crowded: the attempt had no turn among the commits of this process, which the
// store takes: it is busy and not away.
func (n *Node) crowded(h kv.Health, asked time.Time) {
	if h.Time.IsZero() { // not even an answer
		n.mu.Lock()
		h, asked = n.health, n.asked
		n.mu.Unlock()
	}
	n.succeeded(h, asked)
}

// beat rewrites this server's row.
func (n *Node) beat(ctx context.Context, h kv.Health) error {
	key := row.Node(n.id)
	return n.o.KV.Update(ctx, [][]byte{key}, func(tx kv.Tx) error {
		old, _ := decode(tx.Guard(0).Value)
		tx.Put(key, record{Info: Info{Name: n.o.Name, Version: n.o.Version, Started: n.started, Beat: h.Time},
			unknown: old.unknown}.encode())
		return nil
	}, kv.Reclaim())
}

func (n *Node) succeeded(h kv.Health, asked time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.failing.IsZero() && time.Since(n.failing) >= AloneTime {
		n.o.Log.Info("the store is back", "away", time.Since(n.good).Round(time.Millisecond).String())
	}
	n.health, n.asked, n.err, n.good = h, asked, nil, time.Now()
	n.failing, n.rival, n.alone = time.Time{}, time.Time{}, false
	if n.heard.After(h.Time) {
		n.heard = h.Time // the store's clock can go back, with another primary
	}
	skew := asked.Sub(h.Time)
	if off := skew.Abs() > MaxSkew; off != n.skewed {
		n.skewed = off
		if off {
			n.o.Log.Error("this machine's clock is too far from the store's: nothing expires here until it is set",
				"off", skew.Round(time.Second).String())
		}
	}
}

// failed notes an attempt that began at begin.
func (n *Node) failed(begin time.Time, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err = err
	if n.failing.IsZero() {
		n.failing = begin
		n.o.Log.Warn("the store does not take a heartbeat", "err", err.Error())
	}
	n.compare()
	n.alone = n.alone || !n.rival.IsZero() && begin.Sub(n.rival) >= aloneGrace
}

// State is whether new work is welcome, and what people should know.
type State struct {
	Ready bool
	// Degraded: work is taken, but something is missing.
	Degraded bool
	Text     string
}

// State tells how this server is. It asks nobody, so that health checks are
// answered at once whatever the store does.
func (n *Node) State() State {
	n.mu.Lock()
	away, failing, alone, skewed := time.Since(n.good), n.failing, n.alone, n.skewed
	skew, lone := n.asked.Sub(n.health.Time), n.health.Alone
	n.mu.Unlock()
	switch {
	case away >= AwayTime && !failing.IsZero():
		return State{Text: "the store is away"}
	case alone && time.Since(failing) >= AloneTime:
		return State{Text: "this server cannot reach the store, others can"}
	case !failing.IsZero():
		return State{Ready: true, Degraded: true, Text: "the store is slow to answer"}
	case skewed:
		return State{Ready: true, Degraded: true, Text: fmt.Sprintf("the clock is %v off the store's: nothing expires here",
			skew.Round(time.Second))}
	case lone:
		return State{Ready: true, Degraded: true, Text: "commits wait for no second server of the store: " +
			"mail that was accepted can be lost with the first"}
	case n.o.Bus.Err() != nil:
		return State{Ready: true, Degraded: true, Text: "hints between servers do not flow: new mail shows within 30 s"}
	}
	return State{Ready: true, Text: "ok"}
}

// Store is the store's last answer, and why there is no newer one.
func (n *Node) Store() (kv.Health, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.health, n.err
}

// Away is how long the store has not taken a heartbeat; 0 if it did last time.
func (n *Node) Away() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failing.IsZero() {
		return 0
	}
	return time.Since(n.good)
}

// Skew is how far this machine's clock is ahead of the store's.
func (n *Node) Skew() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.health.Time.IsZero() {
		return 0
	}
	return n.asked.Sub(n.health.Time)
}

// leave takes this server's row away; if that fails, others do it later.
func (n *Node) leave(ctx context.Context) error {
	if !n.o.Shared {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), AttemptTime)
	defer cancel()
	n.remove(ctx, row.Node(n.id), nil)
	return nil
}
