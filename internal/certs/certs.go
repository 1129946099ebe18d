// Package certs provides the TLS certificate: from files, which are read again
// when they change, from an ACME server (RFC 8555), or a self-signed one for a
// laptop.
//
// The self-signed leaf hangs on a CA that is made with it, is constrained to
// local names and addresses (RFC 5280 §4.2.1.10), and whose key is thrown away
// once it has signed: who trusts the CA trusts this one leaf, and nobody can
// use it for anything else. Leaf and key are a row of the store, so all nodes
// and all starts show the same. Only the CA's public part is written to disk.
//
// ACME's account, keys and certificates are rows of the store as well: one
// server renews for all, and any of them answers the challenges. Names come
// from the configuration, never from what a client asks for. Until the first
// certificate has come the self-signed one is shown. Nothing else dials out.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/internal/kv"
)

const (
	// lookEvery is how often Run looks at the files, and at the date.
	lookEvery = 30 * time.Second
	// renewBefore is how long before its end a self-signed certificate is replaced.
	renewBefore = 30 * 24 * time.Hour
)

// Options configure Load.
type Options struct {
	// CertFile and KeyFile are PEM files; with neither the certificate is self-signed.
	CertFile, KeyFile string
	// KV keeps the self-signed certificate.
	KV kv.Store
	// Names are host names, beside localhost and this machine's, that the
	// self-signed certificate must be good for: --public-host, --allow-host. With
	// ACME clients that name no other are shown the first one's.
	Names []string
	// CAFile is where the self-signed CA's public part is written, for clients
	// to be pointed at; "" writes none.
	CAFile string
	// ACME gets the certificate for Names, where there are no files.
	ACME ACME
	Log  *slog.Logger
	Now  func() time.Time
}

// Certs hold the certificate in use. All methods may be called at once.
type Certs struct {
	o    Options
	cert atomic.Pointer[tls.Certificate]
	ca   atomic.Pointer[[]byte] // PEM; nil with files
	acme *manager               // nil without ACME
	seen stamp                  // of the files; owned by Load, then by Run
}

// stamp tells a file pair from its former state.
type stamp struct {
	certMod, keyMod   time.Time
	certSize, keySize int64
}

// Load finds or makes the certificate.
func Load(ctx context.Context, o Options) (*Certs, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Certs{o: o}
	if o.ACME.Directory != "" && o.CertFile == "" {
		if err := c.openACME(); err != nil {
			return nil, err
		}
	}
	if o.CertFile == "" && o.KeyFile == "" {
		return c, c.selfSigned(ctx)
	}
	if o.CertFile == "" || o.KeyFile == "" {
		return nil, errors.New("certs: --tls-cert and --tls-key go together: give both or none")
	}
	st, err := c.stat()
	if err != nil {
		return nil, err
	}
	c.seen = st
	return c, c.readFiles()
}

// openACME prepares ACME.
func (c *Certs) openACME() error {
	names := c.acmeNames()
	if len(names) == 0 {
		return errors.New("certs: --acme needs a name that a certificate can be for: --public-host mail.example.com")
	}
	if c.o.ACME.HTTPPort == 0 && c.o.ACME.TLSPort == 0 {
		return errors.New("certs: --acme needs --http (port 80 leads to it) or --https (443) to answer the challenge")
	}
	var err error
	c.acme, err = c.newManager(names)
	return err
}

// Run reads changed files again, and replaces a self-signed certificate before
// it ends, until ctx ends; it returns nil then.
func (c *Certs) Run(ctx context.Context) error {
	if c.acme != nil {
		c.acme.run(ctx)
		return nil
	}
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if err := c.look(ctx); err != nil && ctx.Err() == nil {
			c.o.Log.Warn("TLS certificate not renewed; the old one stays in use", "err", err)
		}
	}
}

