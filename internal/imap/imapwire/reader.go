package imapwire

import (
	"bytes"
	"errors"
	"io"
)

// ErrLineTooLong is a line over MaxLine; the line was read and dropped, with what the
// client sends behind it unasked.
var ErrLineTooLong = errors.New("imapwire: line too long")

// ErrDesync means that the client sent more than can be dropped: close the connection.
var ErrDesync = errors.New("imapwire: more input than can be dropped")

// Reader is the buffered input of a connection. Its buffer is small while
// the connection idles and grows with a line up to MaxLine.
type Reader struct {
	src  io.Reader
	buf  []byte
	r, w int
	// Wait is called before each read from the connection. It sends what the
	// Encoder holds back, so the client never waits for output that waits for the client.
	Wait func() error
}

// NewReader returns a Reader of src.
func NewReader(src io.Reader) *Reader { return &Reader{src: src, buf: make([]byte, idleBuffer)} }

// Buffered is how many bytes have arrived and were not read.
func (r *Reader) Buffered() int { return r.w - r.r }

// Await reads until something is there.
func (r *Reader) Await() error {
	if r.Buffered() > 0 {
		return nil
	}
	return r.fill()
}

// Peek is what Buffered counts, until the next read.
func (r *Reader) Peek() []byte { return r.buf[r.r:r.w] }

// Reset goes on with another source, as after STARTTLS, and drops the buffer.
func (r *Reader) Reset(src io.Reader) { r.src, r.r, r.w = src, 0, 0 }

// Release gives the buffer back while a long wait is expected.
func (r *Reader) Release() {
	if r.r == r.w {
		r.buf, r.r, r.w = make([]byte, waitBuffer), 0, 0
	}
}

// Resume takes a buffer of full size again after Release.
func (r *Reader) Resume() {
	if len(r.buf) < idleBuffer {
		b := make([]byte, idleBuffer)
		r.w = copy(b, r.buf[r.r:r.w])
		r.buf, r.r = b, 0
	}
}

// fill reads at least one more byte behind those that are buffered.
func (r *Reader) fill() error {
	if r.r > 0 {
		copy(r.buf, r.buf[r.r:r.w])
		r.w -= r.r
		r.r = 0
	}
	if r.w == 0 && len(r.buf) > idleBuffer {
		r.buf = make([]byte, idleBuffer)
	}
	if r.w == len(r.buf) {
		bigger := make([]byte, min(2*len(r.buf), MaxLine+2))
		copy(bigger, r.buf)
		r.buf = bigger
	}
	n, err := r.read(r.buf[r.w:])
	r.w += n
	return err
}

func (r *Reader) read(p []byte) (int, error) {
	if r.Wait != nil {
		if err := r.Wait(); err != nil {
			return 0, err
		}
	}
	for range 100 {
		n, err := r.src.Read(p)
		if n > 0 {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

// Line reads up to the next line end and returns the line without it. The
// bytes are valid, and may be changed, until the next call. A bare LF ends a
// line too: people type at us. With ErrLineTooLong comes how the line began.
func (r *Reader) Line() ([]byte, error) {
	searched := 0
	for {
		if i := bytes.IndexByte(r.buf[r.r+searched:r.w], '\n'); i >= 0 {
			end := r.r + searched + i
			line := r.buf[r.r:end]
			r.r = end + 1
			if n := len(line); n > 0 && line[n-1] == '\r' {
				line = line[:n-1]
			}
			return line, nil
		}
		searched = r.w - r.r
		if searched >= MaxLine+2 {
			return r.dropLine()
		}
		if err := r.fill(); err != nil {
			if err == io.EOF && r.w > r.r {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// What is kept of a line that is dropped: where its tag stands, and where its literal is announced.
const (
	keptHead = 256
	keptTail = 24
)

// dropLine reads to the line end of a line that is too long, and over the literals
// behind it that the client does not wait to be asked for (RFC 7888).
func (r *Reader) dropLine() (head []byte, err error) {
	head = bytes.Clone(r.buf[r.r : r.r+keptHead])
	var tail []byte
	for dropped := int64(0); dropped < MaxDiscard; {
		b := r.buf[r.r:r.w]
		i := bytes.IndexByte(b, '\n')
		if i >= 0 {
			b = b[:i]
		}
		dropped += int64(len(b))
		tail = append(tail, b[max(0, len(b)-keptTail):]...)
		tail = tail[max(0, len(tail)-keptTail):]
		if r.r += len(b); i < 0 {
			if err := r.fill(); err != nil {
				return nil, err
			}
			continue
		}
		r.r, dropped = r.r+1, dropped+1
		n, nonSync, ok := literalSuffix(bytes.TrimSuffix(tail, []byte{'\r'}))
		if !ok || !nonSync {
			return head, ErrLineTooLong
		}
		if dropped += n; dropped > MaxDiscard {
			break
		}
		if err := r.Discard(n); err != nil {
			return nil, err
		}
		tail = tail[:0]
	}
	return nil, ErrDesync
}

// Read reads raw bytes: those of a literal. The caller bounds how many.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.r < r.w {
		n := copy(p, r.buf[r.r:r.w])
		r.r += n
		return n, nil
	}
	if len(p) >= idleBuffer {
		return r.read(p)
	}
	if err := r.fill(); err != nil {
		return 0, err
	}
	n := copy(p, r.buf[r.r:r.w])
	r.r += n
	return n, nil
}

// Discard drops n bytes.
func (r *Reader) Discard(n int64) error {
	for n > 0 {
		if r.r == r.w {
			if err := r.fill(); err != nil {
				return err
			}
		}
		k := min(n, int64(r.w-r.r))
		r.r += int(k)
		n -= k
	}
	return nil
}
