package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/eidermail/eider/internal/certs"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/test/harness"
)

// webServer is what a server has of ACME: its certificates, and listeners for
// the challenges.
type webServer struct {
	*certs.Certs
	log       *harness.Log
	tls, http string
}

// serveACME starts one server of an installation.
func serveACME(t *testing.T, o certs.Options, httpAddr, tlsAddr string) *webServer {
	t.Helper()
	s := &webServer{log: &harness.Log{}}
	o.Log = slog.New(slog.NewTextHandler(s.log, nil))
	plain, err := net.Listen("tcp", httpAddr)
	if err != nil {
		t.Fatal(err)
	}
	secure, err := net.Listen("tcp", tlsAddr)
	if err != nil {
		t.Fatal(err)
	}
	s.http, s.tls = plain.Addr().String(), secure.Addr().String()
	o.ACME.Host = "127.0.0.1"
	if o.ACME.HTTPPort != 0 {
		o.ACME.HTTPPort = plain.Addr().(*net.TCPAddr).Port
	}
	if o.ACME.TLSPort != 0 {
		o.ACME.TLSPort = secure.Addr().(*net.TCPAddr).Port
	}
	if s.Certs, err = certs.Load(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	conf := s.TLSConfig()
	conf.NextProtos = s.NextProtos("http/1.1")
	web := http.Server{Handler: s.HTTPChallenges(http.NotFoundHandler()), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go web.Serve(plain)
	go web.Serve(tls.NewListener(secure, conf))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		web.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// shown is the certificate that a client of a name is shown.
func (s *webServer) shown(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", s.tls, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// await waits until both servers show one certificate of the ACME server that
// is not before. An attempt that fails, on a machine that stalls, is repeated after a minute.
func await(t *testing.T, before *big.Int, servers ...*webServer) *x509.Certificate {
	t.Helper()
	for end := time.Now().Add(150 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var seen []*x509.Certificate
		for _, s := range servers {
			if c := s.shown(t, "mail.example.test"); strings.Contains(c.Issuer.CommonName, "Pebble") &&
				(before == nil || c.SerialNumber.Cmp(before) != 0) {
				seen = append(seen, c)
			}
		}
		if len(seen) == len(servers) && !slices.ContainsFunc(seen, func(c *x509.Certificate) bool { return !c.Equal(seen[0]) }) {
			return seen[0]
		}
		if time.Now().After(end) {
			for i, s := range servers {
				t.Errorf("no common certificate; server %d: %s", i, s.log)
			}
			t.FailNow()
		}
	}
}

// TestACME: two servers on one store get one certificate from a real ACME
// server, whichever of them is asked the challenge, and renew it once.
func TestACME(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ http, tls int }{"HTTP-01": {1, 0}, "TLS-ALPN-01": {0, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.FreePorts(t, 4)
			// The ACME server asks the second server, which may not be the one that orders.
			a := harness.StartACME(t, p[2], p[3], 30*time.Second)
			store, begin := memkv.New(), time.Now()
			o := certs.Options{Names: []string{"mail.example.test", "localhost"}, ACME: certs.ACME{Directory: a.Directory,
				Email: "op@example.test", CAFile: a.CA, HTTPPort: c.http, TLSPort: c.tls, LookEvery: time.Second}}
			var servers []*webServer
			for i := range 2 {
				o.KV = store.Handle()
				servers = append(servers, serveACME(t, o, fmt.Sprintf("127.0.0.1:%d", p[2*i]), fmt.Sprintf("127.0.0.1:%d", p[2*i+1])))
			}
			if !servers[0].Trusted() || servers[0].CAPEM() != nil {
				t.Error("ACME's certificates are trusted, and need no CA of ours")
			}
			first := await(t, nil, servers...)
			if err := first.VerifyHostname("mail.example.test"); err != nil {
				t.Error(err)
			}
			// Names from the configuration only: others get the same certificate, and no order.
			for _, other := range []string{"", "other.example.test", "localhost"} {
				if !servers[1].shown(t, other).Equal(first) {
					t.Errorf("a client of %q is shown another certificate", other)
				}
			}
			if d := time.Until(servers[0].NotAfter()); d > 40*time.Second || d < 0 {
				t.Errorf("it ends in %v", d)
			}
			second := await(t, first.SerialNumber, servers...)
			orders := strings.Count(servers[0].log.String(), "obtained") + strings.Count(servers[1].log.String(), "obtained")
			// A third is due after 40 s, and one more each 20: a machine that slow has had them, too.
			most := max(2, 2+int((time.Since(begin)-15*time.Second)/(20*time.Second)))
			if orders < 2 || orders > most {
				t.Errorf("%d orders for two certificates:\n%s\n%s", orders, servers[0].log, servers[1].log)
			}
			// A server that starts later takes what is there.
			o.KV = store.Handle()
			late := serveACME(t, o, "127.0.0.1:0", "127.0.0.1:0")
			if got := await(t, nil, late); !got.Equal(second) && strings.Contains(late.log.String(), "obtained") {
				t.Error("a late server ordered a certificate of its own")
			}
		})
	}
}

// TestACME_Refused: a server that refuses is told about, by the setting's
// name, and the self-signed certificate serves meanwhile.
func TestACME_Refused(t *testing.T) {
	t.Parallel()
	p := harness.FreePorts(t, 3)
	a := harness.StartACME(t, p[2], p[2], time.Hour) // it asks where nobody is
	s := serveACME(t, certs.Options{KV: memkv.New(), Names: []string{"mail.example.test"}, ACME: certs.ACME{
		Directory: a.Directory, CAFile: a.CA, HTTPPort: 1}}, fmt.Sprintf("127.0.0.1:%d", p[0]), fmt.Sprintf("127.0.0.1:%d", p[1]))
	for end := time.Now().Add(30 * time.Second); !strings.Contains(s.log.String(), "--acme"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the operator is not told: %s", s.log.String())
		}
	}
	if c := s.shown(t, "mail.example.test"); c.VerifyHostname("mail.example.test") != nil {
		t.Error("meanwhile there is no certificate for the name")
	}
	// The one that stands in is none that clients take: who watches must not see its end.
	if left := time.Until(s.NotAfter()); left > 0 {
		t.Errorf("the certificate that is not there ends in %v", left)
	}
	if n := strings.Count(s.log.String(), "level=ERROR"); n != 1 {
		t.Errorf("one refusal is told %d times: %s", n, s.log)
	}
}

// nobody is a directory where no ACME server is.
const nobody = "https://127.0.0.1:1/dir"

// keep puts key and certificate for a name into a store as ACME does.
func keep(t *testing.T, store kv.Store, directory, name, certFile, keyFile string) {
	t.Helper()
	issuer, k := (&certmagic.ACMEIssuer{CA: directory}).IssuerKey(), certmagic.StorageKeys
	cert, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for file, b := range map[string][]byte{k.SiteCert(issuer, name): cert, k.SitePrivateKey(issuer, name): key,
		k.SiteMeta(issuer, name): []byte(`{"sans":["` + name + `"]}`)} {
		if err := certs.NewStorage(store).Store(t.Context(), file, b); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitIssuer waits until a client of a name is shown a certificate of that issuer.
func (s *webServer) awaitIssuer(t *testing.T, name, issuer string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		got := s.shown(t, name)
		if got.Issuer.CommonName == issuer {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%q is shown one of %q: %s", name, got.Issuer.CommonName, s.log)
		}
	}
}

// TestACME_OneReadFails: a certificate that could not be read at the start is
// taken a moment later, and the operator is told.
func TestACME_OneReadFails(t *testing.T) {
	t.Parallel()
	const name = "mail.example.test"
	store := faultkv.Wrap(memkv.New(), 1)
	certFile, keyFile := harness.SelfSigned(t, t.TempDir(), name, time.Now().Add(time.Hour))
	keep(t, store, nobody, name, certFile, keyFile)
	store.FailNth(faultkv.Get, 2, kv.ErrUnavailable) // the first is for the self-signed one
	s := serveACME(t, certs.Options{KV: store, Names: []string{name}, ACME: certs.ACME{Directory: nobody, HTTPPort: 1,
		LookEvery: 100 * time.Millisecond}}, "127.0.0.1:0", "127.0.0.1:0")
	s.awaitIssuer(t, name, name)
	if left := time.Until(s.NotAfter()); left < 50*time.Minute || left > time.Hour {
		t.Errorf("it ends in %v", left)
	}
	if log := s.log.String(); !strings.Contains(log, "--acme") || !strings.Contains(log, kv.ErrUnavailable.Error()) {
		t.Errorf("nobody is told: %s", log)
	}
}

// TestACME_TornPair: key and certificate that do not belong together, after a
// write that was cut off, are replaced.
func TestACME_TornPair(t *testing.T) {
	t.Parallel()
	const name = "mail.example.test"
	p := harness.FreePorts(t, 2)
	a := harness.StartACME(t, p[0], p[1], time.Hour)
	store, dir := memkv.New(), t.TempDir()
	certFile, _ := harness.SelfSigned(t, dir, name, time.Now().Add(time.Hour))
	_, keyFile := harness.SelfSigned(t, dir, "other.test", time.Now().Add(time.Hour))
	keep(t, store, a.Directory, name, certFile, keyFile)
	s := serveACME(t, certs.Options{KV: store, Names: []string{name}, ACME: certs.ACME{Directory: a.Directory,
		CAFile: a.CA, HTTPPort: 1, LookEvery: time.Second}}, fmt.Sprintf("127.0.0.1:%d", p[0]), "127.0.0.1:0")
	await(t, nil, s)
	if n := a.Issued(t); n != 1 || !strings.Contains(s.log.String(), "belong together") {
		t.Errorf("%d certificates: %s", n, s.log)
	}
}

// TestACME_NoName: a client that names nobody is shown the first certificate
// that is there; one whose name has none yet, the self-signed one, which has it.
func TestACME_NoName(t *testing.T) {
	t.Parallel()
	store, dir := memkv.New(), t.TempDir()
	names := []string{"first.example.test", "second.example.test", "third.example.test"}
	for _, name := range names[1:] {
		certFile, keyFile := harness.SelfSigned(t, dir, name, time.Now().Add(time.Hour))
		keep(t, store, nobody, name, certFile, keyFile)
	}
	s := serveACME(t, certs.Options{KV: store, Names: names, ACME: certs.ACME{Directory: nobody, HTTPPort: 1,
		LookEvery: time.Second}}, "127.0.0.1:0", "127.0.0.1:0")
	s.awaitIssuer(t, names[2], names[2])
	for _, name := range []string{"", "other.example.test"} {
		s.awaitIssuer(t, name, names[1])
	}
	if c := s.shown(t, names[0]); c.VerifyHostname(names[0]) != nil {
		t.Errorf("%s is shown one for %v", names[0], c.DNSNames)
	}
	if left := time.Until(s.NotAfter()); left > 0 {
		t.Errorf("one certificate is missing, and the first ends in %v", left)
	}
}

// TestACME_LibraryErrors: what the ACME library fails with beside orders is in
// the server's log, without what may be secret.
func TestACME_LibraryErrors(t *testing.T) {
	t.Parallel()
	var out harness.Log
	log := certs.LibraryLog(slog.New(slog.NewTextHandler(&out, nil)))
	log.Warn("a detail")
	log.Error("could not get certificate from issuer", zap.String("identifier", "a.test")) // is an event as well
	if got := out.String(); got != "" {
		t.Errorf("%s", got)
	}
	log.Named("renew").Error("will retry", zap.Error(errors.New("saving assets: no space")), zap.Any("storage", "postgres://u:s3cret@h"),
		zap.Strings("identifiers", []string{"a.test"}))
	for _, w := range []string{"level=ERROR", "--acme", "will retry", "saving assets: no space", "a.test"} {
		if !strings.Contains(out.String(), w) {
			t.Errorf("no %q in %s", w, out.String())
		}
	}
	if strings.Contains(out.String(), "s3cret") {
		t.Error(out.String())
	}
}

func TestACME_Settings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		names []string
		acme  certs.ACME
		want  string
	}{
		{[]string{"localhost", "10.0.0.1"}, certs.ACME{Directory: "https://x.test", HTTPPort: 1}, "--public-host"},
		{[]string{"mail.example.com"}, certs.ACME{Directory: "https://x.test"}, "--https"},
		{[]string{"mail.example.com"}, certs.ACME{Directory: "https://x.test", HTTPPort: 1, CAFile: "/none"}, "--acme-ca"},
	} {
		_, err := certs.Load(t.Context(), certs.Options{KV: memkv.New(), Names: c.names, ACME: c.acme})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.names, err)
		}
	}
}

