package certs

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"
)

// Pace: how often names without a certificate by ACME are looked after.
const upkeepEvery = time.Minute

// run gets and renews certificates until ctx ends.
func (m *manager) run(ctx context.Context) {
	defer m.cache.Stop()
	t := time.NewTicker(m.every)
	defer t.Stop()
	for ctx.Err() == nil {
		m.look(ctx)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
}

// look takes certificates from the store for names that have none, which a
// neighbour may have got, and gets those that are not there. What the cache has
// it renews by itself.
func (m *manager) look(ctx context.Context) {
	loaded := false
	for _, name := range m.names {
		if end, ok := m.end(name); ok && time.Now().Before(end) {
			continue
		}
		_, err := m.config.CacheManagedCertificate(ctx, name)
		switch {
		case err == nil:
			loaded = true
		case errors.Is(err, fs.ErrNotExist):
			m.start(ctx, name, m.obtain)
		case ctx.Err() == nil:
			m.log.Error("--acme: the certificate in the store cannot be used; it is tried again", "name", name, "err", err)
			m.start(ctx, name, m.heal)
		}
	}
	if loaded { // maybe one that ends soon
		_ = m.cache.RenewManagedCertificates(ctx) // it logs its errors
	}
}

// start works on a name's certificate beside run, unless that is going on.
func (m *manager) start(ctx context.Context, name string, work func(context.Context, string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy[name] {
		return
	}
	m.busy[name] = true
	go func() {
		if err := work(ctx, name); err != nil && ctx.Err() == nil {
			m.log.Error("--acme: no certificate was got; it is tried again", "name", name, "err", err)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.busy, name)
	}()
}

// obtain orders a certificate, again and again for weeks, and takes it into use.
func (m *manager) obtain(ctx context.Context, name string) error {
	if err := m.config.ObtainCertAsync(ctx, name); err != nil {
		return err
	}
	_, err := m.config.CacheManagedCertificate(ctx, name)
	return err
}

// heal replaces a certificate whose files are there but do not belong together,
// or cannot be read: nobody would ever renew it.
func (m *manager) heal(ctx context.Context, name string) error {
	if err := m.removeDamaged(ctx, name); err != nil {
		return err
	}
	return m.obtain(ctx, name)
}

// removeDamaged looks under the lock that orders are made under: a neighbour may
// just be writing the files.
func (m *manager) removeDamaged(ctx context.Context, name string) (err error) {
	lock := "issue_cert_" + name
	if err := m.storage.Lock(ctx, lock); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.storage.Unlock(ctx, lock)) }()
	damaged, err := m.damaged(ctx, name)
	if err != nil || !damaged {
		return err
	}
	m.log.Warn("--acme: the files of the certificate in the store do not belong together; another is ordered",
		"name", name)
	for _, file := range m.files(name) {
		if err := m.storage.Delete(ctx, file); err != nil {
			return fmt.Errorf("certs: remove a damaged certificate: %w", err)
		}
	}
	return nil
}

// files are those of a certificate: itself, its key, and what is known of it.
func (m *manager) files(name string) [3]string {
	issuer, k := m.issuer.IssuerKey(), certmagic.StorageKeys
	return [3]string{k.SiteCert(issuer, name), k.SitePrivateKey(issuer, name), k.SiteMeta(issuer, name)}
}

// damaged tells whether all files of a certificate could be read and make none.
// An error means that it is not known.
func (m *manager) damaged(ctx context.Context, name string) (bool, error) {
	var text [3][]byte
	for i, file := range m.files(name) {
		b, err := m.storage.Load(ctx, file)
		switch {
		case errors.Is(err, errFile):
			return true, nil
		case errors.Is(err, fs.ErrNotExist):
			return false, nil // then it is ordered anyway
		case err != nil:
			return false, fmt.Errorf("certs: read: %w", err)
		}
		text[i] = b
	}
	_, err := tls.X509KeyPair(text[0], text[1])
	return err != nil || json.Unmarshal(text[2], &certmagic.CertificateResource{}) != nil, nil
}
