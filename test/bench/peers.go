package bench

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// MailpitVersion is the peer's version, built from its module.
const MailpitVersion = "v1.30.5"

// Proc is a running server with its process, for memory figures.
type Proc struct {
	Target Target
	Dir    string // where it keeps mail, if the test may look
	pid    int
}

// PeakMB is the peak memory of the process and its children, in 10^6 bytes.
// The sum of the peaks of several processes may be over the peak of the sum.
func (p *Proc) PeakMB() float64 {
	return float64(peak(p.pid)) / 1e3 * 1.024
}

func peak(pid int) (kib int64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ = strconv.ParseInt(strings.Fields(v)[0], 10, 64)
		}
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		for c := range strings.FieldsSeq(string(b)) {
			child, _ := strconv.Atoi(c)
			kib += peak(child)
		}
	}
	return kib
}

// start runs a program that ends with the test.
func start(t testing.TB, cmd *exec.Cmd) int {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(15 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
	})
	return cmd.Process.Pid
}

// freePort finds a port; another process may take it in between, so it is only for peers that cannot take port 0.
func freePort(t testing.TB) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

func awaitPort(t testing.TB, addr string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return
		}
	}
	t.Fatalf("nothing listens on %s", addr)
}

func rcpts(n int) func(int) string {
	return func(conn int) string { return fmt.Sprintf("u%d@bench.test", conn%n) }
}

// Eider starts this server and makes n accounts.
func Eider(t testing.TB, n int) *Proc { return EiderAt(t, harness.Binary(t), n) }

// EiderAt is Eider for another binary of it.
func EiderAt(t testing.TB, bin string, n int) *Proc {
	s := harness.StartBinary(t, bin, t.TempDir(), "--account-quota", "100GB", "--account-messages", "10000000")
	accts := make([]harness.Account, n)
	for i := range accts {
		accts[i] = s.NewAccount(t)
	}
	return &Proc{Target: Target{Addr: s.SMTP, Rcpt: rcpts(n),
		Login: func(c int) Login { return Login{accts[c%n].User, accts[c%n].Pass} }}, pid: s.Process().Pid}
}

// BareLimit starts the limit loop in a process of its own.
func BareLimit(t testing.TB, n int) *Proc {
	dir := t.TempDir()
	addrFile := filepath.Join(dir, "addr")
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "EIDER_BENCH_LIMIT="+dir)
	pid := start(t, cmd)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if b, err := os.ReadFile(addrFile); err == nil && len(b) > 0 {
			return &Proc{Target: Target{Addr: string(b), Rcpt: rcpts(n)}, pid: pid}
		}
	}
	t.Fatal("the limit loop did not start")
	return nil
}

// Mailpit builds the peer from its module and starts it on a data file.
func Mailpit(t testing.TB, n int) *Proc {
	bin := filepath.Join(os.TempDir(), "eider-bench-peers", "mailpit-"+MailpitVersion)
	if _, err := os.Stat(bin); err != nil {
		dir := t.TempDir()
		cmd := exec.Command("go", "install", "github.com/axllent/mailpit@"+MailpitVersion)
		cmd.Env = append(os.Environ(), "GOBIN="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building Mailpit: %v\n%s", err, out)
		}
		_ = os.MkdirAll(filepath.Dir(bin), 0o755)
		if b, err := os.ReadFile(filepath.Join(dir, "mailpit")); err != nil || os.WriteFile(bin, b, 0o755) != nil {
			t.Fatal("cannot keep the built Mailpit")
		}
	}
	smtp, web := fmt.Sprintf("127.0.0.1:%d", freePort(t)), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	pid := start(t, exec.Command(bin, "--smtp", smtp, "--listen", web, "--disable-version-check",
		"--database", filepath.Join(t.TempDir(), "mailpit.db"), "--max", "0", "--quiet"))
	awaitPort(t, smtp)
	return &Proc{Target: Target{Addr: smtp, Rcpt: rcpts(n)}, pid: pid}
}

// Dovecot starts Debian's LMTP with an fsync for every delivery, on a format of
// its mailboxes; with "+zstd" behind it, compressed.
func Dovecot(t testing.TB, format string, n int) *Proc {
	harness.Need(t, "dovecot")
	if os.Getuid() != 0 {
		harness.Missing(t, "root, which Dovecot's master wants")
	}
	dir, err := os.MkdirTemp("", "eider-bench-dovecot-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	_ = os.Chmod(dir, 0o755)
	_ = os.Mkdir(filepath.Join(dir, "mail"), 0o755)
	const nobody = 65534
	_ = os.Chown(filepath.Join(dir, "mail"), nobody, nobody)
	format, packed := strings.CutSuffix(format, "+zstd")
	plugins := ""
	if packed {
		plugins = "mail_plugins = zlib\nplugin {\n  zlib_save = zstd\n}\n"
	}
	port := freePort(t)
	conf := filepath.Join(dir, "dovecot.conf")
	text := fmt.Sprintf(`
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols = lmtp
listen = 127.0.0.1
ssl = no
mail_fsync = always
mail_location = %[2]s:%[1]s/mail/%%u
auth_username_format = %%n
first_valid_uid = 1
userdb {
  driver = static
  args = uid=%[3]d gid=%[3]d home=%[1]s/mail/%%u
}
passdb {
  driver = static
  args = nopassword=y
}
service lmtp {
  process_min_avail = %[5]d
  inet_listener lmtp {
    address = 127.0.0.1
    port = %[4]d
  }
}
`, dir, format, nobody, port, Connections)
	if err := os.WriteFile(conf, []byte(text+plugins), 0o644); err != nil {
		t.Fatal(err)
	}
	pid := start(t, exec.Command("dovecot", "-F", "-c", conf))
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	awaitPort(t, addr)
	return &Proc{Target: Target{Addr: addr, LMTP: true, Rcpt: rcpts(n)}, Dir: filepath.Join(dir, "mail"), pid: pid}
}
