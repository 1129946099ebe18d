package mailfile

import (
	"bufio"
	"bytes"
	"io"
)

// ends counts the line ends of what is written to it.
type ends struct {
	lf, crlf int64 // bare LFs; CRLFs
	cr       int64 // CRs that no LF follows
	last     byte  // the last byte
}

func (e *ends) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		i := bytes.IndexAny(rest, "\r\n")
		if i < 0 {
			e.pending(rest[0])
			e.last = rest[len(rest)-1]
			break
		}
		if i > 0 {
			e.pending(rest[0])
			e.last = rest[i-1]
		}
		if rest[i] == '\n' {
			if e.last == '\r' {
				e.crlf++
			} else {
				e.lf++
			}
		} else {
			e.pending('\r')
		}
		e.last = rest[i]
		rest = rest[i+1:]
	}
	return len(b), nil
}

// pending counts a CR that turned out to stand alone.
func (e *ends) pending(next byte) {
	if e.last == '\r' && next != '\n' {
		e.cr++
	}
}

// uniform tells whether every line ends with CRLF and there is no other CR or LF.
func (e *ends) uniform() bool { return e.crlf > 0 && e.lf == 0 && e.cr == 0 && e.last != '\r' }

// toCRLF reads text whose lines end with LF as text whose lines end with CRLF.
type toCRLF struct {
	r  *bufio.Reader
	lf bool // a CR was given, its LF comes next
}

func (t *toCRLF) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if t.lf {
			t.lf = false
			p[n] = '\n'
			n++
			continue
		}
		c, err := t.r.ReadByte()
		if err != nil {
			if n > 0 {
				return n, nil
			}
			return 0, err
		}
		if c == '\n' {
			c, t.lf = '\r', true
		}
		p[n] = c
		n++
	}
	return n, nil
}

// toLF reads text whose lines end with CRLF as text whose lines end with LF.
type toLF struct{ r *bufio.Reader }

func (t *toLF) Read(p []byte) (n int, err error) {
	for n < len(p) {
		c, err := t.r.ReadByte()
		if err != nil {
			if n > 0 {
				return n, nil
			}
			return 0, err
		}
		if c != '\r' {
			p[n] = c
			n++
		}
	}
	return n, nil
}

var _ io.Reader = (*toLF)(nil)
