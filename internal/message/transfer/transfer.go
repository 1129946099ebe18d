// Package transfer undoes the transfer encodings of mail (RFC 2045 §6): base64,
// quoted-printable and uuencode, piece by piece. It accepts anything, never
// fails and never panics: what cannot be decoded is skipped or kept as it is.
// However the input is cut into pieces, the output is the same.
package transfer

import (
	"bytes"
	"io"
	"strings"
)

// Decoder undoes a transfer encoding piece by piece.
type Decoder interface {
	// Decode appends the decoded form of src to dst.
	Decode(dst, src []byte) []byte
	// Flush appends what was held back, at the end of the body.
	Flush(dst []byte) []byte
}

// New returns the decoder of a transfer encoding, nil for those that leave the
// bytes as they are.
func New(encoding string) Decoder {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return &Base64{}
	case "quoted-printable":
		return &Quoted{}
	case "x-uuencode", "uuencode", "x-uue", "uue":
		return &uuDecoder{}
	}
	return nil
}

// NewReader returns a reader of r without its transfer encoding. It fails only
// where r fails.
func NewReader(encoding string, r io.Reader) io.Reader {
	d := New(encoding)
	if d == nil {
		return r
	}
	return &reader{r: r, d: d}
}

type reader struct {
	r   io.Reader
	d   Decoder
	in  [8 << 10]byte
	buf []byte
	out []byte
	err error
}

func (t *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(t.out) == 0 {
		if t.err != nil {
			return 0, t.err
		}
		n, err := t.r.Read(t.in[:])
		t.buf = t.d.Decode(t.buf[:0], t.in[:n])
		if err != nil {
			t.err = err
			if err == io.EOF {
				t.buf = t.d.Flush(t.buf)
			}
		}
		t.out = t.buf
	}
	n := copy(p, t.out)
	t.out = t.out[n:]
	return n, nil
}

const (
	b64Skip = 0x80
	b64Pad  = 0x81
)

// b64Value maps a byte to its six bits, b64Pad or b64Skip.
var b64Value = func() (t [256]byte) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range t {
		t[i] = b64Skip
	}
	for i := range len(alphabet) {
		t[alphabet[i]] = byte(i)
	}
	t['='] = b64Pad
	return t
}()

// b64Counts is 1 for each byte of the alphabet.
var b64Counts = func() (t [256]byte) {
	for i, v := range b64Value {
		if v < 64 {
			t[i] = 1
		}
	}
	return t
}()

// Base64 decodes base64 (RFC 2045 §6.8). Bytes outside the alphabet are
// skipped, '=' ends a quantum, and what follows it is decoded again: so the
// joined output of several encoders is read whole.
type Base64 struct {
	acc uint32
	n   int // sextets in acc
}

// Decode implements Decoder.
func (d *Base64) Decode(dst, src []byte) []byte {
	for len(src) > 0 {
		if d.n == 0 {
			i := 0
			for ; i+4 <= len(src); i += 4 {
				s := src[i : i+4 : i+4]
				a, b, c, e := b64Value[s[0]], b64Value[s[1]], b64Value[s[2]], b64Value[s[3]]
				if (a|b|c|e)&0x80 != 0 {
					break
				}
				dst = append(dst, a<<2|b>>4, b<<4|c>>2, c<<6|e)
			}
			if src = src[i:]; len(src) == 0 {
				break
			}
		}
		v := b64Value[src[0]]
		src = src[1:]
		switch {
		case v < 64:
			d.acc = d.acc<<6 | uint32(v)
			if d.n++; d.n == 4 {
				dst = append(dst, byte(d.acc>>16), byte(d.acc>>8), byte(d.acc))
				d.n, d.acc = 0, 0
			}
		case v == b64Pad:
			dst = d.Flush(dst)
		}
	}
	return dst
}

// Flush implements Decoder.
func (d *Base64) Flush(dst []byte) []byte {
	switch d.n {
	case 2:
		dst = append(dst, byte(d.acc>>4))
	case 3:
		dst = append(dst, byte(d.acc>>10), byte(d.acc>>2))
	}
	d.n, d.acc = 0, 0
	return dst
}

// Base64Counter tells how much Base64 would write, without writing.
type Base64Counter struct {
	sextets int64
	total   int64
}

// Add counts the next bytes.
func (c *Base64Counter) Add(p []byte) {
	for {
		i := bytes.IndexByte(p, '=')
		if i < 0 {
			c.sextets += countBase64(p)
			return
		}
		c.sextets += countBase64(p[:i])
		c.total += c.sextets * 3 / 4
		c.sextets = 0
		p = p[i+1:]
	}
}

// Size is what the decoder would have written at the end.
func (c *Base64Counter) Size() int64 { return c.total + c.sextets*3/4 }

func countBase64(p []byte) int64 {
	var a, b, c, d int
	for ; len(p) >= 8; p = p[8:] {
		q := p[:8:8]
		a += int(b64Counts[q[0]]) + int(b64Counts[q[4]])
		b += int(b64Counts[q[1]]) + int(b64Counts[q[5]])
		c += int(b64Counts[q[2]]) + int(b64Counts[q[6]])
		d += int(b64Counts[q[3]]) + int(b64Counts[q[7]])
	}
	for _, x := range p {
		a += int(b64Counts[x])
	}
	return int64(a + b + c + d)
}

// uuLine is the longest uuencoded line (one length character, 60 of data) that is held.
const uuLine = 128

// uuDecoder decodes uuencode between its begin and end lines.
type uuDecoder struct {
	line  []byte
	begun bool
	ended bool
}

func (d *uuDecoder) Decode(dst, src []byte) []byte {
	for len(src) > 0 && !d.ended {
		i := bytes.IndexByte(src, '\n')
		piece := src
		if i >= 0 {
			piece = src[:i]
		}
		if room := uuLine - len(d.line); len(piece) > room {
			d.line = append(d.line, piece[:room]...)
		} else {
			d.line = append(d.line, piece...)
		}
		if i < 0 {
			break
		}
		src = src[i+1:]
		dst = d.Flush(dst)
	}
	return dst
}

func (d *uuDecoder) Flush(dst []byte) []byte {
	line := bytes.TrimRight(d.line, "\r")
	d.line = d.line[:0]
	if d.ended || len(line) == 0 {
		return dst
	}
	if !d.begun {
		d.begun = bytes.HasPrefix(line, []byte("begin "))
		return dst
	}
	n := int(line[0]-' ') & 63
	if string(line) == "end" || n == 0 {
		d.ended = string(line) == "end"
		return dst
	}
	start := len(dst)
	for p := line[1:]; len(p) > 0 && len(dst)-start < n; {
		var q [4]byte
		p = p[copy(q[:], p):]
		for i := range q {
			q[i] = (q[i] - ' ') & 63
		}
		dst = append(dst, q[0]<<2|q[1]>>4, q[1]<<4|q[2]>>2, q[2]<<6|q[3])
	}
	if len(dst)-start > n {
		dst = dst[:start+n]
	}
	return dst
}
