// Package harness starts real servers and real clients for the tests under
// test/: each on ports and directories of its own, on loopback, bounded in
// time, ended by process id. It is the one place that skips a test: a part
// that is missing skips at a desk and fails where CI=true.
package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Limit: how long a test waits for a server to be ready.
const readyWithin = 30 * time.Second

// Limit: how long a test waits for a server to end after SIGTERM.
const stopWithin = 30 * time.Second

// CI tells whether missing parts are failures.
func CI() bool { return os.Getenv("CI") == "true" }

// Need finds programs in PATH. Where one is missing it fails the test under
// CI=true, and skips it elsewhere.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		Missing(t, "the program %s; 'make test-setup' installs it", p)
	}
}

// Missing ends the test because a part is not there.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	end(t, "missing: "+fmt.Sprintf(format, args...))
}

// NoRight ends a test that needs a right of the user, like mounting a file
// system: it fails under CI=true, where all rights are there, and skips elsewhere.
func NoRight(t testing.TB, format string, args ...any) {
	t.Helper()
	end(t, "no right: "+fmt.Sprintf(format, args...))
}

// SoakOnly ends a test that is part of `make soak` alone, because what it
// needs is too heavy to be installed for every run of the others.
func SoakOnly(t testing.TB) {
	t.Helper()
	if os.Getenv("EIDER_SOAK") == "" {
		t.Skip("only in make soak (EIDER_SOAK=1)")
	}
}

// end is the one place where a test may skip for what is missing.
func end(t testing.TB, text string) {
	t.Helper()
	if CI() {
		t.Fatal(text)
	}
	t.Skip(text)
}

// Root is the folder of the project.
func Root(t testing.TB) string {
	t.Helper()
	_, self, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(self), "..", "..")
}

//rules:allow var what all tests of a process share
var shared = struct {
	binary func() (string, error) // built once
	ports  portBlock
}{binary: sync.OnceValues(buildBinary)}

func buildBinary() (string, error) {
	if p := os.Getenv("EIDER_BINARY"); p != "" {
		_, err := os.Stat(p) // by which `go test` also knows that its last result is stale
		return p, err
	}
	dir, err := os.MkdirTemp("", "eider-test-bin-")
	if err != nil {
		return "", err
	}
	_, self, _, _ := runtime.Caller(0)
	bin := filepath.Join(dir, "eider")
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, "./cmd/eider")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as make run builds it
	cmd.Dir = filepath.Join(filepath.Dir(self), "..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %v\n%s", err, out)
	}
	return bin, nil
}

// Binary builds eider once per test process, or takes EIDER_BINARY.
func Binary(t testing.TB) string {
	t.Helper()
	bin, err := shared.binary()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// Ready is the server's ready file.
type Ready struct {
	HTTP, HTTPS, SMTP, SMTPS, MX, LMTP, IMAP, IMAPS, POP3, POP3S, Admin string
	PID                                                                 int
	Raw                                                                 map[string]any
}

func (r *Ready) fill(raw map[string]any) {
	s := func(k string) string { v, _ := raw[k].(string); return v }
	r.HTTP, r.HTTPS, r.SMTP, r.SMTPS = s("http"), s("https"), s("smtp"), s("smtps")
	r.MX, r.LMTP, r.IMAP, r.IMAPS = s("mx"), s("lmtp"), s("imap"), s("imaps")
	r.POP3, r.POP3S, r.Admin = s("pop3"), s("pop3s"), s("admin")
	if pid, ok := raw["pid"].(float64); ok {
		r.PID = int(pid)
	}
	r.Raw = raw
}

// Server is one running eider process.
type Server struct {
	Ready
	Dir  string // data directory
	bin  string
	args []string
	cmd  *exec.Cmd
	out  *Log
	done chan error
}

// Start runs `eider serve` with every listener on a free loopback port and
// ends it with the test. Later flags win over the harness's own.
func Start(t testing.TB, flags ...string) *Server {
	t.Helper()
	return StartIn(t, t.TempDir(), flags...)
}

// StartIn is Start with a data directory that may hold data already.
func StartIn(t testing.TB, dir string, flags ...string) *Server {
	t.Helper()
	return StartBinary(t, Binary(t), dir, flags...)
}

// StartBinary is StartIn for another binary, like one of before a change.
func StartBinary(t testing.TB, bin, dir string, flags ...string) *Server {
	t.Helper()
	s := &Server{Dir: dir, bin: bin, args: flags}
	s.launch(t)
	t.Cleanup(func() { s.Stop(t) })
	return s
}

func (s *Server) launch(t testing.TB) {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready.json")
	args := []string{"serve", "--data", s.Dir, "--ready-file", ready}
	for _, l := range []string{"http", "smtp", "smtps", "mx", "lmtp", "imap", "imaps", "pop3", "pop3s", "admin"} {
		args = append(args, "--"+l, "localhost:0")
	}
	s.out = &Log{}
	s.cmd = exec.Command(s.bin, append(args, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.done = make(chan error, 1)
	go func(c *exec.Cmd, done chan error) { done <- c.Wait() }(s.cmd, s.done)
	s.await(t, ready)
}

func (s *Server) await(t testing.TB, ready string) {
	t.Helper()
	end := time.Now().Add(readyWithin)
	for time.Now().Before(end) {
		b, err := os.ReadFile(ready)
		var raw map[string]any
		if err == nil && json.Unmarshal(b, &raw) == nil {
			s.fill(raw)
			return
		}
		select {
		case err := <-s.done:
			s.done <- err
			t.Fatalf("server ended before it was ready: %v\n%s", err, s.Output())
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("server not ready within %v\n%s", readyWithin, s.Output())
}

// Output is what the process has printed so far.
func (s *Server) Output() string { return s.out.String() }

// Kill ends the process as a power cut would.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	_ = s.cmd.Process.Kill()
	<-s.done
	s.done <- nil
}

// Stop ends the process with SIGTERM and waits.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-s.done:
		s.done <- err
	case <-time.After(stopWithin):
		_ = s.cmd.Process.Kill()
		t.Errorf("server did not end within %v of SIGTERM\n%s", stopWithin, s.Output())
	}
}

// Restart starts the process again on the same data with the same flags.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.launch(t)
}

// Process is the running process.
func (s *Server) Process() *os.Process { return s.cmd.Process }

// Account is the answer of POST /user.
type Account struct {
	Status, User, Pass, Web, API, Token, Cursor, Error string
	SMTP, IMAP, POP3                                   struct {
		Host   string
		Port   int
		Secure bool
	}
}

// NewAccount makes an account by POST /user.
func (s *Server) NewAccount(t testing.TB) Account {
	t.Helper()
	resp, err := http.Post("http://"+s.HTTP+"/user", "application/json",
		bytes.NewBufferString(`{"requestor":"test","version":"1"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a Account
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	if a.Status != "success" {
		t.Fatalf("POST /user: %+v", a)
	}
	return a
}

// Run runs a program and returns its output; it fails the test if the program does.
func Run(t testing.TB, timeout time.Duration, name string, args ...string) string {
	t.Helper()
	out, err := TryRun(timeout, name, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

// TryRun runs a program, bounded in time, and returns what it printed.
func TryRun(timeout time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Fsck runs `eider fsck` on a stopped server's data (or through a running
// one's socket) and fails the test unless it is clean.
func (s *Server) Fsck(t testing.TB) {
	t.Helper()
	out, err := TryRun(5*time.Minute, Binary(t), "fsck", "--data", s.Dir)
	if err != nil {
		t.Errorf("fsck: %v\n%s", err, out)
	}
}
