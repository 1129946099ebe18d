// Package peer starts the IMAP servers that this one is compared with:
// Debian's Dovecot and Cyrus, each on a loopback port and in a directory of
// its own, ended with the test.
package peer

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// Limit: how long a peer may take to listen, and to end.
const patience = 20 * time.Second

// IMAP is a running server. Every login of NewUser is of an empty account that
// nobody else uses.
type IMAP struct {
	Name string
	Addr string
	PID  int
	dir  string
	next atomic.Int64
	// login is the command that makes a connection that user's, without a tag.
	login func(user string) string
}

// NewUser names an account of its own.
func (s *IMAP) NewUser() string { return fmt.Sprintf("u%d", s.next.Add(1)) }

// Login is the command, without its tag, that logs a user in.
func (s *IMAP) Login(user string) string { return s.login(user) }

// Log is what the server has written about itself, for a test that fails.
func (s *IMAP) Log() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

// folder makes a directory that servers under other users may enter, outside
// of the test's own, whose parents they may not.
func folder(t testing.TB, name string) string {
	t.Helper()
	if os.Getuid() != 0 {
		harness.Missing(t, "root, which the masters of Dovecot and Cyrus want")
	}
	dir, err := os.MkdirTemp("", "eider-"+name+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start runs a server that ends with the test, and waits until it listens.
func start(t testing.TB, addr string, cmd *exec.Cmd) int {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-done
		}
	})
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return cmd.Process.Pid
		}
	}
	t.Fatalf("%s does not listen on %s", cmd.Path, addr)
	return 0
}

// freePort finds a port; another process may take it in between: the peers cannot take port 0.
func freePort(t testing.TB) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
