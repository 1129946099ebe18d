package transfer

import "bytes"

// qpHold is how much white space is held back until it is known whether the
// line ends there; of a longer run only what is beyond multiples of it is dropped.
const qpHold = 1024

type qpState uint8

const (
	qpText  qpState = iota
	qpSpace         // hold has white space that may be trailing
	qpSpaceCR
	qpEqual // after "="
	qpEqualCR
	qpEqualSpace // hold has white space after "="
	qpEqualSpaceCR
	qpHex // after "=" and one hex digit
)

// Quoted decodes quoted-printable (RFC 2045 §6.7): white space at the
// end of a line is dropped, soft line breaks are joined even with white space
// after the "=", a bad escape stays as it stands.
type Quoted struct {
	state qpState
	first byte // the first digit in state qpHex
	hold  []byte
}

// Decode implements Decoder.
func (d *Quoted) Decode(dst, src []byte) []byte {
	lf := -1 // the next line feed, looked for once
	for i := 0; i < len(src); {
		if d.state != qpText {
			var used bool
			if dst, used = d.step(dst, src[i]); used {
				i++
			}
			continue
		}
		if lf < i {
			if lf = bytes.IndexByte(src[i:], '\n'); lf < 0 {
				lf = len(src)
			} else {
				lf += i
			}
		}
		if eq := bytes.IndexByte(src[i:lf], '='); eq >= 0 {
			dst = append(dst, src[i:i+eq]...)
			d.state = qpEqual
			i += eq + 1
			continue
		}
		dst = d.line(dst, src[i:lf], lf < len(src))
		i = lf + 1
	}
	return dst
}

// line writes the rest of a line without escapes, but the white space at its
// end, which is held back where the end of the line has not come.
func (d *Quoted) line(dst, line []byte, ended bool) []byte {
	body := bytes.TrimSuffix(line, []byte("\r"))
	cr := len(body) < len(line)
	n := len(body)
	for n > 0 && (body[n-1] == ' ' || body[n-1] == '\t') {
		n--
	}
	space := body[n:]
	keep := len(space) - len(space)%qpHold
	dst = append(append(dst, body[:n]...), space[:keep]...)
	switch {
	case ended && cr:
		return append(dst, '\r', '\n')
	case ended:
		return append(dst, '\n')
	case len(space) > 0:
		d.hold = append(d.hold[:0], space[keep:]...)
		d.state = qpSpace
		if cr {
			d.state = qpSpaceCR
		}
	case cr:
		dst = append(dst, '\r')
	}
	return dst
}

// step takes one byte in any state but qpText. It says whether b is used up;
// if not, b is to be looked at again in the new state.
func (d *Quoted) step(dst []byte, b byte) ([]byte, bool) {
	space := b == ' ' || b == '\t'
	switch d.state {
	case qpSpace, qpEqualSpace:
		return d.stepSpace(dst, b)
	case qpSpaceCR:
		if b == '\n' {
			return d.end(append(dst, '\r', '\n')), true
		}
		return append(d.release(dst), '\r'), false
	case qpEqual:
		switch {
		case unhex(b) >= 0:
			d.state, d.first = qpHex, b
			return dst, true
		case b == '\n':
			return d.end(dst), true
		case b == '\r':
			d.state = qpEqualCR
			return dst, true
		case space:
			d.state, d.hold = qpEqualSpace, append(d.hold[:0], b)
			return dst, true
		}
		return d.end(append(dst, '=')), false
	case qpEqualCR:
		if b == '\n' {
			return d.end(dst), true
		}
		return d.end(append(dst, '=', '\r')), false
	case qpEqualSpaceCR:
		if b == '\n' {
			return d.end(dst), true
		}
		return append(d.release(append(dst, '=')), '\r'), false
	default: // qpHex
		if x := unhex(b); x >= 0 {
			return d.end(append(dst, byte(unhex(d.first)<<4|x))), true
		}
		return d.end(append(dst, '=', d.first)), false
	}
}

func (d *Quoted) stepSpace(dst []byte, b byte) ([]byte, bool) {
	equal := d.state == qpEqualSpace
	switch b {
	case ' ', '\t':
		d.hold = append(d.hold, b)
		if len(d.hold) == qpHold {
			if equal {
				dst = append(dst, '=')
			}
			dst = append(dst, d.hold...)
			d.hold, d.state = d.hold[:0], qpSpace
		}
		return dst, true
	case '\n':
		if !equal {
			dst = append(dst, '\n')
		}
		return d.end(dst), true
	case '\r':
		d.state++ // to the same state with a CR
		return dst, true
	}
	if equal {
		dst = append(dst, '=')
	}
	return d.release(dst), false
}

// end goes back to plain text and forgets what was held.
func (d *Quoted) end(dst []byte) []byte {
	d.state, d.hold = qpText, d.hold[:0]
	return dst
}

// release goes back to plain text and writes what was held.
func (d *Quoted) release(dst []byte) []byte {
	dst = append(dst, d.hold...)
	return d.end(dst)
}

// Flush implements Decoder: the end of the body is the end of a line.
func (d *Quoted) Flush(dst []byte) []byte {
	switch d.state {
	case qpSpaceCR:
		dst = append(dst, '\r')
	case qpHex:
		dst = append(dst, '=', d.first)
	}
	return d.end(dst)
}

func unhex(b byte) int {
	switch {
	case b >= '0' && b <= '9':
		return int(b - '0')
	case b >= 'A' && b <= 'F':
		return int(b-'A') + 10
	case b >= 'a' && b <= 'f':
		return int(b-'a') + 10
	}
	return -1
}
