package server

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/eidermail/eider/internal/janitor"
	"github.com/eidermail/eider/internal/lease"
	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/node"
)

// janitorLease is the number of the lease that decides which of several
// servers does the background work, and janitorTTL how long it goes on without
// one after that one died.
const (
	janitorLease = 0xff
	janitorTTL   = 30 * time.Second
)

// clockDoubt is how long after its start a server that is alone with its store does not
// remove what should have gone more than a day before: its clock may be far ahead.
const clockDoubt = 15 * time.Minute

// clockLook is how often a server whose clock was off, or that does the
// background work, looks at its clock.
const clockLook = 2 * time.Second

// runJanitor does the background work: of a shared store one server at a time,
// and none whose clock is off, for another one's may be right.
func (s *Server) runJanitor(ctx context.Context) error {
	o := janitor.Options{Store: s.mail, KV: s.kv, Log: s.o.Log, Now: s.o.Now, Others: s.commits.foreground.Load}
	if !s.o.Shared {
		o.Doubt = clockDoubt // there is no other clock to compare with
		return janitor.New(o).Run(ctx)
	}
	j := janitor.New(o)
	for ctx.Err() == nil {
		if s.awaitClock(ctx, true); ctx.Err() != nil {
			break
		}
		err := lease.Run(ctx, s.kv, row.Lease(janitorLease), janitorTTL,
			func(ctx context.Context, _ *lease.Lease) error {
				ctx, stop := context.WithCancel(ctx)
				defer stop()
				go func() { defer stop(); s.awaitClock(ctx, false) }()
				return j.Run(ctx)
			})
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// awaitClock waits until this machine's clock is right, or off.
func (s *Server) awaitClock(ctx context.Context, right bool) {
	t := time.NewTicker(clockLook)
	defer t.Stop()
	for right != (s.health.node.Skew().Abs() <= node.MaxSkew) {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// openNode makes this server known to its neighbours.
func (s *Server) openNode(ctx context.Context) error {
	name := s.o.Config.Node
	if name == "" {
		name, _ = os.Hostname() // one without a name is told by its addresses
	}
	n := node.New(ctx, node.Options{KV: s.kv, Bus: s.o.Bus, Log: s.o.Log, Name: name, Version: s.o.Version,
		Shared: s.o.Shared, Committed: s.commits.taken})
	s.health = &health{node: n}
	s.core.node.Store(n)
	s.usage = newUsage(s.kv, s.o.Now)
	return errors.Join(
		s.registerUsage(),
		s.openRepack(),
		s.o.Metrics.GaugeFunc("eider_ready", "1 if this server takes new work (/readyz).",
			func() float64 { return number(s.health.state().Ready) }),
		s.o.Metrics.GaugeFunc("eider_degraded", "1 if work is taken but something is missing (/readyz tells what).",
			func() float64 { return number(s.health.state().Degraded) }),
		s.o.Metrics.GaugeFunc("eider_store_away_seconds", "How long the store has taken no heartbeat; 0 if it does.",
			func() float64 { return n.Away().Seconds() }),
		s.o.Metrics.GaugeFunc("eider_store_max_bytes", "What the store may take (--store-max-bytes); 0 no limit.",
			func() float64 { return float64(s.o.Config.StoreMax) }),
		s.o.Metrics.GaugeFunc("eider_bus_up", "1 if hints of other servers come.",
			func() float64 { return number(s.o.Bus.Err() == nil) }),
		s.o.Metrics.GaugeFunc("eider_clock_skew_seconds", "How far this clock is ahead of the store's.",
			func() float64 { return n.Skew().Seconds() }),
		s.o.Metrics.GaugeFunc("eider_certificate_seconds", "Time until the TLS certificate ends.",
			func() float64 { return time.Until(s.certs.NotAfter()).Seconds() }),
	)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
