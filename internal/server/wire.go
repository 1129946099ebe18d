package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/imap/imapd"
	"github.com/eidermail/eider/internal/janitor"
	"github.com/eidermail/eider/internal/netx"
	"github.com/eidermail/eider/internal/pop3"
	"github.com/eidermail/eider/internal/pop3/pop3d"
	"github.com/eidermail/eider/internal/smtp"
	"github.com/eidermail/eider/internal/smtp/smtpd"
	"github.com/eidermail/eider/internal/web"
	"github.com/eidermail/eider/internal/web/api"
)

// wire makes a task of every listener and every background loop.
func (s *Server) wire(ctx context.Context) error {
	pages, err := s.pages()
	if err != nil {
		return err
	}
	s.add("key rings", s.rings.Run)
	s.add("certificate", s.certs.Run)
	s.add("janitor", janitor.New(janitor.Options{Store: s.mail, KV: s.kv, Log: s.o.Log, Now: s.o.Now}).Run)
	mta, mua, pop := s.smtpBackend(), s.imapServer(), s.pop3Backend()
	for _, b := range s.bound {
		switch b.name {
		case "http":
			s.addHTTP(b, pages, nil)
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
	s.tasks = append(s.tasks, task{name, run})
}

func (s *Server) addHTTP(b bound, h http.Handler, t *tls.Config) {
	if t != nil {
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
	s.site, err = web.New(web.Options{
		Store: s.mail, Auth: s.auth, Policy: s.policy, Provision: s.provision, Advert: s.advert, API: s.api,
		Health: s.health, Log: s.o.Log, Now: s.o.Now, Version: s.o.Version, CA: s.certs.CAPEM(),
		Domain: s.o.Config.Domain, Limits: s.defaultLimits(),
		Ping: func(ctx context.Context) error { _, err := s.health.store(ctx); return err },
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
	return netx.Options{Drain: DrainTime, Log: s.o.Log.With("listener", name)}
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
		Log: s.o.Log.With("listener", b.name)}
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
			peer := netx.ClientAddr(nc).Addr()
			if secure {
				nc = tls.Server(nc, t)
			}
			srv.ServeConn(ctx, nc, imap.ConnInfo{Remote: peer, TLS: secure, Trusted: s.policy.AuthInClear(peer, false)})
		})
	})
}

func (s *Server) pop3Backend() *pop3d.Backend {
	return pop3d.New(pop3d.Options{Store: s.mail, Auth: s.auth, Policy: s.policy, Log: s.o.Log})
}

func (s *Server) addPOP3(b bound, d *pop3d.Backend) {
	o := pop3.Options{Hostname: s.hostname(), ImplicitTLS: b.name == "pop3s", Conns: s.conns(b.name),
		NewSession: d.NewSession, Log: s.o.Log.With("listener", b.name)}
	if o.ImplicitTLS || s.startTLS {
		o.TLS = s.certs.TLSConfig()
	}
	srv, l := pop3.New(o), s.count(b)
	s.add(b.name, func(ctx context.Context) error { return srv.Serve(ctx, l) })
}

// count counts the connections of a listener.
func (s *Server) count(b bound) net.Listener { return &counted{b.l, b.name, s.o.Metrics} }
