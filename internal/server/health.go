package server

import (
	"net/http"
	"sync/atomic"

	"github.com/eidermail/eider/internal/node"
)

// health answers /healthz (the process lives) and /readyz (it can take work).
type health struct {
	node    *node.Node
	serving atomic.Bool
}

func (h *health) set(serving bool) { h.serving.Store(serving) }

// state tells whether new work is welcome.
func (h *health) state() node.State {
	if !h.serving.Load() {
		return node.State{Text: "starting or stopping"}
	}
	return h.node.State()
}

// ServeHTTP answers both paths, to any Host, and never waits for the store.
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
		s := h.state()
		if text = s.Text; !s.Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		} else if s.Degraded {
			text = "degraded: " + text
		}
	}
	_, _ = w.Write([]byte(text + "\n"))
}
