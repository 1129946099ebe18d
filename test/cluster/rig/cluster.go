// Package rig runs a whole cluster on this machine: three machines' worth of
// eider, HAProxy, PostgreSQL under Patroni, etcd, Redis and Sentinel, all from
// Debian's packages, each with its own ports and directories, none as a system
// service. Each part and each machine can be killed, frozen, wiped and started
// again. `make cluster` shows it to people, test/cluster breaks it.
package rig

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/test/postgres"
)

// Nodes is the number of machines.
const Nodes = 3

// Options of a cluster.
type Options struct {
	Dir     string // its own, may be removed afterwards
	Binary  string // eider
	HAProxy string // the project's haproxy.cfg
	// TTL, Loop and Retry are Patroni's times in seconds; 6, 1, 2 if zero.
	TTL, Loop, Retry int
	// Flags are given to each eider.
	Flags []string
	// Network, if set, gives each machine a network of its own.
	Network *Network
	// Limited gives each eider one core and, where this machine lets us, 256 MB.
	Limited bool
}

// Cluster is three machines.
type Cluster struct {
	o        Options
	base     int
	user     *who
	Machines [Nodes]*Machine
	reaper   *exec.Cmd
	roots    *x509.CertPool // the authority that all nodes share through the store
}

// Machine is one of them. Its parts are named as in Parts.
type Machine struct {
	N     int // 1 to Nodes
	c     *Cluster
	dir   string
	procs map[string]*Proc
	fresh bool   // etcd has to join anew
	eider string // its program
}

// Parts are the names of a machine's programs in the order in which they start.
var Parts = []string{"etcd", "redis", "sentinel", "postgres", "eider", "haproxy"}

// The ports of a machine, counted from its base: these, eider's doors in the
// order of doors, and HAProxy's before them in the same order.
const (
	portEtcd = iota
	portEtcdPeer
	portPostgres
	portPatroni
	portRedis
	portSentinel
	portAdmin
	portProbeSMTP
	portProbeIMAPS
	portDoors
	portFronts = portDoors + 10
	portsEach  = portFronts + 10
)

// need finds the programs or says what to install.
func need() error {
	for program, pkg := range map[string]string{"etcd": "etcd-server", "etcdctl": "etcd-client", "patroni": "patroni",
		"redis-server": "redis-server", "haproxy": "haproxy"} {
		if _, err := lookPath(program); err != nil {
			return fmt.Errorf("%s %w: install Debian's %s (make test-setup)", program, errMissing, pkg)
		}
	}
	if _, err := postgres.Bin(); err != nil {
		return fmt.Errorf("%w: %w", errMissing, err)
	}
	return nil
}

// lookPath looks in the folders for system programs too.
func lookPath(program string) (string, error) {
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/usr/local/bin", "/usr/local/sbin"} {
		if st, err := os.Stat(filepath.Join(dir, program)); err == nil && !st.IsDir() {
			return filepath.Join(dir, program), nil
		}
	}
	return exec.LookPath(program)
}

// Missing tells whether an error of Start means that something must be installed.
func Missing(err error) bool { return errors.Is(err, errMissing) }

// Start makes a new cluster and waits until it serves.
func Start(o Options) (*Cluster, error) {
	if err := need(); err != nil {
		return nil, err
	}
	if o.TTL == 0 {
		o.TTL, o.Loop, o.Retry = 6, 1, 2
	}
	u, err := whoRuns()
	if err != nil {
		return nil, err
	}
	c := &Cluster{o: o, user: u}
	if c.base = 18000; o.Network == nil {
		c.base, err = freeBase()
	}
	if err != nil {
		return nil, err
	}
	if err := u.own(o.Dir); err != nil {
		return nil, err
	}
	for i := range c.Machines {
		if c.Machines[i], err = c.newMachine(i + 1); err != nil {
			return nil, err
		}
	}
	if err := c.startReaper(); err != nil {
		return nil, err
	}
	if err := c.bootstrap(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	_ = os.Remove(to) // it may be running
	return os.WriteFile(to, b, 0o755)
}

// freeBase finds a run of free ports below those that the system gives out.
func freeBase() (int, error) {
	for range 50 {
		base := 18000 + 100*rand.IntN(120)
		free := true
		for p := base; p < base+Nodes*portsEach && free; p++ {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(p))
			if free = err == nil; free {
				free = l.Close() == nil
			}
		}
		if free {
			return base, nil
		}
	}
	return 0, errors.New("no run of free ports found")
}

// startReaper ends the databases when this process is gone, however it went:
// they are nobody's children.
func (c *Cluster) startReaper() error {
	script := `while kill -0 "$1" 2>/dev/null; do sleep 1; done
for f in "$2"/m*/pg/postmaster.pid; do
  pid=$(head -1 "$f" 2>/dev/null) || continue
  tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "$2/" || continue
  # Its children too: one that is frozen does not see that its parent is gone.
  kill -9 "$pid" $(cat "/proc/$pid/task/$pid/children")
done`
	c.reaper = exec.Command("sh", "-c", script, "reaper", strconv.Itoa(os.Getpid()), c.o.Dir)
	c.reaper.SysProcAttr = newSession()
	return c.reaper.Start()
}

