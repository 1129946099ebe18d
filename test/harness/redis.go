package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Limit: how long a test waits for Redis to answer, or to have a new primary.
const redisWithin = 30 * time.Second

// RedisPassword is what the Redis servers of tests ask for.
const RedisPassword = "redis-test-pass"

// RedisMaster is the name under which the sentinels know the primary.
const RedisMaster = "mail"

// Redis is one primary with replicas and as many sentinels: Debian's
// redis-server and redis-sentinel on free loopback ports.
type Redis struct {
	dir       string
	Ports     []int // of the servers; the first one begins as primary
	Sentinels []int // their ports
	procs     map[int]*exec.Cmd
}

// StartRedis starts n servers with n sentinels, ended with the test. One alone
// has no sentinel.
func StartRedis(t testing.TB, n int) *Redis {
	t.Helper()
	Need(t, "redis-server", "redis-sentinel", "redis-cli")
	r := &Redis{dir: t.TempDir(), procs: map[int]*exec.Cmd{}}
	ports := FreePorts(t, 2*n)
	r.Ports = ports[:n]
	if n > 1 {
		r.Sentinels = ports[n:]
	}
	t.Cleanup(func() {
		for _, p := range append(r.Sentinels, r.Ports...) {
			r.Kill(p)
		}
	})
	for i, p := range r.Ports {
		conf := fmt.Sprintf("bind 127.0.0.1\nport %d\ndir %s\nsave \"\"\nappendonly no\nrepl-diskless-sync yes\n"+
			"repl-diskless-sync-delay 0\nmaxmemory 128mb\nmaxmemory-policy volatile-lru\n"+
			"client-output-buffer-limit pubsub 32mb 8mb 60\nrequirepass %[3]s\nmasterauth %[3]s\n", p, r.dir, RedisPassword)
		if i > 0 {
			conf += fmt.Sprintf("replicaof 127.0.0.1 %d\n", r.Ports[0])
		}
		r.write(t, p, conf)
		r.Start(t, p)
	}
	for _, p := range r.Sentinels {
		r.write(t, p, fmt.Sprintf("bind 127.0.0.1\nport %d\ndir %s\nsentinel monitor %[3]s 127.0.0.1 %[4]d %[5]d\n"+
			"sentinel auth-pass %[3]s %[6]s\nsentinel down-after-milliseconds %[3]s 1000\n"+
			"sentinel failover-timeout %[3]s 3000\nsentinel parallel-syncs %[3]s 2\n",
			p, r.dir, RedisMaster, r.Ports[0], n/2+1, RedisPassword))
		r.Start(t, p)
	}
	r.Settle(t)
	return r
}

func (r *Redis) conf(port int) string { return filepath.Join(r.dir, fmt.Sprintf("%d.conf", port)) }

func (r *Redis) write(t testing.TB, port int, conf string) {
	t.Helper()
	if err := os.WriteFile(r.conf(port), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Start starts the server or sentinel of a port, again after Kill.
func (r *Redis) Start(t testing.TB, port int) {
	t.Helper()
	program := "redis-server"
	for _, p := range r.Sentinels {
		if p == port {
			program = "redis-sentinel"
		}
	}
	c := exec.Command(program, r.conf(port))
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	r.procs[port] = c
	for end := time.Now().Add(redisWithin); r.cli(port, "PING") != "PONG"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s on port %d does not answer", program, port)
		}
	}
}

// cli asks a server or sentinel.
func (r *Redis) cli(port int, args ...string) string {
	all := []string{"-p", fmt.Sprint(port), "--no-auth-warning"}
	if port < 1 || len(r.Sentinels) == 0 || !contains(r.Sentinels, port) {
		all = append(all, "-a", RedisPassword)
	}
	out, _ := TryRun(5*time.Second, "redis-cli", append(all, args...)...)
	return strings.TrimSpace(out)
}

func contains(all []int, one int) bool {
	for _, p := range all {
		if p == one {
			return true
		}
	}
	return false
}

// Settle waits until every sentinel knows the others and the replicas.
func (r *Redis) Settle(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(redisWithin); ; time.Sleep(50 * time.Millisecond) {
		ok := true
		for _, p := range r.Sentinels {
			info := r.cli(p, "INFO", "sentinel")
			ok = ok && strings.Contains(info, fmt.Sprintf("status=ok,address=127.0.0.1:%d,slaves=%d,sentinels=%d",
				r.Primary(), len(r.Ports)-1, len(r.Sentinels)))
		}
		if ok {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the sentinels do not agree")
		}
	}
}

// Primary is the port of the primary, as the first sentinel that answers knows it.
func (r *Redis) Primary() int {
	for _, p := range r.Sentinels {
		lines := strings.Fields(r.cli(p, "SENTINEL", "get-master-addr-by-name", RedisMaster))
		var port int
		if len(lines) == 2 {
			if _, err := fmt.Sscan(lines[1], &port); err == nil {
				return port
			}
		}
	}
	return r.Ports[0]
}

// Kill ends one process with -9.
func (r *Redis) Kill(port int) {
	if c := r.procs[port]; c != nil {
		_ = c.Process.Kill()
		_ = c.Wait()
		delete(r.procs, port)
	}
}

// Signal sends a signal to one process: SIGSTOP freezes it, SIGCONT thaws it.
func (r *Redis) Signal(t testing.TB, port int, s syscall.Signal) {
	t.Helper()
	if err := r.procs[port].Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// URL is what --bus takes.
func (r *Redis) URL() string {
	if len(r.Sentinels) == 0 {
		return fmt.Sprintf("redis://:%s@127.0.0.1:%d", RedisPassword, r.Ports[0])
	}
	var hosts []string
	for _, p := range r.Sentinels {
		hosts = append(hosts, fmt.Sprintf("127.0.0.1:%d", p))
	}
	return fmt.Sprintf("redis+sentinel://:%s@%s/%s", RedisPassword, strings.Join(hosts, ","), RedisMaster)
}
