// Package rawimap speaks IMAP for tests that look at every response: it sends
// text as it is, and reads responses as the tokens that they are.
package rawimap

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Limit: how long a server may take over one command.
const commandTime = 30 * time.Second

// Conn is a connection to one server.
type Conn struct {
	nc net.Conn
	r  *bufio.Reader
}

// Dial connects; the greeting is the first response.
func Dial(addr string) (*Conn, error) {
	nc, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &Conn{nc: nc, r: bufio.NewReaderSize(nc, 64<<10)}, nil
}

// DialTLS is Dial to a port that begins with TLS, whatever its certificate.
func DialTLS(addr string) (*Conn, error) {
	d := &net.Dialer{Timeout: commandTime}
	nc, err := tls.DialWithDialer(d, "tcp", addr, &tls.Config{InsecureSkipVerify: true}) // a test's own server
	if err != nil {
		return nil, err
	}
	return &Conn{nc: nc, r: bufio.NewReaderSize(nc, 64<<10)}, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.nc.Close() }

// Send writes text as it is. An error shows when the answer is read.
func (c *Conn) Send(text string) {
	_ = c.nc.SetDeadline(time.Now().Add(commandTime))
	_, _ = io.WriteString(c.nc, text)
}

// Response reads one response with the literals in it.
func (c *Conn) Response() (Value, error) { return Read(c.r) }

// Read reads one response. An input that ends within it is io.EOF or
// io.ErrUnexpectedEOF as they are; what is no response is another error.
func Read(r *bufio.Reader) (Value, error) {
	var raw []byte
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return Value{}, err
		}
		raw = append(raw, line...)
		n, ok := literalAtEnd(line)
		if !ok {
			break
		}
		at := len(raw)
		raw = append(raw, make([]byte, n)...)
		if _, err := io.ReadFull(r, raw[at:]); err != nil {
			return Value{}, err
		}
	}
	return parseResponse(raw)
}

// literalAtEnd tells how long the literal is that a line announces.
func literalAtEnd(line []byte) (n int, ok bool) {
	s := strings.TrimRight(string(line), "\r\n")
	i := strings.LastIndexByte(s, '{')
	if i < 0 || !strings.HasSuffix(s, "}") {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSuffix(s[i+1:len(s)-1], "+"))
	return n, err == nil && n >= 0 && n < 1<<28
}

// Value is a token of a response: an atom, a string or a list.
type Value struct {
	Kind byte // 'a', 's' or 'l'
	Text string
	List []Value
}

// String is the canonical form: strings are quoted however they came.
func (v Value) String() string {
	switch v.Kind {
	case 's':
		return strconv.Quote(v.Text)
	case 'l':
		parts := make([]string, len(v.List))
		for i := range v.List {
			parts[i] = v.List[i].String()
		}
		return "(" + strings.Join(parts, " ") + ")"
	}
	return v.Text
}

// Word is an atom in upper case, "" for anything else.
func (v Value) Word() string {
	if v.Kind != 'a' {
		return ""
	}
	return strings.ToUpper(v.Text)
}

// parseResponse reads the tokens of a response. The text for people of OK, NO,
// BAD, BYE, PREAUTH and of continuation requests is left out; their code stays as a list
// that begins with "[".
func parseResponse(raw []byte) (Value, error) {
	p := &parser{in: raw}
	// A tag has characters that no other atom begins with: "]" is one.
	tag, rest, _ := bytes.Cut(raw, []byte(" "))
	if p.at = len(tag) + 1; len(tag) == 0 || len(rest) == 0 {
		return Value{}, fmt.Errorf("no response: %q", raw)
	}
	out := Value{Kind: 'l', List: []Value{{Kind: 'a', Text: string(tag)}}}
	for !p.end() {
		after := len(out.List) == 2 && IsStatus(out.List[1].Word()) || len(out.List) == 1 && out.List[0].Text == "+"
		if after {
			if code, ok := p.code(); ok {
				out.List = append(out.List, code)
			}
			return out, p.err
		}
		v := p.value()
		if p.err != nil {
			return out, fmt.Errorf("%w in %q", p.err, raw)
		}
		out.List = append(out.List, v)
		if !p.end() && !p.skip(' ') && p.in[p.at] != '(' { // THREAD's lists stand side by side
			return out, fmt.Errorf("no space at %d of %q", p.at, raw)
		}
	}
	return out, nil
}

