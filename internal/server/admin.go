package server

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"runtime"
	"time"
)

// Status is what the operator sees of a running server.
type Status struct {
	Version    string             `json:"version"`
	PID        int                `json:"pid"`
	Started    time.Time          `json:"started"`
	UptimeSecs int64              `json:"uptimeSeconds"`
	Mode       string             `json:"mode"`
	Ready      bool               `json:"ready"`
	State      string             `json:"state"`
	Listeners  map[string]*string `json:"listeners"`
	Store      StoreStatus        `json:"store"`
	Goroutines int                `json:"goroutines"`
	HeapBytes  uint64             `json:"heapBytes"`
	SystemMem  uint64             `json:"systemBytes"`
}

// StoreStatus is the state of the store.
type StoreStatus struct {
	OK        bool      `json:"ok"`
	Time      time.Time `json:"time,omitzero"`
	Epoch     uint64    `json:"epoch"`
	FreeBytes int64     `json:"freeBytes"` // -1: not known
}

// Status reads the server's state.
func (s *Server) Status(ctx context.Context) Status {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	st := Status{Version: s.o.Version, PID: os.Getpid(), Started: s.started.UTC(),
		UptimeSecs: int64(s.o.Now().Sub(s.started).Seconds()), Mode: "dev", Listeners: map[string]*string{},
		Goroutines: runtime.NumGoroutine(), HeapBytes: m.HeapAlloc, SystemMem: m.Sys}
	if s.o.Config.Public() {
		st.Mode = "public"
	}
	st.Ready, st.State = s.health.ready(ctx)
	addrs := s.Addrs()
	for _, l := range s.o.Config.Listeners() {
		st.Listeners[l.Name] = nil
		if a, ok := addrs[l.Name]; ok {
			st.Listeners[l.Name] = &a
		}
	}
	h, err := s.health.store(ctx)
	st.Store = StoreStatus{OK: err == nil, Time: h.Time.UTC(), Epoch: h.Epoch, FreeBytes: h.FreeBytes}
	return st
}

// admin serves metrics and status to the operator. It takes no cookies and
// changes nothing, so it needs no login; it listens on loopback by default.
func (s *Server) admin() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.o.Metrics.Handler())
	mux.HandleFunc("GET /status", s.serveStatus)
	mux.Handle("/healthz", s.health)
	mux.Handle("/readyz", s.health)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("/metrics\n/status\n/healthz\n/readyz\n"))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.policy.HostAllowed(r.Host) {
			http.Error(w, "This server does not know itself by that name.", http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) serveStatus(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, s.Status(r.Context()))
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, "the answer could not be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n'))
}
