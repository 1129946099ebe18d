package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/janitor/repack"
	"github.com/eidermail/eider/internal/node"
	"github.com/eidermail/eider/internal/obs"
	"github.com/eidermail/eider/internal/policy"
)

// Status is what the operator sees of a running server.
type Status struct {
	Version    string             `json:"version"`
	PID        int                `json:"pid"`
	Started    time.Time          `json:"started"`
	UptimeSecs int64              `json:"uptimeSeconds"`
	Mode       string             `json:"mode"`
	Ready      bool               `json:"ready"`
	Degraded   bool               `json:"degraded"`
	State      string             `json:"state"`
	Listeners  map[string]*string `json:"listeners"`
	Store      StoreStatus        `json:"store"`
	Bus        BusStatus          `json:"bus"`
	Nodes      []node.Info        `json:"nodes,omitempty"` // of a shared store
	Goroutines int                `json:"goroutines"`
	HeapBytes  uint64             `json:"heapBytes"`
	SystemMem  uint64             `json:"systemBytes"`
}

// BusStatus is the state of the bus between servers.
type BusStatus struct {
	OK bool `json:"ok"`
}

// StoreStatus is the state of the store.
type StoreStatus struct {
	OK        bool      `json:"ok"`
	Time      time.Time `json:"time,omitzero"`
	Epoch     uint64    `json:"epoch"`
	FreeBytes int64     `json:"freeBytes"` // -1: not known
	// Mail is what mail takes; it may be some time old, and says so.
	Mail MailStatus `json:"mail"`
	// Repack is what this server has packed anew since it started.
	Repack repack.Stats `json:"repack"`
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
	state := s.health.state()
	st.Ready, st.Degraded, st.State = state.Ready, state.Degraded, state.Text
	addrs := s.Addrs()
	for _, l := range s.o.Config.Listeners() {
		st.Listeners[l.Name] = nil
		if a, ok := addrs[l.Name]; ok {
			st.Listeners[l.Name] = &a
		}
	}
	h, err := s.health.node.Store()
	st.Store = StoreStatus{OK: err == nil, Time: h.Time.UTC(), Epoch: h.Epoch, FreeBytes: h.FreeBytes,
		Mail: s.usage.await(ctx, h), Repack: s.repack.Stats()}
	st.Bus.OK = s.o.Bus.Err() == nil
	if s.o.Shared && err == nil {
		st.Nodes, _ = node.List(ctx, s.kv) // a store that does not answer is told above
	}
	return st
}

// admin serves metrics and status to the operator. It takes no cookies, and
// what it shows needs no login: it listens on loopback by default. What changes
// something needs the operator's key, which "eider admin key" prints.
func (s *Server) admin() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.o.Metrics.Handler())
	mux.HandleFunc("GET /status", s.serveStatus)
	mux.HandleFunc("POST /operate", s.serveKeyed)
	mux.Handle("/healthz", s.health)
	mux.Handle("/readyz", s.health)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("/metrics\n/status\n/operate\n/healthz\n/readyz\n"))
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

// Limit: bytes of an order to /operate.
const MaxOrder = 16 << 10

// Limit: wrong keys for /operate of one address in a minute; more are not looked at.
const MaxWrongKeys = 20

// serveKeyed is /operate for who has the operator's key. A page of another
// origin cannot send it: it has neither the key nor, by CORS, the header.
func (s *Server) serveKeyed(w http.ResponseWriter, r *http.Request) {
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || !s.operator.KeyOK(strings.TrimSpace(key)) {
		if s.o.Limiter != nil {
			hit := bus.Hit{Kind: "operate", Key: policy.Network(peer.Addr(), 32, 64), N: 1,
				Rate: bus.Rate{Limit: MaxWrongKeys, Per: time.Minute}}
			if wait, _ := s.o.Limiter.Take(r.Context(), hit); wait > 0 {
				http.Error(w, "too many wrong keys, wait a minute", http.StatusTooManyRequests)
				return
			}
		}
		http.Error(w, "send the operator's key as Authorization: Bearer KEY; eider admin key prints it",
			http.StatusUnauthorized)
		return
	}
	s.serveOperate(w, r, "admin listener, "+peer.Addr().String())
}

// serveOperate does an order.
func (s *Server) serveOperate(w http.ResponseWriter, r *http.Request, by string) {
	var o Order
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxOrder))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		http.Error(w, "the order could not be read", http.StatusBadRequest)
		return
	}
	out, err := s.Operate(r.Context(), by, o)
	var wrong *OrderError
	switch {
	case errors.As(err, &wrong) && wrong.Missing:
		http.Error(w, wrong.Text, http.StatusNotFound)
	case errors.As(err, &wrong):
		http.Error(w, wrong.Text, http.StatusBadRequest)
	case err != nil:
		s.o.Log.Error("order failed", "order", obs.Clean(o.Do), "err", err)
		http.Error(w, "it could not be done; the server's log says more", http.StatusInternalServerError)
	default:
		writeJSON(w, out)
	}
}
