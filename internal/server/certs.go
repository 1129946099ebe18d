package server

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/eidermail/eider/internal/certs"
	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/web"
	"github.com/eidermail/eider/internal/web/api"
)

// wantStartTLS follows --starttls: auto offers it only with a certificate that
// clients can trust, because many clients upgrade whenever it is offered and
// then refuse a self-signed one.
func wantStartTLS(s config.StartTLS, trusted bool) bool {
	switch s {
	case "on":
		return true
	case "off":
		return false
	}
	return trusted
}

// openCerts finds the certificate of all protocols.
func (s *Server) openCerts(ctx context.Context) error {
	cfg := s.o.Config
	o := certs.Options{CertFile: cfg.TLSCert, KeyFile: cfg.TLSKey, KV: s.kv, Log: s.o.Log, Now: s.o.Now,
		Names: certNames(cfg)}
	if s.o.ControlDir != "" {
		o.CAFile = filepath.Join(s.o.ControlDir, "ca.pem")
	}
	if cfg.ACME != "" {
		o.ACME = certs.ACME{Directory: cfg.ACME, Email: cfg.ACMEEmail, CAFile: cfg.ACMECA,
			LookEvery: s.o.ACMELook,
			Host:      hostPart(cfg), HTTPPort: portOf(s.bound, "http"), TLSPort: portOf(s.bound, "https")}
		if cfg.ACME == "on" {
			o.ACME.Directory = certs.LetsEncrypt
		}
	}
	var err error
	if s.certs, err = certs.Load(ctx, o); err != nil {
		return err
	}
	s.startTLS = wantStartTLS(cfg.StartTLS, s.certs.Trusted())
	if cfg.Public() && !s.certs.Trusted() {
		s.o.Log.Warn("the certificate is self-signed and mail programs will refuse it: " +
			"set --acme, or --tls-cert and --tls-key")
	}
	return nil
}

// certNames are the names that certificates are for. The public host is first:
// its certificate is what clients see that tell no name (SNI).
func certNames(cfg *config.Config) []string {
	if !cfg.Public() {
		return cfg.AllowHost
	}
	return append([]string{cfg.PublicHost}, cfg.AllowHost...)
}

// hostPart is the address that the web listeners are open on; "" for every one.
func hostPart(c *config.Config) string {
	l := c.HTTP
	if !l.On() {
		l = c.HTTPS
	}
	host, _, _ := net.SplitHostPort(l.String()) // it was checked when it was read
	return host
}

// toHTTPS sends readers of the plain port to the one with TLS, for strangers
// must not send passwords in the clear. Only pages are redirected: programs
// follow redirects as GET, or not at all, and are told the address instead.
// Challenges of ACME and health checks are answered.
func (s *Server) toHTTPS(h http.Handler) http.Handler {
	cfg := s.o.Config
	if !cfg.HTTPS.On() || !cfg.Public() && cfg.ACME == "" {
		return h
	}
	base := s.advert.For("", true).Web
	return s.certs.HTTPChallenges(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := !web.ForPrograms(r.URL.Path) && !api.IsUser(r.URL.Path)
		switch {
		case r.URL.Path == "/healthz" || r.URL.Path == "/readyz":
			h.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/"):
			http.NotFound(w, r) // a challenge that is not ours
		case page && (r.Method == http.MethodGet || r.Method == http.MethodHead):
			http.Redirect(w, r, base+r.URL.RequestURI(), http.StatusPermanentRedirect)
		case page:
			http.Error(w, "Use "+base+": this port has no TLS.", http.StatusForbidden)
		case api.IsUser(r.URL.Path): // Nodemailer reads nothing but a 200
			writeJSON(w, map[string]string{"status": "error", "error": "Use " + base + "/user: this port has no TLS."})
		default:
			api.WriteProblem(w, http.StatusForbidden, "Use "+base+": this port has no TLS.")
		}
	}))
}
