package message

import (
	"html"
	"slices"
	"strings"

	"golang.org/x/text/encoding"

	"github.com/eidermail/eider/internal/message/charset"
)

// previewRaw is how much of a text in a charset whose bytes cannot be read as
// ASCII is collected before it is decoded.
const previewRaw = 4 * MaxPreviewSource

// preview collects the start of the first text that has one.
type preview struct {
	best  string
	open  bool
	html  bool
	label string
	enc   encoding.Encoding
	late  bool // strip HTML after decoding the charset
	strip stripper
	buf   []byte
}

// wants: the first body text that is not empty gives the preview.
func (v *preview) wants(p *Part) bool {
	return v.best == "" && (p.Type == "text" && (p.Subtype == "plain" || p.Subtype == "html") || p.Type == "multipart")
}

func (v *preview) begin(p *Part) {
	v.open, v.buf = true, v.buf[:0]
	v.html = p.Subtype == "html"
	v.label = ParamValue(p.Params, "charset")
	v.enc = charset.Find(v.label)
	v.late = !charset.ASCIIBased(v.enc)
	v.strip = stripper{}
}

func (v *preview) drop() { v.open = false }

// add takes decoded bytes; full means that no more are wanted.
func (v *preview) add(p []byte) (full bool) {
	limit := MaxPreviewSource
	if v.late {
		limit = previewRaw
	}
	if v.html && !v.late {
		v.buf = v.strip.write(v.buf, p, limit)
	} else {
		v.buf = append(v.buf, p[:min(len(p), limit-len(v.buf))]...)
	}
	return len(v.buf) >= limit
}

// end makes the preview of what was collected.
func (v *preview) end() {
	if !v.open {
		return
	}
	v.open = false
	b := v.buf
	text := ToUTF8(v.label, trimPartial(b))
	if v.html {
		if v.late {
			s := stripper{}
			text = string(s.write(nil, []byte(text), MaxPreviewSource))
			text = strings.ToValidUTF8(text, "")
		}
		v.best = squeeze(html.UnescapeString(text))
		return
	}
	if v.best = squeeze(dropQuoted(text)); v.best == "" {
		v.best = squeeze(text)
	}
}

// text is the preview of the message.
func (v *preview) text() string { return v.best }

// trimPartial drops the start of a UTF-8 character that a limit cut.
func trimPartial(b []byte) []byte {
	for i := 1; i <= 3 && i <= len(b); i++ {
		c := b[len(b)-i]
		if c < 0x80 {
			break
		}
		if c >= 0xc0 {
			if n := 2 + int(c>>5&1) + int(c>>5&c>>4&1); n > i && len(b) >= MaxPreviewSource {
				return b[:len(b)-i]
			}
			break
		}
	}
	return b
}

