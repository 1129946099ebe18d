package imapbench_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// idlePush is how long after an APPEND was answered an idling client knows of it; the median of some.
func idlePush(s *server) (float64, error) {
	idler, err := s.login()
	if err != nil {
		return 0, err
	}
	defer idler.nc.Close()
	if _, err := idler.run("SELECT Trash"); err != nil {
		return 0, err
	}
	if _, err := idler.run("IDLE"); err != nil {
		return 0, err
	}
	var all []float64
	for range 10 {
		time.Sleep(20 * time.Millisecond)
		start := time.Now()
		if _, err := fmt.Fprintf(s.c.nc, "p APPEND Trash {%d+}\r\n%s\r\n", len(small), small); err != nil {
			return 0, err
		}
		_ = idler.nc.SetDeadline(time.Now().Add(time.Minute))
		for {
			l, err := idler.line()
			if err != nil {
				return 0, err
			}
			if strings.Contains(string(l), "EXISTS") {
				break
			}
		}
		all = append(all, time.Since(start).Seconds())
		if _, err := s.c.until("p "); err != nil {
			return 0, err
		}
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// pace is how long clients run: short where only their running is of interest.
func pace() time.Duration {
	if *peers {
		return 2 * time.Second
	}
	return 100 * time.Millisecond
}

// each runs f on n goroutines for pace, and returns the seconds that one call took of it.
func each(n int, f func(i int) error) (float64, error) {
	d := pace()
	var count atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	start := time.Now()
	for i := range n {
		wg.Go(func() {
			for time.Since(start) < d && failed.Load() == nil {
				if err := f(i); err != nil {
					failed.Store(&err)
					return
				}
				count.Add(1)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return time.Since(start).Seconds() / float64(count.Load()), nil
}

// loginTime is a connection with LOGIN and LOGOUT, ten at a time.
func loginTime(s *server) (float64, error) {
	return each(10, func(int) error {
		c, err := s.login()
		if err != nil {
			return err
		}
		defer c.nc.Close()
		_, err = c.run("LOGOUT")
		return err
	})
}

// mixed is fifty clients that read, mark and look as mail programs do.
func mixed(s *server) (float64, error) {
	const n = 50
	clients := make([]*client, n)
	for i := range clients {
		c, err := s.login()
		if err != nil {
			return 0, err
		}
		defer c.nc.Close()
		if _, err := c.run("SELECT INBOX"); err != nil {
			return 0, err
		}
		clients[i] = c
	}
	return each(n, func(i int) error {
		at := 1 + rand.IntN(250)
		cmd := []string{
			"NOOP", "NOOP", "UID FETCH " + strconv.Itoa(at) + " BODY.PEEK[]",
			fmt.Sprintf("FETCH %d:%d (UID FLAGS ENVELOPE)", at, at+20),
			fmt.Sprintf("FETCH %d:%d (UID FLAGS)", at, at+40),
			fmt.Sprintf(`UID STORE %d +FLAGS (\Seen)`, at), "STATUS Sent (MESSAGES UNSEEN)", "SEARCH UNSEEN",
		}[rand.IntN(8)]
		_, err := clients[i].run(cmd)
		return err
	})
}

// Limit: what ten thousand idle connections may add to a server's memory, in bytes.
const idleBudget = 200e6

// TestIdleMemory opens idle connections from a process of their own, and looks
// at what each costs. The long form opens ten thousand.
func TestIdleMemory(t *testing.T) {
	n := 500
	if *peers || os.Getenv("EIDER_SOAK") != "" {
		n = 10_000
	}
	s := eider(t)
	c, err := s.login() // what the first connection makes is no connection's
	if err != nil {
		t.Fatal(err)
	}
	c.nc.Close() // ten thousand is what a listener serves
	time.Sleep(100 * time.Millisecond)
	before := rss(t, s.pid)
	ready := filepath.Join(t.TempDir(), "ready")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EIDER_BENCH_IDLERS="+strings.Join([]string{strconv.Itoa(n), s.addr, s.cmd, ready}, "\n"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill(); <-ended }()
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatal("the idle connections did not come about: ", err)
		default:
		}
		if time.Now().After(end) {
			t.Fatal("the idle connections did not come about in time")
		}
	}
	time.Sleep(3 * time.Second)
	grown := rss(t, s.pid) - before
	t.Logf("%d idle connections: %.1f MB more, %.1f KB each", n, grown/1e6, grown/1e3/float64(n))
	if budget := idleBudget * float64(n) / 10_000; n == 10_000 && grown > budget {
		t.Errorf("over the budget of %.0f MB", budget/1e6)
	} else if n < 10_000 && grown > budget+40e6 { // few connections do not outweigh the heap's own moods
		t.Errorf("over the budget of %.0f MB and what a heap may vary", budget/1e6)
	}
}

// rss is the memory of a process, in bytes.
func rss(t testing.TB, pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return kib * 1024
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// idlers is the process of the idle connections: it opens them and waits to be killed.
func idlers(spec string) int {
	f := strings.SplitN(spec, "\n", 4)
	n, _ := strconv.Atoi(f[0])
	s := &server{addr: f[1], cmd: f[2]}
	kept := make([]*client, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				c, err := s.login()
				if err == nil {
					_, err = c.run("SELECT INBOX")
				}
				if err == nil {
					_, err = c.run("IDLE")
				}
				if err != nil {
					fmt.Fprintln(os.Stderr, "idle connection:", err)
					os.Exit(1)
				}
				kept[i] = c
			}
		})
	}
	wg.Wait()
	_ = os.WriteFile(f[3], nil, 0o600)
	time.Sleep(10 * time.Minute)
	return len(kept)
}
