package pebblekv_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/pebblekv"
)

// filled returns a directory with a closed store of some files.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for range 2 {
		s := open(t, pebblekv.Options{Dir: dir})
		for i := range 20 {
			err := s.Update(t.Context(), [][]byte{{'g'}}, func(tx kv.Tx) error {
				for j := range 20 {
					tx.Put([]byte{'r', byte(i), byte(j)}, []byte(strings.Repeat("some text ", 30)))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// read reads everything in the store.
func read(s kv.Store) error {
	for _, err := range s.Scan(context.Background(), kv.Range{}) {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestDamage damages each file of a closed store in several ways. The store must
// refuse to open, or a read must fail, with kv.ErrCorrupt; or the damage has
// hit nothing that counts, and all is there. Nothing may panic.
func TestDamage(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, f := range files {
		for how, damage := range map[string]func(string, []byte) error{
			"removed":   func(p string, _ []byte) error { return os.Remove(p) },
			"emptied":   func(p string, _ []byte) error { return os.WriteFile(p, nil, 0o600) },
			"truncated": func(p string, b []byte) error { return os.WriteFile(p, b[:len(b)/2], 0o600) },
			"garbage": func(p string, b []byte) error {
				for i := range b {
					b[i] ^= byte(0x55 + i)
				}
				return os.WriteFile(p, b, 0o600)
			},
		} {
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(copied, f.Name())
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(path, b); err != nil {
				t.Fatal(err)
			}
			what := f.Name() + " " + how
			s, err := pebblekv.Open(pebblekv.Options{Dir: copied, Fatal: func(err error) {
				t.Errorf("%s: the process would have ended: %v", what, err)
			}})
			if err == nil {
				err = read(s)
				if _, ping := s.Ping(t.Context()); (ping != nil) != (err != nil) {
					t.Errorf("%s: Ping says %v, reading %v", what, ping, err)
				}
				_ = s.Close() // it may not go well
			} else if !strings.Contains(err.Error(), copied) {
				t.Errorf("%s: the error does not name the directory: %v", what, err)
			}
			switch {
			case err == nil:
			case errors.Is(err, kv.ErrCorrupt), errors.Is(err, pebblekv.ErrFormat):
				found++
			default:
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	if found < 8 {
		t.Errorf("only %d damages were noticed", found)
	}
}

// TestDamagedLog damages the log of a store that was not closed. A log that
// ends early is what a crash leaves; one with a hole before its last blocks
// (of 32 KiB; Pebble cannot tell the two apart there) must not pass for that.
func TestDamagedLog(t *testing.T) {
	t.Parallel()
	live := t.TempDir()
	s := open(t, pebblekv.Options{Dir: live})
	defer s.Close()
	for i := range 40 { // few, so that it is the first log of a new store
		err := s.Update(t.Context(), nil, func(tx kv.Tx) error {
			tx.Put([]byte{byte(i)}, make([]byte, 4000))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// Also in the first record of all, and wherever a record has its hole.
	for _, at := range []int{0, 5, 500, 20 << 10, 32 << 10, 33 << 10, 64<<10 + 1, 96<<10 + 7} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(live)); err != nil {
			t.Fatal(err)
		}
		logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
		if err != nil || len(logs) == 0 {
			t.Fatalf("no log: %v", err)
		}
		path := logs[len(logs)-1]
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[at] ^= 0x10
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := pebblekv.Open(pebblekv.Options{Dir: dir}); !errors.Is(err, kv.ErrCorrupt) {
			t.Errorf("a hole at %d of the log: %v", at, err)
		}
	}
}

func TestForeignDirectories(t *testing.T) {
	t.Parallel()
	other := t.TempDir()
	db, err := pebble.Open(other, &pebble.Options{Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Set([]byte("k"), nil, pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := pebblekv.Open(pebblekv.Options{Dir: other}); !errors.Is(err, pebblekv.ErrFormat) {
		t.Errorf("another program's data: %v", err)
	}
	newer := filled(t)
	db, err = pebble.Open(newer, &pebble.Options{Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		t.Fatal(err)
	}
	// The format row of a layout to come: field 1 is 2.
	err = errors.Join(db.Set([]byte{0, 'V'}, []byte{1, 0x08, 2}, pebble.Sync), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	_, err = pebblekv.Open(pebblekv.Options{Dir: newer})
	if !errors.Is(err, pebblekv.ErrFormat) || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("a format to come: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pebblekv.Open(pebblekv.Options{Dir: file}); err == nil || errors.Is(err, kv.ErrCorrupt) {
		t.Errorf("a file instead of a directory: %v", err)
	}
}

// TestUnknownMetaFieldsSurvive: what a newer version wrote into the format row
// is still there after this version has written it.
func TestUnknownMetaFieldsSurvive(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	edit := func(fn func(old []byte) []byte) []byte {
		t.Helper()
		db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest})
		if err != nil {
			t.Fatal(err)
		}
		old, closer, err := db.Get([]byte{0, 'V'})
		if err != nil {
			t.Fatal(err)
		}
		next := fn(append([]byte(nil), old...))
		if err := errors.Join(closer.Close(), db.Set([]byte{0, 'V'}, next, pebble.Sync), db.Close()); err != nil {
			t.Fatal(err)
		}
		return next
	}
	field := "\xfa\x06\x05hello" // number 111, bytes
	edit(func(old []byte) []byte { return append(old, field...) })
	s := open(t, pebblekv.Options{Dir: dir})
	if _, err := deliver(t.Context(), s, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if now := edit(func(old []byte) []byte { return old }); !strings.HasSuffix(string(now), field) {
		t.Errorf("the format row is now %q", now)
	}
}

// quiet drops Pebble's log.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}
