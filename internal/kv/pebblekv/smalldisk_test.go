//go:build linux

package pebblekv_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/pebblekv"
	"github.com/eidermail/eider/test/harness"
)

// smallDisk mounts a file system of so many MiB, where the system lets us.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		harness.NoRight(t, "to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

const rowSize = 100 << 10

func bigKey(n int) []byte { return fmt.Appendf(nil, "S%08d-%06d", 0, n) }

func putBig(ctx context.Context, s kv.Store, n int) error {
	v := make([]byte, rowSize)
	if _, err := rand.Read(v); err != nil {
		return err
	}
	return s.Update(ctx, [][]byte{{'A'}}, func(tx kv.Tx) error {
		tx.Put([]byte{'A'}, bigKey(n))
		tx.Put(bigKey(n), v)
		return nil
	})
}

// TestSpaceComesBack fills a disk down to the reserve, deletes, and waits for
// the space to return by itself.
func TestSpaceComesBack(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 128)
	s := open(t, pebblekv.Options{Dir: dir, ReserveBytes: 48 << 20, ReserveFraction: -1, BallastBytes: 1 << 20})
	defer s.Close()
	n := 0
	for ; ; n++ {
		if err := putBig(t.Context(), s, n); err != nil {
			if !errors.Is(err, kv.ErrNoSpace) {
				t.Fatal(err)
			}
			break
		}
		if n > 2000 {
			t.Fatal("the disk does not fill")
		}
	}
	if n < 100 {
		t.Fatalf("full after %d rows", n)
	}
	if items, err := s.GetMulti(t.Context(), bigKey(0), bigKey(n-1)); err != nil || items[0].Rev*items[1].Rev == 0 {
		t.Fatalf("reading on a full disk: %v", err)
	}
	for i := range n * 3 / 4 {
		err := s.Update(t.Context(), [][]byte{{'A'}}, func(tx kv.Tx) error {
			tx.Delete(bigKey(i))
			return nil
		}, kv.Reclaim())
		if err != nil {
			t.Fatalf("deleting on a full disk: %v", err)
		}
	}
	start := time.Now()
	for ; time.Since(start) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		h, err := s.Ping(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if h.FreeBytes > h.ReserveBytes+10<<20 {
			t.Logf("%d rows, space came back after %v", n, time.Since(start))
			if err := putBig(t.Context(), s, n); err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Error("the space did not come back")
}

// TestDiskFull fills a disk to the last byte, without reserve and ballast, in a
// process of its own, which must end with a reason. With some space freed,
// everything it acknowledged is there.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 72)
	dir := filepath.Join(disk, "data")
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, make([]byte, 36<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EIDER_FILL_DISK="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	reason := new(tail)
	cmd.Stderr = reason
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acked := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), "acked %d", &acked); err != nil {
			t.Fatalf("the child says %q", lines.Text())
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 74 {
		t.Fatalf("the child ended with %v: %s", err, reason.b)
	}
	t.Logf("%d rows acknowledged; %s", acked, reason.b)
	if _, err := pebblekv.Open(pebblekv.Options{Dir: dir}); !errors.Is(err, kv.ErrNoSpace) {
		t.Errorf("opening on the full disk: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s := open(t, pebblekv.Options{Dir: dir})
	defer s.Close()
	rows := 0
	for _, err := range s.Scan(t.Context(), kv.Prefix([]byte{'S'})) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	if rows < acked || rows > acked+1 {
		t.Errorf("%d rows are there, %d were acknowledged", rows, acked)
	}
	if err := putBig(t.Context(), s, rows); err != nil {
		t.Error(err)
	}
}

// TestMain is also the process that TestDiskFull starts.
func TestMain(m *testing.M) {
	if dir := os.Getenv("EIDER_FILL_DISK"); dir != "" {
		fmt.Fprintln(os.Stderr, fillDisk(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// fillDisk writes until it cannot, and says what was acknowledged.
func fillDisk(dir string) error {
	s, err := pebblekv.Open(pebblekv.Options{
		Dir: dir, ReserveBytes: -1, ReserveFraction: -1, BallastBytes: -1, StallLimit: time.Second, // stallLimit is longer
	})
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		if err := putBig(context.Background(), s, n); err != nil {
			return err
		}
		fmt.Println("acked", n+1)
	}
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-2000):]
	return len(p), nil
}
