package deploy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/server"
	"github.com/eidermail/eider/test/harness"
)

// certLife is how long the ACME server's certificates live: a third of it
// before its end one is renewed.
const certLife = 30 * time.Second

const acmeName = "mail.example.test"

// cluster is three servers on one store behind HAProxy, with certificates by ACME.
type cluster struct {
	acme  harness.ACME
	ports map[string]int
	log   harness.Log
}

// startCluster starts it. The ACME server asks its questions at HAProxy's ports
// 80 and 443; where only one is named, the other door is a dead one.
func startCluster(t *testing.T, challenge string) *cluster {
	t.Helper()
	harness.Need(t, "haproxy")
	c := &cluster{ports: map[string]int{}}
	free := harness.FreePorts(t, len(harness.Doors)+1)
	dead := free[len(harness.Doors)]
	i := 0
	for _, flag := range harness.Doors {
		c.ports[flag] = free[i]
		i++
	}
	asked := map[string][2]int{"HTTP-01": {c.ports["http"], dead}, "TLS-ALPN-01": {dead, c.ports["https"]}}[challenge]
	c.acme = harness.StartACME(t, asked[0], asked[1], certLife)
	store := memkv.New()
	var nodes [3]*server.Server
	var addrs [3]map[string]string
	for i := range nodes {
		nodes[i] = c.newNode(t, fmt.Sprint("n", i+1), server.Options{KV: store.Handle(), Shared: true})
		addrs[i] = nodes[i].Addrs()
	}
	// HAProxy takes them for up until it knows better. The other way round their
	// first order fails, and the next comes a minute later.
	harness.RunHAProxy(t, filepath.Join(t.TempDir(), "s"), c.ports, addrs)
	for _, n := range nodes {
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- n.Run(ctx) }()
		t.Cleanup(func() {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	return c
}

// newNode makes one server as deploy/templates/etc/eider/eider.toml does.
func (c *cluster) newNode(t *testing.T, name string, o server.Options) *server.Server {
	t.Helper()
	f := map[string]string{"store": "memory", "data": t.TempDir(), "node": name, "public-host": acmeName, "acme": c.acme.Directory,
		"acme-ca": c.acme.CA, "acme-email": "op@example.test", "proxy": "mx,smtp,smtps,imap,imaps,pop3,pop3s,http,https",
		"proxy-from": "127.0.0.1", "advertise": "http=https://" + acmeName, "admin": "127.0.0.1:0"}
	for _, flag := range harness.Doors {
		f[flag] = "127.0.0.1:0"
	}
	var err error
	o.Config, err = config.Load(config.Sources{Env: func(string) (string, bool) { return "", false }, Flags: f})
	if err != nil {
		t.Fatal(err)
	}
	o.Bus, o.Log, o.ACMELook = membus.New(), slog.New(slog.NewTextHandler(&c.log, nil)), time.Second
	s, err := server.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// starttls says what to say before TLS, and until which answer, by door.
func starttls() map[string][2]string {
	ehlo := "EHLO client.test\r\n|250 |STARTTLS\r\n|220 "
	return map[string][2]string{"mx": {"220 ", ehlo}, "smtp": {"220 ", ehlo}, "imap": {"* OK", "a STARTTLS\r\n|a OK"},
		"pop3": {"+OK", "STLS\r\n|+OK"}, "smtps": {}, "imaps": {}, "pop3s": {}, "https": {}}
}

// shown is the certificate that a door shows to a client of a name.
func (c *cluster) shown(door, name string) (*x509.Certificate, error) {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", c.ports[door]), 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if script := starttls()[door]; script[0] != "" {
		steps := strings.Split(script[0]+"|"+script[1], "|")
		for i := 0; i < len(steps); i += 2 {
			if err := until(conn, steps[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", door, err)
			}
			if i+1 < len(steps) {
				fmt.Fprint(conn, steps[i+1])
			}
		}
	}
	s := tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := s.Handshake(); err != nil {
		return nil, fmt.Errorf("%s: %w", door, err)
	}
	return s.ConnectionState().PeerCertificates[0], nil
}

// until reads lines, byte by byte, for TLS follows, until one begins so.
func until(r io.Reader, want string) error {
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(r, b); err != nil {
			return fmt.Errorf("waiting for %q after %q: %w", want, line, err)
		}
		if line = append(line, b[0]); b[0] != '\n' {
			continue
		}
		if strings.HasPrefix(string(line), want) {
			return nil
		}
		line = line[:0]
	}
}

// await waits until each door of each server shows a certificate of the ACME
// server that is not before, and returns the last.
func (c *cluster) await(t *testing.T, before *x509.Certificate) (cert *x509.Certificate) {
	t.Helper()
	end := time.Now().Add(4 * certLife)
	for door := range starttls() {
		for good := 0; good < 6; { // HAProxy takes the three in turn
			var err error
			if cert, err = c.shown(door, acmeName); err == nil {
				err = isNew(cert, before)
			}
			if good++; err == nil {
				continue
			}
			if good = 0; time.Now().After(end) {
				t.Fatalf("%s: %v\n%s", door, err, c.log.String())
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return cert
}

func isNew(cert, before *x509.Certificate) error {
	switch {
	case !strings.Contains(cert.Issuer.CommonName, "Pebble"):
		return fmt.Errorf("a certificate of %q", cert.Issuer.CommonName)
	case before != nil && before.Equal(cert):
		return errors.New("the old certificate")
	}
	return cert.VerifyHostname(acmeName)
}

// TestACME: three servers behind HAProxy, which adds PROXY headers, get one
// certificate from a real ACME server by either challenge, show it at every
// door, and renew it once for all, without a restart.
func TestACME(t *testing.T) {
	t.Parallel()
	for _, challenge := range []string{"HTTP-01", "TLS-ALPN-01"} {
		t.Run(challenge, func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, challenge)
			begin := time.Now()
			first := c.await(t, nil)
			n := c.acme.Issued(t)
			if late := time.Since(begin) > certLife/2; n != 1 && !late {
				t.Errorf("%d certificates for three servers", n)
			}
			for _, other := range []string{"", "other.example.test"} {
				if cert, err := c.shown("https", other); err != nil || cert.VerifyHostname(acmeName) != nil {
					t.Errorf("a client of %q is shown %v, %v", other, cert, err)
				}
			}
			c.plainPort(t)
			second := c.await(t, first)
			if len(second.DNSNames) != 1 {
				t.Errorf("renewed for %v", second.DNSNames)
			}
			c.once(t, begin)
		})
	}
}

// once: no more certificates were given than one server alone would ask for.
func (c *cluster) once(t *testing.T, begin time.Time) {
	t.Helper()
	n, most := c.acme.Issued(t), 2
	if d := time.Since(begin); d > certLife { // a slow machine has had the next one, too
		most += 1 + int((d-certLife)/(certLife/2))
	}
	if n < 2 || n > most {
		t.Errorf("%d certificates in %v, at most %d were due\n%s", n, time.Since(begin), most, c.log.String())
	}
	t.Logf("%d certificates for three servers in %v", n, time.Since(begin).Round(time.Second))
}

// plainPort: port 80 sends readers to the port with TLS, and programs nowhere.
func (c *cluster) plainPort(t *testing.T) {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, q := range []struct {
		method, path string
		code         int
		want         string
	}{
		{"GET", "/", 308, "https://" + acmeName + "/"},
		{"GET", "/message/x?y=z", 308, "https://" + acmeName + "/message/x?y=z"},
		{"POST", "/login", 403, "Use https://" + acmeName},
		{"POST", "/user", 200, "Use https://" + acmeName + "/user"},
		{"GET", "/user", 200, "Use https://" + acmeName + "/user"},
		{"POST", "//user/", 200, "Use https://" + acmeName + "/user"},
		{"GET", "/v1/messages", 403, "Use https://" + acmeName},
		{"GET", "/openapi.json", 403, "Use https://" + acmeName},
		{"GET", "/api/v1/messages", 403, "Use https://" + acmeName},
		{"GET", "/.well-known/acme-challenge/unknown", 404, "not found"},
		{"GET", "/readyz", 200, ""},
	} {
		req, err := http.NewRequest(q.method, fmt.Sprintf("http://127.0.0.1:%d%s", c.ports["http"], q.path), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		got := string(body) + resp.Header.Get("Location")
		if resp.StatusCode != q.code || !strings.Contains(got, q.want) || (q.code != 308 && resp.Header.Get("Location") != "") {
			t.Errorf("%s %s: %d %q", q.method, q.path, resp.StatusCode, got)
		}
	}
}
