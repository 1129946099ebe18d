package pebblekv

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Limit: damaged blocks that are remembered; beyond that the oldest is forgotten.
const maxBadBlocks = 1024

// badBlockFor is how long a damaged block is not read again: a disk may give
// the right bytes later.
const badBlockFor = 10 * time.Minute

// badBlocks remembers blocks whose checksum was wrong. Pebble looks for the one
// bit that would make it right, in up to 40 KiB of the block with a checksum of
// all of it each time: seconds of a processor for a large block, whenever
// anybody reads it, compactions that try again too. So who asks for such a
// block again gets the error from here.
type badBlocks struct {
	now func() time.Time
	mu  sync.Mutex
	at  map[blockID]time.Time
}

// blockID is where a block lies: its file, and there its place with its trailer.
type blockID struct {
	file   string
	offset int64
	length int
}

// blockTrailer is what stands behind a block: kind of compression and checksum.
const blockTrailer = 5

// blockText is how Pebble names the block in its error.
var blockText = regexp.MustCompile(`file (\d+).*block (\d+)/(\d+)`)

// note remembers the block that an error of Pebble is about, if it names one.
func (b *badBlocks) note(err error) {
	m := blockText.FindStringSubmatch(err.Error())
	if m == nil {
		return
	}
	offset, err1 := strconv.ParseInt(m[2], 10, 64)
	length, err2 := strconv.Atoi(m[3])
	if err1 != nil || err2 != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at == nil {
		b.at = map[blockID]time.Time{}
	}
	if len(b.at) >= maxBadBlocks {
		b.forgetOldest()
	}
	b.at[blockID{m[1], offset, length + blockTrailer}] = b.now()
}

func (b *badBlocks) forgetOldest() {
	var oldest blockID
	var when time.Time
	for id, at := range b.at {
		if when.IsZero() || at.Before(when) {
			oldest, when = id, at
		}
	}
	delete(b.at, oldest)
}

// check refuses a read of a block that is known to be damaged.
func (b *badBlocks) check(file string, offset int64, length int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := blockID{file, offset, length}
	at, bad := b.at[id]
	if !bad {
		return nil
	}
	if b.now().Sub(at) > badBlockFor {
		delete(b.at, id)
		return nil
	}
	return fmt.Errorf("%w: file %s: the checksum of %d bytes at %d was wrong before",
		pebble.ErrCorruption, file, length, offset)
}

// wrap returns a file system whose tables refuse damaged blocks.
func (b *badBlocks) wrap(fs vfs.FS) vfs.FS { return &watchedFS{fs, b} }

type watchedFS struct {
	vfs.FS
	bad *badBlocks
}

// Open implements vfs.FS.
func (w *watchedFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := w.FS.Open(name, opts...)
	if err != nil {
		return nil, err
	}
	base := filepath.Base(name)
	ext := filepath.Ext(base)
	if ext != ".sst" && ext != ".blob" {
		return f, nil
	}
	return &watchedFile{f, base[:len(base)-len(ext)], w.bad}, nil
}

// Unwrap implements vfs.FS.
func (w *watchedFS) Unwrap() vfs.FS { return w.FS }

// watchedFile is a table, or a file of values, that is read.
type watchedFile struct {
	vfs.File
	name string
	bad  *badBlocks
}

// ReadAt implements io.ReaderAt.
func (w *watchedFile) ReadAt(p []byte, off int64) (int, error) {
	if err := w.bad.check(w.name, off, len(p)); err != nil {
		return 0, err
	}
	return w.File.ReadAt(p, off)
}
