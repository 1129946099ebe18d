package obs

import (
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limit: bytes of one outside text in a log line; the rest is cut.
const MaxOutside = 512

// Outside is a log value for text that a stranger chose: control characters,
// line ends, direction marks and broken UTF-8 are escaped, and it is cut at
// MaxOutside. The handlers of NewLogger do this to every string already;
// Outside is for loggers made elsewhere.
func Outside(s string) slog.Value { return slog.StringValue(Clean(s)) }

// Clean is the text that Outside logs.
func Clean(s string) string {
	cut := len(s) > MaxOutside
	if !cut && isClean(s) {
		return s
	}
	if cut {
		s = s[:MaxOutside]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if r, n := utf8.DecodeLastRuneInString(s); r == utf8.RuneError && n == 1 {
			s = s[:len(s)-1]
		}
	}
	var b strings.Builder
	b.Grow(len(s) + 8)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			writeHex(&b, 'x', uint32(s[i]), 2)
		} else if plain(r) {
			b.WriteString(s[i : i+n])
		} else {
			writeRune(&b, r)
		}
		i += n
	}
	if cut {
		b.WriteString("…")
	}
	return b.String()
}

func isClean(s string) bool {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c < 0x20 || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || !plain(r) {
			return false
		}
		i += n
	}
	return true
}

// plain tells whether a rune can stand in a log as it is. Format characters
// (direction marks, zero widths) make a line look like what it is not.
func plain(r rune) bool {
	return r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r)
}

func writeRune(b *strings.Builder, r rune) {
	switch {
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\r':
		b.WriteString(`\r`)
	case r == '\t':
		b.WriteString(`\t`)
	case r < 0x100:
		writeHex(b, 'x', uint32(r), 2)
	case r < 0x10000:
		writeHex(b, 'u', uint32(r), 4)
	default:
		writeHex(b, 'U', uint32(r), 8)
	}
}

func writeHex(b *strings.Builder, kind byte, v uint32, digits int) {
	const hex = "0123456789abcdef"
	b.WriteByte('\\')
	b.WriteByte(kind)
	for i := digits - 1; i >= 0; i-- {
		b.WriteByte(hex[v>>(4*i)&15])
	}
}
