package pebblekv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/eidermail/eider/internal/kv"
)

// ErrLocked: another process has the directory open.
var ErrLocked = errors.New("pebblekv: the data directory is in use")

// ErrFormat: the directory holds something that this version cannot read.
var ErrFormat = errors.New("pebblekv: unknown format")

// formatVersion of the files is pinned by name: another one would be a one-way
// upgrade of people's data by a mere update of a library.
const formatVersion = pebble.FormatValueSeparation

// holderFile says who has the directory open, for the error that others get.
const holderFile = "holder"

// openDir locks the directory and opens what is in it.
func (s *Store) openDir() (err error) {
	o := s.o
	if err := makeDir(o.FS, o.Dir); err != nil {
		return fmt.Errorf("pebblekv: cannot make the data directory: %w", err)
	}
	if s.lock, err = pebble.LockDirectory(o.Dir, o.FS); err != nil {
		return s.lockError(err)
	}
	defer func() {
		if err != nil {
			s.lock.Close()
		}
	}()
	fresh, err := s.checkFiles()
	if err != nil {
		return err
	}
	if err := s.checkRoom(); err != nil {
		return err
	}
	s.stalled.Store(time.Now().UnixNano()) // an open that waits for the disk does not wait for ever
	if fresh {
		if err := s.makeStore(); err != nil {
			return s.openError(err)
		}
	}
	if s.db, err = openPebble(o.Dir, s.pebbleOptions()); err != nil {
		return s.openError(err)
	}
	s.stalled.Store(0)
	if err := s.openMeta(); err != nil {
		s.db.Close()
		return err
	}
	s.writeHolder()
	return nil
}

// makeStore opens a new directory once for nothing: Pebble begins its first log
// in its oldest format, in which damage in the midst of it looks like its end,
// and what was acknowledged behind that would be gone without a word.
func (s *Store) makeStore() error {
	db, err := openPebble(s.o.Dir, s.pebbleOptions())
	if err != nil {
		return err
	}
	return db.Close()
}

// makeDir makes a directory that is there after a power cut too.
func makeDir(fs vfs.FS, dir string) error {
	var made []string
	for d := dir; ; d = fs.PathDir(d) {
		if _, err := fs.Stat(d); err == nil || fs.PathDir(d) == d {
			break
		}
		made = append(made, d)
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, d := range made {
		parent, err := fs.OpenDir(fs.PathDir(d))
		if err != nil {
			return err
		}
		if err := errors.Join(parent.Sync(), parent.Close()); err != nil {
			return err
		}
	}
	return nil
}

// lockError explains why the lock cannot be had.
func (s *Store) lockError(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) && !strings.Contains(err.Error(), "used by another process") {
		return fmt.Errorf("pebblekv: cannot lock the data directory %s: %w", s.o.Dir, err)
	}
	who := "another eider server or command"
	if f, ferr := s.o.FS.Open(s.o.FS.PathJoin(s.o.Dir, holderFile)); ferr == nil {
		text, _ := io.ReadAll(io.LimitReader(f, 200))
		f.Close()
		if line := strings.TrimSpace(string(text)); line != "" {
			who += fmt.Sprintf(" (the last to open it was %q)", line)
		}
	}
	return fmt.Errorf("%w: %s is open in %s; stop that, or use another directory", ErrLocked, s.o.Dir, who)
}

// writeHolder is best effort: it only makes an error message better.
func (s *Store) writeHolder() {
	f, err := s.o.FS.Create(s.o.FS.PathJoin(s.o.Dir, holderFile), vfs.WriteCategoryUnspecified)
	if err != nil {
		return
	}
	fmt.Fprintf(f, "pid %d since %s\n", os.Getpid(), time.Now().UTC().Format(time.RFC3339))
	f.Close()
}

// checkFiles refuses a directory with data but without the file that names the
// manifest: Pebble would take it for empty, and sweep the data away. It tells
// whether the directory is a new one.
func (s *Store) checkFiles() (fresh bool, err error) {
	names, err := s.o.FS.List(s.o.Dir)
	if err != nil {
		return false, fmt.Errorf("pebblekv: cannot read the data directory: %w", err)
	}
	data, marker := "", false
	for _, n := range names {
		switch {
		case strings.HasPrefix(n, "marker.manifest."):
			marker = true
		case strings.HasSuffix(n, ".sst"), strings.HasSuffix(n, ".log"), strings.HasSuffix(n, ".blob"), n == "CURRENT":
			data = n
		}
	}
	if data != "" && !marker {
		return false, s.corrupt(fmt.Errorf("%s is there, but no marker.manifest file", data))
	}
	return !marker, nil
}

// checkRoom refuses to open where the logs cannot be turned into files: Pebble
// would try for ever.
func (s *Store) checkRoom() error {
	names, err := s.o.FS.List(s.o.Dir)
	if err != nil {
		return fmt.Errorf("pebblekv: cannot read the data directory: %w", err)
	}
	need := 2 * int64(s.o.MemTableBytes)
	for _, n := range names {
		if strings.HasSuffix(n, ".log") {
			if st, err := s.o.FS.Stat(s.o.FS.PathJoin(s.o.Dir, n)); err == nil {
				need += st.Size()
			}
		}
	}
	if free := s.space.makeRoom(need); free >= 0 && free < need {
		return fmt.Errorf("%w: the disk of the data directory %s has %d bytes left and the store needs %d to open: "+
			"free some space and start again", kv.ErrNoSpace, s.o.Dir, free, need)
	}
	return nil
}

