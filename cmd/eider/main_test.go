package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// TestMain builds the program once.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "eider-cmd-")
	if err != nil {
		panic(err)
	}
	os.Setenv("EIDER_TEST_PROGRAM", filepath.Join(dir, "eider"))
	if out, err := exec.Command("go", "build", "-o", program(), ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s%v\n", out, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func program() string { return os.Getenv("EIDER_TEST_PROGRAM") }

// command is the program with an environment of its own.
func command(env []string, args ...string) *exec.Cmd {
	c := exec.Command(program(), args...)
	c.Env = append([]string{"HOME=" + os.TempDir(), "PATH=" + os.Getenv("PATH")}, env...)
	return c
}

// run runs a command to its end.
func run(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	c := command(env, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String(), errs.String()
}

// served is a running server.
type served struct {
	cmd   *exec.Cmd
	dir   string
	ready map[string]any
	errs  *harness.Log
}

func serve(t *testing.T, dir string, args ...string) *served {
	t.Helper()
	s := &served{dir: dir, errs: &harness.Log{}}
	ready := filepath.Join(t.TempDir(), "ready.json")
	all := []string{"--data", dir, "--ready-file", ready}
	for _, l := range []string{"http", "smtp", "smtps", "mx", "imap", "imaps", "pop3", "pop3s", "admin"} {
		all = append(all, "--"+l, "localhost:0")
	}
	s.cmd = command(nil, append(all, args...)...)
	s.cmd.Stderr = s.errs
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill(); s.cmd.Wait() })
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if b, err := os.ReadFile(ready); err == nil && json.Unmarshal(b, &s.ready) == nil {
			return s
		}
		if time.Now().After(end) {
			t.Fatal("not ready")
		}
	}
}

func (s *served) addr(name string) string { v, _ := s.ready[name].(string); return v }

func (s *served) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, s.errs)
	}
}

type login struct{ Status, User, Pass string }

func (s *served) list(t *testing.T, l login) string {
	t.Helper()
	req, err := http.NewRequest("GET", "http://"+s.addr("http")+"/v1/messages?limit=250", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(l.User, l.Pass)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %s %v", resp.StatusCode, b, err)
	}
	return string(b)
}

func TestUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.toml")
	if err := os.WriteFile(bad, []byte("smpt = \":25\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, c := range []struct {
		args string
		env  []string
		code int
		want []string
	}{
		{"version", nil, 0, []string{"eider"}},
		{"--help", nil, 0, []string{"account create", "fsck", "health"}},
		{"serve --help", nil, 0, []string{"--retention", "EIDER_RETENTION", "--ready-file"}},
		{"nonsense", nil, 2, []string{"nonsense", "--help"}},
		{"serve --nonsense", nil, 2, []string{"nonsense"}},
		{"--smtp nowhere", nil, 2, []string{"smtp", "nowhere"}},
		{"--config " + bad, nil, 2, []string{"bad.toml:1", "smpt"}},
		{"serve --data /dev/null/x", []string{"EIDER_RETENTON=1d"}, 1, []string{"EIDER_RETENTON", "EIDER_RETENTION"}},
		{"serve", []string{"EIDER_RETENTION=soon"}, 2, []string{"EIDER_RETENTION", "soon"}},
		{"serve --store mongodb://u:secret@x:99999/y --data " + dir, nil, 1, []string{"--store mongodb"}},
		{"serve --store postgres://u:secret@x:99999/y --data " + dir, nil, 1, []string{"--store postgres"}},
		{"serve --store memory --bus redis+sentinel://:secret@x --data " + dir, nil, 1, []string{"--bus", "master"}},
		{"serve --store memory --proxy smtp --data " + dir, nil, 2, []string{"--proxy-from"}},
		{"serve --store floppy:a --data " + dir, nil, 1, []string{"floppy", "pebble:DIR"}},
		{"serve --store memory --data " + dir + " --http " + busy.Addr().String(), nil, 1,
			[]string{"--http", "EIDER_HTTP", "another program"}},
		{"status --data " + dir, nil, 1, []string{"no server is running"}},
		{"fsck --data " + dir + "/none", nil, 1, []string{"--data"}},
		{"health --data " + dir + " --url http://127.0.0.1:1/", nil, 1, []string{"not ready"}},
		{"config --smtp :2525", []string{"EIDER_DOMAIN=x.test"}, 0, []string{`smtp = ":2525"`, `domain = "x.test"`, "set by --smtp",
			"set by $EIDER_DOMAIN"}},
		{"config --markdown", nil, 0, []string{"| `--smtp ADDR` | `EIDER_SMTP` |"}},
	} {
		code, out, errs := run(t, c.env, strings.Fields(c.args)...)
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d: %s", c.args, code, c.code, errs)
		}
		for _, w := range c.want {
			if !strings.Contains(out+errs, w) {
				t.Errorf("%s: no %q in\n%s%s", c.args, w, out, errs)
			}
		}
		if strings.Contains(out+errs, "secret") {
			t.Errorf("%s: shows a password", c.args)
		}
	}
}

