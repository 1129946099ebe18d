package abuse_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/eidermail/eider/test/harness"
)

// tryServe runs a server on a directory until it has ended or is ready, and
// tells which. Either way it is gone afterwards.
func tryServe(t *testing.T, dir string, flags ...string) (out string, ready bool) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready.json")
	args := []string{"serve", "--data", dir, "--ready-file", file}
	for _, l := range []string{"http", "smtp", "smtps", "mx", "lmtp", "imap", "imaps", "pop3", "pop3s", "admin"} {
		args = append(args, "--"+l, "localhost:0")
	}
	var text bytes.Buffer
	cmd := exec.Command(harness.Binary(t), append(args, flags...)...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &text, &text, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for end := time.Now().Add(talkWithin); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		select {
		case err := <-done:
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("it ended with %v, want exit code 1\n%s", err, &text)
			}
			return text.String(), false
		default:
		}
		if _, err := os.Stat(file); err == nil {
			_ = cmd.Process.Kill()
			<-done
			return text.String(), true
		}
	}
	_ = cmd.Process.Kill()
	<-done
	t.Fatalf("neither ready nor ended\n%s", &text)
	return "", false
}

// refuses is tryServe where the server must not start. What it says must be
// short and for people: no traces, no panic.
func refuses(t *testing.T, dir string, flags ...string) string {
	t.Helper()
	out, ready := tryServe(t, dir, flags...)
	if ready {
		t.Errorf("it starts\n%s", out)
	}
	if strings.Contains(out, "panic") || strings.Contains(out, "goroutine ") || strings.Count(out, "\n") > 5 {
		t.Errorf("that is no message for people:\n%s", out)
	}
	return out
}

// filled is the data directory of a server that ended, well or not, and the
// mail that it had acknowledged.
type filled struct {
	dir   string
	acct  harness.Account
	texts []string // by the order of their UIDs
}

func fill(t *testing.T, end func(*harness.Server, testing.TB)) *filled {
	t.Helper()
	s := start(t)
	f := &filled{dir: s.Dir, acct: s.acct}
	for i := range 40 {
		text := fmt.Sprintf("Subject: kept %d\r\n\r\n%s\r\n", i, strings.Repeat("0123456789abcdef ", 200))
		s.submit(t, []byte(text))
		f.texts = append(f.texts, text)
	}
	end(s.Server, t)
	return f
}

// copied is the directory once more, to be damaged.
func (f *filled) copied(t *testing.T) (dir, store string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "store"), os.DirFS(filepath.Join(f.dir, "store"))); err != nil {
		t.Fatal(err)
	}
	return dir, filepath.Join(dir, "store")
}

// complete starts a server on dir and reads all mail that was acknowledged. It
// returns "" if all is there as it was, or else what the server says of the
// first message that it cannot give; and what it has logged.
func (f *filled) complete(t *testing.T, dir string) (said, log string) {
	t.Helper()
	s := &target{Server: harness.StartIn(t, dir), acct: f.acct, messages: len(f.texts)}
	if said = f.missing(dial(t, s.POP3)); said == "" {
		s.survives(t, 0)
	}
	s.Stop(t)
	return said, s.Output()
}

// missing is complete over POP3.
func (f *filled) missing(w *wire) string {
	w.t.Helper()
	defer w.Close()
	w.talk(f.acct, pop3Login+"> STAT")
	if stat := w.until(""); !strings.HasPrefix(stat, fmt.Sprintf("+OK %d ", len(f.texts))) {
		return stat
	}
	for i, text := range f.texts {
		w.send(fmt.Sprintf("RETR %d\r\n", i+1))
		if line := w.until(""); !strings.HasPrefix(line, "+OK") {
			return line
		}
		var got strings.Builder
		for line := ""; line != ".\r\n"; got.WriteString(line) {
			var err error
			if line, err = w.r.ReadString('\n'); err != nil {
				return fmt.Sprintf("message %d: %v", i+1, err)
			}
		}
		if !strings.HasSuffix(got.String(), text+".\r\n") {
			return fmt.Sprintf("message %d: %.100q", i+1, got.String())
		}
	}
	return ""
}