func TestStorage(t *testing.T) {
	t.Parallel()
	store := memkv.New()
	a, b := certs.NewStorage(store.Handle()), certs.NewStorage(store.Handle())
	ctx := t.Context()
	for _, n := range []string{"x/a/1", "x/a/2", "x/ab", "y"} {
		if err := a.Store(ctx, n, []byte(n)); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := b.Load(ctx, "x/a/2"); err != nil || string(v) != "x/a/2" {
		t.Errorf("%q %v", v, err)
	}
	if _, err := b.Load(ctx, "x/a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder: %v", err)
	}
	for _, c := range []struct {
		folder string
		deep   bool
		want   []string
	}{
		{"x", false, []string{"x/a", "x/ab"}}, {"x", true, []string{"x/a/1", "x/a/2", "x/ab"}},
		{"", false, []string{"x", "y"}}, {"x/a/", false, []string{"x/a/1", "x/a/2"}},
	} {
		if got, err := b.List(ctx, c.folder, c.deep); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: %v %v", c.folder, got, err)
		}
	}
	if info, err := b.Stat(ctx, "x/ab"); err != nil || !info.IsTerminal || info.Size != 4 || time.Since(info.Modified) > time.Minute {
		t.Errorf("%+v %v", info, err)
	}
	if info, err := b.Stat(ctx, "x/a"); err != nil || info.IsTerminal || b.Exists(ctx, "x/b") || !b.Exists(ctx, "x") {
		t.Errorf("%+v %v", info, err)
	}
	if err := b.Delete(ctx, "x/a"); err != nil || a.Exists(ctx, "x/a/1") || !a.Exists(ctx, "x/ab") {
		t.Errorf("deleted: %v", err)
	}
	// One holder at a time, over two processes.
	if err := a.Lock(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := b.Lock(short, "one"); err == nil {
		t.Error("two hold a lock")
	}
	if err := a.Unlock(ctx, "one"); err != nil {
		t.Error(err)
	}
	if err := b.Lock(ctx, "one"); err != nil {
		t.Error(err)
	}
	if err := b.Unlock(ctx, "one"); err != nil || b.Unlock(ctx, "one") == nil {
		t.Error("unlocked twice")
	}
}

