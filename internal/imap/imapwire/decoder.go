package imapwire

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// SyntaxError is a command that does not follow the grammar or is over a
// limit. Text goes to the client.
type SyntaxError struct {
	Code string // a response code without brackets, or ""
	Text string
}

func (e *SyntaxError) Error() string { return "imapwire: " + e.Text }

// Decoder reads commands from a Reader, one at a time: Next, the arguments,
// ExpectCRLF, and Finish in any case.
type Decoder struct {
	r *Reader
	// Continue asks the client for a synchronising literal: it sends a
	// continuation request and flushes.
	Continue func() error

	// UTF8: mailbox names are UTF-8, and "&" in them is a letter like any
	// other (RFC 9755 §3, RFC 9051 §5.1).
	UTF8 bool
	// NoCharset refuses SEARCH's CHARSET (RFC 9755 §3).
	NoCharset bool

	line    []byte
	pos     int
	err     error
	literal int64 // bytes of literals of this command
	open    *Literal
	ended   bool // the input can no longer be followed
	depth   int
	keys    int
}

// NewDecoder returns a Decoder on r.
func NewDecoder(r *Reader) *Decoder { return &Decoder{r: r} }

// Err is the first error of the command. A *SyntaxError is the client's
// fault, and the connection goes on after Finish; anything else ends it.
func (d *Decoder) Err() error { return d.err }

// Fail makes the command fail with a text for the client, unless it has failed already.
func (d *Decoder) Fail(format string, args ...any) bool {
	if d.err == nil {
		d.err = &SyntaxError{Text: fmt.Sprintf(format, args...)}
	}
	return false
}

func (d *Decoder) failCode(code, text string) bool {
	if d.err == nil {
		d.err = &SyntaxError{Code: code, Text: text}
	}
	return false
}

func (d *Decoder) fatal(err error) bool {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	d.err, d.ended = err, true
	return false
}

// ReadLine reads a whole line that is no command: an answer of AUTHENTICATE, or DONE.
func (d *Decoder) ReadLine() (string, error) {
	line, err := d.r.Line()
	return string(line), err
}

// Next starts the next command: it reads a line. After ErrLineTooLong there is a DroppedTag.
func (d *Decoder) Next() error {
	d.err, d.literal, d.open, d.ended, d.depth, d.keys = nil, 0, nil, false, 0, 0
	d.line, d.pos = nil, 0
	line, err := d.r.Line()
	d.line = line
	return err
}

// Line is what stands on the current line, for recognising other protocols.
func (d *Decoder) Line() []byte { return d.line }

// Finish drops what was not read of the command, its literals included. An
// error means that the input can no longer be followed.
func (d *Decoder) Finish() error {
	if d.ended {
		return d.err
	}
	if d.open != nil {
		l := d.open
		d.open = nil
		if !l.accepted && !l.NonSync {
			return nil // never asked for, so it never comes
		}
		if err := d.drop(l.left); err != nil {
			return err
		}
		if err := d.nextLine(); err != nil {
			return err
		}
	}
	for {
		n, nonSync, ok := literalSuffix(d.line[d.pos:])
		if !ok || !nonSync {
			d.line, d.pos = nil, 0
			return nil
		}
		if err := d.drop(n); err != nil {
			return err
		}
		if err := d.nextLine(); err != nil {
			return err
		}
	}
}

func (d *Decoder) nextLine() error {
	line, err := d.r.Line()
	if err == ErrLineTooLong {
		line, err = nil, nil
		d.Fail("line too long")
	}
	d.line, d.pos = line, 0
	return err
}

func (d *Decoder) drop(n int64) error {
	if n > MaxDiscard {
		return ErrDesync
	}
	return d.r.Discard(n)
}

// literalSuffix recognises "{n}" or "{n+}" at the end of a line.
func literalSuffix(line []byte) (n int64, nonSync, ok bool) {
	i := len(line) - 1
	if i < 2 || line[i] != '}' {
		return 0, false, false
	}
	i--
	if line[i] == '+' {
		nonSync = true
		i--
	}
	digits := 0
	for mul := int64(1); i >= 0 && line[i] >= '0' && line[i] <= '9' && digits < 18; i-- {
		n += int64(line[i]-'0') * mul
		mul *= 10
		digits++
	}
	return n, nonSync, digits > 0 && i >= 0 && line[i] == '{'
}

func (d *Decoder) peek() (byte, bool) {
	if d.err != nil || d.pos >= len(d.line) {
		return 0, false
	}
	return d.line[d.pos], true
}

