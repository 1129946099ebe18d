package guard

import (
	"math"
	"sync/atomic"
)

// Gate counts the calls inside a store. Once closed it lets nobody in, and
// Close returns when everybody is out. A call may enter again inside itself.
type Gate struct {
	n      atomic.Int64 // calls inside; math.MinInt64 is added when closed
	closed atomic.Bool
	out    chan struct{}
}

// NewGate returns an open Gate.
func NewGate() *Gate { return &Gate{out: make(chan struct{}, 1)} }

// Enter tells whether the caller may go in. If so it must Leave.
func (g *Gate) Enter() bool {
	if g.n.Add(1) > 0 {
		return true
	}
	g.Leave()
	return false
}

// Stay counts once more for a caller that is inside, for what it starts.
func (g *Gate) Stay() { g.n.Add(1) }

// Leave ends what Enter began.
func (g *Gate) Leave() {
	if g.n.Add(-1) == math.MinInt64 {
		select {
		case g.out <- struct{}{}:
		default:
		}
	}
}

// Close shuts the gate and waits until all have left. It returns false if the
// gate was shut before; then it does not wait.
func (g *Gate) Close() bool {
	if g.closed.Swap(true) {
		return false
	}
	g.n.Add(math.MinInt64)
	for g.n.Load() != math.MinInt64 {
		<-g.out
	}
	return true
}
