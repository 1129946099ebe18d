package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/imap/imapd"
	"github.com/eidermail/eider/internal/netx"
	"github.com/eidermail/eider/internal/pop3"
	"github.com/eidermail/eider/internal/pop3/pop3d"
	"github.com/eidermail/eider/internal/smtp"
	"github.com/eidermail/eider/internal/smtp/smtpd"
	"github.com/eidermail/eider/internal/web"
	"github.com/eidermail/eider/internal/web/api"
	"github.com/eidermail/eider/internal/web/faces"
)

// wire makes a task of every listener and every background loop.
func (s *Server) wire(ctx context.Context) error {
	pages, err := s.pages()
	if err != nil {
		return err
	}
	s.add("key rings", s.rings.Run)
	s.add("operator", s.operator.Run)
	s.add("certificate", s.certs.Run)
	s.add("janitor", s.runJanitor)
	s.add("usage", s.usage.run)
	if s.o.Config.Repack.Std() > 0 {
		s.add("repack", s.repack.Run)
	}
	s.addLate("heartbeat", s.health.node.Run)
	mta, mua, pop := s.smtpBackend(), s.imapServer(), s.pop3Backend()
	for _, b := range s.bound {
		switch b.name {
		case "http":
			s.addHTTP(b, s.toHTTPS(pages), nil)
		case "https":
			s.addHTTP(b, pages, s.certs.TLSConfig())
		case "admin":
			s.addHTTP(b, s.admin(), nil)
		case "smtp", "smtps":
			s.addSMTP(b, mta, smtp.Submission)
		case "mx":
			s.addSMTP(b, mta, smtp.MX)
		case "lmtp":
			s.addSMTP(b, mta, smtp.LMTP)
		case "imap", "imaps":
			s.addIMAP(b, mua)
		case "pop3", "pop3s":
			s.addPOP3(b, pop)
		}
	}
	return s.openControl(ctx)
}

func (s *Server) add(name string, run func(context.Context) error) {
	s.tasks = append(s.tasks, task{name: name, run: run})
}

func (s *Server) addLate(name string, run func(context.Context) error) {
	s.tasks = append(s.tasks, task{name, run, true})
}

func (s *Server) addHTTP(b bound, h http.Handler, t *tls.Config) {
	if t != nil {
		t.NextProtos = s.certs.NextProtos("h2", "http/1.1")
	}
	if s.o.Config.Proxied(b.name) {
		h = markProxied(h)
	}
	srv, l := s.newHTTP(b.name, h, t), s.front(b.name, newMeter(b.l, b.name, s.o.Metrics))
	if b.name != "admin" { // the operator does not lock himself out
		l = s.gates.listen(l, int(s.o.Config.AddressConns))
	}
	s.addLate(b.name, func(ctx context.Context) error { return serveHTTP(ctx, srv, l, DrainTime) })
}

// pages are the web pages with the API.
func (s *Server) pages() (http.Handler, error) {
	var err error
	s.api, err = api.New(api.Options{Store: s.mail, Auth: s.auth, Provision: s.provision, Advert: s.advert,
		ViaProxy: viaProxy, Log: s.o.Log, Metrics: s.o.Metrics, Now: s.o.Now, Version: s.o.Version})
	if err != nil {
		return nil, err
	}
	s.site, err = web.New(web.Options{
		Store: s.mail, Auth: s.auth, Policy: s.policy, Provision: s.provision, Advert: s.advert, API: s.api,
		Faces: faces.New(faces.Options{Store: s.mail, Auth: s.auth, Policy: s.policy, Spool: s.spool, ViaProxy: viaProxy,
			Log: s.o.Log, Now: s.o.Now, Version: s.o.Version}),
		ViaProxy: viaProxy, Health: s.health, Log: s.o.Log, Now: s.o.Now, Version: s.o.Version, CA: s.certs.CAPEM(),
		AbuseContact: s.o.Config.AbuseContact, Stories: s.stories, Facts: s.facts(),
		Domain: s.o.Config.Domain, Limits: s.defaultLimits(),
		Ping: func(context.Context) error { _, err := s.health.node.Store(); return err },
	})
	if err != nil {
		return nil, err
	}
	return userPath(s.site), nil
}

// hostname is what the mail protocols call this server.
func (s *Server) hostname() string {
	if s.o.Config.Public() {
		return s.o.Config.PublicHost
	}
	return s.o.Config.Domain
}

