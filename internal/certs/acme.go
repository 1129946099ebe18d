package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// Pace: time to obtain one certificate by ACME.
const ObtainTime = 3 * time.Minute

// alpnProtocol is the protocol of the challenge TLS-ALPN-01 (RFC 8737).
const alpnProtocol = "acme-tls/1"

// LetsEncrypt is the directory that --acme on means.
const LetsEncrypt = certmagic.LetsEncryptProductionCA

// ACME says how to get a certificate from an ACME server (RFC 8555).
type ACME struct {
	// Directory is the server's directory URL; "" switches ACME off.
	Directory string
	Email     string
	// CAFile are PEM roots to trust the ACME server by; "": the system's.
	CAFile string
	// Host, HTTPPort and TLSPort are where the server's own listeners take the
	// challenges HTTP-01 and TLS-ALPN-01; port 0: that one is not offered.
	Host              string
	HTTPPort, TLSPort int
	// LookEvery is how often the store is looked at for a newer certificate; 10 min
	// if 0. If it is given, for certificates that live for seconds, the ACME
	// server's advice when to renew (RFC 9773) is not asked for.
	LookEvery time.Duration
}

// manager gets certificates and renews them, for names of the configuration only.
type manager struct {
	names   []string // in the order in which clients without a known name are shown them
	every   time.Duration
	log     *slog.Logger
	storage *Storage
	cache   *certmagic.Cache
	config  *certmagic.Config
	issuer  *certmagic.ACMEIssuer
	told    atomic.Pointer[string] // the last refusal that the operator was told

	mu   sync.Mutex
	busy map[string]bool // names whose certificate is being got
}

// newManager prepares ACME; it asks nobody yet.
func (c *Certs) newManager(names []string) (*manager, error) {
	a := c.o.ACME
	m := &manager{names: names, every: upkeepEvery, log: c.o.Log, storage: NewStorage(c.o.KV), busy: map[string]bool{}}
	if a.LookEvery > 0 {
		m.every = min(m.every, a.LookEvery)
	}
	roots, err := a.roots()
	if err != nil {
		return nil, err
	}
	log := zap.New(zapCore{m})
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return m.config, nil },
		RenewCheckInterval: a.LookEvery, Logger: log,
	})
	m.config = certmagic.New(m.cache, certmagic.Config{
		Storage: m.storage, OnEvent: m.event, Logger: log, DisableStorageCheck: true,
		DisableARI: a.LookEvery > 0,
		// Key and certificate are a row each: a renewal that is cut off between
		// them leaves a pair only if the key is the same.
		ReusePrivateKeys: true,
		ShouldEmitFunc:   func(event string) bool { return event != "tls_get_certificate" },
	})
	m.issuer = certmagic.NewACMEIssuer(m.config, certmagic.ACMEIssuer{
		CA: a.Directory, Email: a.Email, Agreed: true, TrustedRoots: roots, CertObtainTimeout: ObtainTime,
		// The listeners are ours, and are open already: the library finds them so.
		ListenHost: a.Host, AltHTTPPort: a.HTTPPort, AltTLSALPNPort: a.TLSPort,
		DisableHTTPChallenge: a.HTTPPort == 0, DisableTLSALPNChallenge: a.TLSPort == 0,
		Logger: zap.NewNop(), // what it fails with comes as an event
	})
	m.config.Issuers = []certmagic.Issuer{m.issuer}
	return m, nil
}

func (a ACME) roots() (*x509.CertPool, error) {
	if a.CAFile == "" {
		return nil, nil
	}
	b, err := os.ReadFile(a.CAFile)
	if err != nil {
		return nil, fmt.Errorf("certs: --acme-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("certs: --acme-ca: %s has no certificate", a.CAFile)
	}
	return pool, nil
}

// acmeNames are the names of the configuration that an ACME server certifies.
func (c *Certs) acmeNames() []string {
	var out []string
	for _, n := range c.o.Names {
		if name, ok := plain(n); ok && strings.Contains(name, ".") && certmagic.SubjectQualifiesForPublicCert(name) &&
			!slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// event tells the operator how it goes.
func (m *manager) event(_ context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	switch event {
	case "cert_obtained":
		m.log.Info("TLS certificate obtained by ACME", "name", name, "renewal", data["renewal"])
	case "cert_failed":
		text := "unknown"
		if err, ok := data["error"].(error); ok {
			text = err.Error()
		}
		m.told.Store(&text)
		m.log.Error("--acme: no certificate was given; it is tried again, and the one before stays in use",
			"name", name, "server", m.issuer.CA, "err", text)
	}
	return nil
}

// errNone: no certificate has come yet.
var errNone = errors.New("certs: no certificate by ACME yet")

// get finds the certificate for a handshake. A name that is not of the
// configuration gets the first one's that is there: what strangers ask for
// starts nothing.
func (m *manager) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	names := m.names
	if slices.Contains(m.names, name) {
		names = []string{name}
	} else if slices.Contains(hello.SupportedProtos, alpnProtocol) {
		return nil, errNone
	}
	for _, n := range names {
		h := *hello
		h.ServerName = n
		cert, err := m.config.GetCertificate(&h)
		if err == nil && cert != nil && len(cert.Certificate) > 0 {
			return cert, nil
		}
	}
	return nil, errNone
}

// end is when the certificate in use for a name ends, if there is one.
func (m *manager) end(name string) (end time.Time, ok bool) {
	for _, c := range m.cache.AllMatchingCertificates(name) {
		if c.Leaf != nil && c.Leaf.NotAfter.After(end) {
			end, ok = c.Leaf.NotAfter, true
		}
	}
	return end, ok
}

// notAfter is when the first of all certificates ends: now, if one is not there yet.
func (m *manager) notAfter() time.Time {
	var first time.Time
	for _, name := range m.names {
		end, ok := m.end(name)
		if !ok {
			return time.Now()
		}
		if first.IsZero() || end.Before(first) {
			first = end
		}
	}
	return first
}

// HTTPChallenges answers the challenge HTTP-01 (RFC 8555 §8.3) of any server
// of this installation, and hands everything else to h.
func (c *Certs) HTTPChallenges(h http.Handler) http.Handler {
	if c.acme == nil {
		return h
	}
	return c.acme.issuer.HTTPChallengeHandler(h)
}