// look does what is due.
func (c *Certs) look(ctx context.Context) error {
	if !c.Trusted() {
		if c.o.Now().Before(c.cert.Load().Leaf.NotAfter.Add(-renewBefore)) {
			return nil
		}
		return c.selfSigned(ctx)
	}
	st, err := c.stat()
	if err != nil {
		return err
	}
	if st == c.seen {
		return nil
	}
	c.seen = st // a broken pair is told once, not at every look
	return c.readFiles()
}

// stat looks at both files.
func (c *Certs) stat() (stamp, error) {
	a, err := os.Stat(c.o.CertFile)
	if err != nil {
		return stamp{}, fmt.Errorf("certs: --tls-cert: %w", err)
	}
	b, err := os.Stat(c.o.KeyFile)
	if err != nil {
		return stamp{}, fmt.Errorf("certs: --tls-key: %w", err)
	}
	return stamp{a.ModTime(), b.ModTime(), a.Size(), b.Size()}, nil
}

// readFiles takes the pair into use if it is whole.
func (c *Certs) readFiles() error {
	pair, err := tls.LoadX509KeyPair(c.o.CertFile, c.o.KeyFile)
	if err != nil {
		return fmt.Errorf("certs: --tls-cert and --tls-key: %w", err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return fmt.Errorf("certs: --tls-cert: %w", err)
		}
	}
	if c.o.Now().After(pair.Leaf.NotAfter) { // before it is taken, not while it is in use
		return fmt.Errorf("certs: --tls-cert: the certificate in %s expired at %s: clients would refuse it",
			c.o.CertFile, pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	c.cert.Store(&pair)
	return nil
}

// selfSigned takes the store's certificate into use.
func (c *Certs) selfSigned(ctx context.Context) error {
	s, err := c.stored(ctx)
	if err != nil {
		return err
	}
	pair := tls.Certificate{Certificate: [][]byte{s.leaf.Raw, s.ca.Raw}, PrivateKey: s.key, Leaf: s.leaf}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.ca.Raw})
	c.cert.Store(&pair)
	c.ca.Store(&ca)
	if c.o.CAFile == "" {
		return nil
	}
	if err := writeFile(c.o.CAFile, ca); err != nil {
		c.o.Log.Warn("the CA's certificate was not written", "err", err)
	}
	return nil
}

// writeFile replaces a file by rename, unless it has that content already.
func writeFile(path string, b []byte) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == string(b) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".ca-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails when renamed
	if _, err = f.Write(b); err == nil {
		err = f.Chmod(0o644)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// TLSConfig returns a fresh configuration that always shows the certificate in
// use. The caller may change it (NextProtos).
func (c *Certs) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c.acme != nil {
				if cert, err := c.acme.get(hello); err == nil {
					return cert, nil
				}
			}
			return c.cert.Load(), nil
		},
	}
}

// NextProtos adds what ACME needs to the protocols that the web server speaks.
func (c *Certs) NextProtos(protos ...string) []string {
	if c.acme != nil {
		protos = append(protos, alpnProtocol)
	}
	return protos
}

// Trusted tells whether clients can trust the certificate without being told
// to: then, and only then, --starttls auto offers STARTTLS.
func (c *Certs) Trusted() bool { return c.acme != nil || c.ca.Load() == nil }

// CAPEM is the self-signed CA's certificate for clients to trust; nil with
// files and ACME.
func (c *Certs) CAPEM() []byte {
	if p := c.ca.Load(); p != nil && !c.Trusted() {
		return *p
	}
	return nil
}

// CAFile is where CAPEM lies on disk; "" with files and ACME, or if it is
// written nowhere.
func (c *Certs) CAFile() string {
	if c.Trusted() {
		return ""
	}
	return c.o.CAFile
}

// NotAfter is when the certificate in use ends; with ACME the first of all that
// there should be. One that has not come yet has ended: the self-signed one that
// stands in for it is none that clients take.
func (c *Certs) NotAfter() time.Time {
	if c.acme != nil {
		return c.acme.notAfter()
	}
	return c.cert.Load().Leaf.NotAfter
}
