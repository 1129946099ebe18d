package message

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// scanner walks over a header value (one line, unfolded). A quoted string or
// comment that never ends is looked for once only, so a scan stays linear.
type scanner struct {
	b         []byte
	i         int
	noQuote   bool // no closing quote is left
	noComment bool // no closing parenthesis is left
}

func (s *scanner) done() bool { return s.i >= len(s.b) }

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// space skips white space and comments (RFC 5322 §3.2.2).
func (s *scanner) space() {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case isSpace(c):
			s.i++
		case c == '(' && !s.noComment:
			if _, ok := s.comment(); !ok {
				return
			}
		default:
			return
		}
	}
}

// comment skips the comment that starts here and returns what is in it. One
// without an end is no comment.
func (s *scanner) comment() ([]byte, bool) {
	depth := 0
	for j := s.i; j < len(s.b); j++ {
		switch s.b[j] {
		case '\\':
			j++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				in := s.b[s.i+1 : j]
				s.i = j + 1
				return in, true
			}
		}
	}
	s.noComment = true
	return nil, false
}

// quoted reads the quoted string that starts here, appending its content
// without quoting to dst. One without an end is no quoted string.
func (s *scanner) quoted(dst []byte) ([]byte, bool) {
	if s.noQuote {
		return dst, false
	}
	start := len(dst)
	for j := s.i + 1; j < len(s.b); j++ {
		switch c := s.b[j]; c {
		case '\\':
			if j++; j < len(s.b) {
				dst = append(dst, s.b[j])
			}
		case '"':
			s.i = j + 1
			return dst, true
		default:
			dst = append(dst, c)
		}
	}
	s.noQuote = true
	return dst[:start], false
}

// until reads bytes up to one of stop or white space.
func (s *scanner) until(stop string) []byte {
	start := s.i
	for s.i < len(s.b) && !isSpace(s.b[s.i]) && strings.IndexByte(stop, s.b[s.i]) < 0 {
		s.i++
	}
	return s.b[start:s.i]
}

// parseMediaType reads a Content-Type (RFC 2045 §5.1). ok is false where it
// names no type, which then counts as text/plain (§5.2).
func parseMediaType(v []byte) (typ, sub string, params []Param, ok bool) {
	s := scanner{b: v}
	s.space()
	t := s.until("/;(")
	s.space()
	if !s.done() && s.b[s.i] == '/' {
		s.i++
		s.space()
		u := s.until("/;(")
		if ok = isToken(t) && isToken(u); ok {
			typ, sub = lower(t), lower(u)
		}
	}
	return typ, sub, s.params(), ok
}

// parseDisposition reads a Content-Disposition (RFC 2183).
func parseDisposition(v []byte) (string, []Param) {
	s := scanner{b: v}
	s.space()
	at := s.i
	d := s.until(";(=")
	if !s.done() && s.b[s.i] == '=' { // the type was left out
		s.i, d = at, []byte("attachment")
	}
	if !isToken(d) {
		return "", s.params()
	}
	return lower(d), s.params()
}

// parseToken reads the first token of a value, in lower case.
func parseToken(v []byte) string {
	s := scanner{b: v}
	s.space()
	if !s.done() && s.b[s.i] == '"' {
		if q, ok := s.quoted(nil); ok {
			return lower(bytes.TrimSpace(q))
		}
	}
	t := s.until(";(,")
	if !isToken(t) {
		return ""
	}
	return lower(t)
}

