// Package meter keeps what a store on database servers takes of their disks. The
// servers are asked beside the calls that want to know, because the answer can
// take seconds.
package meter

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/internal/kv"
)

// Pace: time between two questions; so old is the answer that Ping gives.
const Every = 10 * time.Second

// Pace: time for one answer.
const answerWithin = 30 * time.Second

// Size is what a store takes, in bytes: Spare of Used hold nothing and are used again
// before more is taken. Free is what its disk has left, or -1 if that is not known, and
// Reserve what of it new mail must leave.
type Size struct{ Used, Spare, Free, Reserve int64 }

// Meter holds the last answer. The zero value has none.
type Meter struct{ last atomic.Pointer[Size] }

// Watch asks at once and then every so often, until ctx ends. Without an answer
// the one before stands; that is logged once, until there is one again.
func (m *Meter) Watch(ctx context.Context, log *slog.Logger, ask func(context.Context) (Size, error)) {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for silent := false; ; {
		size, err := within(ctx, ask)
		switch {
		case err == nil:
			m.last.Store(&size)
		case !silent && ctx.Err() == nil:
			log.Warn("store: its size is not known", "error", err)
		}
		silent = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func within(ctx context.Context, ask func(context.Context) (Size, error)) (Size, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return ask(ctx)
}

// Fill puts the last answer into h, or -1 if there was none.
func (m *Meter) Fill(h *kv.Health) {
	h.UsedBytes, h.FreeBytes = -1, -1
	if s := m.last.Load(); s != nil {
		h.UsedBytes, h.SpareBytes = s.Used, min(max(s.Spare, 0), s.Used)
		h.FreeBytes, h.ReserveBytes = s.Free, s.Reserve
	}
}
