package message

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

// quotedDecoder decodes quoted-printable (RFC 2045 §6.7): white space at the
// end of a line is dropped, soft line breaks are joined even with white space
// after the "=", a bad escape stays as it stands.
type quotedDecoder struct {
	state qpState
	first byte // the first digit in state qpHex
	hold  []byte
}

func (d *quotedDecoder) decode(dst, src []byte) []byte {
	for len(src) > 0 {
		if d.state == qpText {
			dst, src = d.text(dst, src)
			continue
		}
		var used bool
		if dst, used = d.step(dst, src[0]); used {
			src = src[1:]
		}
	}
	return dst
}

// text copies up to the next "=" or line end, or all of it but the white space
// that may turn out to be trailing.
func (d *quotedDecoder) text(dst, src []byte) (out, rest []byte) {
	line := src
	lf := bytes.IndexByte(src, '\n')
	if lf >= 0 {
		line = src[:lf]
	}
	if eq := bytes.IndexByte(line, '='); eq >= 0 {
		d.state = qpEqual
		return append(dst, line[:eq]...), src[eq+1:]
	}
	body := bytes.TrimSuffix(line, []byte("\r"))
	cr := len(body) < len(line)
	text := bytes.TrimRight(body, " \t")
	space := body[len(text):]
	keep := len(space) - len(space)%qpHold
	dst = append(append(dst, text...), space[:keep]...)
	if lf >= 0 {
		if cr {
			dst = append(dst, '\r')
		}
		return append(dst, '\n'), src[lf+1:]
	}
	switch {
	case len(space) > 0:
		d.hold = append(d.hold[:0], space[keep:]...)
		d.state = qpSpace
		if cr {
			d.state = qpSpaceCR
		}
	case cr:
		dst = append(dst, '\r')
	}
	return dst, nil
}

// step takes one byte in any state but qpText. It says whether b is used up;
// if not, b is to be looked at again in the new state.
func (d *quotedDecoder) step(dst []byte, b byte) ([]byte, bool) {
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

func (d *quotedDecoder) stepSpace(dst []byte, b byte) ([]byte, bool) {
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
func (d *quotedDecoder) end(dst []byte) []byte {
	d.state, d.hold = qpText, d.hold[:0]
	return dst
}

// release goes back to plain text and writes what was held.
func (d *quotedDecoder) release(dst []byte) []byte {
	dst = append(dst, d.hold...)
	return d.end(dst)
}

// flush: the end of the body is the end of a line.
func (d *quotedDecoder) flush(dst []byte) []byte {
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
