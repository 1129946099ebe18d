package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/control"
	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/obs"
	"github.com/eidermail/eider/internal/server"
	"github.com/eidermail/eider/test/harness"
)

// settings are those of a server on free ports.
func settings(t *testing.T, more ...string) *config.Config {
	t.Helper()
	f := map[string]string{"store": "memory", "data": t.TempDir()}
	for _, l := range []string{"http", "https", "smtp", "smtps", "mx", "lmtp", "imap", "imaps", "pop3", "pop3s", "admin"} {
		f[l] = "localhost:0"
	}
	for i := 0; i < len(more); i += 2 {
		f[more[i]] = more[i+1]
	}
	c, err := config.Load(config.Sources{Env: func(string) (string, bool) { return "", false }, Flags: f})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type running struct {
	*server.Server
	stop func()
	done chan error
	log  *harness.Log
}

func start(t *testing.T, o server.Options) *running {
	t.Helper()
	r := &running{done: make(chan error, 1), log: &harness.Log{}}
	if o.KV == nil {
		o.KV = memkv.New()
	}
	o.Bus, o.Log = membus.New(), obs.NewLogger(r.log, obs.LogOptions{JSON: true})
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	var err error
	if r.Server, err = server.New(ctx, o); err != nil {
		t.Fatal(err)
	}
	go func() { r.done <- r.Run(ctx) }()
	select {
	case <-r.Ready():
	case err := <-r.done:
		t.Fatalf("did not start: %v", err)
	}
	t.Cleanup(func() { r.end(t) })
	return r
}

// end stops the server once.
func (r *running) end(t *testing.T) {
	t.Helper()
	r.stop()
	select {
	case err := <-r.done:
		r.done <- nil
		if err != nil {
			t.Errorf("run: %v", err)
		}
	case <-time.After(2 * server.DrainTime):
		t.Fatal("did not stop")
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	c := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestReadyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ready.json")
	if err := os.WriteFile(path, []byte("stale"), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := start(t, server.Options{Config: settings(t, "ready-file", path, "lmtp", "off"), ControlDir: dir})
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v", st.Mode(), err)
	}
	var f map[string]any
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	for _, l := range r.o().Listeners() {
		v, ok := f[l.Name]
		if !ok || (l.Name == "lmtp") != (v == nil) {
			t.Errorf("%s is %v", l.Name, v)
		}
		if s, ok := v.(string); ok {
			if host, port, err := net.SplitHostPort(s); err != nil || host != "127.0.0.1" || port == "0" {
				t.Errorf("%s is %q", l.Name, s)
			}
		}
	}
	if f["pid"] != float64(os.Getpid()) || f["web"] != "http://"+f["http"].(string) || f["ca"] != filepath.Join(dir, "ca.pem") {
		t.Errorf("pid %v web %v ca %v", f["pid"], f["web"], f["ca"])
	}
	catch := f["catchAll"].(map[string]any)
	if user, pass := r.CatchAll(); catch["user"] != user || catch["pass"] != pass || pass == "" {
		t.Errorf("catch-all %v", catch)
	}
	if strings.Contains(r.log.String(), catch["pass"].(string)) {
		t.Error("the catch-all's password is in the log")
	}
	r.end(t)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the ready file is still there: %v", err)
	}
}

func (r *running) o() *config.Config { return r.Settings() }

func TestPortTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	_, err = server.New(t.Context(), server.Options{Config: settings(t, "imap", taken), KV: memkv.New(), Bus: membus.New()})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{taken, "--imap", "EIDER_IMAP", "another program"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %q", err, want)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	r := start(t, server.Options{Config: settings(t)})
	a := r.Addrs()
	for _, url := range []string{a["http"] + "/healthz", a["http"] + "/readyz", a["admin"] + "/readyz"} {
		if code, body := get(t, "http://"+url); code != 200 || body != "ok\n" {
			t.Errorf("%s: %d %q", url, code, body)
		}
	}
	if code, body := get(t, "http://"+a["admin"]+"/metrics"); code != 200 || !strings.Contains(body, "eider_store_seconds") {
		t.Errorf("metrics: %d", code)
	}
	if code, _ := get(t, "http://"+a["http"]+"/metrics"); code != 404 {
		t.Errorf("metrics on the public port: %d", code)
	}
	var st server.Status
	_, body := get(t, "http://"+a["admin"]+"/status")
	if err := json.Unmarshal([]byte(body), &st); err != nil || !st.Ready || !st.Store.OK || st.PID != os.Getpid() {
		t.Errorf("status %s %v", body, err)
	}
	for _, l := range []string{"http", "admin"} {
		req, err := http.NewRequest("GET", "http://"+a[l]+"/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "evil.example"
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%s by a foreign name: %d", l, resp.StatusCode)
		}
	}
}

// TestStoreAway: the process lives, and stays ready while it may be a failover.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	f := faultkv.Wrap(memkv.New(), 1)
	r := start(t, server.Options{Config: settings(t), KV: f})
	f.Away(true)
	a := r.Addrs()["http"]
	if code, _ := get(t, "http://"+a+"/healthz"); code != 200 {
		t.Errorf("healthz %d", code)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		code, body := get(t, "http://"+a+"/readyz")
		if code != 200 || time.Now().After(end) {
			t.Fatalf("readyz %d %q", code, body)
		}
		if strings.Contains(body, "degraded") && strings.Contains(body, "slow") {
			break
		}
	}
	f.Away(false)
}

