package certs_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/certs"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/secret"
	"github.com/eidermail/eider/test/harness"
)

func load(t *testing.T, o certs.Options) *certs.Certs {
	t.Helper()
	c, err := certs.Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shake dials a server that uses c and returns the certificates it showed.
func shake(t *testing.T, c *certs.Certs, cfg *tls.Config) ([]*x509.Certificate, error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	srv := tls.Server(a, c.TLSConfig())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if srv.Handshake() == nil {
			srv.Write([]byte("x")) // TLS 1.3: the client's verdict may come later
		}
		a.Close()
	}()
	cl := tls.Client(b, cfg)
	err := cl.Handshake()
	if err == nil {
		cl.Read(make([]byte, 1))
	}
	b.Close()
	<-done
	return cl.ConnectionState().PeerCertificates, err
}

func pool(t *testing.T, pem []byte) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in the PEM")
	}
	return p
}

func TestSelfSigned(t *testing.T) {
	t.Parallel()
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	c := load(t, certs.Options{KV: memkv.New(), CAFile: caFile, Names: []string{"Mail.Example.com.", "bücher.example", "b ad", ""}})
	if c.Trusted() {
		t.Error("clients cannot trust a self-signed certificate unasked")
	}
	onDisk, err := os.ReadFile(caFile)
	if err != nil || !bytes.Equal(onDisk, c.CAPEM()) || c.CAFile() != caFile || bytes.Contains(onDisk, []byte("PRIVATE")) {
		t.Errorf("%s %v", onDisk, err)
	}
	roots := pool(t, c.CAPEM())
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "host.docker.internal", "mail.example.com",
		"xn--bcher-kva.example"} {
		if _, err := shake(t, c, &tls.Config{RootCAs: roots, ServerName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"example.com", "8.8.8.8", "www.google.com"} {
		if _, err := shake(t, c, &tls.Config{RootCAs: roots, ServerName: name}); err == nil {
			t.Errorf("%s: the certificate holds for it", name)
		}
	}
	block, _ := pem.Decode(c.CAPEM())
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil || !ca.IsCA || !ca.MaxPathLenZero || !ca.PermittedDNSDomainsCritical ||
		len(ca.PermittedDNSDomains) < 3 || len(ca.PermittedIPRanges) < 2 {
		t.Errorf("the CA is not constrained: %+v %v", ca, err)
	}
	for _, r := range ca.PermittedIPRanges {
		if !r.IP.IsLoopback() && !r.IP.IsPrivate() {
			t.Errorf("the CA may sign for %v", r)
		}
	}
	if d := c.NotAfter().Sub(time.Now()); d > 825*24*time.Hour || d < 300*24*time.Hour {
		t.Errorf("lives %v", d)
	}
}

// OpenSSL is what most clients verify with.
func TestSelfSigned_OpenSSL(t *testing.T) {
	t.Parallel()
	harness.Need(t, "openssl")
	dir := t.TempDir()
	c := load(t, certs.Options{KV: memkv.New(), CAFile: filepath.Join(dir, "ca.pem")})
	shown, err := shake(t, c, &tls.Config{RootCAs: pool(t, c.CAPEM()), ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	leaf := filepath.Join(dir, "leaf.pem")
	if err := os.WriteFile(leaf, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: shown[0].Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, arg := range [][]string{{"-verify_hostname", "localhost"}, {"-verify_ip", "127.0.0.1"}} {
		args := append([]string{"verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", c.CAFile()}, append(arg, leaf)...)
		if out, err := exec.CommandContext(t.Context(), "openssl", args...).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", arg, out)
		}
	}
}

// All nodes and all starts show the same certificate.
func TestSelfSigned_Shared(t *testing.T) {
	t.Parallel()
	st := memkv.New()
	var wg sync.WaitGroup
	got := make([][]byte, 6)
	for i := range got {
		wg.Go(func() {
			c, err := certs.Load(t.Context(), certs.Options{KV: st})
			if err != nil {
				t.Error(err)
				return
			}
			got[i] = c.CAPEM()
		})
	}
	wg.Wait()
	for _, g := range got {
		if !bytes.Equal(g, got[0]) {
			t.Error("nodes have different certificates")
		}
	}
	if c := load(t, certs.Options{KV: st, Names: []string{"localhost"}}); !bytes.Equal(c.CAPEM(), got[0]) {
		t.Error("a later start has another certificate")
	}
	if c := load(t, certs.Options{KV: st, Names: []string{"new.example"}}); bytes.Equal(c.CAPEM(), got[0]) {
		t.Error("a new name needs a new certificate")
	}
	items, err := st.GetMulti(t.Context(), secret.RowKey(secret.Certificate, 0))
	if err != nil || items[0].Rev == 0 {
		t.Fatal("no row", err)
	}
	// A damaged row is replaced: nothing but trust in the CA is lost.
	err = st.Update(t.Context(), [][]byte{items[0].Key}, func(tx kv.Tx) error {
		tx.Put(items[0].Key, items[0].Value[:40])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	load(t, certs.Options{KV: st})
}

func TestSelfSigned_Renewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := load(t, certs.Options{KV: memkv.New()})
		first, end := c.CAPEM(), c.NotAfter()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if !bytes.Equal(first, c.CAPEM()) {
			t.Error("replaced for no reason")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		// Waiting two years would make two million looks: be there at once.
		time.Sleep(time.Until(end.Add(-29 * 24 * time.Hour)))
		ctx, cancel = context.WithCancel(t.Context())
		go func() { done <- c.Run(ctx) }()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if bytes.Equal(first, c.CAPEM()) || !c.NotAfter().After(end) {
			t.Error("not renewed")
		}
		cancel()
		<-done
	})
}

// pair writes a certificate and its key.
func pair(t *testing.T, dir, name string, serial int64) (string, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cf, kf := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for f, b := range map[string]*pem.Block{cf: {Type: "CERTIFICATE", Bytes: der}, kf: {Type: "PRIVATE KEY", Bytes: kder}} {
		if err := os.WriteFile(f, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cf, kf
}

func TestFiles_ReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cf, kf := pair(t, dir, "a.example", 1)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c := load(t, certs.Options{CertFile: cf, KeyFile: kf, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if !c.Trusted() || c.CAPEM() != nil || c.CAFile() != "" {
			t.Error("files count as trusted and have no CA of ours")
		}
		serial := func() int64 {
			shown, err := shake(t, c, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			return shown[0].SerialNumber.Int64()
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		if serial() != 1 {
			t.Error("not the file's certificate")
		}
		// A broken key keeps the old pair, and is told once.
		if err := os.WriteFile(kf, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if serial() != 1 || strings.Count(log.String(), "not renewed") != 1 {
			t.Errorf("serial %d, log %s", serial(), log.String())
		}
		pair(t, dir, "a.example", 22)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if serial() != 22 {
			t.Error("the new pair was not read")
		}
		cancel()
		<-done
	})
}

func TestFiles_Wrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cf, kf := pair(t, dir, "a.example", 1)
	for name, o := range map[string]certs.Options{
		"no key":  {CertFile: cf},
		"no cert": {KeyFile: kf},
		"missing": {CertFile: filepath.Join(dir, "none"), KeyFile: kf},
		"swapped": {CertFile: kf, KeyFile: cf},
	} {
		if _, err := certs.Load(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--tls-") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSelfSigned_ManyAddresses: a machine has more addresses than a certificate names.
func TestSelfSigned_ManyAddresses(t *testing.T) {
	t.Parallel()
	addrs := []net.Addr{&net.IPNet{IP: net.IPv4(8, 8, 8, 8), Mask: net.CIDRMask(24, 32)}}
	for i := range certs.MaxAddresses + 1 {
		if got := len(certs.Private(addrs)); got != i {
			t.Fatalf("%d of %d", got, i)
		}
		addrs = append(addrs, &net.IPNet{IP: net.IPv4(10, 0, 0, byte(i)), Mask: net.CIDRMask(24, 32)})
	}
	if got := len(certs.Private(addrs)); got != certs.MaxAddresses {
		t.Errorf("%d addresses are named", got)
	}
}
