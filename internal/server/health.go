package server

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/internal/kv"
)

// Limit: time for the store to say that it can commit.
const HealthBudget = 2 * time.Second

// healthAge is how long one answer of the store is believed.
const healthAge = time.Second

// awayTime is how long the store may be away before the server says that it
// is not ready: a failover means waiting.
const awayTime = 30 * time.Second

// health answers /healthz (the process lives) and /readyz (it can take work).
type health struct {
	kv      kv.Store
	now     func() time.Time
	serving atomic.Bool

	mu    sync.Mutex // held while the store is asked: one asker at a time
	asked time.Time
	good  time.Time // when the store answered last
	last  kv.Health
	err   error
}

func newHealth(s kv.Store, now func() time.Time) *health {
	return &health{kv: s, now: now, good: now()}
}

func (h *health) set(serving bool) { h.serving.Store(serving) }

// store asks the store, at most once in healthAge.
func (h *health) store(ctx context.Context) (kv.Health, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.asked.IsZero() || h.now().Sub(h.asked) >= healthAge {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), HealthBudget)
		defer cancel()
		hl, err := h.kv.Ping(ctx)
		h.asked, h.err = h.now(), err
		if err == nil {
			h.last, h.good = hl, h.asked
		}
	}
	return h.last, h.err
}

// ready tells whether new work is welcome.
func (h *health) ready(ctx context.Context) (bool, string) {
	if !h.serving.Load() {
		return false, "starting or stopping"
	}
	if _, err := h.store(ctx); err != nil {
		h.mu.Lock()
		away := h.now().Sub(h.good)
		h.mu.Unlock()
		if away >= awayTime {
			return false, "the store is away"
		}
		return true, "the store is slow to answer"
	}
	return true, "ok"
}

// ServeHTTP answers both paths, to any Host.
func (h *health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	text := "ok"
	if r.URL.Path != "/healthz" {
		ok, why := h.ready(r.Context())
		if text = why; !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	_, _ = w.Write([]byte(text + "\n"))
}