// damage of one file.
type damage struct {
	file string // pattern
	name string
	do   func([]byte) []byte // nil: the file is removed
}

func flip(at float64) func([]byte) []byte {
	return func(b []byte) []byte {
		for i := range min(8, len(b)) {
			b[min(int(at*float64(len(b)))+i, len(b)-1)] ^= 0x5a
		}
		return b
	}
}

func half(b []byte) []byte { return b[:len(b)/2] }

var damages = []damage{
	{"MANIFEST-*", "bytes flipped at the start", flip(0)},
	{"MANIFEST-*", "bytes flipped in the middle", flip(0.5)},
	{"MANIFEST-*", "cut in half", half},
	{"MANIFEST-*", "emptied", func([]byte) []byte { return nil }},
	{"MANIFEST-*", "removed", nil},
	{"marker.manifest.*", "removed", nil},
	{"*.sst", "bytes flipped at the start", flip(0)},
	{"*.sst", "bytes flipped in the middle", flip(0.5)},
	{"*.sst", "bytes flipped at the end", flip(1)},
	{"*.sst", "cut in half", half},
	{"*.sst", "emptied", func([]byte) []byte { return nil }},
	{"*.sst", "removed", nil},
}

// TestDamagedData: a damaged data directory is refused at the start, with what
// to do. Damage inside a table, which only reading finds, is told to who reads
// it and to the operator. Never is something just missing.
func TestDamagedData(t *testing.T) {
	t.Parallel()
	f := fill(t, (*harness.Server).Stop)
	refused := 0
	for _, d := range damages {
		t.Run(d.file+" "+d.name, func(t *testing.T) {
			dir, store := f.copied(t)
			hit(t, store, d)
			before := tables(t, store)
			out, ready := tryServe(t, dir)
			if ready {
				said, log := f.complete(t, dir)
				if said == "" {
					return // nothing that counts was hit
				}
				if !strings.HasPrefix(said, "-ERR [SYS/PERM]") || !strings.Contains(said, "damaged") {
					t.Errorf("of a damaged message it says %q", said)
				}
				out = log
			} else if refused++; strings.Count(out, "\n") > 5 || strings.Contains(out, "goroutine ") {
				t.Errorf("that is no message for people:\n%s", out)
			}
			for _, want := range []string{dir, "damaged", "backup"} {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not in the message:\n%s", want, out)
				}
			}
			if after := tables(t, store); !ready && after != before {
				t.Errorf("the tables were\n%s\nand are\n%s", before, after)
			}
			report, err := harness.TryRun(time.Minute, harness.Binary(t), "fsck", "--data", dir)
			if err == nil || !strings.Contains(report, "damaged") {
				t.Errorf("fsck: %v\n%s", err, report)
			}
		})
	}
	if refused < len(damages)/2 {
		t.Errorf("only %d of %d damages were refused at the start", refused, len(damages))
	}
}

// hit damages the largest file that the pattern names.
func hit(t *testing.T, store string, d damage) {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(store, d.file))
	var path string
	var data []byte
	for _, n := range names {
		if b, err := os.ReadFile(n); err == nil && (path == "" || len(b) > len(data)) {
			path, data = n, b
		}
	}
	var err error
	if path == "" {
		t.Fatalf("no %s in the store", d.file)
	} else if d.do == nil {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, d.do(data), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tables lists the files of a store that hold its data.
func tables(t *testing.T, store string) string {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(store, "*.sst"))
	var out strings.Builder
	for _, n := range names {
		st, err := os.Stat(n)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %d\n", filepath.Base(n), st.Size())
	}
	return out.String()
}