// IsStatus tells the names of status responses.
func IsStatus(w string) bool {
	switch w {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		return true
	}
	return false
}

type parser struct {
	in  []byte
	at  int
	err error
}

func (p *parser) end() bool {
	rest := string(p.in[p.at:])
	return rest == "\r\n" || rest == "\n" || rest == ""
}

func (p *parser) skip(c byte) bool {
	if p.at < len(p.in) && p.in[p.at] == c {
		p.at++
		return true
	}
	return false
}

// code reads "[CODE args]".
func (p *parser) code() (Value, bool) {
	if !p.skip('[') {
		return Value{}, false
	}
	out := Value{Kind: 'l', List: []Value{{Kind: 'a', Text: "["}}}
	for !p.skip(']') && p.err == nil && !p.end() {
		out.List = append(out.List, p.value())
		for p.skip(' ') {
		}
	}
	return out, true
}

func (p *parser) value() Value {
	switch {
	case p.end():
		p.err = io.ErrUnexpectedEOF
		return Value{}
	case p.skip('('):
		return p.listTo(')')
	case p.in[p.at] == '"':
		return p.quoted()
	case p.in[p.at] == '{' || p.in[p.at] == '~' && p.at+1 < len(p.in) && p.in[p.at+1] == '{':
		return p.literal()
	}
	return p.atom()
}

func (p *parser) listTo(end byte) Value {
	out := Value{Kind: 'l'}
	for p.err == nil {
		for p.skip(' ') {
		}
		if p.skip(end) {
			return out
		}
		out.List = append(out.List, p.value())
	}
	return out
}

func (p *parser) quoted() Value {
	var b strings.Builder
	for p.at++; p.at < len(p.in); p.at++ {
		switch c := p.in[p.at]; c {
		case '"':
			p.at++
			return Value{Kind: 's', Text: b.String()}
		case '\\':
			p.at++
			if p.at < len(p.in) {
				b.WriteByte(p.in[p.at])
			}
		case '\r', '\n':
			p.err = fmt.Errorf("a line end in a quoted string")
			return Value{}
		default:
			b.WriteByte(c)
		}
	}
	p.err = io.ErrUnexpectedEOF
	return Value{}
}

func (p *parser) literal() Value {
	i := strings.IndexByte(string(p.in[p.at:]), '\n')
	if i < 0 {
		p.err = io.ErrUnexpectedEOF
		return Value{}
	}
	n, ok := literalAtEnd(p.in[p.at : p.at+i+1])
	start := p.at + i + 1
	if !ok || start+n > len(p.in) {
		p.err = fmt.Errorf("a bad literal")
		return Value{}
	}
	p.at = start + n
	return Value{Kind: 's', Text: string(p.in[start:p.at])}
}

// atom reads up to a space or parenthesis that is not within brackets, as in
// BODY[HEADER.FIELDS (To)]<0>; "]" ends the code that it stands in.
func (p *parser) atom() Value {
	start, depth := p.at, 0
	for ; p.at < len(p.in); p.at++ {
		c := p.in[p.at]
		switch {
		case c == '[':
			depth++
		case c == ']' && depth == 0:
			return p.atomFrom(start)
		case c == ']':
			depth--
		case depth == 0 && (c == ' ' || c == '(' || c == ')'), c == '\r' || c == '\n':
			return p.atomFrom(start)
		}
	}
	return p.atomFrom(start)
}

func (p *parser) atomFrom(start int) Value {
	if p.at == start {
		p.err = fmt.Errorf("an empty atom at %d", start)
	}
	return Value{Kind: 'a', Text: string(p.in[start:p.at])}
}
