package server

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/obs"
)

// measured counts what a store does, and how long it takes.
type measured struct {
	kv.Store
	m *obs.Metrics
	*commits
}

// commits is what is known of those of this process.
type commits struct {
	foreground atomic.Int64 // that are not background work
	began      time.Time
	last       atomic.Int64 // nanoseconds after began, when the store took one
}

// taken is when the store last took a commit.
func (c *commits) taken() time.Time { return c.began.Add(time.Duration(c.last.Load())) }

func (s measured) observe(call string, start time.Time, err error) {
	s.m.StoreSeconds.WithLabelValues(call).Observe(time.Since(start).Seconds())
	for _, k := range storeErrors {
		if errors.Is(err, k.err) {
			s.m.StoreErrors.WithLabelValues(call, k.name).Inc()
			return
		}
	}
}

// storeErrors are the kinds of trouble that are the store's own.
var storeErrors = []struct {
	err  error
	name string
}{
	{kv.ErrConflict, "conflict"}, {kv.ErrUnavailable, "unavailable"}, {kv.ErrUnknown, "unknown"},
	{kv.ErrTooLarge, "too_large"}, {kv.ErrNoSpace, "no_space"}, {kv.ErrCorrupt, "corrupt"},
}

func (s measured) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	start := time.Now()
	items, err := s.Store.GetMulti(ctx, keys...)
	s.observe("get", start, err)
	return items, err
}

func (s measured) Update(ctx context.Context, guards [][]byte, fn func(kv.Tx) error, opts ...kv.Option) error {
	start := time.Now()
	err := s.Store.Update(ctx, guards, fn, opts...)
	if !kv.Options(opts...).Background {
		s.foreground.Add(1)
	}
	if err == nil {
		s.last.Store(int64(time.Since(s.began)))
	}
	s.observe("update", start, err)
	return err
}

func (s measured) View(ctx context.Context, guards [][]byte, fn func(kv.Reader, []kv.Item) error) error {
	start := time.Now()
	err := s.Store.View(ctx, guards, fn)
	s.observe("view", start, err)
	return err
}