// TestTornLog: the power went while the log was written. What stands behind the
// last acknowledged record is dropped, all that was acknowledged is there. A
// hole before it is no torn end, and never passes for one.
func TestTornLog(t *testing.T) {
	t.Parallel()
	f := fill(t, (*harness.Server).Kill)
	last := func(b []byte) []byte { return bytes.TrimRight(b, "\x00") } // the log's file is longer than the log
	for name, do := range map[string]func([]byte) []byte{
		"as it was":          func(b []byte) []byte { return b },
		"half a record more": func(b []byte) []byte { return append(last(b), "\x12\x34\x56\x78\x40\x00\x05half"...) },
		"garbage more":       func(b []byte) []byte { return append(last(b), bytes.Repeat([]byte{0xa5}, 3000)...) },
		"zeros more":         func(b []byte) []byte { return append(b, make([]byte, 100_000)...) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, store := f.copied(t)
			hit(t, store, damage{file: "*.log", do: do})
			if said, _ := f.complete(t, dir); said != "" {
				t.Errorf("something is missing: %s", said)
			}
		})
	}
	t.Run("hole", func(t *testing.T) {
		dir, store := f.copied(t)
		hit(t, store, damage{file: "*.log", do: func(b []byte) []byte { b[len(last(b))/3] ^= 0x10; return b }})
		if out := refuses(t, dir); !strings.Contains(out, "damaged") || !strings.Contains(out, "backup") {
			t.Errorf("it says %s", out)
		}
	})
}

// TestFormats: data of a newer version, of its engine, or of somebody else is
// refused, and the message says which.
func TestFormats(t *testing.T) {
	t.Parallel()
	f := fill(t, (*harness.Server).Stop)
	edit := func(t *testing.T, store string, key, value []byte) {
		db, err := pebble.Open(store, &pebble.Options{Logger: silent{}, FormatMajorVersion: pebble.FormatValueSeparation})
		if err == nil {
			err = errors.Join(db.Set(key, value, pebble.Sync), db.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, want string
		change     func(t *testing.T, store string)
	}{
		{"layout of a newer version", "newer version", func(t *testing.T, store string) {
			edit(t, store, []byte{0, 'V'}, []byte{1, 0x08, 99})
		}},
		{"format row of a newer version", "newer version", func(t *testing.T, store string) {
			edit(t, store, []byte{0, 'V'}, []byte{2, 1, 2, 3})
		}},
		{"engine's files of a newer version", "newer", func(t *testing.T, store string) {
			names, _ := filepath.Glob(filepath.Join(store, "marker.format-version.*"))
			if err := os.Rename(names[0], filepath.Join(store, "marker.format-version.999999.999")); err != nil {
				t.Fatal(err)
			}
		}},
		{"another program's data", "another program", func(t *testing.T, store string) {
			if err := os.RemoveAll(store); err != nil {
				t.Fatal(err)
			}
			edit(t, store, []byte("k"), []byte("v"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, store := f.copied(t)
			c.change(t, store)
			if out := refuses(t, dir); !strings.Contains(out, c.want) || !strings.Contains(out, dir) {
				t.Errorf("%q is not in the message:\n%s", c.want, out)
			}
		})
	}
}

// silent keeps the engine quiet while a test edits its files.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

// TestSecondProcess: a directory has one server; the second says who has it and
// harms nothing.
func TestSecondProcess(t *testing.T) {
	t.Parallel()
	s := start(t)
	out := refuses(t, s.Dir)
	for _, want := range []string{"in use", s.Dir, fmt.Sprintf("pid %d ", s.PID)} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in the message:\n%s", want, out)
		}
	}
	s.survives(t, 0)
	if out, ready := tryServe(t, filepath.Join(s.Dir, "store", "LOCK")); ready || !strings.Contains(out, "--data") {
		t.Errorf("a file for a directory: %s", out)
	}
	s.survives(t, 0)
}
