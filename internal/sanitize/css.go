package sanitize

import (
	"strings"
	"unicode/utf8"
)

// cssCleaner reads CSS token by token (CSS Syntax 3 §4) and writes it anew, so
// that it holds no import, no URL but those allowed, and nothing that HTML could
// take for a tag. It knows no properties: what can load or run is told by tokens.
type cssCleaner struct {
	d    *document
	src  string
	i    int
	out  strings.Builder
	font int // depth of the block of an @font-face, 0 if outside
	deep int // depth of blocks
}

// css cleans a style sheet or a style attribute.
func (d *document) css(src string) string {
	c := cssCleaner{d: d, src: strings.ReplaceAll(src, "\x00", "\uFFFD")} // CSS Syntax 3 §3.3
	c.out.Grow(len(src))
	for c.i < len(c.src) {
		c.token()
	}
	return c.out.String()
}

func (c *cssCleaner) peek(n int) byte {
	if c.i+n < len(c.src) {
		return c.src[c.i+n]
	}
	return 0
}

// token reads one token and writes it.
func (c *cssCleaner) token() {
	switch b := c.src[c.i]; {
	case cssSpace(b):
		for c.i < len(c.src) && cssSpace(c.src[c.i]) {
			c.i++
		}
		c.space()
	case b == '/' && c.peek(1) == '*':
		c.comment()
	case b == '"' || b == '\'':
		s := c.str()
		c.writeString(s)
	case b == '@' && c.nameStart(1):
		c.i++
		c.atRule(c.name())
	case c.nameStart(0):
		c.identLike()
	case b == '<' || b == '\\' || b == 0:
		c.sign(b)
	case b == '-' && strings.HasPrefix(c.src[c.i:], "-->"):
		c.i += 3
		c.space()
	case b == '@': // alone it says nothing, but it must not meet a name
		c.i++
		c.space()
	default:
		c.i++
		c.block(b)
		c.out.WriteByte(b)
	}
}

func (c *cssCleaner) block(b byte) {
	switch b {
	case '{':
		c.deep++
	case '}':
		c.deep = max(0, c.deep-1)
		if c.font > c.deep {
			c.font = 0
		}
	}
}

// space writes one space between tokens.
func (c *cssCleaner) space() {
	if s := c.out.String(); s != "" && s[len(s)-1] != ' ' {
		c.out.WriteByte(' ')
	}
}

// comment drops a comment; an empty one stays where it parts two tokens.
func (c *cssCleaner) comment() {
	end := strings.Index(c.src[c.i+2:], "*/")
	if end < 0 {
		c.i = len(c.src)
		return
	}
	c.i += 2 + end + 2
	if s := c.out.String(); s != "" && s[len(s)-1] != ' ' && !strings.HasSuffix(s, "/**/") {
		c.out.WriteString("/**/")
	}
}

// sign writes "<" only where HTML cannot take it for a tag, and no lone backslash.
func (c *cssCleaner) sign(b byte) {
	c.i++
	if b != '<' {
		return
	}
	if strings.HasPrefix(c.src[c.i:], "!--") {
		c.i += 3
		c.space()
		return
	}
	if c.peek(0) == '=' {
		c.out.WriteByte('<')
		return
	}
	c.out.WriteString("< ")
}

// identLike reads a name, a function or a url token.
func (c *cssCleaner) identLike() {
	name := c.name()
	if c.peek(0) != '(' || c.i >= len(c.src) {
		c.writeName(name)
		return
	}
	c.i++
	switch fn := strings.ToLower(name); fn {
	case "url", "src":
		c.url(c.urlArg())
	case "image-set", "-webkit-image-set", "image", "cross-fade", "-webkit-cross-fade", "expression", "element",
		"-moz-element", "paint", "attr", "url-prefix", "domain", "regexp":
		c.skipCall()
		c.d.remove("CSS " + fn + "()")
		c.out.WriteString("none")
	default:
		c.writeName(name)
		c.out.WriteByte('(')
	}
}