// Byte reads c if it stands there.
func (d *Decoder) Byte(c byte) bool {
	if b, ok := d.peek(); !ok || b != c {
		return false
	}
	d.pos++
	return true
}

// ExpectByte reads c.
func (d *Decoder) ExpectByte(c byte) bool {
	return d.Byte(c) || d.Fail("expected %q", c)
}

// SP reads one space.
func (d *Decoder) SP() bool { return d.Byte(' ') }

// ExpectSP reads one space. More than one is forgiven.
func (d *Decoder) ExpectSP() bool {
	if !d.Byte(' ') {
		return d.Fail("expected a space")
	}
	for d.Byte(' ') {
	}
	return true
}

// CRLF tells whether the command ends here. Spaces before the end are forgiven.
func (d *Decoder) CRLF() bool {
	if d.err != nil {
		return false
	}
	for i := d.pos; i < len(d.line); i++ {
		if d.line[i] != ' ' {
			return false
		}
	}
	d.pos = len(d.line)
	return true
}

// ExpectCRLF checks that the command ends here.
func (d *Decoder) ExpectCRLF() bool {
	return d.CRLF() || d.Fail("too many arguments")
}

func (d *Decoder) class(c uint8) []byte {
	if d.err != nil {
		return nil
	}
	start := d.pos
	for d.pos < len(d.line) && charClass(d.line[d.pos])&c != 0 {
		d.pos++
	}
	return d.line[start:d.pos]
}

// Tag reads a command's tag.
func (d *Decoder) Tag() (string, bool) {
	b := d.class(isTag)
	return string(b), len(b) > 0
}

// DroppedTag is the tag of a line that was too long, "*" if it had none.
func (d *Decoder) DroppedTag() string {
	if tag, ok := d.Tag(); ok && d.SP() {
		return tag
	}
	return "*"
}

// AtomUpper reads an atom in upper case. The bytes are valid until the next
// literal: for looking up names without an allocation.
func (d *Decoder) AtomUpper() []byte {
	b := d.class(isAtom)
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return b
}

// Atom reads an atom in upper case, "" if none stands there.
func (d *Decoder) Atom() string { return string(d.AtomUpper()) }

// ExpectAtom reads an atom in upper case.
func (d *Decoder) ExpectAtom(s *string) bool {
	if *s = d.Atom(); *s == "" {
		return d.Fail("expected an atom")
	}
	return true
}

// Word reads the given upper-case atom if it stands there wholly, in any case.
func (d *Decoder) Word(w string) bool {
	if d.err != nil || len(d.line)-d.pos < len(w) {
		return false
	}
	end := d.pos + len(w)
	if !equalUpper(d.line[d.pos:end], w) {
		return false
	}
	if end < len(d.line) && charClass(d.line[end])&isAtom != 0 {
		return false
	}
	d.pos = end
	return true
}

