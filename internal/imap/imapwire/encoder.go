package imapwire

import (
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// Encoder writes responses. Its calls chain; the first error of the
// connection is kept and ends all that follows. It is used by one goroutine
// at a time.
type Encoder struct {
	w   io.Writer
	buf []byte
	err error
	// UTF8 writes mailbox names and quoted strings in UTF-8 (RFC 6855, RFC 9051).
	UTF8 bool
}

// Taken returns what an Encoder without a connection holds.
func (e *Encoder) Taken() string { return string(e.buf) }

// NewEncoder returns an Encoder on w; with nil it keeps all, to be Taken.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: w} }

// Reset goes on with another connection, as after STARTTLS.
func (e *Encoder) Reset(w io.Writer) { e.w, e.buf = w, e.buf[:0] }

// Err is the connection's error.
func (e *Encoder) Err() error { return e.err }

// Buffered is how many bytes are held back.
func (e *Encoder) Buffered() int { return len(e.buf) }

// Flush sends what is held back.
func (e *Encoder) Flush() error {
	if len(e.buf) == 0 || e.err != nil || e.w == nil {
		return e.err
	}
	_, e.err = e.w.Write(e.buf)
	e.buf = e.buf[:0]
	if cap(e.buf) > 2*HoldBytes {
		e.buf = nil
	}
	return e.err
}

// Release gives back the memory of a connection that is about to wait.
func (e *Encoder) Release() {
	if len(e.buf) == 0 && cap(e.buf) > idleBuffer {
		e.buf = nil
	}
}

// Empty gives all of it back, before a long wait.
func (e *Encoder) Empty() {
	if len(e.buf) == 0 {
		e.buf = nil
	}
}

// CRLF ends a line, and sends what is held if it is much.
func (e *Encoder) CRLF() *Encoder {
	e.buf = append(e.buf, '\r', '\n')
	if len(e.buf) >= HoldBytes {
		e.Flush()
	}
	return e
}

// Raw writes s as it is.
func (e *Encoder) Raw(s string) *Encoder {
	e.buf = append(e.buf, s...)
	return e
}

// Byte writes one byte.
func (e *Encoder) Byte(c byte) *Encoder {
	e.buf = append(e.buf, c)
	return e
}

// SP writes a space.
func (e *Encoder) SP() *Encoder { return e.Byte(' ') }

// Number writes a number.
func (e *Encoder) Number(n uint32) *Encoder {
	e.buf = strconv.AppendUint(e.buf, uint64(n), 10)
	return e
}

// Number64 writes a number that may be large.
func (e *Encoder) Number64(n uint64) *Encoder {
	e.buf = strconv.AppendUint(e.buf, n, 10)
	return e
}

// Text writes the text that ends a response: no line end can be in it.
func (e *Encoder) Text(s string) *Encoder {
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c >= 0x7f {
			c = '?'
		}
		e.buf = append(e.buf, c)
	}
	return e
}

// String writes a string, quoted where it can be, else as a literal. NUL
// cannot be in an IMAP string and is left out.
func (e *Encoder) String(s string) *Encoder {
	quotable := len(s) <= maxQuoted
	nul, wide := false, false
	for i := range len(s) {
		switch c := s[i]; {
		case c == 0:
			nul = true
		case c == '\r', c == '\n':
			quotable = false
		case c >= 0x80:
			wide = true
		}
	}
	if wide && (!e.UTF8 || !utf8.ValidString(s)) {
		quotable = false
	}
	if nul {
		b := make([]byte, 0, len(s))
		for i := range len(s) {
			if s[i] != 0 {
				b = append(b, s[i])
			}
		}
		s = string(b)
	}
	if !quotable {
		return e.LiteralHead(int64(len(s))).Raw(s)
	}
	e.buf = append(e.buf, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			e.buf = append(e.buf, '\\')
		}
		e.buf = append(e.buf, s[i])
	}
	return e.Byte('"')
}

// NString writes a string, NIL if it is empty.
func (e *Encoder) NString(s string) *Encoder {
	if s == "" {
		return e.Raw("NIL")
	}
	return e.String(s)
}

// Mailbox writes a mailbox name: as an atom where it can be one, else as a string.
func (e *Encoder) Mailbox(name string) *Encoder {
	if !e.UTF8 {
		name = EncodeMailbox(name)
	}
	for i := range len(name) {
		if name[i] >= 0x80 || charClass(name[i])&isAtom == 0 {
			return e.String(name)
		}
	}
	if name == "" || name == "NIL" {
		return e.String(name)
	}
	return e.Raw(name)
}

// Flags writes a flag list.
func (e *Encoder) Flags(sys System, keywords []string) *Encoder {
	e.buf = AppendFlags(e.buf, sys, keywords)
	return e
}

// DateTime writes a date-time.
func (e *Encoder) DateTime(t time.Time) *Encoder {
	e.buf = AppendDateTime(e.buf, t)
	return e
}

// Set writes a set of numbers.
func (e *Encoder) Set(s Set) *Encoder {
	e.buf = s.Append(e.buf)
	return e
}

// LiteralHead announces a literal of n bytes; the caller writes them.
func (e *Encoder) LiteralHead(n int64) *Encoder {
	e.buf = append(e.buf, '{')
	e.buf = strconv.AppendInt(e.buf, n, 10)
	e.buf = append(e.buf, '}', '\r', '\n')
	return e
}

// Bytes writes bytes as they are, and sends when much is held: for the parts
// of a literal. It says whether the connection is still there.
func (e *Encoder) Bytes(b []byte) bool {
	e.buf = append(e.buf, b...)
	if len(e.buf) >= HoldBytes {
		e.Flush()
	}
	return e.err == nil
}

// CopyN writes exactly n bytes of r, in pieces, and returns r's error. After
// one the response cannot be completed: the connection must be closed.
func (e *Encoder) CopyN(r io.Reader, n int64) error {
	for n > 0 && e.err == nil {
		if cap(e.buf)-len(e.buf) < 512 || len(e.buf) >= HoldBytes {
			if len(e.buf) > 0 && cap(e.buf) >= HoldBytes {
				if e.Flush() != nil {
					break
				}
			} else {
				grown := make([]byte, len(e.buf), HoldBytes)
				copy(grown, e.buf)
				e.buf = grown
			}
		}
		space := e.buf[len(e.buf):cap(e.buf)]
		if int64(len(space)) > n {
			space = space[:n]
		}
		k, err := io.ReadFull(r, space)
		e.buf = e.buf[:len(e.buf)+k]
		n -= int64(k)
		if err != nil {
			return err
		}
	}
	return e.err
}
