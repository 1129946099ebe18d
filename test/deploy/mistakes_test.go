package deploy_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv/mongokv/mongofake"
	"github.com/eidermail/eider/test/harness"
	"github.com/eidermail/eider/test/postgres"
)

// mistake is a start that cannot succeed: flags, and what the message must name.
type mistake struct {
	flags []string
	want  []string
}

// refused runs the server, which must end by itself, say what is wanted, no
// secret, and leave nothing that looks like a server.
func (m mistake) refused(t *testing.T, name string) {
	t.Helper()
	dir := t.TempDir()
	args := []string{"serve", "--data", dir, "--ready-file", filepath.Join(dir, "ready")}
	for _, l := range []string{"http", "https", "smtp", "smtps", "mx", "imap", "imaps", "pop3", "pop3s", "admin"} {
		args = append(args, "--"+l, "127.0.0.1:0")
	}
	out, err := harness.TryRun(2*time.Minute, harness.Binary(t), append(args, m.flags...)...)
	if err == nil || strings.Contains(err.Error(), "signal") {
		t.Errorf("%s: it ended with %v\n%s", name, err, out)
	}
	for _, w := range m.want {
		if !strings.Contains(out, w) {
			t.Errorf("%s: no %q in\n%s", name, w, out)
		}
	}
	if strings.Contains(out, "s3cret") || strings.Contains(out, "not-a-secret") || strings.Contains(out, "goroutine ") {
		t.Errorf("%s: a password or a panic is shown\n%s", name, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "ready")); err == nil {
		t.Errorf("%s: there is a ready file", name)
	}
}

// run tries all at once: most of their time they wait for who is not there.
func run(t *testing.T, all map[string]mistake) {
	t.Helper()
	harness.Binary(t)
	var wg sync.WaitGroup
	for name, m := range all {
		wg.Go(func() { m.refused(t, name) })
	}
	wg.Wait()
}

// TestMistakes_URIs: addresses that are wrong, or lead to nobody.
func TestMistakes_URIs(t *testing.T) {
	t.Parallel()
	alone, empty := fakeSet(t), fakeSet(t) // of MongoDB
	alone.Alone, empty.Empty = true, true
	run(t, map[string]mistake{
		"unknown store":   {[]string{"--store", "mysql://u:s3cret@h/db"}, []string{"--store", "postgres://"}},
		"bad port":        {[]string{"--store", "postgres://u:s3cret@h:port/db"}, []string{"--store", "cannot be read"}},
		"bad password":    {[]string{"--store", "mongodb://u:s3c/ret@h/db"}, []string{"--store", "%2F"}},
		"nobody there":    {[]string{"--store", "postgres://u:s3cret@127.0.0.1:1/db"}, []string{"--store", "connection refused"}},
		"no mongod there": {[]string{"--store", "mongodb://u:s3cret@127.0.0.1:1/db"}, []string{"--store", "connection refused"}},
		"unknown bus":     {[]string{"--store", "memory", "--bus", "kafka://u:s3cret@h"}, []string{"--bus", "redis://"}},
		"mongod alone":    {[]string{"--store", alone.URI("db")}, []string{"--store", "--replSet"}},
		"empty set":       {[]string{"--store", empty.URI("db")}, []string{"--store", "rs.initiate()"}},
		"no folder":       {[]string{"--store", "pebble:"}, []string{"--store", "directory"}},
	})
}