// urlArg reads the argument of url( and its closing parenthesis.
func (c *cssCleaner) urlArg() string {
	for c.i < len(c.src) && cssSpace(c.src[c.i]) {
		c.i++
	}
	if q := c.peek(0); q == '"' || q == '\'' {
		s := c.str()
		c.skipCall()
		return s
	}
	var b strings.Builder
	for c.i < len(c.src) && c.src[c.i] != ')' {
		if c.src[c.i] == '\\' {
			b.WriteString(c.escape())
			continue
		}
		b.WriteByte(c.src[c.i])
		c.i++
	}
	c.i = min(c.i+1, len(c.src))
	return b.String()
}

// url writes a URL that may be loaded, or none.
func (c *cssCleaner) url(raw string) {
	if scheme, rest := splitURL(trimURL(raw)); c.font > 0 {
		if scheme != "data" || !fontData(rest) {
			c.d.remove("remote font")
			c.out.WriteString("none")
			return
		}
		c.out.WriteString("url(")
		c.writeString(trimURL(raw))
		c.out.WriteByte(')')
		return
	}
	u, ok := c.d.imageURL(raw)
	if !ok {
		c.out.WriteString("none")
		return
	}
	c.out.WriteString("url(")
	c.writeString(u)
	c.out.WriteByte(')')
}

func fontData(rest string) bool {
	rest = strings.ToLower(rest[:min(len(rest), 64)])
	return strings.HasPrefix(rest, "font/") || strings.HasPrefix(rest, "application/font-") ||
		strings.HasPrefix(rest, "application/x-font-")
}

// skipCall passes over the rest of a function to its closing parenthesis.
func (c *cssCleaner) skipCall() {
	for depth := 1; c.i < len(c.src); {
		switch b := c.src[c.i]; b {
		case '(':
			depth++
			c.i++
		case ')':
			c.i++
			if depth--; depth == 0 {
				return
			}
		case '"', '\'':
			c.str()
		case '\\':
			c.escape()
		case '{', '}', ';':
			return // never closed: the declaration ends here
		default:
			if b == '/' && c.peek(1) == '*' {
				end := strings.Index(c.src[c.i+2:], "*/")
				if end < 0 {
					c.i = len(c.src)
					return
				}
				c.i += end + 4
				continue
			}
			c.i++
		}
	}
}

// keptRules are at-rules that only group or describe.
var keptRules = set("media", "supports", "font-face", "keyframes", "-webkit-keyframes", "-moz-keyframes", "layer",
	"container", "page", "viewport", "-ms-viewport", "counter-style", "scope", "starting-style")

// atRule keeps or drops an at-rule.
func (c *cssCleaner) atRule(name string) {
	low := strings.ToLower(name)
	if keptRules[low] {
		if low == "font-face" {
			c.font = c.deep + 1
		}
		c.out.WriteByte('@')
		c.writeName(name)
		return
	}
	if low == "import" {
		c.d.remove("CSS @import")
	}
	c.space() // what stood around the rule must not become one token: u@x;rl(
	// To the ";" or over the block (CSS Syntax 3 §5.4.2).
	depth := 0
	for c.i < len(c.src) {
		switch b := c.src[c.i]; b {
		case '"', '\'':
			c.str()
			continue
		case '\\':
			c.escape()
			continue
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return
			}
			if depth--; depth == 0 {
				c.i++
				return
			}
		case ';':
			if depth == 0 {
				c.i++
				return
			}
		case '/':
			if c.peek(1) == '*' {
				end := strings.Index(c.src[c.i+2:], "*/")
				if end < 0 {
					c.i = len(c.src)
					return
				}
				c.i += end + 3
			}
		}
		c.i++
	}
}

func cssSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' || b == '\f' }

// cssLetter: a letter that starts names.
func cssLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' || b == '_' || b >= utf8.RuneSelf }

// nameStart says whether a name starts n bytes ahead.
func (c *cssCleaner) nameStart(n int) bool {
	switch b := c.peek(n); {
	case cssLetter(b):
		return true
	case b == '\\':
		return c.isEscape(n)
	case b == '-':
		b = c.peek(n + 1)
		return cssLetter(b) || b == '-' && !strings.HasPrefix(c.src[c.i+n:], "-->") || b == '\\' && c.isEscape(n+1)
	}
	return false
}

