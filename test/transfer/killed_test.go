package transfer_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/eidermail/eider/test/harness"
)

// grown waits until a file has so many bytes.
func grown(t *testing.T, file string, size int64) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if st, err := os.Stat(file); err == nil && st.Size() >= size {
			return
		}
	}
	t.Fatalf("%s does not reach %d bytes", file, size)
}

// TestKilledExport: an export whose command is killed, and then its server, goes
// on each time: what was written stays, and the archive is all there is.
func TestKilledExport(t *testing.T) {
	t.Parallel()
	const n = 3000
	s := harness.Start(t, quota...)
	a, b := s.NewAccount(t), s.NewAccount(t)
	ok(t, s.Dir, "import", "--account", a.User, letters(t, n))
	file := filepath.Join(t.TempDir(), "all.tar")
	part := file + ".part"

	first := begin(t, s.Dir, nil, "export", "--all", file)
	grown(t, part, 2<<20)
	must(t, first.Process.Signal(syscall.SIGSTOP)) // so that it does not end meanwhile
	if c := eider(t, s.Dir, "export", "--all", file); c.code == 0 || !strings.Contains(c.err, "another command") {
		t.Errorf("two at once: exit code %d, %q", c.code, c.err)
	}
	must(t, first.Process.Kill())
	if c := first.end(t); c.code == 0 {
		t.Fatal("the export had ended before it was killed")
	}
	begun, err := os.Stat(part)
	must(t, err)
	head := make([]byte, 1<<20)
	copyHead(t, part, head)

	if c := eider(t, s.Dir, "export", "--account", b.User, file); c.code == 0 || !strings.Contains(c.err, "another account") {
		t.Errorf("of another account: exit code %d, %q", c.code, c.err)
	}
	must(t, login(t, s, a).send("s@example.test", "x@example.test", []byte("Subject: new\r\n\r\n")))
	second := begin(t, s.Dir, nil, "export", "--all", file)
	grown(t, part, begun.Size()+2<<20)
	must(t, second.Process.Signal(syscall.SIGSTOP))
	s.Kill(t)
	must(t, second.Process.Signal(syscall.SIGCONT))
	if c := second.end(t); c.code == 0 || !strings.Contains(c.err, "run the same command again") {
		t.Fatalf("its server was killed: exit code %d, %q", c.code, c.err)
	}
	s.Restart(t)
	c := ok(t, s.Dir, "export", "--all", file)
	var added, present int
	if _, err := fmt.Sscanf(lastLine(c.err[:strings.Index(c.err, ",")]), "%d messages", &added); err != nil {
		t.Fatalf("%v: %q", err, c.err)
	}
	if _, err := fmt.Sscanf(c.err[strings.Index(c.err, ";"):], "; %d were there", &present); err != nil {
		t.Fatalf("%v: %q", err, c.err)
	}
	t.Logf("killed twice, at %d bytes first: %s", begun.Size(), c.err)
	if added+present != n+1 || present < 1000 || added == 0 {
		t.Errorf("%d added, %d there", added, present)
	}
	whole, err := os.Stat(file)
	must(t, err)
	again := make([]byte, len(head))
	copyHead(t, file, again)
	if !os.SameFile(begun, whole) || !bytes.Equal(head, again) {
		t.Error("the archive was written anew")
	}
	if _, err := os.Lstat(part); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", part, err)
	}
	equal(t, s, file)
}

func copyHead(t *testing.T, file string, to []byte) {
	t.Helper()
	f, err := os.Open(file)
	must(t, err)
	defer f.Close()
	_, err = io.ReadFull(f, to)
	must(t, err)
}

// equal imports an archive of all accounts elsewhere and compares.
func equal(t *testing.T, s *harness.Server, file string) {
	t.Helper()
	empty, dir := t.TempDir(), t.TempDir()
	ok(t, empty, "import", "--all", file)
	want, got := filepath.Join(dir, "want.tar"), filepath.Join(dir, "got.tar")
	ok(t, s.Dir, "export", "--all", want)
	ok(t, empty, "export", "--all", got)
	if d := cmp.Diff(told(t, want), told(t, got)); d != "" {
		t.Errorf("what was imported differs:\n%.3000s", d)
	}
}

