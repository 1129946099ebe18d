package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"github.com/eidermail/eider/internal/web/api"
)

// wire makes a task of every listener and every background loop.
func (s *Server) wire(ctx context.Context, t *tls.Config, startTLS bool) error {
	pages, err := s.pages()
	if err != nil {
		return err
	}
	s.add("key rings", s.rings.Run)
	for _, b := range s.bound {
		switch b.name {
		case "http":
			s.addHTTP(b, pages, nil)
		case "https":
			s.addHTTP(b, pages, t)
		case "admin":
			s.addHTTP(b, s.admin(), nil)
		}
	}
	return s.openControl(ctx)
}

func (s *Server) add(name string, run func(context.Context) error) {
	s.tasks = append(s.tasks, task{name, run})
}

func (s *Server) addHTTP(b bound, h http.Handler, t *tls.Config) {
	if t != nil {
		t = t.Clone()
		t.NextProtos = []string{"h2", "http/1.1"}
	}
	srv := s.newHTTP(b.name, h, t)
	var l net.Listener = newMeter(b.l, b.name, s.o.Metrics)
	s.add(b.name, func(ctx context.Context) error { return serveHTTP(ctx, srv, l, DrainTime) })
}

// pages are the web pages with the API.
func (s *Server) pages() (http.Handler, error) {
	var err error
	s.api, err = api.New(api.Options{Store: s.mail, Auth: s.auth, Provision: s.provision, Advert: s.advert,
		Log: s.o.Log, Metrics: s.o.Metrics, Now: s.o.Now, Version: s.o.Version})
	if err != nil {
		return nil, err
	}
	return userPath(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/healthz" || r.URL.Path == "/readyz":
			s.health.ServeHTTP(w, r)
		case !s.policy.HostAllowed(r.Host):
			http.Error(w, "This server does not know itself by that name.", http.StatusMisdirectedRequest)
		case s.api.Owns(r.URL.Path):
			s.api.ServeHTTP(w, r)
		default:
			http.NotFound(w, r)
		}
	})), nil
}
