package harness

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Limit: how long a test waits for HAProxy to see a server come or go.
const frontWithin = 20 * time.Second

// Doors are the listeners of deploy/haproxy/haproxy.cfg: its variables, and the flags of Eider.
var Doors = map[string]string{"MX": "mx", "SMTP": "smtp", "SMTPS": "smtps", "IMAP": "imap", "IMAPS": "imaps",
	"POP3": "pop3", "POP3S": "pop3s", "HTTP": "http", "HTTPS": "https"}

// Front is Debian's HAProxy with the project's file before three servers.
type Front struct {
	Nodes  [3]*Server
	Ports  map[string]int // public ones, by flag of Eider
	socket string
}

// StartFront starts three servers, whose flags are those of flags and ports
// that stay the same after a restart, and HAProxy before them. It returns when
// all doors are open.
func StartFront(t testing.TB, flags func(node int) []string) *Front {
	t.Helper()
	Need(t, "haproxy")
	f := &Front{Ports: map[string]int{}, socket: filepath.Join(t.TempDir(), "haproxy.sock")}
	free := FreePorts(t, 10*len(f.Nodes)+len(Doors))
	for i := range f.Nodes {
		args := append(flags(i), "--proxy", "mx,smtp,smtps,imap,imaps,pop3,pop3s,http,https", "--proxy-from", "127.0.0.1")
		for _, l := range []string{"mx", "smtp", "smtps", "imap", "imaps", "pop3", "pop3s", "http", "https", "admin"} {
			args = append(args, "--"+l, "127.0.0.1:"+strconv.Itoa(free[0]))
			free = free[1:]
		}
		f.Nodes[i] = Start(t, args...)
	}
	for _, flag := range Doors {
		f.Ports[flag], free = free[0], free[1:]
	}
	f.launch(t)
	f.AwaitAll(t)
	return f
}

func (f *Front) launch(t testing.TB) {
	t.Helper()
	var addrs [3]map[string]string
	for i, n := range f.Nodes {
		addrs[i] = map[string]string{}
		for k, v := range n.Raw {
			addrs[i][k], _ = v.(string) // the others are no addresses
		}
	}
	RunHAProxy(t, f.socket, f.Ports, addrs)
}

// RunHAProxy runs the project's file before three servers until the test ends:
// its own ports by flag of Eider, and the addresses of each server's listeners.
// It returns when HAProxy listens.
func RunHAProxy(t testing.TB, socket string, ports map[string]int, addrs [3]map[string]string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "haproxy.log"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("haproxy", "-db", "-f", filepath.Join(Root(t), "deploy/haproxy/haproxy.cfg"))
	c.Env, c.Stdout, c.Stderr = haproxyEnv(socket, ports, addrs), log, log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if b, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("haproxy: %s", b[max(0, len(b)-4000):])
		}
	})
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			conn.Close()
			return
		}
		if time.Since(begin) > frontWithin {
			t.Fatalf("HAProxy does not listen: %v", err)
		}
	}
}

func haproxyEnv(socket string, ports map[string]int, addrs [3]map[string]string) []string {
	env := append(os.Environ(), "BIND=127.0.0.1", "SOCKET="+socket)
	for v, flag := range Doors {
		env = append(env, fmt.Sprintf("%s_PORT=%d", v, ports[flag]))
	}
	for i, n := range addrs {
		env = append(env, fmt.Sprintf("NODE%d=127.0.0.1", i+1))
		for v, flag := range Doors {
			_, port, _ := net.SplitHostPort(n[flag])
			env = append(env, fmt.Sprintf("%s_PORT%d=%s", v, i+1, port))
		}
		_, port, _ := net.SplitHostPort(n["admin"])
		env = append(env, fmt.Sprintf("ADMIN_PORT%d=%s", i+1, port))
	}
	return env
}

// Addr is the address of a door, by flag of Eider.
func (f *Front) Addr(flag string) string { return "127.0.0.1:" + strconv.Itoa(f.Ports[flag]) }

// State is the column "status" of all servers: door/n1=UP ….
func (f *Front) State() string {
	c, err := net.Dial("unix", f.socket)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	fmt.Fprint(c, "show stat -1 4 -1\n")
	b, _ := io.ReadAll(c)
	var out []string
	for line := range strings.SplitSeq(string(b), "\n") {
		if col := strings.Split(line, ","); len(col) > 17 && strings.HasPrefix(col[1], "n") {
			out = append(out, col[0]+"/"+col[1]+"="+col[17])
		}
	}
	return strings.Join(out, " ")
}

// Await waits for a state and tells how long it took.
func (f *Front) Await(t testing.TB, what string, ok func(string) bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !ok(f.State()) {
		if time.Since(begin) > frontWithin {
			t.Fatalf("%s: %s", what, f.State())
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(begin)
}

// AwaitAll waits until every door leads to every server.
func (f *Front) AwaitAll(t testing.TB) {
	t.Helper()
	f.Await(t, "all servers are up", func(s string) bool { return strings.Count(s, "UP") == len(f.Nodes)*len(Doors) })
}
