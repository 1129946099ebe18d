package harness

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ACME is Pebble, Let's Encrypt's own test server, with its DNS server that
// knows every name as 127.0.0.1.
type ACME struct {
	Directory string // URL
	CA        string // PEM file of the root that Pebble itself is trusted by
	log       string
}

// buildPebble builds both programs of the module test/tools into a folder.
func buildPebble(t testing.TB, dir string) {
	t.Helper()
	const module = "github.com/letsencrypt/pebble/v2/cmd/"
	cmd := exec.Command("go", "build", "-o", dir, module+"pebble", module+"pebble-challtestsrv")
	cmd.Dir = filepath.Join(Root(t), "test/tools")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build pebble: %v\n%s", err, out)
	}
}

// StartACME starts Pebble, which looks for challenges on these ports and gives
// certificates that live so long.
func StartACME(t testing.TB, httpPort, tlsPort int, life time.Duration) ACME {
	t.Helper()
	dir, bin := t.TempDir(), t.TempDir()
	buildPebble(t, bin)
	ports := FreePorts(t, 4)
	certFile, keyFile := SelfSigned(t, dir, "acme.test", time.Now().Add(time.Hour))
	conf, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress":           fmt.Sprintf("127.0.0.1:%d", ports[0]),
		"managementListenAddress": fmt.Sprintf("127.0.0.1:%d", ports[1]),
		"certificate":             certFile, "privateKey": keyFile, "httpPort": httpPort, "tlsPort": tlsPort,
		"profiles": map[string]any{"default": map[string]any{"description": "x", "validityPeriod": int(life.Seconds())}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(config, conf, 0o600); err != nil {
		t.Fatal(err)
	}
	dns := fmt.Sprintf("127.0.0.1:%d", ports[2])
	serve(t, dir, filepath.Join(bin, "pebble-challtestsrv"), "-defaultIPv6", "", "-dnsserver", dns,
		"-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-management", fmt.Sprintf("127.0.0.1:%d", ports[3]))
	serve(t, dir, filepath.Join(bin, "pebble"), "-config", config, "-dnsserver", dns)
	for _, port := range []int{ports[0], ports[3]} { // the DNS server opens its management last
		for end := time.Now().Add(readyWithin); ; time.Sleep(20 * time.Millisecond) {
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				c.Close()
				break
			}
			if time.Now().After(end) {
				t.Fatal("pebble does not answer")
			}
		}
	}
	return ACME{Directory: fmt.Sprintf("https://127.0.0.1:%d/dir", ports[0]), CA: certFile,
		log: filepath.Join(dir, "pebble.log")}
}

// serve runs a program of the test's until it ends, with its output in dir.
func serve(t testing.TB, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(dir, filepath.Base(program)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		log.Close()
		if b, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s: %s", filepath.Base(program), b[max(0, len(b)-3000):])
		}
	})
}

// Issued is how many certificates Pebble has given.
func (a ACME) Issued(t testing.TB) int {
	t.Helper()
	b, err := os.ReadFile(a.log)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "Issued certificate serial")
}

// SelfSigned writes a certificate for a name and 127.0.0.1, which is its own
// root, and its key.
func SelfSigned(t testing.TB, dir, name string, until time.Time) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: until.Add(-2 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for file, b := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