// isToken says whether b can stand as a type or encoding name. It is wider
// than RFC 2045's token by what senders write and what harms nobody.
func isToken(b []byte) bool {
	if len(b) == 0 || len(b) > 127 {
		return false
	}
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]=`, c) >= 0 {
			return false
		}
	}
	return true
}

// piece is one RFC 2231 continuation.
type piece struct {
	index   int
	encoded bool
	value   string
}

// params reads the parameters from here on: separated by semicolons, or only
// by white space, quoted or not.
func (s *scanner) params() []Param {
	var out []Param
	var pieces map[string][]piece
	taken := 0
	for len(out) < MaxParams && taken < MaxParamPieces {
		name, value, ok := s.param()
		if !ok {
			break
		}
		if name == "" {
			continue
		}
		base, index, encoded, split := splitName(name)
		if !split {
			out = append(out, Param{name, value})
			continue
		}
		taken++
		if pieces == nil {
			pieces = make(map[string][]piece)
		}
		if pieces[base] == nil {
			out = append(out, Param{Name: base, Value: ""}) // holds the place
		}
		pieces[base] = append(pieces[base], piece{index, encoded, value})
	}
	for i := range out {
		if p := pieces[out[i].Name]; p != nil && out[i].Value == "" {
			delete(pieces, out[i].Name)
			out[i] = joinPieces(out[i].Name, p)
		}
	}
	return out
}

// param reads one parameter; name is "" where there was only garbage.
func (s *scanner) param() (name, value string, ok bool) {
	for !s.done() && (s.b[s.i] == ';' || isSpace(s.b[s.i])) {
		s.i++
	}
	s.space()
	if s.done() {
		return "", "", false
	}
	n := s.until("=;(\"")
	s.space()
	if s.done() || s.b[s.i] != '=' {
		if len(n) == 0 && !s.done() && s.b[s.i] != ';' {
			s.i++ // garbage: a quote or parenthesis that stands alone
		}
		return "", "", true
	}
	s.i++
	s.space()
	name = lower(n)
	if !s.done() && s.b[s.i] == '"' {
		if q, ok := s.quoted(nil); ok {
			return cutName(name), keepString(q), true
		}
		s.i++
		return cutName(name), keepString(s.toSemicolon()), true
	}
	if base, _, _ := strings.Cut(name, "*"); base == "name" || base == "filename" {
		return cutName(name), keepString(s.toSemicolon()), true // names have spaces, quoted or not
	}
	return cutName(name), keepString(s.until(";")), true
}

func (s *scanner) toSemicolon() []byte {
	start := s.i
	if j := bytes.IndexByte(s.b[s.i:], ';'); j >= 0 {
		s.i += j
	} else {
		s.i = len(s.b)
	}
	return bytes.TrimRight(bytes.TrimSpace(s.b[start:s.i]), `"`)
}

// cutName refuses names that could not be shown as an IMAP string or are absurd.
func cutName(name string) string {
	if len(name) > 100 {
		return ""
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] == 0x7f {
			return ""
		}
	}
	return name
}

// keepString makes the string that an index keeps of v.
func keepString(v []byte) string {
	if len(v) <= MaxString {
		return string(v)
	}
	cut := MaxString
	for cut > MaxString-utf8.UTFMax && !utf8.RuneStart(v[cut]) {
		cut--
	}
	return string(v[:cut])
}

// splitName takes "filename*12*" apart (RFC 2231 §3, §4.1).
func splitName(name string) (base string, index int, encoded, ok bool) {
	base, rest, ok := strings.Cut(name, "*")
	if !ok || rest == "" || base == "" {
		return "", 0, false, false
	}
	num, encoded := strings.CutSuffix(rest, "*")
	index, err := strconv.Atoi(num)
	if err != nil || index < 0 || num[0] == '+' || num[0] == '-' {
		return "", 0, false, false
	}
	return base, index, encoded, true
}

// joinPieces joins the continuations of one parameter up to the first gap.
func joinPieces(base string, pieces []piece) Param {
	slices.SortStableFunc(pieces, func(a, b piece) int { return a.index - b.index })
	encoded := slices.ContainsFunc(pieces, func(p piece) bool { return p.encoded })
	var b strings.Builder
	want := pieces[0].index
	for _, p := range pieces {
		if p.index < want {
			continue // said twice
		}
		if p.index > want || b.Len() > MaxString {
			break
		}
		want++
		if encoded && !p.encoded {
			writePercent(&b, p.value)
		} else {
			b.WriteString(p.value)
		}
	}
	v := keepString([]byte(b.String()))
	if encoded {
		return Param{base + "*", v}
	}
	return Param{base, v}
}

// writePercent writes s so that RFC 2231 decoding gives it back.
func writePercent(b *strings.Builder, s string) {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`*'%()<>@,;:\"/[]?=`, c) >= 0 {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
}

// ParamValue is the text of a parameter for people, in UTF-8: RFC 2231 decoded,
// and encoded words too, which many senders put there (RFC 2047 §5 forbids it).
func ParamValue(params []Param, name string) string {
	var plain string
	for _, p := range params {
		if base, ok := strings.CutSuffix(p.Name, "*"); ok && base == name {
			return decode2231(p.Value)
		}
		if p.Name == name && plain == "" {
			plain = p.Value
		}
	}
	return DecodeHeader(plain)
}

// decode2231 decodes charset'language'percent-encoded (RFC 2231 §4).
func decode2231(v string) string {
	charset, rest, ok := strings.Cut(v, "'")
	if ok {
		if _, text, ok2 := strings.Cut(rest, "'"); ok2 && len(charset) <= 64 {
			return cleanText(ToUTF8(charset, unpercent(text)))
		}
	}
	return cleanText(ToUTF8("", unpercent(v)))
}

func unpercent(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if h, l := unhex(s[i+1]), unhex(s[i+2]); h >= 0 && l >= 0 {
				out = append(out, byte(h<<4|l))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return out
}
