package smtp

import (
	"bytes"
	"io"
	"sync"
)

const (
	// smallBuffer is what an idle connection costs: a group of commands fits.
	smallBuffer = 1 << 10
	// firstBuffer and bigBuffer are for messages: the first while little
	// comes at a time, the second once a read filled the first.
	firstBuffer = 8 << 10
	bigBuffer   = 32 << 10
)

// buffers are shared by the servers of a process: one connection's message is
// over when another's begins.
type buffers struct{ small, first, big sync.Pool }

func (p *buffers) get(n int) []byte {
	pool := &p.big
	switch {
	case n <= smallBuffer:
		n, pool = smallBuffer, &p.small
	case n <= firstBuffer:
		n, pool = firstBuffer, &p.first
	default:
		n = bigBuffer
	}
	if b, ok := pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, n)
}

func (p *buffers) put(b []byte) {
	switch len(b) {
	case smallBuffer:
		p.small.Put(&b)
	case firstBuffer:
		p.first.Put(&b)
	case bigBuffer:
		p.big.Put(&b)
	}
}

// input is what was read of a connection and not yet used: buf[r:w].
type input struct {
	buf  []byte
	r, w int
	pool *buffers
	full bool // the last read filled the buffer: more is waiting
}

func (in *input) buffered() []byte { return in.buf[in.r:in.w] }

// resize changes the buffer to at least n bytes, or to the small one for 0,
// keeping what is buffered; it does nothing where that does not fit.
func (in *input) resize(n int) {
	have := in.w - in.r
	var next []byte
	switch {
	case n == 0 && (len(in.buf) == smallBuffer || have > smallBuffer):
		return
	case n == 0:
		next = in.pool.get(smallBuffer)
	case len(in.buf) >= n:
		return
	default:
		next = in.pool.get(n)
	}
	copy(next, in.buf[in.r:in.w])
	in.pool.put(in.buf)
	in.buf, in.r, in.w = next, 0, have
}

// read reads once, moving what is buffered to the front first. The buffer
// must not be full of unused bytes.
func (in *input) read(r io.Reader) error {
	if in.r > 0 {
		copy(in.buf, in.buf[in.r:in.w])
		in.w -= in.r
		in.r = 0
	}
	n, err := r.Read(in.buf[in.w:])
	in.w += n
	in.full = in.w == len(in.buf)
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// line takes a line off the buffer, without its line end; ok is false if no
// whole line is there. A bare LF ends a command, too: people type at it.
func (in *input) line() (line []byte, ok bool) {
	b := in.buffered()
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return nil, false
	}
	in.r += i + 1
	return bytes.TrimSuffix(b[:i], []byte{'\r'}), true
}