// TestExportRefuses: what lies under the name of the part and is no archive of
// this store stays as it is.
func TestExportRefuses(t *testing.T) {
	t.Parallel()
	s, other := harness.Start(t, quota...), harness.Start(t, quota...)
	a := s.NewAccount(t)
	other.NewAccount(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "all.tar")
	part := file + ".part"
	ok(t, other.Dir, "export", "--all", file)
	foreign, err := os.ReadFile(file)
	must(t, err)
	must(t, os.Remove(file))
	for name, text := range map[string][]byte{"text": []byte("my only copy"), "zeros": make([]byte, 9000),
		"another store": foreign, "an mbox": []byte("From me " + strings.Repeat("x\n", 600))} {
		must(t, os.WriteFile(part, text, 0o600))
		c := eider(t, s.Dir, "export", "--account", a.User, file)
		now, err := os.ReadFile(part)
		if c.code == 0 || !strings.Contains(c.err, part) || !strings.Contains(c.err, "remove it") || err != nil || !bytes.Equal(now, text) {
			t.Errorf("%s: exit code %d, %q, %v", name, c.code, c.err, err)
		}
	}
	must(t, os.Remove(part))
	secret := filepath.Join(dir, "secret")
	must(t, os.WriteFile(secret, nil, 0o600))
	must(t, os.Symlink(secret, part))
	if c := eider(t, s.Dir, "export", "--account", a.User, file); c.code == 0 {
		t.Error("a symbolic link is followed")
	}
	if st, err := os.Stat(secret); err != nil || st.Size() != 0 {
		t.Errorf("behind the link: %v %v", st, err)
	}
	must(t, os.Remove(part))
	must(t, os.WriteFile(part, nil, 0o600)) // of an export that had no time to write
	ok(t, s.Dir, "export", "--account", a.User, file)
	if c := eider(t, s.Dir, "export", "--account", a.User, file); c.code == 0 || !strings.Contains(c.err, "is there already") {
		t.Errorf("over a whole one: exit code %d, %q", c.code, c.err)
	}
}

// TestKilledRestore: a restore that is killed leaves no store, and the next one
// makes a clean one as if nothing had been.
func TestKilledRestore(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, quota...)
	a := s.NewAccount(t)
	const n, size = 24, 700_000
	src := t.TempDir()
	for i := range n {
		must(t, os.WriteFile(filepath.Join(src, fmt.Sprintf("%d.eml", i+1)), []byte("Subject: x\r\n\r\n"+noise(uint64(i), size)), 0o600))
	}
	ok(t, s.Dir, "import", "--account", a.User, src)
	file := filepath.Join(t.TempDir(), "eider.backup")
	ok(t, s.Dir, "backup", file)
	data, err := os.ReadFile(file)
	must(t, err)

	dir := t.TempDir()
	r, w := io.Pipe()
	first := begin(t, dir, r, "restore", "-")
	_, err = w.Write(data[:len(data)*3/4]) // most of it, and then nothing
	must(t, err)
	restoring := filepath.Join(dir, "store.restoring")
	must(t, first.Process.Kill())
	w.Close()
	if c := first.end(t); c.code == 0 {
		t.Fatal("the restore had ended before it was killed")
	}
	if sizeOf(restoring) < size {
		t.Errorf("%s has %d bytes: the test tests nothing", restoring, sizeOf(restoring))
	}
	if _, err := os.Lstat(filepath.Join(dir, "store")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a store is there: %v", err)
	}
	c := ok(t, dir, "restore", file)
	t.Logf("again: %s", c.err)
	if _, err := os.Lstat(restoring); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", restoring, err)
	}
	out := harness.StartIn(t, dir, quota...)
	out.Fsck(t)
	got := byIMAP(t, imapLogin(t, out, a.User, a.Pass))
	if d := cmp.Diff(byIMAP(t, imapLogin(t, s, a.User, a.Pass)), got); d != "" || len(got["INBOX"]) != n {
		t.Errorf("%d messages; it differs:\n%.2000s", len(got["INBOX"]), d)
	}
}

// sizeOf is what the files of a folder take.
func sizeOf(dir string) (n int64) {
	list, _ := os.ReadDir(dir)
	for _, d := range list {
		if st, err := d.Info(); err == nil {
			n += st.Size()
		}
	}
	return n
}
