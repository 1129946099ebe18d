package deploy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// front is HAProxy before three servers with a store each: what a shared one
// adds is tested with the cluster.
type front struct{ *harness.Front }

func startFront(t *testing.T) front {
	t.Helper()
	return front{harness.StartFront(t, func(n int) []string {
		return []string{"--store", "memory", "--domain", fmt.Sprintf("n%d.test", n+1)}
	})}
}

// of picks one server's doors out of a state.
func of(state string, n int) string {
	var out []string
	for _, s := range strings.Fields(state) {
		if strings.Contains(s, fmt.Sprintf("/n%d=", n+1)) {
			out = append(out, s)
		}
	}
	return strings.Join(out, " ")
}

// dial opens a door and reads the greeting.
func (f front) dial(door string) (net.Conn, string, error) {
	c, err := net.DialTimeout("tcp", f.Addr(door), 5*time.Second)
	if err != nil {
		return nil, "", err
	}
	c.SetDeadline(time.Now().Add(30 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		c.Close()
		return nil, "", fmt.Errorf("no greeting: %w", err)
	}
	return c, line, nil
}

// visitors come one after the other until the test stops them.
type visitors struct {
	count, failed int
	fails         []time.Time // when those began that failed
	slow          time.Duration
	err           error
	stop          func() *visitors
}

func (f front) visitors(door string) *visitors {
	v := &visitors{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			begin := time.Now()
			c, _, err := f.dial(door)
			v.count++
			v.slow = max(v.slow, time.Since(begin))
			if err != nil {
				v.failed++
				v.err, v.fails = err, append(v.fails, begin)
			} else {
				c.Close()
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	v.stop = func() *visitors { cancel(); wg.Wait(); return v }
	return v
}

// on opens IMAP connections until one is at the server wanted.
func (f front) on(t *testing.T, node int) net.Conn {
	t.Helper()
	gauge := `eider_connections_open{listener="imap"}`
	for end := time.Now().Add(10 * time.Second); harness.Metric(t, f.Nodes[node].Admin, gauge) > 0; {
		if time.Now().After(end) {
			t.Fatal("an IMAP connection stays")
		}
		time.Sleep(20 * time.Millisecond)
	}
	for range 30 {
		c, _, err := f.dial("imap")
		if err != nil {
			t.Fatal(err)
		}
		if harness.Metric(t, f.Nodes[node].Admin, gauge) == 1 {
			return c
		}
		defer c.Close()
	}
	t.Fatalf("no connection came to server %d", node+1)
	return nil
}

// TestHAProxy runs deploy/haproxy/haproxy.cfg before three real servers: every
// door leads to all of them, and each way in which one goes is measured.
func TestHAProxy(t *testing.T) {
	f := startFront(t)
	t.Run("Doors", f.testDoors)
	t.Run("Restart", f.testRestart)
	t.Run("Kill", f.testKill)
	t.Run("Freeze", f.testFreeze)
}

func (f front) testDoors(t *testing.T) {
	seen := map[string]int{}
	for range 30 {
		c, greeting, err := f.dial("mx")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		seen[strings.Fields(greeting)[1]]++
	}
	if len(seen) != 3 {
		t.Errorf("the clients came to %v", seen)
	}
	for door, want := range map[string]string{"smtp": "220 ", "imap": "* OK", "pop3": "+OK"} {
		c, greeting, err := f.dial(door)
		if err != nil || !strings.HasPrefix(greeting, want) {
			t.Errorf("%s: %q %v", door, greeting, err)
			continue
		}
		c.Close()
	}
	for door, url := range map[string]string{"http": "http://127.0.0.1:%d/", "https": "https://127.0.0.1:%d/",
		"smtps": "smtps://127.0.0.1:%d", "imaps": "imaps://127.0.0.1:%d", "pop3s": "pop3s://127.0.0.1:%d"} {
		out, err := harness.TryRun(20*time.Second, "curl", "-ksSv", "-m", "10", fmt.Sprintf(url, f.Ports[door]))
		if !strings.Contains(out, "Eider") && !strings.Contains(out, "eider") {
			t.Errorf("%s: %v\n%s", door, err, out)
		}
	}
}

// testRestart: a rolling restart fails nobody, and IMAP clients are told goodbye.
func (f front) testRestart(t *testing.T) {
	for i, n := range f.Nodes {
		reader := f.on(t, i)
		v := f.visitors("mx")
		time.Sleep(200 * time.Millisecond)
		ended := make(chan string, 1)
		go func() {
			b, _ := io.ReadAll(reader)
			ended <- string(b)
		}()
		n.Stop(t)
		if s := of(f.State(), i); strings.Contains(s, "UP") {
			t.Errorf("server %d has gone, and is %s", i+1, s)
		}
		if bye := <-ended; !strings.Contains(bye, "* BYE") {
			t.Errorf("the IMAP client was told %q", bye)
		}
		n.Restart(t)
		f.AwaitAll(t)
		if v.stop(); v.failed > 0 || v.count < 20 {
			t.Errorf("restart of %d: %d of %d connections failed: %v", i+1, v.failed, v.count, v.err)
		}
		t.Logf("restart of server %d: %d connections, %d failed, slowest %v", i+1, v.count, v.failed, v.slow.Round(time.Millisecond))
		reader.Close()
	}
}

// testKill: kill -9 of a server costs its sessions and nobody else's.
func (f front) testKill(t *testing.T) {
	reader := f.on(t, 1)
	defer reader.Close()
	v := f.visitors("mx")
	time.Sleep(200 * time.Millisecond)
	f.Nodes[1].Kill(t)
	dead := time.Now()
	took := f.Await(t, "it is seen", func(s string) bool { return strings.Contains(of(s, 1), "imap/n2=DOWN") })
	time.Sleep(500 * time.Millisecond)
	f.Nodes[1].Restart(t)
	f.AwaitAll(t)
	v.stop()
	t.Logf("kill -9: seen after %v; %d connections, %d failed, slowest %v", took.Round(time.Millisecond), v.count, v.failed,
		v.slow.Round(time.Millisecond))
	// One that was in the greeting when it died may fail, and one more that comes
	// while the system takes it apart. Of those after its death only the second in
	// a row that it refuses, for HAProxy marks it down then, and ends that session
	// with the server's others.
	early, late := 0, 0
	for _, at := range v.fails {
		switch d := at.Sub(dead); {
		case d <= 0:
			early++
		case d <= took:
			late++
		default:
			t.Errorf("a connection failed %v after the server's death, which was seen after %v: %v", d, took, v.err)
		}
	}
	if early > 2 || late > 1 || v.slow > 2*time.Second {
		t.Errorf("of %d connections %d failed before its death and %d after it (%v), the slowest took %v", v.count, early, late,
			v.err, v.slow)
	}
}

// testFreeze: a server that hangs loses its sessions, so that clients reconnect.
func (f front) testFreeze(t *testing.T) {
	reader := f.on(t, 2)
	defer reader.Close()
	if err := f.Nodes[2].Process().Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err := io.ReadAll(reader); err != nil {
		t.Errorf("the session of a frozen server: %v", err)
	}
	took := time.Since(begin)
	v := f.visitors("mx")
	time.Sleep(500 * time.Millisecond)
	v.stop()
	if err := f.Nodes[2].Process().Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	t.Logf("frozen: sessions end after %v; then %d connections, %d failed", took.Round(time.Millisecond), v.count, v.failed)
	if took > 8*time.Second || v.failed > 0 {
		t.Errorf("sessions ended after %v, then %d of %d connections failed: %v", took, v.failed, v.count, v.err)
	}
	f.AwaitAll(t)
}