// TestLife goes through a server's day: serve, commands beside it, stop,
// commands on the directory, serve again.
func TestLife(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir)
	var a, b login
	code, out, errs := run(t, nil, "account", "create", "--data", dir, "--label", "mine")
	if code != 0 || json.Unmarshal([]byte(out), &a) != nil || a.Status != "success" {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	if strings.Count(strings.TrimSpace(out), "\n") != 0 {
		t.Errorf("the account is not one line: %s", out)
	}
	auth := smtp.PlainAuth("", a.User, a.Pass, "127.0.0.1")
	if err := smtp.SendMail(s.addr("smtp"), auth, "a@b.test", []string{"c@d.test"}, []byte("Subject: kept\r\n\r\nx")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"health"}, {"status"}, {"fsck"}} {
		if code, out, errs := run(t, nil, append(args, "--data", dir)...); code != 0 || out == "" {
			t.Errorf("%s: %d %s%s", args, code, out, errs)
		}
	}
	code, _, errs = run(t, nil, "serve", "--data", dir, "--http", "127.0.0.1:0")
	if code != 1 || !strings.Contains(errs, "in use") {
		t.Errorf("a second server: %d %s", code, errs)
	}
	s.stop(t)
	if strings.Contains(s.errs.String(), a.Pass) || strings.Contains(s.errs.String(), s.ready["catchAll"].(map[string]any)["pass"].(string)) {
		t.Error("a password is in the log")
	}
	if code, out, errs = run(t, nil, "fsck", "--data", dir); code != 0 || !strings.Contains(out, "fsck: clean") {
		t.Errorf("fsck: %d %s%s", code, out, errs)
	}
	code, out, errs = run(t, nil, "account", "create", "--data", dir)
	if code != 0 || json.Unmarshal([]byte(out), &b) != nil || b.User == "" {
		t.Fatalf("offline: %d %s%s", code, out, errs)
	}
	s = serve(t, dir)
	if l := s.list(t, a); !strings.Contains(l, `"subject":"kept"`) {
		t.Errorf("after the restart: %s", l)
	}
	s.list(t, b)
	s.stop(t)
}

// TestKill: what was acknowledged survives kill -9, once.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir)
	var a login
	_, out, _ := run(t, nil, "account", "create", "--data", dir)
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var acked []string
	var wg sync.WaitGroup
	enough := make(chan struct{})
	for i := range 4 {
		wg.Go(func() {
			for j := range 1000 {
				name := fmt.Sprintf("m-%d-%d-", i, j)
				err := smtp.SendMail(s.addr("smtp"), smtp.PlainAuth("", a.User, a.Pass, "127.0.0.1"), "a@b.test",
					[]string{"c@d.test"}, []byte("Subject: "+name+"\r\n\r\n"+strings.Repeat("x", 5000)))
				if err != nil {
					return
				}
				mu.Lock()
				if acked = append(acked, name); len(acked) == 60 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(30 * time.Second):
		t.Fatal("too slow")
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.cmd.Wait()
	wg.Wait()
	s = serve(t, dir)
	list := s.list(t, a)
	if len(acked) > 250 {
		acked = acked[:0] // more than one page: the soak test counts those
	}
	for _, name := range acked {
		if n := strings.Count(list, `"subject":"`+name+`"`); n != 1 {
			t.Errorf("%s is there %d times", name, n)
		}
	}
	if code, out, errs := run(t, nil, "fsck", "--data", dir); code != 0 {
		t.Errorf("fsck: %s%s", out, errs)
	}
	s.stop(t)
}

// TestSecondSignal: whoever presses Ctrl-C twice means now.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	c, err := net.Dial("tcp", s.addr("smtp"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// A transaction that does not end holds a drain.
	buf := make([]byte, 1000)
	for _, line := range []string{"", "EHLO x\r\n", "MAIL FROM:<>\r\n", "RCPT TO:<a@b.test>\r\n", "DATA\r\n"} {
		fmt.Fprint(c, line)
		if _, err := c.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	s.cmd.Process.Signal(syscall.SIGINT)
	for !strings.Contains(s.errs.String(), "stopping") && time.Since(begin) < 10*time.Second {
		time.Sleep(time.Millisecond)
	}
	s.cmd.Process.Signal(syscall.SIGINT)
	err = s.cmd.Wait()
	if err == nil || time.Since(begin) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}