func equalUpper(b []byte, upper string) bool {
	for i := range b {
		c := b[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != upper[i] {
			return false
		}
	}
	return true
}

// Number reads a number of 32 bits.
func (d *Decoder) Number(n *uint32) bool {
	var v uint64
	start := d.pos
	if !d.number64(&v) {
		return false
	}
	if v > 1<<32-1 {
		d.pos = start
		return d.Fail("number too large")
	}
	*n = uint32(v)
	return true
}

// ExpectNumber reads a number of 32 bits.
func (d *Decoder) ExpectNumber(n *uint32) bool {
	return d.Number(n) || d.Fail("expected a number")
}

// ExpectNumber64 reads a number of 63 bits (RFC 9051 number64, RFC 7162 mod-sequence).
func (d *Decoder) ExpectNumber64(n *uint64) bool {
	return d.number64(n) || d.Fail("expected a number")
}

func (d *Decoder) number64(n *uint64) bool {
	if d.err != nil {
		return false
	}
	start := d.pos
	var v uint64
	for d.pos < len(d.line) {
		c := d.line[d.pos] - '0'
		if c > 9 {
			break
		}
		if v > (1<<63-1-uint64(c))/10 {
			return d.Fail("number too large")
		}
		v = v*10 + uint64(c)
		d.pos++
	}
	*n = v
	return d.pos > start
}

// Quoted reads a quoted string.
func (d *Decoder) Quoted(s *string) bool {
	if b, ok := d.peek(); !ok || b != '"' {
		return false
	}
	start := d.pos + 1
	var out []byte
	for i := start; i < len(d.line); i++ {
		switch c := d.line[i]; c {
		case '"':
			if out == nil {
				*s = string(d.line[start:i])
			} else {
				*s = string(out)
			}
			d.pos = i + 1
			return true
		case '\\':
			if out == nil {
				out = append(make([]byte, 0, len(d.line)-start), d.line[start:i]...)
			}
			if i++; i >= len(d.line) || d.line[i] != '"' && d.line[i] != '\\' {
				return d.Fail("bad escape in quoted string")
			}
			out = append(out, d.line[i])
		case 0, '\r':
			return d.Fail("control character in quoted string")
		default:
			if out != nil {
				out = append(out, c)
			}
		}
	}
	return d.Fail("quoted string does not end")
}

// String reads a quoted string or a literal.
func (d *Decoder) String(s *string) bool {
	return d.Quoted(s) || d.smallLiteral(s)
}

// ExpectString reads a quoted string or a literal.
func (d *Decoder) ExpectString(s *string) bool {
	return d.String(s) || d.Fail("expected a string")
}

// Astring reads an atom-like word, a quoted string or a literal.
func (d *Decoder) Astring(s *string) bool {
	if b := d.class(isAstring); len(b) > 0 {
		*s = string(b)
		return true
	}
	return d.String(s)
}

// ExpectAstring reads an astring.
func (d *Decoder) ExpectAstring(s *string) bool {
	return d.Astring(s) || d.Fail("expected a string")
}

// ExpectNString reads a string or NIL, which gives "".
func (d *Decoder) ExpectNString(s *string) bool {
	if d.Word("NIL") {
		*s = ""
		return true
	}
	return d.ExpectString(s)
}

// Mailbox reads a mailbox name and decodes its modified UTF-7 (RFC 3501
// §5.1.3). INBOX in any case is "INBOX". A name that is no modified UTF-7 is
// taken as it stands when it is UTF-8: many programs send that.
func (d *Decoder) Mailbox(name *string) bool {
	var s string
	if !d.Astring(&s) {
		return false
	}
	return d.mailbox(s, name)
}

func (d *Decoder) mailbox(s string, name *string) bool {
	decoded, ok := d.decodeName(s)
	if !ok {
		return d.failCode("CANNOT", "mailbox name is neither modified UTF-7 nor UTF-8")
	}
	return d.setName(decoded, name)
}

// decodeName decodes a mailbox name or a pattern.
func (d *Decoder) decodeName(s string) (decoded string, ok bool) {
	if d.UTF8 {
		return s, utf8.ValidString(s)
	}
	decoded, err := DecodeMailbox(s)
	return decoded, err == nil && utf8.ValidString(decoded)
}

func (d *Decoder) setName(decoded string, name *string) bool {
	if len(decoded) > MaxMailbox {
		return d.failCode("LIMIT", "mailbox name too long")
	}
	if strings.EqualFold(decoded, "INBOX") {
		decoded = "INBOX"
	} else if len(decoded) > 6 && strings.EqualFold(decoded[:6], "INBOX/") {
		decoded = "INBOX" + decoded[5:]
	}
	*name = decoded
	return true
}

// ExpectMailbox reads a mailbox name.
func (d *Decoder) ExpectMailbox(name *string) bool {
	return d.Mailbox(name) || d.Fail("expected a mailbox name")
}

// noName is a pattern that no mailbox name matches.
const noName = "\xff"

// ExpectListMailbox reads a pattern of LIST: a mailbox name that may hold % and
// *. One that can be no name finds none (RFC 9051 §6.3.9).
func (d *Decoder) ExpectListMailbox(pattern *string) bool {
	var s string
	if b := d.class(isListChar); len(b) > 0 {
		s = string(b)
	} else if !d.ExpectString(&s) {
		return false
	}
	name, ok := d.decodeName(s)
	if !ok {
		*pattern = noName
		return true
	}
	return d.setName(name, pattern)
}

// List reads a parenthesised list, calling item for each element; false if none starts here.
func (d *Decoder) List(item func() bool) bool {
	if !d.Byte('(') {
		return false
	}
	if d.depth++; d.depth > MaxDepth {
		return d.Fail("nested too deep")
	}
	defer func() { d.depth-- }()
	if d.Byte(')') {
		return true
	}
	for {
		if !item() {
			return d.Fail("bad list")
		}
		if d.Byte(')') {
			return true
		}
		if !d.ExpectSP() {
			return false
		}
		if d.Byte(')') {
			return true // a space before the bracket is forgiven
		}
	}
}

// ExpectList reads a parenthesised list.
func (d *Decoder) ExpectList(item func() bool) bool {
	return d.List(item) || d.Fail("expected a list")
}