// bootstrap starts everything for the first time.
func (c *Cluster) bootstrap() error {
	for _, part := range []string{"etcd", "redis", "sentinel"} {
		for _, m := range c.Machines {
			if err := m.procs[part].Start(); err != nil {
				return err
			}
		}
	}
	if err := c.Machines[0].procs["postgres"].Start(); err != nil {
		return err
	}
	if err := c.await("a database primary", 3*time.Minute, func() bool { return c.Primary() != nil }); err != nil {
		return err
	}
	for _, m := range c.Machines[1:] {
		if err := m.procs["postgres"].Start(); err != nil {
			return err
		}
	}
	if err := c.AwaitStandbys(2, 3*time.Minute); err != nil {
		return err
	}
	if err := c.createDatabase(); err != nil {
		return err
	}
	for _, m := range c.Machines {
		if err := errors.Join(m.procs["eider"].Start(), m.procs["haproxy"].Start()); err != nil {
			return err
		}
	}
	if err := c.AwaitReady(3 * time.Minute); err != nil {
		return err
	}
	if err := c.allRun(); err != nil {
		return err
	}
	return c.readRoots()
}

// await polls until ok.
func (c *Cluster) await(what string, within time.Duration, ok func() bool) error {
	for end := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		if ok() {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %v\n%s", what, within, c.Logs(20))
		}
	}
}

// AwaitReady waits until each running eider says that it is ready, and each
// running HAProxy passes on to all of them.
func (c *Cluster) AwaitReady(within time.Duration) error {
	nodes := 0
	for _, m := range c.Machines {
		if !m.Proc("eider").Running() {
			continue
		}
		nodes++
		if err := c.await(fmt.Sprintf("eider of machine %d", m.N), within, m.Ready); err != nil {
			return err
		}
	}
	for _, m := range c.Machines {
		if !m.Proc("haproxy").Running() {
			continue
		}
		up := func() bool { return m.Passes(nodes) }
		if err := c.await(fmt.Sprintf("HAProxy of machine %d", m.N), within, up); err != nil {
			return err
		}
	}
	return nil
}

// AwaitStandbys waits until the primary has n streaming standbys, one of them synchronous.
func (c *Cluster) AwaitStandbys(n int, within time.Duration) error {
	return c.await(fmt.Sprintf("%d standbys", n), within, func() bool {
		members := c.members()
		standbys, synchronous, timeline := 0, 0, -1
		for _, m := range members {
			if m.Role == "leader" && m.State == "running" {
				timeline = m.Timeline
			}
		}
		for _, m := range members {
			if !m.follows(timeline) {
				continue
			}
			switch m.Role {
			case "sync_standby":
				standbys++
				synchronous++
			case "replica":
				standbys++
			}
		}
		return standbys >= n && synchronous > 0
	})
}

// Logs are the last lines of each part's log.
func (c *Cluster) Logs(lines int) string {
	var b strings.Builder
	for _, m := range c.Machines {
		for _, part := range Parts {
			text, err := os.ReadFile(m.procs[part].log)
			if err != nil || len(text) == 0 {
				continue
			}
			all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
			fmt.Fprintf(&b, "--- machine %d, %s\n%s\n", m.N, part, strings.Join(all[max(0, len(all)-lines):], "\n"))
		}
	}
	return b.String()
}

// Close ends everything.
func (c *Cluster) Close() {
	for _, m := range c.Machines {
		for _, part := range Parts {
			m.procs[part].Thaw()
			m.procs[part].Kill()
		}
	}
	if c.reaper != nil && c.reaper.Process != nil {
		_ = c.reaper.Process.Kill()
		_ = c.reaper.Wait() // it was killed
	}
	c.dropGroups()
}

// State is a picture of all parts, one line for each machine.
func (c *Cluster) State() string {
	primary, standby, redis := c.Primary(), c.Standby(), c.RedisPrimary()
	var b strings.Builder
	for _, m := range c.Machines {
		fmt.Fprintf(&b, "  machine %d ", m.N)
		for _, part := range Parts {
			word := part
			switch {
			case !m.procs[part].Running():
				word = "-" + part + "-"
			case part == "postgres" && m == primary:
				word += "(primary)"
			case part == "postgres" && m == standby:
				word += "(sync)"
			case part == "redis" && m == redis:
				word += "(primary)"
			case part == "eider" && !m.Ready():
				word += "(not ready)"
			}
			fmt.Fprintf(&b, " %s", word)
		}
		b.WriteString("\n")
	}
	return b.String()
}
