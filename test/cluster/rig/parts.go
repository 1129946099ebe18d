package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/eidermail/eider/test/postgres"
)

// The passwords of a cluster that only this machine can reach.
const (
	ownerPassword = "not-a-secret"
	superPassword = "not-a-secret-either"
)

// who runs the databases: PostgreSQL refuses root.
type who struct {
	cred *syscall.Credential
	home string
}

func whoRuns() (*who, error) {
	cred, err := postgres.User()
	if err != nil {
		return nil, err
	}
	w := &who{cred: cred, home: os.Getenv("HOME")}
	if cred != nil {
		if u, err := user.LookupId(strconv.Itoa(int(cred.Uid))); err == nil {
			w.home = u.HomeDir
		}
	}
	return w, nil
}

// own gives a folder and all in it to the user.
func (w *who) own(dir string) error {
	if w.cred == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, int(w.cred.Uid), int(w.cred.Gid))
	})
}

func newSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// command is a program run by that user.
func (w *who) command(dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(full(program), args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: w.cred}
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=" + w.home}
	return cmd
}

func full(program string) string {
	if path, err := lookPath(program); err == nil {
		return path
	}
	return program // its start will fail and say so
}

// command is a program run on the machine by the user of the databases.
func (m *Machine) command(program string, args ...string) *exec.Cmd {
	if m.c.o.Network == nil {
		return m.c.user.command(m.dir, program, args...)
	}
	return m.inside(int(m.c.user.cred.Uid), program, args...)
}

// inside is a program run on the machine's own network: root enters it and then
// gives up what it is.
func (m *Machine) inside(uid int, program string, args ...string) *exec.Cmd {
	line := append(m.c.o.Network.Enter(m.N), full("setpriv"), "--reuid", strconv.Itoa(uid), "--regid",
		strconv.Itoa(uid), "--clear-groups", full(program))
	cmd := m.c.user.command(m.dir, line[0], append(line[1:], args...)...)
	cmd.SysProcAttr.Credential = nil
	return cmd
}

// EiderUID is the user of eider where machines have networks of their own, so
// that its traffic can be told from that of the machine's other programs.
const EiderUID = 65534

// Port is the number of one of the machine's ports.
func (m *Machine) port(which int) int { return m.c.base + (m.N-1)*portsEach + which }

// at is the address of one of the machine's ports.
func (m *Machine) at(which int) string { return m.c.at(m.N, which) }

func (c *Cluster) at(n, which int) string {
	return c.ip(n) + ":" + strconv.Itoa(c.base+(n-1)*portsEach+which)
}

// ip is the address of a machine.
func (c *Cluster) ip(n int) string {
	if c.o.Network == nil {
		return "127.0.0.1"
	}
	return c.o.Network.IP(n)
}

// Data is the data directory of the machine's eider.
func (m *Machine) Data() string { return filepath.Join(m.dir, "eider") }

// Proc is one of the machine's programs, named as in Parts.
func (m *Machine) Proc(part string) *Proc { return m.procs[part] }

func (c *Cluster) newMachine(n int) (*Machine, error) {
	m := &Machine{N: n, c: c, dir: filepath.Join(c.o.Dir, "m"+strconv.Itoa(n)), procs: map[string]*Proc{},
		eider: filepath.Join(c.o.Dir, "eider-m"+strconv.Itoa(n))}
	add := func(part string, command func() *exec.Cmd) {
		m.procs[part] = &Proc{Name: fmt.Sprintf("%s of machine %d", part, n), command: command,
			log: filepath.Join(c.o.Dir, fmt.Sprintf("m%d-%s.log", n, part))}
	}
	add("etcd", m.etcd)
	add("redis", m.redis)
	add("sentinel", m.sentinel)
	add("postgres", m.patroni)
	m.procs["postgres"].pidFile = filepath.Join(m.dir, "pg", "postmaster.pid")
	add("eider", m.node)
	add("haproxy", m.haproxy)
	return m, errors.Join(m.Install(c.o.Binary), m.prepare())
}

// Install puts another eider on the machine, for its next start. Each machine has
// its own copy: who runs it may not see where it was built.
func (m *Machine) Install(binary string) error {
	return errors.Join(copyFile(binary, m.eider), m.c.user.own(m.eider))
}