// isEscape: a backslash n bytes ahead that is no line continuation.
func (c *cssCleaner) isEscape(n int) bool {
	b := c.peek(n + 1)
	return c.i+n+1 < len(c.src) && b != '\n' && b != '\r' && b != '\f'
}

// name reads a name, its escapes decoded.
func (c *cssCleaner) name() string {
	start := c.i
	var b strings.Builder
	for c.i < len(c.src) {
		switch x := c.src[c.i]; {
		case cssLetter(x) || x >= '0' && x <= '9' || x == '-':
			c.i++
		case x == '\\' && c.isEscape(0):
			b.WriteString(c.src[start:c.i])
			b.WriteString(c.escape())
			start = c.i
		default:
			b.WriteString(c.src[start:c.i])
			return b.String()
		}
	}
	b.WriteString(c.src[start:c.i])
	return b.String()
}

// escape reads a backslash and what it stands for (CSS Syntax 3 §4.3.7).
func (c *cssCleaner) escape() string {
	c.i++
	if c.i >= len(c.src) {
		return ""
	}
	v, n := rune(0), 0
	for n < 6 && c.i < len(c.src) && cssHex(c.src[c.i]) >= 0 {
		v = v<<4 | rune(cssHex(c.src[c.i]))
		c.i++
		n++
	}
	if n > 0 {
		if c.peek(0) == '\r' && c.peek(1) == '\n' {
			c.i += 2
		} else if c.i < len(c.src) && cssSpace(c.src[c.i]) {
			c.i++
		}
		if v == 0 || v > utf8.MaxRune || v >= 0xd800 && v < 0xe000 {
			v = utf8.RuneError
		}
		return string(v)
	}
	switch c.src[c.i] {
	case '\r':
		if c.peek(1) == '\n' {
			c.i++
		}
		c.i++
		return ""
	case '\n', '\f':
		c.i++
		return ""
	}
	_, w := utf8.DecodeRuneInString(c.src[c.i:])
	s := c.src[c.i : c.i+w]
	c.i += w
	return s
}

func cssHex(b byte) int {
	switch {
	case b >= '0' && b <= '9':
		return int(b - '0')
	case b|0x20 >= 'a' && b|0x20 <= 'f':
		return int(b|0x20-'a') + 10
	}
	return -1
}

// str reads a string, its escapes decoded. A line end ends a bad one.
func (c *cssCleaner) str() string {
	q := c.src[c.i]
	c.i++
	var b strings.Builder
	for c.i < len(c.src) {
		switch x := c.src[c.i]; x {
		case q:
			c.i++
			return b.String()
		case '\n', '\r', '\f':
			return b.String()
		case '\\':
			b.WriteString(c.escape())
		default:
			b.WriteByte(x)
			c.i++
		}
	}
	return b.String()
}

const cssHexDigits = "0123456789abcdef"

// writeString writes a quoted string that only holds what needs no second thought.
func (c *cssCleaner) writeString(s string) {
	c.out.WriteByte('"')
	for i := range len(s) {
		switch b := s[i]; {
		case b < ' ' || b == 0x7f || strings.IndexByte(`"\<>(@`, b) >= 0:
			c.hex(b)
		default:
			c.out.WriteByte(b)
		}
	}
	c.out.WriteByte('"')
}

// writeName writes a name with the escapes that it needs.
func (c *cssCleaner) writeName(s string) {
	for i := range len(s) {
		b := s[i]
		digit := b >= '0' && b <= '9' && (i == 0 || i == 1 && s[0] == '-')
		switch {
		case digit || b == '-' && len(s) == 1:
			c.hex(b)
		case cssLetter(b) || b >= '0' && b <= '9' || b == '-':
			c.out.WriteByte(b)
		default:
			c.hex(b)
		}
	}
}

func (c *cssCleaner) hex(b byte) {
	c.out.WriteByte('\\')
	if b >= 16 {
		c.out.WriteByte(cssHexDigits[b>>4])
	}
	c.out.WriteByte(cssHexDigits[b&15])
	c.out.WriteByte(' ')
}
