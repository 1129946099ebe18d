// Package api is the JSON face of the server: POST /user, which Nodemailer's
// createTestAccount calls, and the native API under /v1, which test suites use
// to list, search, read, wait for and delete mail. Its description
// (/openapi.json) is made from the types of the code.
//
// It promises: POST /user never redirects and answers within its budget, with
// an error as 200 and {"status":"error"}, since Nodemailer shows no other. The
// API takes the Authorization header only; cookies mean nothing to it, and no
// page of another origin can make it act. Every answer about a mailbox carries
// a cursor, and a wait from that cursor misses nothing. Errors are RFC 9457
// problems that never show what went wrong inside.
//
// RFCs: 7617 (Basic), 6750 (Bearer), 9457 (problems), WHATWG server-sent events.
package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/obs"
	"github.com/eidermail/eider/internal/provision"
)

// Options configure an API.
type Options struct {
	Store *mailstore.Store
	Auth  *auth.Auth
	// Provision makes the accounts of POST /user.
	Provision *provision.Provisioner
	// Advert knows under which address a request's user finds the pages.
	Advert *advert.Advert
	// ViaProxy tells that a request came through a PROXY listener; nil: none did.
	ViaProxy func(*http.Request) bool
	Log      *slog.Logger     // none if nil
	Metrics  *obs.Metrics     // none if nil
	Now      func() time.Time // time.Now if nil
	Version  string           // of the server, for the description
}

// API serves /user, /v1 and /openapi.json.
type API struct {
	o       Options
	mux     *http.ServeMux
	waits   slots
	streams slots
	texts   slots // searches in texts
	stop    chan struct{}
	once    sync.Once
	origins *http.CrossOriginProtection
}

// New makes an API.
func New(o Options) (*API, error) {
	if o.Store == nil || o.Auth == nil || o.Provision == nil || o.Advert == nil {
		return nil, fmt.Errorf("api: Store, Auth, Provision and Advert are needed")
	}
	if o.ViaProxy == nil {
		o.ViaProxy = func(*http.Request) bool { return false }
	}
	if o.Log == nil {
		o.Log = obs.Discard()
	}
	if o.Metrics == nil {
		o.Metrics = obs.NewMetrics()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &API{o: o, mux: http.NewServeMux(), stop: make(chan struct{}), origins: http.NewCrossOriginProtection()}
	a.waits.max, a.streams.max, a.texts.max = MaxWaits, MaxStreams, MaxSearches
	a.register(humago.New(a.mux, describe(o.Version)))
	a.mux.HandleFunc("GET /v1/messages/{id}/raw", a.raw)
	a.mux.HandleFunc("GET /v1/messages/{id}/parts/{part}", a.part)
	a.mux.HandleFunc("GET /v1/events", a.events)
	a.mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		WriteProblem(w, http.StatusNotFound, "There is no such path; /openapi.json lists all of them.")
	})
	return a, nil
}

// Owns tells whether a path belongs to the API. POST /user is recognised with
// any number of slashes, because users paste base addresses with and without one.
func (a *API) Owns(path string) bool {
	return IsUser(path) || path == "/v1" || strings.HasPrefix(path, "/v1/") || isDescription(path)
}

// IsUser tells whether a path means POST /user, with any number of slashes.
func IsUser(path string) bool { return strings.Trim(path, "/") == "user" }

func isDescription(path string) bool { return path == "/openapi.json" || path == "/openapi.yaml" }

// Drain ends waits and event streams, so that the server can stop; their
// clients are told to come again.
func (a *API) Drain() { a.once.Do(func() { close(a.stop) }) }

// ServeHTTP answers a request that the API owns.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := a.o.Now()
	sw := &statusWriter{ResponseWriter: w}
	kind := kindOf(r.URL.Path)
	a.serve(sw, r)
	a.o.Metrics.Requests.WithLabelValues(kind, sw.class()).Inc()
	if kind != "wait" && kind != "events" {
		a.o.Metrics.RequestSeconds.WithLabelValues(kind).Observe(a.o.Now().Sub(start).Seconds())
	}
}

func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "private, no-store")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if IsUser(r.URL.Path) {
		a.user(w, r)
		return
	}
	if isDescription(r.URL.Path) {
		a.mux.ServeHTTP(w, r)
		return
	}
	if err := a.origins.Check(r); err != nil {
		WriteProblem(w, http.StatusForbidden, "Requests of pages of another origin are refused.")
		return
	}
	r, ok := a.identify(w, r)
	if !ok {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
	a.mux.ServeHTTP(w, r)
}

func kindOf(path string) string {
	switch {
	case IsUser(path):
		return "user"
	case path == "/v1/messages/wait":
		return "wait"
	case path == "/v1/events":
		return "events"
	}
	return "api"
}

// describe is the head of the OpenAPI description.
func describe(version string) huma.Config {
	if version == "" {
		version = "dev"
	}
	c := huma.DefaultConfig("Eider", version)
	c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", nil
	c.RejectUnknownQueryParameters = true
	c.Info.Description = "Catch mail and read it from tests. Make an account with POST /user, " +
		"then use its user and pass (Basic) or its token (Bearer) here."
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"basic":  {Type: "http", Scheme: "basic", Description: "The account's user and pass."},
		"bearer": {Type: "http", Scheme: "bearer", Description: "The token that POST /user returned."},
	}
	c.Security = []map[string][]string{{"basic": {}}, {"bearer": {}}}
	return c
}

// statusWriter remembers the status for the metrics.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(code int) {
	if w.status == 0 {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController find the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) class() string {
	switch {
	case w.status == 0 || w.status < 300:
		return "2xx"
	case w.status < 400:
		return "3xx"
	case w.status < 500:
		return "4xx"
	}
	return "5xx"
}