func (s *Store) corrupt(err error) error {
	return fmt.Errorf("%w: the data directory %s is damaged: %w; "+
		"keep a copy of it, then put back a backup of the whole directory, or start with another, empty one",
		kv.ErrCorrupt, s.o.Dir, oneLine{err})
}

// oneLine is an error of Pebble without the line breaks in its text.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }

func (e oneLine) Unwrap() error { return e.error }

// openError explains why Pebble does not open.
func (s *Store) openError(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: the data directory %s cannot be opened on a full disk; "+
			"free some space and start again: %w", kv.ErrNoSpace, s.o.Dir, err)
	case strings.Contains(err.Error(), "format major version"):
		return fmt.Errorf("%w: the files in %s were written by another version; use that, or a newer one: %w",
			ErrFormat, s.o.Dir, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EMFILE):
		return fmt.Errorf("pebblekv: cannot open the data directory %s: %w", s.o.Dir, err)
	}
	return s.corrupt(err)
}

// openPebble turns a panic over damaged files into an error.
func openPebble(dir string, o *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			o.Logger.Errorf("panic while opening: %v\n%s", p, debug.Stack())
			db, err = nil, fmt.Errorf("files cannot be read: %v", p)
		}
	}()
	return pebble.Open(dir, o)
}

func (s *Store) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		FS:                 s.blocks.wrap(s.space.wrap(s.o.FS)),
		Lock:               s.lock,
		Logger:             logger{s},
		FormatMajorVersion: formatVersion,
		// Pebble takes its tables in memory off the cache: usually there are two,
		// one that is written and one on its way to the disk.
		CacheSize:                   s.o.CacheBytes + 2*int64(s.o.MemTableBytes),
		MemTableSize:                uint64(s.o.MemTableBytes),
		MemTableStopWritesThreshold: maxMemTables,
		L0CompactionThreshold:       10,
		L0StopWritesThreshold:       48,
		MaxOpenFiles:                512,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		FlushDelayDeleteRange:       10 * time.Second,
		BytesPerSync:                512 << 10,
	}
	// What does not come compressed is packed in blocks with zstd, each block by
	// itself: a guess from the blocks before would be wrong where the kind of row changes.
	profile := *block.BalancedCompression
	profile.Name, profile.AdaptiveReductionCutoffPercent = "eider", 0
	packed := pebble.UniformDBCompressionSettings(&profile)
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return packed })
	o.Experimental.SpanPolicyFunc = s.policy
	for i := range o.Levels {
		o.Levels[i].BlockSize = 32 << 10
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	o.EventListener = &pebble.EventListener{
		BackgroundError: s.backgroundError,
		DataCorruption:  func(info pebble.DataCorruptionInfo) { s.blocks.note(info.Details); s.noteDamage(info.Details) },
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			s.stalled.Store(time.Now().UnixNano())
			s.log.Debug("store: writes wait", "why", info.Reason)
		},
		WriteStallEnd: func() { s.stalled.Store(0) },
	}
	return o
}

// policy tells how keys from start on are packed, and up to which key; see
// pebble.SpanPolicyFunc. A file has keys of one policy only.
func (s *Store) policy(start []byte) (p pebble.SpanPolicy, end []byte, err error) {
	for _, first := range s.o.Dense {
		dense := []byte{userSpace, first}
		if bytes.Compare(start, dense) < 0 {
			return p, dense, nil
		}
		if bytes.HasPrefix(start, dense) {
			p.PreferFastCompression = true // which sees at once that there is nothing to gain
			return p, []byte{userSpace, first + 1}, nil
		}
	}
	return p, nil, nil
}

// closeFlush bounds how long a stop waits for memory to be written to files. It
// is all in the log too, so the next start reads it from there.
const closeFlush = 20 * time.Second

// closeDir ends a store that nobody uses any more.
func (s *Store) closeDir() error {
	err := s.markClean()
	if err == nil && s.dirty.Load() {
		ctx, cancel := context.WithTimeout(context.Background(), closeFlush)
		defer cancel()
		if err := s.flush(ctx); err != nil {
			s.log.Warn("store: flush at the end", "err", err)
		}
	}
	err = errors.Join(err, s.db.Close())
	_ = s.o.FS.Remove(s.o.FS.PathJoin(s.o.Dir, holderFile)) // a stale one is harmless
	return errors.Join(err, s.lock.Close())
}

// flush writes the memory to files. On a full disk it may never end.
func (s *Store) flush(ctx context.Context) error {
	done, err := s.db.AsyncFlush()
	if err != nil {
		return fmt.Errorf("pebblekv: flush: %w", err)
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("pebblekv: flush: %w", ctx.Err())
	}
}
