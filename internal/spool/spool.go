// Package spool holds a message while it is received: a little in memory, the
// rest in an unlinked temporary file, so that memory per connection does not
// grow with the size of messages. It promises the bytes back exactly, and that
// all messages of a Pool together stay within its memory. It never keeps a
// file longer than its message: not after Close, and on systems that can
// unlink an open file not even after a crash.
package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// Limit: memory of one spooled message before a temporary file is used, by default.
const DefaultMemBytes = 256 << 10

// Limit: memory of all spooled messages together, by default; beyond it files are used at once.
const DefaultPoolBytes = 32 << 20

const (
	// firstBytes is what a message starts with: most mail fits after one or
	// two doublings.
	firstBytes = 8 << 10
	// tailBytes gathers small writes before they go to the file.
	tailBytes = 32 << 10
	// classes are the sizes of buffers that are kept for the next messages:
	// firstBytes and its doublings.
	classes = 6
)

// ErrClosed is the answer of a Message after Close.
var ErrClosed = errors.New("spool: message is closed")

// Options configure a Pool.
type Options struct {
	Dir       string // for temporary files; os.TempDir if empty
	MemBytes  int    // kept in memory per message before a file is used; default 256 KiB
	PoolBytes int64  // all messages' memory together; beyond it files are used at once; default 32 MiB
}

// Pool makes Messages and bounds their memory together.
type Pool struct {
	dir  string
	mem  int
	max  int64
	used atomic.Int64
	free [classes]sync.Pool // of *[]byte, by class
}

// New returns a Pool.
func New(o Options) *Pool {
	if o.MemBytes <= 0 {
		o.MemBytes = DefaultMemBytes
	}
	if o.PoolBytes <= 0 {
		o.PoolBytes = DefaultPoolBytes
	}
	return &Pool{dir: o.Dir, mem: o.MemBytes, max: o.PoolBytes}
}

// Message returns an empty message. Close it.
func (p *Pool) Message() *Message { return &Message{pool: p} }

// InMemory is the number of bytes of memory that messages hold now.
func (p *Pool) InMemory() int64 { return p.used.Load() }

// reserve takes n bytes of the common memory if they are there.
func (p *Pool) reserve(n int) bool {
	if p.used.Add(int64(n)) > p.max {
		p.used.Add(-int64(n))
		return false
	}
	return true
}

// Message is written once, then read any number of times.
type Message struct {
	pool   *Pool
	mem    []byte // the whole message, or what is not yet in file
	held   int    // bytes reserved in the pool
	file   *os.File
	inFile int64
	err    error // why nothing more can be written
}

// Write appends; after an error nothing more can be written.
func (m *Message) Write(b []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	if m.file == nil && m.grow(len(b)) {
		m.mem = append(m.mem, b...)
		return len(b), nil
	}
	if err := m.writeFile(b); err != nil {
		m.err = err
		return 0, err
	}
	return len(b), nil
}

// grow makes room for n more bytes in memory, or says that they belong in a file.
func (m *Message) grow(n int) bool {
	need := len(m.mem) + n
	if need > m.pool.mem {
		return false
	}
	if need <= cap(m.mem) {
		return true
	}
	size := max(firstBytes, cap(m.mem))
	for size < need {
		size *= 2
	}
	size = min(size, max(m.pool.mem, firstBytes))
	if !m.pool.reserve(size - m.held) {
		return false
	}
	old := m.mem
	m.held, m.mem = size, append(m.pool.buffer(size), old...)
	m.pool.recycle(old)
	return true
}

// buffer returns an empty buffer of a capacity.
func (p *Pool) buffer(size int) []byte {
	if c := class(size); c >= 0 {
		if b, ok := p.free[c].Get().(*[]byte); ok {
			return *b
		}
	}
	return make([]byte, 0, size)
}

func (p *Pool) recycle(b []byte) {
	if c := class(cap(b)); c >= 0 {
		b = b[:0]
		p.free[c].Put(&b)
	}
}

// class is the number of a size among those that are kept, -1 for others.
func class(size int) int {
	c := bits.Len(uint(size/firstBytes)) - 1
	if c < 0 || c >= classes || size != firstBytes<<c {
		return -1
	}
	return c
}

// writeFile appends to the file, making it first; small writes gather in mem.
func (m *Message) writeFile(b []byte) error {
	if m.file == nil {
		if err := m.spill(); err != nil {
			return err
		}
	}
	if len(m.mem)+len(b) <= tailBytes {
		m.mem = append(m.mem, b...)
		return nil
	}
	if err := m.flush(); err != nil {
		return err
	}
	if len(b) < tailBytes {
		m.mem = append(m.mem, b...)
		return nil
	}
	n, err := m.file.Write(b)
	m.inFile += int64(n)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

func (m *Message) spill() error {
	f, err := os.CreateTemp(m.pool.dir, "eider-spool-*")
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if runtime.GOOS != "windows" {
		// Nameless from here on: a crash leaves nothing behind.
		_ = os.Remove(f.Name())
	}
	m.file = f
	if err := m.flush(); err != nil {
		return err
	}
	m.pool.recycle(m.mem)
	m.pool.used.Add(-int64(m.held))
	// The tail is granted even where the pool is empty, and counted all the same.
	m.pool.used.Add(tailBytes)
	m.held, m.mem = tailBytes, m.pool.buffer(tailBytes)
	return nil
}

func (m *Message) flush() error {
	n, err := m.file.Write(m.mem)
	m.inFile += int64(n)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	m.mem = m.mem[:0]
	return nil
}

// Size is the number of bytes written.
func (m *Message) Size() int64 { return m.inFile + int64(len(m.mem)) }

// ReadAt reads what was written; it may be called from several goroutines.
func (m *Message) ReadAt(b []byte, off int64) (int, error) {
	if errors.Is(m.err, ErrClosed) {
		return 0, ErrClosed
	}
	if off < 0 {
		return 0, errors.New("spool: negative offset")
	}
	n := 0
	if off < m.inFile {
		want := min(int64(len(b)), m.inFile-off)
		k, err := m.file.ReadAt(b[:want], off)
		n += k
		if int64(k) < want {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return n, fmt.Errorf("spool: %w", err)
		}
	}
	if n < len(b) {
		if at := off + int64(n) - m.inFile; at < int64(len(m.mem)) {
			n += copy(b[n:], m.mem[at:])
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Bytes returns the whole message if it is held in memory, else nil. It is
// valid until Close and must not be changed.
func (m *Message) Bytes() []byte {
	if m.file != nil {
		return nil
	}
	if m.mem == nil && m.err == nil {
		return []byte{}
	}
	return m.mem
}

// Reader returns a reader of the whole message.
func (m *Message) Reader() io.Reader {
	if b := m.Bytes(); b != nil {
		return bytes.NewReader(b)
	}
	return io.NewSectionReader(m, 0, m.Size())
}

// Close frees memory and file.
func (m *Message) Close() error {
	if errors.Is(m.err, ErrClosed) {
		return nil
	}
	m.err = ErrClosed
	m.pool.recycle(m.mem)
	m.pool.used.Add(-int64(m.held))
	m.mem, m.held = nil, 0
	if m.file == nil {
		return nil
	}
	name := m.file.Name()
	err := m.file.Close()
	m.file, m.inFile = nil, 0
	if runtime.GOOS == "windows" {
		_ = os.Remove(name)
	}
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}
