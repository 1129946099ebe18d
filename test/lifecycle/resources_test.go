package lifecycle_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// rss is the resident memory of the server in bytes.
func rss(t testing.TB, s *harness.Server, field string) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Process().Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			return kib << 10
		}
	}
	t.Fatalf("no %s in /proc/PID/status", field)
	return 0
}

const mega = 1_000_000

// TestMemory: under 60 MB 10 s after the first start; a 60 MB message adds
// less than 32 MB.
func TestMemory(t *testing.T) {
	s := harness.Start(t)
	a := s.NewAccount(t)
	time.Sleep(10 * time.Second) // the figure is named for this moment
	idle := rss(t, s, "VmRSS")
	t.Logf("idle: %.1f MB", float64(idle)/mega)
	if idle > 60*mega {
		t.Errorf("idle memory is %.1f MB, want under 60", float64(idle)/mega)
	}
	if code, msg := dial(t, s.SMTP, a).deliver(t, "x@life.test", "big", 60*mega); code != 250 {
		t.Fatalf("60 MB: %d %s", code, msg)
	}
	peak := rss(t, s, "VmHWM")
	t.Logf("peak while receiving 60 MB: %.1f MB", float64(peak)/mega)
	if added := peak - idle; added > 32*mega {
		t.Errorf("receiving 60 MB added %.1f MB, want under 32", float64(added)/mega)
	}
}

// smallDisk mounts a file system of its own.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", megabytes), "eider-test", dir).
		CombinedOutput()
	if err != nil {
		harness.NoRight(t, "to mount a small file system: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	return dir
}

// TestReserve: below the reserve of free space deliveries and accounts are
// refused, reads and deletes go on, and service returns when space does.
func TestReserve(t *testing.T) {
	disk := smallDisk(t, 700)
	s := harness.StartIn(t, filepath.Join(disk, "data"), "--account-quota", "10GB")
	a := s.NewAccount(t)
	c := dial(t, s.SMTP, a)
	if code, msg := c.deliver(t, "x@life.test", "before", 1000); code != 250 {
		t.Fatalf("with space: %d %s", code, msg)
	}
	hog := filepath.Join(disk, "hog")
	if err := exec.Command("fallocate", "-l", "520M", hog).Run(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "deliveries are refused", func() bool {
		code, _ := c.deliver(t, "x@life.test", "full", 1000)
		return code == 452
	})
	if got := stat(t, s, a); !strings.HasPrefix(got, "+OK ") {
		t.Errorf("reading on a full disk: %q", got)
	}
	if code := api(t, a, "DELETE", "http://"+s.HTTP+"/v1/messages?all=true", nil); code >= 300 {
		t.Errorf("deleting on a full disk: %d", code)
	}
	if got := stat(t, s, a); got != "+OK 0 0" {
		t.Errorf("after deleting all on a full disk: %q", got)
	}
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	eventually(t, "deliveries are taken again", func() bool {
		code, _ := c.deliver(t, "x@life.test", "after", 1000)
		return code == 250
	})
	s.Fsck(t)
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("not within 20 s: %s", what)
}

// TestNoSpaceAtAll: a true ENOSPC under load loses nothing that was
// acknowledged, and the server starts clean when there is space again.
func TestNoSpaceAtAll(t *testing.T) {
	disk := smallDisk(t, 700)
	s := harness.StartIn(t, filepath.Join(disk, "data"), "--account-quota", "10GB")
	a := s.NewAccount(t)
	var acked atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { flood(s.SMTP, a, stop, &acked) })
	}
	time.Sleep(300 * time.Millisecond) // some load first
	hog := filepath.Join(disk, "hog")
	_ = exec.Command("dd", "if=/dev/zero", "of="+hog, "bs=1M", "status=none").Run() // until ENOSPC
	time.Sleep(2 * time.Second)                                                     // and some under it
	close(stop)
	wg.Wait()
	s.Kill(t)
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	s.Restart(t)
	n, _, _ := strings.Cut(strings.TrimPrefix(stat(t, s, a), "+OK "), " ")
	have, _ := strconv.ParseInt(n, 10, 64)
	t.Logf("%d acknowledged, %d there", acked.Load(), have)
	if have < acked.Load() || acked.Load() == 0 {
		t.Errorf("%d messages after the restart, %d were acknowledged", have, acked.Load())
	}
	s.Fsck(t)
}

// flood submits until told to stop, and counts what was acknowledged.
func flood(addr string, a harness.Account, stop chan struct{}, acked *atomic.Int64) {
	for {
		nc, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
			floodConn(nc, a, stop, acked)
			nc.Close()
		}
		select {
		case <-stop:
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestManyConnections holds 10,000 connections at once to a mail port; in the
// long form 100,000 are tried. The server goes on serving.
func TestManyConnections(t *testing.T) {
	s := harness.Start(t)
	a := s.NewAccount(t)
	hold, tries := 10_000, 10_000
	if os.Getenv("EIDER_SOAK") != "" {
		tries = 100_000
	}
	before := rss(t, s, "VmRSS")
	held := make([]net.Conn, 0, hold)
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for i := range tries {
		c, err := net.DialTimeout("tcp", s.SMTP, 10*time.Second)
		if err != nil {
			continue // refused: the limit holds
		}
		if len(held) == hold {
			held[i%hold].Close()
			held[i%hold] = c
			continue
		}
		held = append(held, c)
	}
	grown := rss(t, s, "VmRSS") - before
	t.Logf("%d held, %d tried: memory grew by %.1f MB", len(held), tries, float64(grown)/mega)
	if len(held) < hold*9/10 {
		t.Errorf("only %d of %d connections were taken", len(held), hold)
	}
	if grown > 300*mega {
		t.Errorf("10,000 connections cost %.1f MB", float64(grown)/mega)
	}
	for _, c := range held[:len(held)/2] {
		c.Close()
	}
	eventually(t, "a new sender is served", func() bool {
		nc, err := net.DialTimeout("tcp", s.SMTP, time.Second)
		if err != nil {
			return false
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(2 * time.Second))
		b := make([]byte, 3)
		_, err = nc.Read(b)
		return err == nil && string(b) == "220"
	})
	if code, msg := dial(t, s.SMTP, a).deliver(t, "x@life.test", "still here", 100); code != 250 {
		t.Errorf("after the flood: %d %s", code, msg)
	}
}
