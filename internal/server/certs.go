package server

import (
	"context"
	"path/filepath"

	"github.com/eidermail/eider/internal/certs"
	"github.com/eidermail/eider/internal/config"
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
		Names: append([]string{}, cfg.AllowHost...)}
	if cfg.Public() {
		o.Names = append(o.Names, cfg.PublicHost)
	}
	if s.o.ControlDir != "" {
		o.CAFile = filepath.Join(s.o.ControlDir, "ca.pem")
	}
	var err error
	if s.certs, err = certs.Load(ctx, o); err != nil {
		return err
	}
	s.startTLS = wantStartTLS(cfg.StartTLS, s.certs.Trusted())
	if cfg.Public() && !s.certs.Trusted() {
		s.o.Log.Warn("the certificate is self-signed and mail programs will refuse it: set --tls-cert and --tls-key")
	}
	return nil
}