// conns are the bounds of a mail listener.
func (s *Server) conns(name string) netx.Options {
	return netx.Options{Drain: DrainTime, MaxPerHost: int(s.o.Config.AddressConns), Log: s.o.Log.With("listener", name)}
}

func (s *Server) smtpBackend() *smtpd.Backend {
	names := map[smtp.Mode]string{smtp.Submission: "submission", smtp.MX: "mx", smtp.LMTP: "lmtp"}
	return smtpd.New(smtpd.Options{Store: s.mail, Auth: s.auth, Policy: s.policy, Spool: s.spool,
		Hostname: s.hostname(), Log: s.o.Log, Now: s.o.Now,
		Accepted: func(m smtp.Mode, size int64, _ int) {
			s.o.Metrics.Messages.WithLabelValues(names[m]).Inc()
			s.o.Metrics.MessageBytes.WithLabelValues(names[m]).Add(float64(size))
		}})
}

func (s *Server) addSMTP(b bound, d *smtpd.Backend, m smtp.Mode) {
	o := smtp.Options{Mode: m, Hostname: s.hostname(), ImplicitTLS: b.name == "smtps",
		MaxSize: int64(s.o.Config.MessageLimit), Conns: s.conns(b.name), NewSession: d.NewSession,
		Log: s.o.Log.With("listener", b.name), Done: s.smtpDone(b.name)}
	if o.ImplicitTLS || s.startTLS {
		o.TLS = s.certs.TLSConfig()
	}
	srv, l := smtp.New(o), s.count(b)
	s.add(b.name, func(ctx context.Context) error { return srv.Serve(ctx, l) })
}

func (s *Server) imapServer() *imap.Server {
	return imapd.New(imapd.Options{Store: s.mail, Auth: s.auth, Policy: s.policy, Spool: s.spool, Log: s.o.Log,
		TLS: s.certs.TLSConfig(), StartTLS: s.startTLS, Version: s.o.Version, Now: s.o.Now})
}

func (s *Server) addIMAP(b bound, srv *imap.Server) {
	o, l, t := s.conns(b.name), s.count(b), s.certs.TLSConfig()
	secure := b.name == "imaps"
	if !secure {
		o.Refuse = srv.Refuse
	}
	s.add(b.name, func(ctx context.Context) error {
		return netx.Serve(ctx, l, o, func(ctx context.Context, nc net.Conn) {
			peer, proxied := netx.ClientAddr(nc).Addr(), netx.ViaProxy(nc)
			if secure {
				nc = tls.Server(nc, t)
			}
			s.serveIMAP(ctx, srv, nc, imap.ConnInfo{Remote: peer, TLS: secure,
				Trusted: s.policy.AuthInClear(peer, proxied)})
		})
	})
}

func (s *Server) pop3Backend() *pop3d.Backend {
	return pop3d.New(pop3d.Options{Store: s.mail, Auth: s.auth, Policy: s.policy, Log: s.o.Log})
}

func (s *Server) addPOP3(b bound, d *pop3d.Backend) {
	o := pop3.Options{Hostname: s.hostname(), ImplicitTLS: b.name == "pop3s", Conns: s.conns(b.name),
		NewSession: d.NewSession, Log: s.o.Log.With("listener", b.name), Done: s.pop3Done(b.name)}
	if o.ImplicitTLS || s.startTLS {
		o.TLS = s.certs.TLSConfig()
	}
	srv, l := pop3.New(o), s.count(b)
	s.add(b.name, func(ctx context.Context) error { return srv.Serve(ctx, l) })
}

// count counts the connections of a listener.
func (s *Server) count(b bound) net.Listener {
	return s.gates.listen(s.front(b.name, &counted{b.l, b.name, s.o.Metrics}), 0)
}

// front makes a listener that stands behind proxies one that takes only their connections.
func (s *Server) front(name string, l net.Listener) net.Listener {
	if !s.o.Config.Proxied(name) {
		return l
	}
	return netx.Proxied(l, netx.ProxyOptions{From: s.o.Config.ProxyFrom, Log: s.o.Log.With("listener", name)})
}

type proxiedKey struct{}

// markProxied marks the requests of a listener that stands behind proxies.
func markProxied(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), proxiedKey{}, true)))
	})
}

// viaProxy tells whether a request is so marked.
func viaProxy(r *http.Request) bool { return r.Context().Value(proxiedKey{}) != nil }