// dropQuoted leaves out lines that quote another message.
func dropQuoted(s string) string {
	if !strings.HasPrefix(s, ">") && !strings.Contains(s, "\n>") {
		return s
	}
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(line, ">") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// squeeze folds white space, drops what cannot be seen, and cuts to MaxPreview.
func squeeze(s string) string { return squeezeTo(s, MaxPreview) }

// squeezeTo is squeeze with another limit.
func squeezeTo(s string, limit int) string {
	var b strings.Builder
	n, gap := 0, false
	for _, r := range s {
		switch {
		case r <= ' ' || r == 0x7f || r >= 0x80 && r <= 0xa0 || r == 0x3000 || r >= 0x2000 && r <= 0x200a ||
			r == 0x2028 || r == 0x2029:
			gap = n > 0
			continue
		case invisible(r):
			continue
		}
		if gap {
			if n+1 >= limit {
				break
			}
			b.WriteByte(' ')
			n++
			gap = false
		}
		if n++; n > limit {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// invisible are characters that pad previews or turn the direction of text.
func invisible(r rune) bool {
	switch {
	case r == 0xad, r == 0x34f, r == 0x61c, r == 0x180e, r == 0xfeff:
		return true
	case r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f:
		return true
	case r == 0x115f, r == 0x1160, r == 0x17b4, r == 0x17b5, r == 0xfffc:
		return true
	}
	return false
}

type stripState uint8

const (
	stripText stripState = iota
	stripOpen            // after "<"
	stripName
	stripTag // in the rest of a tag
	stripBang
	stripComment
	stripSkip // in an element whose text is not shown
)

// stripper takes the tags out of HTML as it streams by. It need not be exact,
// only linear: what it writes is shown as text.
type stripper struct {
	state   stripState
	name    [12]byte
	n       int
	closing bool
	quote   byte
	skip    string // the element being skipped
	match   int    // of "</" + skip
	dashes  int
}

// hiddenElements have text that is not shown.
var hiddenElements = []string{"style", "script", "title", "xml"}

// inlineElements do not end a word.
var inlineElements = []string{"a", "b", "i", "u", "s", "em", "font", "span", "strong", "small", "big", "sub", "sup",
	"tt", "code", "abbr", "strike", "wbr", "ins", "del", "mark", "q", "cite"}

func isInline(name string) bool { return slices.Contains(inlineElements, name) }

// write appends the text of src to dst up to limit bytes.
func (s *stripper) write(dst, src []byte, limit int) []byte {
	for _, c := range src {
		if len(dst) >= limit {
			return dst
		}
		switch s.state {
		case stripText:
			if c == '<' {
				s.state, s.n, s.closing = stripOpen, 0, false
			} else {
				dst = append(dst, c)
			}
		case stripOpen:
			dst = s.opened(dst, c, limit)
		case stripName:
			dst = s.named(dst, c)
		case stripTag:
			s.tag(c)
		case stripBang, stripComment:
			s.bang(c)
		case stripSkip:
			s.skipped(c)
		}
	}
	return dst
}

func (s *stripper) opened(dst []byte, c byte, limit int) []byte {
	switch {
	case c == '/' && !s.closing:
		s.closing = true
	case c|0x20 >= 'a' && c|0x20 <= 'z':
		s.state, s.name[0], s.n = stripName, c|0x20, 1
	case c == '!' || c == '?':
		s.state, s.dashes = stripBang, 0
	default: // a "<" that is text
		s.state = stripText
		if dst = append(dst, '<'); c != '<' && len(dst) < limit {
			dst = append(dst, c)
		}
	}
	return dst
}

func (s *stripper) named(dst []byte, c byte) []byte {
	if c > ' ' && c != '>' && c != '/' {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if s.n < len(s.name) {
			s.name[s.n] = c
			s.n++
		}
		return dst
	}
	name := string(s.name[:s.n])
	s.skip = ""
	if i := slices.Index(hiddenElements, name); i >= 0 && !s.closing {
		s.skip = hiddenElements[i]
	}
	if !isInline(name) {
		dst = append(dst, ' ')
	}
	s.state, s.quote = stripTag, 0
	s.tag(c)
	return dst
}

func (s *stripper) tag(c byte) {
	switch {
	case s.quote != 0:
		if c == s.quote {
			s.quote = 0
		}
	case c == '"' || c == '\'':
		s.quote = c
	case c == '>':
		s.state, s.match = stripText, 0
		if s.skip != "" {
			s.state = stripSkip
		}
	}
}

// bang is in "<!…>", and in a comment once two dashes came.
func (s *stripper) bang(c byte) {
	switch {
	case c == '-':
		if s.dashes++; s.state == stripBang && s.dashes == 2 {
			s.state, s.dashes = stripComment, 2
		}
	case c == '>' && (s.state == stripBang || s.dashes >= 2):
		s.state = stripText
	case s.state == stripBang:
		s.dashes = -1 << 30 // no comment
	default:
		s.dashes = 0
	}
}

func (s *stripper) skipped(c byte) {
	want := "</" + s.skip
	if c >= 'A' && c <= 'Z' {
		c |= 0x20
	}
	switch {
	case c == want[s.match]:
		if s.match++; s.match == len(want) {
			s.skip, s.state, s.quote = "", stripTag, 0
		}
	case c == '<':
		s.match = 1
	default:
		s.match = 0
	}
}
