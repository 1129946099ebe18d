package deploy_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
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

const (
	floatingIP = "192.0.2.9"
	hosterKey  = "fake-hoster-token"
	// moveWithin is far above what a move takes (the lock's 5 s and a call): a
	// loaded machine must hold it, too.
	moveWithin = time.Minute
)

// fakeHoster stands for the hoster's API: it gives the address to the server
// named in a call with the right token, and remembers all calls.
type fakeHoster struct {
	*httptest.Server
	mu     sync.Mutex
	calls  []string // the servers, in the order of the calls
	refuse string   // a server for which it answers 500
}

func newFakeHoster(t *testing.T) *fakeHoster {
	f := &fakeHoster{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var server string
		_, err := fmt.Fscanf(r.Body, `{"server": %q}`, &server)
		f.mu.Lock()
		defer f.mu.Unlock()
		switch {
		case err != nil || r.URL.Path != "/v1/floating_ips/"+floatingIP+"/actions/assign":
			w.WriteHeader(http.StatusNotFound)
		case r.Header.Get("Authorization") != "Bearer "+hosterKey:
			w.WriteHeader(http.StatusUnauthorized)
		case server == f.refuse:
			f.calls = append(f.calls, server+" refused")
			w.WriteHeader(http.StatusInternalServerError)
		default:
			f.calls = append(f.calls, server)
		}
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeHoster) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.calls...)
}

// await waits until the calls from one on fulfil a condition.
func (f *fakeHoster) await(t *testing.T, from int, what string, ok func(calls []string) bool) {
	t.Helper()
	for end := time.Now().Add(moveWithin); !ok(f.all()[from:]); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s does not happen; calls %q", what, f.all())
		}
	}
}

// candidate is one machine's elector, in a process group of its own, started
// again when it ends, as systemd does, until it is told to stay away.
type candidate struct {
	number  int
	healthy string // a file: there while the machine can take clients
	command func() *exec.Cmd
	log     *os.File

	mu    sync.Mutex
	pid   int
	ended chan struct{} // of the one that runs
	away  bool
}

func (c *candidate) start(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = false
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
}

// run starts one elector; the caller holds the lock.
func (c *candidate) run() error {
	cmd, ended := c.command(), make(chan struct{})
	cmd.Stdout, cmd.Stderr = c.log, c.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.pid, c.ended = cmd.Process.Pid, ended
	go func() {
		_ = cmd.Wait()
		close(ended)
		time.Sleep(100 * time.Millisecond)
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.away {
			_ = c.run() // else the test misses its calls
		}
	}()
	return nil
}

// signal reaches all of the elector; the channel is closed when it has ended.
func (c *candidate) signal(t *testing.T, s syscall.Signal) (ended chan struct{}) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := syscall.Kill(-c.pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Error(err)
	}
	return c.ended
}

// leave keeps it from being started again once it has ended.
func (c *candidate) leave() (ended chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = true
	return c.ended
}

func (c *candidate) kill(t *testing.T) {
	t.Helper()
	c.leave()
	c.awaitEnd(t, c.signal(t, syscall.SIGKILL))
}

func (c *candidate) awaitEnd(t *testing.T, ended chan struct{}) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(moveWithin):
		t.Fatalf("machine %d goes on\n%s", c.number, read(t, c.log.Name()))
	}
}

// floatingConf is the generated example, filled in for the fake and quickened.
func floatingConf(t *testing.T, generated, url string) string {
	t.Helper()
	text := strings.NewReplacer("SERVERS=\n", "SERVERS='s1 s2 s3'\n", "TOKEN=\n", "TOKEN="+hosterKey+"\n",
		"https://api.hoster.example", url, "systemctl is-active --quiet haproxy", `[ -e "$HEALTHY" ]`).Replace(generated)
	return write(t, filepath.Join(t.TempDir(), "floating-ip.conf"), text+"TTL=5 CALL=4 STEP=1 SETTLE=2 REPEAT=2\n")
}

