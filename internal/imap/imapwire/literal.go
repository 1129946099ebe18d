package imapwire

import (
	"io"
)

// Literal is a literal whose bytes are still to come (RFC 9051 §4.3).
type Literal struct {
	Size    int64
	NonSync bool // "{n+}": the bytes come unasked (RFC 7888)
	Binary  bool // "~{n}" (RFC 3516 literal8)

	d        *Decoder
	accepted bool
	left     int64
}

// Literal reads the head of a literal, at the end of a line. Nothing of it is
// asked for until it is read, and what is never read is dropped by Finish.
func (d *Decoder) Literal() (*Literal, bool) {
	if d.err != nil {
		return nil, false
	}
	rest := d.line[d.pos:]
	l := &Literal{d: d}
	if len(rest) > 0 && rest[0] == '~' {
		l.Binary = true
		rest = rest[1:]
	}
	if len(rest) == 0 || rest[0] != '{' {
		return nil, false
	}
	n, nonSync, ok := literalSuffix(rest)
	if !ok || !wholeLiteral(rest) {
		return nil, d.Fail("bad literal")
	}
	l.Size, l.left, l.NonSync = n, n, nonSync
	d.pos = len(d.line)
	d.open = l
	return l, true
}

// wholeLiteral checks that nothing but the literal's head stands there.
func wholeLiteral(b []byte) bool {
	for _, c := range b[1 : len(b)-1] {
		if c == '{' || c == '}' {
			return false
		}
	}
	return true
}

// Accept asks the client for a synchronising literal's bytes.
func (l *Literal) Accept() error {
	if l.accepted {
		return nil
	}
	l.accepted = true
	if l.NonSync {
		return nil
	}
	if err := l.d.Continue(); err != nil {
		l.d.fatal(err)
		return err
	}
	return nil
}

// Read reads the literal's bytes; Accept must have been called. io.EOF comes
// after the last, io.ErrUnexpectedEOF if the client went away.
func (l *Literal) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.d.r.Read(p)
	l.left -= int64(n)
	if err != nil {
		l.d.fatal(err)
		err = l.d.err
	}
	return n, err
}

// Done goes on with the command behind a literal that was read to its end.
func (l *Literal) Done() bool {
	d := l.d
	if d.err != nil || d.open != l {
		return false
	}
	if l.left > 0 {
		return d.Fail("literal not read")
	}
	d.open = nil
	line, err := d.r.Line()
	if err == ErrLineTooLong {
		d.line, d.pos = nil, 0
		return d.Fail("line too long")
	}
	if err != nil {
		return d.fatal(err)
	}
	d.line, d.pos = line, 0
	return true
}

// smallLiteral reads a literal that is held in memory.
func (d *Decoder) smallLiteral(s *string) bool {
	l, ok := d.Literal()
	if !ok {
		return false
	}
	if l.Size > MaxLiteral || d.literal+l.Size > MaxLiterals {
		return d.failCode("TOOBIG", "literal too large")
	}
	d.literal += l.Size
	if l.Accept() != nil {
		return false
	}
	b := make([]byte, l.Size)
	if _, err := io.ReadFull(l, b); err != nil && l.Size > 0 {
		return d.fatal(err)
	}
	*s = string(b)
	return l.Done()
}