// fakeSet is a FAKE replica set of one member.
func fakeSet(t *testing.T) *mongofake.Set {
	t.Helper()
	s, err := mongofake.New(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestMistakes_PostgreSQL: a database that refuses, that is newer, that is no
// primary; it is left as it was.
func TestMistakes_PostgreSQL(t *testing.T) {
	t.Parallel()
	db := postgres.Start(t, "fsync=off")
	with := func(old, new string) []string { return []string{"--store", strings.Replace(db.URI(), old, new, 1)} }
	s := harness.Start(t, "--store", db.URI())
	a := s.NewAccount(t)
	s.Stop(t)
	run(t, map[string]mistake{
		"wrong password": {with("not-a-secret", "s3cret"), []string{"--store", "password authentication failed"}},
		"no database":    {with("/eider?", "/nowhere?"), []string{"--store", "nowhere"}},
	})
	if err := db.ExecIn("eider", "update eider.kvmeta set format = 99"); err != nil {
		t.Fatal(err)
	}
	mistake{with("", ""), []string{"--store", "format 99", "newer version"}}.refused(t, "newer format")
	if err := db.ExecIn("eider", "select 1 / (count(*) filter (where format = 99))::int from eider.kvmeta"); err != nil {
		t.Errorf("the newer store was changed: %v", err)
	}
	if err := db.ExecIn("eider", "update eider.kvmeta set format = 1"); err != nil {
		t.Fatal(err)
	}
	if err := db.Demote(); err != nil {
		t.Fatal(err)
	}
	mistake{with("", ""), []string{"--store", "no server takes writes", "a standby"}}.refused(t, "a standby only")
	if err := db.Promote(); err != nil {
		t.Fatal(err)
	}
	again := harness.Start(t, "--store", db.URI())
	out := harness.Run(t, 20*time.Second, "curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}",
		"-u", a.User+":"+a.Pass, "http://"+again.HTTP+"/v1/messages")
	if out != "200" {
		t.Errorf("after all that, the account answers %s", out)
	}
}

// TestMistakes_Certificates: files that cannot be served, and ACME that cannot begin.
func TestMistakes_Certificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := harness.SelfSigned(t, dir, "good.test", time.Now().Add(time.Hour))
	_, other := harness.SelfSigned(t, dir, "other.test", time.Now().Add(time.Hour))
	old, oldKey := harness.SelfSigned(t, dir, "old.test", time.Now().Add(-time.Hour))
	empty := write(t, filepath.Join(dir, "empty.pem"), "no certificate\n")
	tls := func(cert, key string) []string {
		return []string{"--store", "memory", "--tls-cert", cert, "--tls-key", key}
	}
	acme := func(more ...string) []string {
		return append([]string{"--store", "memory", "--public-host", "mail.example.test"}, more...)
	}
	run(t, map[string]mistake{
		"missing":          {tls(filepath.Join(dir, "none.pem"), key), []string{"--tls-cert", "none.pem"}},
		"missing key":      {tls(cert, filepath.Join(dir, "none.key")), []string{"--tls-key", "none.key"}},
		"cert alone":       {[]string{"--store", "memory", "--tls-cert", cert}, []string{"--tls-cert", "--tls-key"}},
		"another's key":    {tls(cert, other), []string{"--tls-cert", "--tls-key", "match"}},
		"no certificate":   {tls(empty, key), []string{"--tls-cert"}},
		"expired":          {tls(old, oldKey), []string{"--tls-cert", "expired", "old.test.pem"}},
		"ACME of whom":     {[]string{"--store", "memory", "--acme", "on"}, []string{"--acme", "--public-host"}},
		"ACME in clear":    {acme("--acme", "http://acme.test"), []string{"--acme", "https"}},
		"ACME's root":      {acme("--acme", "https://acme.test/dir", "--acme-ca", empty), []string{"--acme-ca", "empty.pem"}},
		"ACME's root gone": {acme("--acme", "https://acme.test/dir", "--acme-ca", "/none"), []string{"--acme-ca", "/none"}},
	})
}

// TestMistakes_ACMERefuses: a server whose ACME server is not there, or cannot
// reach it, serves with its own certificate and says what is wrong.
func TestMistakes_ACMERefuses(t *testing.T) {
	t.Parallel()
	dead := harness.FreePorts(t, 3)
	acme := harness.StartACME(t, dead[0], dead[1], time.Hour)
	for name, c := range map[string]struct{ directory, want string }{
		"nobody there": {fmt.Sprintf("https://127.0.0.1:%d/dir", dead[2]), "connection refused"},
		"refuses":      {acme.Directory, "mail.example.test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := harness.Start(t, "--store", "memory", "--public-host", "mail.example.test", "--https", "localhost:0",
				"--acme", c.directory, "--acme-ca", acme.CA)
			for end := time.Now().Add(time.Minute); !strings.Contains(s.Output(), "--acme: no certificate"); time.Sleep(50 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("nobody is told:\n%s", s.Output())
				}
			}
			if out := s.Output(); !strings.Contains(out, c.want) || !strings.Contains(out, c.directory) {
				t.Errorf("no %q in\n%s", c.want, out)
			}
			out, err := harness.TryRun(20*time.Second, "curl", "-ksS", "-m", "10", "-H", "Host: mail.example.test", "https://"+s.HTTPS+"/readyz")
			if err != nil || strings.TrimSpace(out) != "ok" {
				t.Errorf("meanwhile: %v %s", err, out)
			}
			// What stands in must not look like a certificate with years to go.
			out = harness.Run(t, 20*time.Second, "curl", "-fsS", "-m", "10", "http://"+s.Admin+"/metrics")
			_, left, _ := strings.Cut(out, "\neider_certificate_seconds ")
			left, _, _ = strings.Cut(left, "\n")
			if v, err := strconv.ParseFloat(left, 64); err != nil || v > 0 || strings.Contains(s.Output(), "panic") {
				t.Errorf("eider_certificate_seconds is %q, %v\n%s", left, err, s.Output())
			}
		})
	}
	if n := acme.Issued(t); n != 0 {
		t.Errorf("%d certificates were given", n)
	}
}

// TestMistakes_ProxyStrangers: a PROXY header opens no door to who is not a
// proxy, and means nothing where none is expected.
func TestMistakes_ProxyStrangers(t *testing.T) {
	t.Parallel()
	const header = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x10\x00\x00\x19"
	say := func(addr, text string) string {
		c, err := net.DialTimeout("tcp", addr, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(c, text) // it may be closed already
		b, _ := io.ReadAll(c)
		return string(b)
	}
	s := harness.Start(t, "--store", "memory", "--proxy", "smtp,imap,pop3,http", "--proxy-from", "192.0.2.1")
	for _, addr := range []string{s.SMTP, s.IMAP, s.POP3, s.HTTP} {
		if got := say(addr, header+"QUIT\r\n"); got != "" {
			t.Errorf("a stranger's header is answered: %q", got)
		}
	}
	// A stranger is closed first and told of after it.
	for end := time.Now().Add(time.Minute); !strings.Contains(s.Output(), "--proxy-from"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the operator is not told:\n%s", s.Output())
		}
	}
	if got := say(s.MX, header+"QUIT\r\n"); strings.HasPrefix(got, "220 ") && strings.Contains(got, "250") {
		t.Errorf("a header at a door without a proxy is taken: %q", got)
	}
	// Whoever the proxy is, its header of version 1 is not taken.
	trusted := harness.Start(t, "--store", "memory", "--proxy", "smtp", "--proxy-from", "127.0.0.1")
	if got := say(trusted.SMTP, "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nQUIT\r\n"); got != "" {
		t.Errorf("version 1 is answered: %q", got)
	}
	if got := say(trusted.SMTP, header+"QUIT\r\n"); !strings.HasPrefix(got, "220 ") {
		t.Errorf("a proxy is answered %q", got)
	}
}