// startEtcd starts an etcd of one member and returns its URL.
func startEtcd(t *testing.T, options ...string) string {
	t.Helper()
	harness.Need(t, "etcd", "etcdctl")
	ports := harness.FreePorts(t, 2)
	client, peer := fmt.Sprint("http://127.0.0.1:", ports[0]), fmt.Sprint("http://127.0.0.1:", ports[1])
	c := exec.Command("etcd", append(options, "--data-dir", t.TempDir()+"/data", "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	for end := time.Now().Add(moveWithin); ; time.Sleep(100 * time.Millisecond) {
		out, err := harness.TryRun(10*time.Second, "etcdctl", "--endpoints="+client, "endpoint", "health")
		if err == nil {
			return client
		}
		if time.Now().After(end) {
			t.Fatalf("etcd does not start: %v\n%s", err, out)
		}
	}
}

// election is two machines that may have the address.
type election struct {
	*fakeHoster
	machines [3]*candidate // 0 is nobody
	holder   int
}

func startElection(t *testing.T) *election {
	t.Helper()
	etcd, dir := startEtcd(t), t.TempDir()
	e := &election{fakeHoster: newFakeHoster(t)}
	generateIn(t, dir, []string{"--floating-ip", floatingIP})
	conf := floatingConf(t, read(t, dir+"/n1/etc/eider/floating-ip.conf"), e.URL)
	for i := 1; i <= 2; i++ {
		m := &candidate{number: i, healthy: write(t, filepath.Join(t.TempDir(), "healthy"), "")}
		m.command = func() *exec.Cmd {
			c := exec.Command(fmt.Sprintf("%s/n%d/usr/local/lib/eider/floating-ip", dir, i), "elect")
			c.Env = append(os.Environ(), "FLOATING_IP_CONF="+conf, fmt.Sprint("MACHINE=", i), "FLOATING_IP="+floatingIP,
				"HEALTHY="+m.healthy, "ETCDCTL_API=3", "ETCDCTL_ENDPOINTS="+etcd)
			return c
		}
		var err error
		if m.log, err = os.Create(filepath.Join(t.TempDir(), "log")); err != nil {
			t.Fatal(err)
		}
		e.machines[i] = m
		m.start(t)
		t.Cleanup(func() { m.kill(t) })
	}
	e.await(t, 0, "a first call", func(c []string) bool { return len(c) > 0 })
	e.holder = 1
	if e.all()[0] == name(2) {
		e.holder = 2
	}
	e.alone(t, 0)
	return e
}

// name is a machine's name at the hoster.
func name(i int) string { return fmt.Sprint("s", i) }

func (e *election) has() *candidate   { return e.machines[e.holder] }
func (e *election) other() *candidate { return e.machines[3-e.holder] }

// alone awaits two more calls; from then on the holder alone calls.
func (e *election) alone(t *testing.T, from int) {
	t.Helper()
	e.await(t, from, "a call repeated", func(c []string) bool { return len(c) > 1 })
	for _, c := range e.all()[from:] {
		if c != name(e.holder) {
			t.Errorf("%s calls while %s has the lock: %q", c, name(e.holder), e.all())
		}
	}
}

// moves has something happen to the holder and awaits the other's call.
func (e *election) moves(t *testing.T, what string, happens func(holder *candidate)) {
	t.Helper()
	from, began := len(e.all()), time.Now()
	happens(e.has())
	e.holder = e.other().number
	e.await(t, from, what, func(c []string) bool { return len(c) > 0 && c[len(c)-1] == name(e.holder) })
	t.Logf("%s: moved after %v", what, time.Since(began).Round(time.Millisecond))
	e.alone(t, len(e.all()))
}

// TestFloatingIP has the electors of two machines, the real script and a real
// etcd, move an address of a fake hoster: the holder is killed, frozen, found
// unhealthy and refused by the hoster in turn, and at no time does one call that
// has lost the lock.
func TestFloatingIP(t *testing.T) {
	t.Parallel()
	harness.Need(t, "curl")
	e := startElection(t)
	e.moves(t, "killed", func(c *candidate) { c.kill(t) })
	e.other().start(t)

	e.moves(t, "frozen", func(c *candidate) { c.signal(t, syscall.SIGSTOP) })
	from, thawed := len(e.all()), e.other()
	thawed.awaitEnd(t, thawed.signal(t, syscall.SIGCONT))
	e.alone(t, from)

	e.moves(t, "HAProxy gone", func(c *candidate) {
		if err := os.Remove(c.healthy); err != nil {
			t.Fatal(err)
		}
	})

	// The hoster refuses one: it tries three times and gives the lock on.
	refused := e.other()
	e.mu.Lock()
	e.refuse = name(refused.number)
	e.mu.Unlock()
	ended := refused.leave()
	write(t, refused.healthy, "")
	from = len(e.all())
	e.has().kill(t)
	refused.awaitEnd(t, ended)
	if got := strings.Count(strings.Join(e.all()[from:], "\n"), e.refuse+" refused"); got < 1 || got > 3 {
		t.Errorf("a hoster that refuses was asked %d times", got)
	}
	for _, m := range e.machines[1:] {
		if text := read(t, m.log.Name()); strings.Contains(text, hosterKey) || !strings.Contains(text, "leads here") {
			t.Errorf("machine %d's log tells the token, or not what happened:\n%s", m.number, text)
		}
	}
}

// TestFloatingIP_NotFilledIn: an example that nobody has filled in calls nobody,
// and says so; what was filled in stays when the files are made again.
func TestFloatingIP_NotFilledIn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	generateIn(t, dir, []string{"--floating-ip", floatingIP})
	c := exec.Command(dir+"/n3/usr/local/lib/eider/floating-ip", "assign")
	c.Env = append(os.Environ(), "MACHINE=3", "FLOATING_IP="+floatingIP, "FLOATING_IP_CONF="+dir+"/n3/etc/eider/floating-ip.conf")
	if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), "fill in floating-ip.conf") {
		t.Errorf("%v\n%s", err, out)
	}
	write(t, dir+"/floating-ip.conf", read(t, dir+"/floating-ip.conf")+"TOKEN=mine\n")
	generateIn(t, dir, []string{"--floating-ip", floatingIP})
	path := dir + "/n3/etc/eider/floating-ip.conf"
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 || !strings.Contains(read(t, path), "TOKEN=mine") {
		t.Errorf("%v %v", st.Mode(), err)
	}
	checkUnit(t, dir+"/n3", "eider-floating-ip.service", "/usr/local/lib/eider/floating-ip")
	for _, s := range []string{"floating-ip", "own"} {
		harness.Run(t, time.Minute, "sh", "-n", dir+"/n3/usr/local/lib/eider/"+s)
	}
	generateIn(t, dir, nil, floatingIP)
	if left, _ := filepath.Glob(dir + "/n*/*/*/floating-ip*"); len(left) > 0 {
		t.Errorf("without the option there is %v", left)
	}
}
