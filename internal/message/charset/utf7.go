package charset

import (
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

// utf7 is UTF-7 (RFC 2152), which old mailers still declare. It only decodes.
type utf7 struct{}

// NewDecoder implements encoding.Encoding.
func (utf7) NewDecoder() *encoding.Decoder { return &encoding.Decoder{Transformer: &utf7Decoder{}} }

// NewEncoder implements encoding.Encoding; nothing here writes UTF-7.
func (utf7) NewEncoder() *encoding.Encoder { return encoding.Nop.NewEncoder() }

type utf7Decoder struct {
	shifted bool
	empty   bool // nothing came since the shift
	acc     uint32
	bits    int
	high    rune // a high surrogate that waits for its partner
}

// Reset implements transform.Transformer.
func (d *utf7Decoder) Reset() { *d = utf7Decoder{} }

// Transform implements transform.Transformer.
func (d *utf7Decoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if len(dst)-nDst < 2*utf8.UTFMax {
			return nDst, nSrc, transform.ErrShortDst
		}
		b := src[nSrc]
		nSrc++
		for _, r := range d.next(b) {
			if r >= 0 {
				nDst += utf8.EncodeRune(dst[nDst:], r)
			}
		}
	}
	return nDst, nSrc, nil
}

// next takes one byte and gives up to two characters, -1 for none.
func (d *utf7Decoder) next(b byte) [2]rune {
	none := [2]rune{-1, -1}
	if !d.shifted {
		switch {
		case b == '+':
			d.shifted, d.empty = true, true
			return none
		case b >= utf8.RuneSelf:
			return [2]rune{utf8.RuneError, -1}
		}
		return [2]rune{rune(b), -1}
	}
	if v := sextet(b); v >= 0 {
		d.empty = false
		d.acc = d.acc<<6 | uint32(v)
		if d.bits += 6; d.bits < 16 {
			return none
		}
		d.bits -= 16
		unit := rune(d.acc >> d.bits & 0xffff)
		return d.unit(unit)
	}
	out := none
	if d.high != 0 {
		out[0] = utf8.RuneError
	}
	wasEmpty := d.empty
	*d = utf7Decoder{}
	switch {
	case b == '-' && wasEmpty:
		out[1] = '+'
	case b == '-':
	case b >= utf8.RuneSelf:
		out[1] = utf8.RuneError
	default:
		out[1] = rune(b)
	}
	return out
}

func (d *utf7Decoder) unit(u rune) [2]rune {
	high := d.high
	d.high = 0
	switch {
	case high != 0 && u >= 0xdc00 && u < 0xe000:
		return [2]rune{utf16.DecodeRune(high, u), -1}
	case u >= 0xd800 && u < 0xdc00:
		d.high = u
		if high != 0 {
			return [2]rune{utf8.RuneError, -1}
		}
		return [2]rune{-1, -1}
	case u >= 0xdc00 && u < 0xe000:
		u = utf8.RuneError
	}
	if high != 0 {
		return [2]rune{utf8.RuneError, u}
	}
	return [2]rune{u, -1}
}

// sextet is the value of a byte of base64, -1 if it is none.
func sextet(b byte) int {
	switch {
	case b >= 'A' && b <= 'Z':
		return int(b - 'A')
	case b >= 'a' && b <= 'z':
		return int(b-'a') + 26
	case b >= '0' && b <= '9':
		return int(b-'0') + 52
	case b == '+':
		return 62
	case b == '/':
		return 63
	}
	return -1
}