// TestStorage_LockEnds: who holds a lock too long loses it, and may say so late.
func TestStorage_LockEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memkv.New()
		a, b := certs.NewStorage(store.Handle()), certs.NewStorage(store.Handle())
		if err := a.Lock(t.Context(), "one"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		long, end := context.WithTimeout(t.Context(), 2*certs.LockTime)
		defer end()
		if err := b.Lock(long, "one"); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d < certs.LockTime || d > certs.LockTime+time.Minute {
			t.Errorf("the next one waited %v", d)
		}
		if err := a.Unlock(t.Context(), "one"); err != nil {
			t.Errorf("given back late: %v", err)
		}
		short, cancel := context.WithTimeout(t.Context(), certs.LockTime/2)
		defer cancel()
		if err := a.Lock(short, "one"); err == nil {
			t.Error("the first one's word has freed the second one's lock")
		}
		if err := b.Unlock(t.Context(), "one"); err != nil {
			t.Error(err)
		}
	})
}

// TestStorage_ManyFiles: a list ends at MaxFiles, however many there are.
func TestStorage_ManyFiles(t *testing.T) {
	t.Parallel()
	store := certs.NewStorage(memkv.New())
	for i := range certs.MaxFiles + 1 {
		if err := store.Store(t.Context(), fmt.Sprintf("x/%05d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := store.List(t.Context(), "x", true); err != nil || len(got) != certs.MaxFiles {
		t.Errorf("%d files: %v", len(got), err)
	}
}
