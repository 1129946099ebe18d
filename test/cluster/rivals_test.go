package cluster_test

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Times of failing over are stated for a machine that the cluster has for itself.
// Where other programs take processor time meanwhile, all takes longer: limits
// grow by what they leave.

// ledger is processor time up to a moment.
type ledger struct {
	at   time.Time
	busy time.Duration // of the whole machine, what its host took away included
	self time.Duration // of this test
	own  map[string]time.Duration
}

// mostRivalry bounds how far limits grow.
const mostRivalry = 6

func (d *drill) ledger() ledger {
	var l ledger
	b, _ := os.ReadFile("/proc/stat") // without it nobody else is seen
	first, _, _ := strings.Cut(string(b), "\n")
	for i, f := range strings.Fields(first) {
		n, _ := strconv.ParseInt(f, 10, 64)
		switch i {
		case 1, 2, 3, 6, 7, 8: // user, nice, system, irq, softirq, steal
			l.busy += time.Duration(n) * 10 * time.Millisecond // USER_HZ is 100
		}
	}
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
		l.self = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	l.own = d.c.CPU()
	l.at = time.Now()
	return l
}

// rivalry is by how much what others took since then slowed us down: 1 is not at all.
func (d *drill) rivalry(since ledger) float64 {
	now := d.ledger()
	ours := now.self - since.self
	for name, cpu := range now.own {
		if before := since.own[name]; cpu > before {
			ours += cpu - before
		} else {
			ours += cpu // it was started anew
		}
	}
	all := now.at.Sub(since.at).Seconds() * float64(runtime.NumCPU())
	others := max(0, (now.busy-since.busy-ours).Seconds()) / all
	return 1 / max(1-others, 1.0/mostRivalry)
}

// stretched is a limit for a machine that others use too.
func (r *row) stretched(limit time.Duration) time.Duration {
	return time.Duration(float64(limit) * r.rivalry)
}
