// Package server makes one whole server out of its parts: a store and a bus
// come in, listeners and background loops come out. Everything is wired by
// constructors, once, in New; there is no other place that knows all parts.
//
// It promises: New opens every listener that is wanted or none; Run serves
// until its context ends, then takes no new work, lets transactions finish for
// at most DrainTime, and closes the store; the ready file is there exactly
// while the server serves. Passwords are written to the ready file and the
// terminal only. It imports no engine: who calls New brings the store.
package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/certs"
	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/diag"
	"github.com/eidermail/eider/internal/janitor/repack"
	"github.com/eidermail/eider/internal/web"
	"github.com/eidermail/eider/internal/web/api"
)

// Limit: time that transactions have to finish when the server stops.
const DrainTime = 20 * time.Second

// Server is a whole server.
type Server struct {
	*core
	bound    []bound
	tasks    []task
	api      *api.API
	site     *web.Site
	health   *health
	usage    *usage
	repack   *repack.Repacker
	control  net.Listener
	certs    *certs.Certs
	stories  *diag.Log
	startTLS bool // the plain ports offer STARTTLS
	started  time.Time
	ready    chan struct{}
	draining atomic.Bool
	closing  sync.Once
}

// New builds a server and opens its listeners; nothing is served yet. On an
// error everything that was opened is closed again, the store included.
func New(ctx context.Context, o Options) (*Server, error) {
	o.fill()
	s := &Server{ready: make(chan struct{}), started: o.Now(), stories: diag.New(o.Now)}
	fail := func(err error) (*Server, error) {
		closeAll(s.bound)
		if s.control != nil {
			s.control.Close()
		}
		return nil, errors.Join(err, o.Bus.Close(), o.KV.Close())
	}
	if o.Config.ReadyFile != "" {
		if err := removeReady(o.Config.ReadyFile); err != nil {
			return fail(err)
		}
	}
	var err error
	if s.bound, err = listenAll(ctx, o.Config); err != nil {
		return fail(err)
	}
	if s.core, err = openStore(ctx, o); err != nil {
		return fail(err)
	}
	if err := s.openCerts(ctx); err != nil {
		return fail(err)
	}
	if err := s.people(ctx, ports(s.bound), s.startTLS); err != nil {
		return fail(err)
	}
	if err := s.openNode(ctx); err != nil {
		return fail(err)
	}
	if err := s.wire(ctx); err != nil {
		return fail(err)
	}
	return s, nil
}

// ports are the open ports, for the addresses that clients are told.
func ports(all []bound) advert.Ports {
	p := func(name string) int { return portOf(all, name) }
	return advert.Ports{HTTP: p("http"), HTTPS: p("https"), SMTP: p("smtp"), SMTPS: p("smtps"), MX: p("mx"),
		IMAP: p("imap"), IMAPS: p("imaps"), POP3: p("pop3"), POP3S: p("pop3s")}
}

// WebURL is where a person on this machine finds the pages.
func (s *Server) WebURL() string { return s.advert.For("", false).Web }

// Ready is closed once the server serves.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// serving tells the world.
func (s *Server) serving() error {
	if path := s.o.Config.ReadyFile; path != "" {
		if err := s.writeReady(path); err != nil {
			return err
		}
	}
	s.health.set(true)
	close(s.ready)
	if s.o.Banner != nil {
		s.WriteBanner(s.o.Banner)
		return nil
	}
	args := []any{"version", s.o.Version, "web", s.WebURL()}
	for _, b := range s.bound {
		args = append(args, b.name, reachable(b.l.Addr()))
	}
	s.o.Log.Info("serving", args...)
	return nil
}

// drain ends what would wait for ever: /readyz turns, waits and event streams end.
func (s *Server) drain() {
	if s.draining.Swap(true) {
		return
	}
	if s.health != nil {
		s.health.set(false)
	}
	s.o.Log.Info("stopping: no new work, transactions finish", "at_most", DrainTime.String())
	if s.api != nil {
		s.api.Drain()
	}
	if s.site != nil {
		s.site.Close()
	}
	if path := s.o.Config.ReadyFile; path != "" {
		if err := removeReady(path); err != nil {
			s.o.Log.Warn("ready file not removed", "err", err)
		}
	}
}

// Close closes listeners and store. Run does it; who never calls Run must.
func (s *Server) Close() error {
	var err error
	s.closing.Do(func() {
		s.drain()
		closeAll(s.bound)
		if s.control != nil {
			s.control.Close()
		}
		err = errors.Join(s.o.Bus.Close(), s.kv.Close())
	})
	return err
}

// userPath makes one path of the forms of /user that base addresses with and
// without slashes lead to, before a router would redirect them.
func userPath(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if api.IsUser(r.URL.Path) && r.URL.Path != "/user" {
			r = r.Clone(r.Context())
			r.URL.Path, r.URL.RawPath = "/user", ""
		}
		h.ServeHTTP(w, r)
	})
}

// CAPEM is the self-signed CA's certificate, nil where clients need none.
func (s *Server) CAPEM() []byte { return s.certs.CAPEM() }

// CatchAll is the login of the catch-all account, empty where there is none.
func (s *Server) CatchAll() (user, pass string) { return s.catch.Address, s.catch.Password }

// Settings are the configuration that the server runs with.
func (s *Server) Settings() *config.Config { return s.o.Config }
