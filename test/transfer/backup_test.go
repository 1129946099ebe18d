package transfer_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/eidermail/eider/test/harness"
)

// senders is how many send at the same time.
const senders = 20

// traffic sends mail until it is stopped, and notes what was acknowledged.
type traffic struct {
	mu    sync.Mutex
	acked map[[32]byte]bool
	tried map[[32]byte]bool
	stop  chan struct{}
	all   sync.WaitGroup
}

// prepended is what submission puts before a message.
const prepended = "Return-Path: <s@example.test>\r\n"

func send(t *testing.T, s *harness.Server, a harness.Account) *traffic {
	x := &traffic{acked: map[[32]byte]bool{}, tried: map[[32]byte]bool{}, stop: make(chan struct{})}
	for n := range senders {
		w := login(t, s, a)
		x.all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-x.stop:
					return
				default:
				}
				size := 500
				if i%10 == 3 {
					size = 600_000
				}
				text := append(fmt.Appendf(nil, "Subject: %d of %d\r\n\r\n", i, n), bytes.Repeat([]byte("mail\r\n"), size/6)...)
				sum := sha256.Sum256(append([]byte(prepended), text...))
				x.note(x.tried, sum)
				if w.send("s@example.test", "x@example.test", text) != nil {
					return
				}
				x.note(x.acked, sum)
			}
		})
	}
	return x
}

func (x *traffic) note(set map[[32]byte]bool, sum [32]byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	set[sum] = true
}

func (x *traffic) snapshot() map[[32]byte]bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := map[[32]byte]bool{}
	for k := range x.acked {
		out[k] = true
	}
	return out
}

// waitFor waits until so many were acknowledged.
func (x *traffic) waitFor(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); len(x.snapshot()) < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("only %d of %d acknowledged", len(x.snapshot()), n)
		}
	}
}

// TestBackupWhileWriting: a backup under 20 senders has all that was
// acknowledged before it, nothing that was never sent, and restores to a clean
// store in which every mailbox has a new UIDVALIDITY and a higher MODSEQ.
func TestBackupWhileWriting(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, quota...)
	a := s.NewAccount(t)
	x := send(t, s, a)
	x.waitFor(t, 300)
	before := x.snapshot()
	file := filepath.Join(t.TempDir(), "eider.backup")
	ok(t, s.Dir, "backup", file)
	during := len(x.snapshot()) - len(before)
	x.waitFor(t, len(before)+during+100) // what comes after, and is lost
	close(x.stop)
	x.all.Wait()
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the backup: %v %v", st.Mode(), err)
	}
	status := func(s *harness.Server) (validity uint32, modseq uint64) {
		c := imapLogin(t, s, a.User, a.Pass)
		st, err := c.Status("INBOX", &imap.StatusOptions{UIDValidity: true, HighestModSeq: true}).Wait()
		must(t, err)
		return st.UIDValidity, st.HighestModSeq
	}
	oldValidity, oldModSeq := status(s)

	dir := t.TempDir()
	ok(t, dir, "restore", file)
	r := harness.StartIn(t, dir, quota...)
	r.Fsck(t)
	validity, modseq := status(r)
	if validity <= oldValidity || modseq <= oldModSeq {
		t.Errorf("UIDVALIDITY %d, was %d; HIGHESTMODSEQ %d, was %d", validity, oldValidity, modseq, oldModSeq)
	}
	got := map[[32]byte]bool{}
	for _, m := range byIMAP(t, imapLogin(t, r, a.User, a.Pass))["INBOX"] {
		got[m.Sum] = true
		if !x.tried[m.Sum] {
			t.Errorf("a message was restored that nobody sent")
		}
	}
	for sum := range before {
		if !got[sum] {
			t.Error("a message acknowledged before the backup is not in it")
		}
	}
	t.Logf("%d acknowledged before the backup, %d during it, %d restored, %d in all", len(before), during, len(got), len(x.acked))
	must(t, login(t, r, a).send("s@example.test", "x@example.test", []byte("Subject: new\r\n\r\n")))

	// What a restore must refuse.
	for _, c := range []struct {
		name string
		run  command
	}{
		{"over a running server", eider(t, dir, "restore", file)},
		{"over a store", eider(t, s.Dir, "restore", file)},
		{"what is no backup", eider(t, t.TempDir(), "restore", filepath.Join(s.Dir, "store", "CURRENT"))},
		{"a backup over a file", eider(t, s.Dir, "backup", file)},
	} {
		if c.run.code == 0 || c.run.err == "" {
			t.Errorf("%s: exit code %d, %q", c.name, c.run.code, c.run.err)
		}
	}
	whole, err := os.ReadFile(file)
	must(t, err)
	cut := filepath.Join(t.TempDir(), "cut")
	must(t, os.WriteFile(cut, whole[:len(whole)*2/3], 0o600))
	empty := t.TempDir()
	if c := eider(t, empty, "restore", cut); c.code == 0 {
		t.Errorf("a backup that was cut: %q", c.err)
	}
	if list, _ := os.ReadDir(empty); len(list) != 0 {
		t.Errorf("a failed restore left %v", list)
	}
}

// letters is a folder of messages of up to 3,000 bytes.
func letters(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		text := fmt.Appendf(nil, "Subject: %d\r\n\r\n%s", i, bytes.Repeat([]byte("x"), i%3000))
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.eml", i+1)), text, 0o600))
	}
	return dir
}

// TestKilledImport: a server that is killed in the midst of an import loses
// nothing, and the import goes on when it is run again.
func TestKilledImport(t *testing.T) {
	t.Parallel()
	const n = 3000
	src := letters(t, n)
	s := harness.Start(t, quota...)
	a := s.NewAccount(t)
	c := imapLogin(t, s, a.User, a.Pass)
	done := make(chan command, 1)
	go func() { done <- eider(t, s.Dir, "import", "--account", a.User, src) }()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		st, err := c.Status("INBOX", &imap.StatusOptions{NumMessages: true}).Wait()
		must(t, err)
		if *st.NumMessages > 100 {
			break
		}
	}
	s.Kill(t)
	first := <-done
	s.Restart(t)
	start := time.Now()
	again := ok(t, s.Dir, "import", "--account", a.User, src)
	if first.code == 0 {
		t.Error("the import had ended before the server was killed")
	}
	t.Logf("killed: exit code %d; again, in %v: %s", first.code, time.Since(start), again.err)
	file := filepath.Join(t.TempDir(), "all.tar")
	ok(t, s.Dir, "export", "--account", a.User, file)
	count := 0
	for _, line := range told(t, file) {
		if strings.HasPrefix(line, `{"folder"`) {
			count++
		}
	}
	if count != n {
		t.Errorf("%d messages, want %d", count, n)
	}
	s.Fsck(t)
}