// prepare writes the files of a machine that has nothing yet.
func (m *Machine) prepare() error {
	for _, dir := range []string{filepath.Join(m.dir, "redis"), m.Data()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := copyFile(m.c.o.HAProxy, filepath.Join(m.dir, "haproxy.cfg")); err != nil {
		return err
	}
	for name, text := range map[string]string{"patroni.yml": m.patroniFile(), "redis.conf": m.redisFile(),
		"sentinel.conf": m.sentinelFile()} {
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := m.c.user.own(m.dir); err != nil || m.c.o.Network == nil {
		return err
	}
	return os.Chown(m.Data(), EiderUID, EiderUID)
}

func (m *Machine) etcd() *exec.Cmd {
	var all []string
	for n := 1; n <= Nodes; n++ {
		all = append(all, fmt.Sprintf("e%d=http://%s", n, m.c.at(n, portEtcdPeer)))
	}
	state := "new"
	if m.fresh {
		state = "existing"
	}
	peer, client := "http://"+m.at(portEtcdPeer), "http://"+m.at(portEtcd)
	return m.command("etcd", "--name", "e"+strconv.Itoa(m.N), "--data-dir", filepath.Join(m.dir, "etcd"),
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--initial-cluster", strings.Join(all, ","), "--initial-cluster-state", state,
		"--enable-v2", "--heartbeat-interval", "100", "--election-timeout", "1000",
		"--auto-compaction-retention", "1", "--logger", "zap", "--log-level", "warn")
}

func (m *Machine) patroni() *exec.Cmd {
	return m.command("patroni", filepath.Join(m.dir, "patroni.yml"))
}

func (m *Machine) redis() *exec.Cmd {
	return m.command("redis-server", filepath.Join(m.dir, "redis.conf"))
}

func (m *Machine) sentinel() *exec.Cmd {
	return m.command("redis-server", filepath.Join(m.dir, "sentinel.conf"), "--sentinel")
}

func (m *Machine) haproxy() *exec.Cmd {
	cmd := m.command("haproxy", "-f", filepath.Join(m.dir, "haproxy.cfg"), "-db")
	cmd.Env = append(cmd.Env, m.haproxyEnv()...)
	return cmd
}

// node is the machine's eider, with the doors of the recipe (deploy/templates).
func (m *Machine) node() *exec.Cmd {
	args := append(m.limits(), m.eider, "serve", "--data", m.Data(),
		"--node", "m"+strconv.Itoa(m.N), "--public-host", Host, "--starttls", "on",
		"--allow-host", "localhost", "--allow-host", "127.0.0.1",
		"--store", m.c.StoreURI(), "--bus", m.c.BusURI(), "--admin", m.at(portAdmin),
		"--log-format", "text", "--drain-delay", "2s",
		// All clients have one address here, and the load is none of a stranger.
		"--create-rate", "0", "--create-rate-net", "0", "--create-rate-all", "0", "--send-rate", "0",
		"--mx-rate", "0", "--address-conns", "0", "--account-quota", "10GB", "--account-messages", "1000000")
	names := make([]string, len(doors))
	for i, d := range doors {
		names[i] = d.flag
		args = append(args, "--"+d.flag, m.at(portDoors+i))
	}
	args = append(args, "--proxy", strings.Join(names, ","), "--proxy-from", m.c.network())
	args = append(args, m.c.o.Flags...)
	if m.c.o.Network == nil {
		return m.command(args[0], args[1:]...)
	}
	return m.inside(EiderUID, args[0], args[1:]...)
}

// StoreURI is the address of the database for --store.
func (c *Cluster) StoreURI() string {
	var hosts []string
	for _, m := range c.Machines {
		hosts = append(hosts, m.at(portPostgres))
	}
	return "postgres://eider:" + ownerPassword + "@" + strings.Join(hosts, ",") + "/mail?sslmode=disable"
}

// BusURI is the address of Redis for --bus.
func (c *Cluster) BusURI() string {
	var hosts []string
	for _, m := range c.Machines {
		hosts = append(hosts, m.at(portSentinel))
	}
	return "redis+sentinel://" + strings.Join(hosts, ",") + "/mail"
}

// SuperURI is the address of the machine's database for its superuser.
func (m *Machine) SuperURI() string {
	return "postgres://postgres:" + superPassword + "@" + m.at(portPostgres) + "/postgres?sslmode=disable"
}

func (c *Cluster) createDatabase() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	p := c.Primary()
	if p == nil {
		return errors.New("no database primary")
	}
	conn, err := pgx.Connect(ctx, p.SuperURI())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, sql := range []string{"create role eider login password '" + ownerPassword + "'",
		"create database mail owner eider"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// member is one database as Patroni sees it. Lag is in bytes, or "unknown".
type member struct {
	Name, Role, State string
	Timeline          int
	Lag               any
}

// follows tells whether a standby has come as far as the primary's timeline.
func (x member) follows(timeline int) bool {
	lag, known := x.Lag.(float64)
	return (x.State == "running" || x.State == "streaming") && x.Timeline == timeline && known && lag < 1<<20
}

// members asks the first Patroni that answers.
func (c *Cluster) members() []member {
	client := http.Client{Timeout: 500 * time.Millisecond}
	for _, m := range c.Machines {
		r, err := client.Get("http://" + m.at(portPatroni) + "/cluster")
		if err != nil {
			continue
		}
		var answer struct{ Members []member }
		err = json.NewDecoder(r.Body).Decode(&answer)
		r.Body.Close()
		if err == nil && len(answer.Members) > 0 {
			return answer.Members
		}
	}
	return nil
}

// withRole is the machine whose database has the role, or nil.
func (c *Cluster) withRole(role string) *Machine {
	for _, x := range c.members() {
		if x.Role == role && (x.State == "running" || x.State == "streaming") {
			if n, err := strconv.Atoi(strings.TrimPrefix(x.Name, "pg")); err == nil && n <= Nodes {
				return c.Machines[n-1]
			}
		}
	}
	return nil
}

// Primary is the machine with the database primary; nil while there is none.
func (c *Cluster) Primary() *Machine { return c.withRole("leader") }

// Standby is the machine with the synchronous standby; nil while there is none.
func (c *Cluster) Standby() *Machine { return c.withRole("sync_standby") }

// RedisPrimary is the machine with the Redis primary; nil while there is none.
func (c *Cluster) RedisPrimary() *Machine {
	for _, m := range c.Machines {
		out, err := talk(m.at(portRedis), "INFO replication\r\n")
		if err == nil && strings.Contains(out, "role:master") {
			return m
		}
	}
	return nil
}

// Kill ends all programs of the machine at one instant.
func (m *Machine) Kill() {
	all := allProcesses()
	for _, part := range Parts {
		for _, pid := range m.procs[part].among(all) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
		}
	}
	for _, part := range Parts {
		m.procs[part].Kill()
	}
}

// Start starts all programs of the machine that do not run.
func (m *Machine) Start() error {
	for _, part := range Parts {
		if err := m.procs[part].Start(); err != nil {
			return err
		}
	}
	return nil
}

// Wipe removes all that a killed machine had on its disk and makes it a new
// machine of the same address, as an operator replaces a dead one.
func (m *Machine) Wipe() error {
	if err := os.RemoveAll(m.dir); err != nil {
		return err
	}
	if err := m.prepare(); err != nil {
		return err
	}
	return m.rejoinEtcd()
}

// rejoinEtcd makes the others forget the member that died and expect the new one.
func (m *Machine) rejoinEtcd() error {
	var others []string
	for _, o := range m.c.Machines {
		if o != m {
			others = append(others, "http://"+o.at(portEtcd))
		}
	}
	ctl := func(args ...string) (string, error) {
		cmd := m.c.user.command(m.c.o.Dir, "etcdctl", append([]string{"--endpoints", strings.Join(others, ",")}, args...)...)
		cmd.Env = append(cmd.Env, "ETCDCTL_API=3")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("etcdctl %v: %w: %s", args, err, out)
		}
		return string(out), nil
	}
	list, err := ctl("member", "list")
	if err != nil {
		return err
	}
	for line := range strings.Lines(list) {
		if f := strings.Split(line, ", "); len(f) > 2 && f[2] == "e"+strconv.Itoa(m.N) {
			if _, err := ctl("member", "remove", f[0]); err != nil {
				return err
			}
		}
	}
	m.fresh = true
	_, err = ctl("member", "add", "e"+strconv.Itoa(m.N), "--peer-urls=http://"+m.at(portEtcdPeer))
	return err
}

// FailoverRedis makes the other machine's Redis the primary.
func (m *Machine) FailoverRedis(to *Machine) error {
	_, err := talk(m.at(portRedis), fmt.Sprintf("FAILOVER TO %s %d TIMEOUT 1000\r\n", m.c.ip(to.N), to.port(portRedis)))
	return err
}