// TestDrain: a message under way when the server stops is finished and kept;
// nothing new is taken.
func TestDrain(t *testing.T) {
	t.Parallel()
	store := memkv.New()
	r := start(t, server.Options{Config: settings(t), KV: store.Handle()})
	c, err := smtp.Dial(r.Addrs()["smtp"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail("a@b.test"); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("c@d.test"); err != nil {
		t.Fatal(err)
	}
	d, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(d, "Subject: half\r\n")
	web := r.Addrs()["http"]
	waiting := make(chan int, 1)
	user, pass := r.CatchAll()
	go func() {
		req, _ := http.NewRequest("GET", "http://"+web+"/v1/messages/wait?timeout=60s&subject=none", nil)
		req.SetBasicAuth(user, pass)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			waiting <- 0
			return
		}
		resp.Body.Close()
		waiting <- resp.StatusCode
	}()
	for !strings.Contains(metrics(t, r), "eider_waits_open 1") {
		time.Sleep(time.Millisecond)
	}
	r.stop()
	if code := <-waiting; code != 503 {
		t.Errorf("a wait ended with %d", code)
	}
	fmt.Fprint(d, "\r\nother half\r\n")
	if err := d.Close(); err != nil {
		t.Fatalf("the message under way: %v", err)
	}
	r.end(t)
	if c, err := net.Dial("tcp", r.Addrs()["smtp"]); err == nil {
		c.Close()
		t.Error("a stopped server listens")
	}
	// The next server on the same store has the message.
	r2 := start(t, server.Options{Config: settings(t), KV: store.Handle()})
	req, _ := http.NewRequest("GET", "http://"+r2.Addrs()["http"]+"/v1/messages", nil)
	req.SetBasicAuth(user, pass)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if !strings.Contains(string(b), `"subject":"half"`) {
		t.Errorf("after the restart: %s", b)
	}
}

func metrics(t *testing.T, r *running) string {
	t.Helper()
	_, body := get(t, "http://"+r.Addrs()["admin"]+"/metrics")
	return body
}

func TestTLSAndHTTP2(t *testing.T) {
	t.Parallel()
	r := start(t, server.Options{Config: settings(t)})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(r.CAPEM())
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("https://" + r.Addrs()["https"] + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != 200 {
		t.Errorf("%s %d", resp.Proto, resp.StatusCode)
	}
}

func TestControlSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, server.Options{Config: settings(t), ControlDir: dir})
	c, err := control.Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.Call(t.Context(), "POST", "/account", server.NewAccount{Label: "x", Friendly: true}, &out); err != nil {
		t.Fatal(err)
	}
	var a struct{ Status, User, Pass, Web string }
	if err := json.Unmarshal(out.Bytes(), &a); err != nil || a.Status != "success" || a.User == "" || a.Web != r.WebURL() {
		t.Errorf("%s %v", out.String(), err)
	}
	out.Reset()
	if err := c.Call(t.Context(), "POST", "/fsck", nil, &out); err != nil || !strings.HasSuffix(out.String(), server.FsckClean+"\n") {
		t.Errorf("%s %v", out.String(), err)
	}
	if err := c.Call(t.Context(), "GET", "/nothing", nil, &out); err == nil {
		t.Error("an unknown command was done")
	}
}

// TestPublicMode: nobody is trusted, and no catch-all is there.
func TestPublicMode(t *testing.T) {
	t.Parallel()
	r := start(t, server.Options{Config: settings(t, "public-host", "mail.example.com", "trusted-nets", "127.0.0.0/8")})
	if user, _ := r.CatchAll(); user != "" {
		t.Errorf("catch-all %q", user)
	}
	err := smtp.SendMail(r.Addrs()["smtp"], nil, "a@b.test", []string{"c@d.test"}, []byte("Subject: x\r\n\r\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "530") {
		t.Errorf("mail of a stranger: %v", err)
	}
	var b bytes.Buffer
	r.WriteBanner(&b)
	if !strings.Contains(b.String(), "https://mail.example.com") || strings.Contains(b.String(), "Catch-all") {
		t.Errorf("banner:\n%s", b.String())
	}
}

// TestCaught: the newest messages are shown, and all are counted.
func TestCaught(t *testing.T) {
	t.Parallel()
	r := start(t, server.Options{Config: settings(t)})
	for i := range server.MaxCaught + 3 {
		if i == server.MaxCaught {
			var b strings.Builder
			if err := r.WriteCaught(t.Context(), &b); err != nil || !strings.Contains(b.String(), "caught 20 messages:") {
				t.Errorf("%v: %s", err, b.String())
			}
		}
		msg := fmt.Sprintf("Subject: number-%d.\r\n\r\nx\r\n", i)
		if err := smtp.SendMail(r.Addrs()["smtp"], nil, "a@b.test", []string{"c@d.test"}, []byte(msg)); err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	if err := r.WriteCaught(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if n := strings.Count(text, "number-"); n != server.MaxCaught || !strings.Contains(text, "caught 23 messages, the last 20") ||
		strings.Contains(text, "number-2.") || !strings.Contains(text, "number-22.") {
		t.Errorf("%d are shown: %s", n, text)
	}
}
