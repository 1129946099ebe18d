package strangers_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// Limit: time of a processor that one refusal may cost, connection included. A
// refused login is not among them: it costs a slow hash by design, and all of
// those together get a quarter of a processor.
const maxRefusal = 5 * time.Millisecond

// used is what a process has had of the processors.
func used(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond // of the kernel's hundred a second
}

// written is what a process gave to the system to write, files and sockets.
func written(pid int) int64 {
	io, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	for line := range strings.Lines(string(io)) {
		if n, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			v, _ := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
			return v
		}
	}
	return 0
}

// TestRefusalsAreCheap: who is over a limit costs the server little, and writes
// nothing to its disk.
func TestRefusalsAreCheap(t *testing.T) {
	const n = 100
	s := harness.Start(t, "--public-host", "flood.test", "--https", "localhost:0", "--send-rate", "1/1h",
		"--create-rate", "1/1h", "--mx-unknown-rate", "1/1h")
	f := &flood{target: target{s.HTTP, s.MX, s.SMTPS, []harness.Account{newAccount(t, s)}}}
	from := address(7)
	for i, name := range attacks {
		run := func(n int) (refused int) {
			for range n {
				no, err := f.attack(t.Context(), i, from)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if no {
					refused++
				}
			}
			return refused
		}
		run(80) // over every limit
		cpu, disk := used(t, s.PID), written(s.PID)
		refused := run(n)
		cost := (used(t, s.PID) - cpu) / n
		disk = (written(s.PID) - disk) / n
		t.Logf("%s: a refusal costs %v of a processor, %d bytes of disk", name, cost, disk)
		if refused != n {
			t.Errorf("%s: only %d of %d were refused", name, refused, n)
		}
		if cost > maxRefusal && attacks[i] != "login" {
			t.Errorf("%s: a refusal costs %v", name, cost)
		}
		if disk > 1024 {
			t.Errorf("%s: a refusal writes %d bytes to the disk", name, disk)
		}
	}
}
