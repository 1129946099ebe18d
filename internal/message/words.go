package message

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/eidermail/eider/internal/message/transfer"
)

// DecodeHeader turns an unstructured header value, or a display name, into
// UTF-8 text for people (RFC 2047). Encoded words with white space between
// them are joined, also where a character was cut in two. Raw 8-bit text is
// taken as UTF-8 if it is that, else as windows-1252. Control characters become
// spaces. What is broken stays as it stands; nothing fails.
func DecodeHeader(s string) string {
	if !strings.Contains(s, "=?") {
		if plainASCII(s) {
			return s
		}
		return cleanText(ToUTF8("", []byte(s)))
	}
	var out strings.Builder
	var run wordRun
	lit := 0 // start of literal text not yet written
	for i := 0; i < len(s); {
		j := strings.Index(s[i:], "=?")
		if j < 0 {
			break
		}
		i += j
		w, n := parseWord(s[i:])
		if n < 0 {
			break // no word can end any more
		}
		if n == 0 {
			i += 2
			continue
		}
		if text := s[lit:i]; !run.open || strings.Trim(text, " \t\r\n") != "" {
			run.flush(&out)
			out.WriteString(ToUTF8("", []byte(text)))
		}
		run.add(&out, w)
		i += n
		lit = i
	}
	run.flush(&out)
	out.WriteString(ToUTF8("", []byte(s[lit:])))
	return cleanText(out.String())
}

// word is one encoded word, taken apart.
type word struct {
	charset string
	base64  bool
	text    string
}

// parseWord reads "=?charset?enc?text?=" at the start of s. n is its length, 0
// if there is none here, -1 if there is no end of a word left in all of s.
func parseWord(s string) (w word, n int) {
	head := s[2:min(len(s), 2+80)]
	q := strings.IndexByte(head, '?')
	if q <= 0 || q+2 >= len(head) || head[q+2] != '?' {
		return word{}, 0
	}
	switch head[q+1] {
	case 'B', 'b':
		w.base64 = true
	case 'Q', 'q':
	default:
		return word{}, 0
	}
	w.charset, _, _ = strings.Cut(head[:q], "*") // RFC 2231 §5: charset*language
	start := 2 + q + 3
	end := strings.Index(s[start:], "?=")
	if end < 0 {
		return word{}, -1
	}
	w.text = s[start : start+end]
	return w, start + end + 2
}

// wordRun collects the bytes of adjacent words of one charset.
type wordRun struct {
	open    bool
	charset string
	bytes   []byte
}

func (r *wordRun) add(out *strings.Builder, w word) {
	if r.open && !strings.EqualFold(r.charset, w.charset) {
		r.flush(out)
	}
	r.open, r.charset = true, w.charset
	if w.base64 {
		d := transfer.Base64{}
		r.bytes = d.Flush(d.Decode(r.bytes, []byte(w.text)))
		return
	}
	for i := 0; i < len(w.text); i++ { // RFC 2047 §4.2
		switch c := w.text[i]; {
		case c == '_':
			r.bytes = append(r.bytes, ' ')
		case c == '=' && i+2 < len(w.text) && unhex(w.text[i+1]) >= 0 && unhex(w.text[i+2]) >= 0:
			r.bytes = append(r.bytes, byte(unhex(w.text[i+1])<<4|unhex(w.text[i+2])))
			i += 2
		default:
			r.bytes = append(r.bytes, c)
		}
	}
}

func (r *wordRun) flush(out *strings.Builder) {
	if r.open {
		out.WriteString(ToUTF8(r.charset, r.bytes))
	}
	r.open, r.bytes = false, r.bytes[:0]
}

func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// cleanText replaces control characters by spaces. Line folds go with them.
func cleanText(s string) string {
	if plainASCII(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return ' '
		case r == '\u2028' || r == '\u2029':
			return ' '
		}
		return r
	}, s)
}

// lower is the lower case of ASCII, without allocation for the words that mail
// is full of.
func lower(b []byte) string {
	var buf [64]byte
	if len(b) > len(buf) {
		return strings.ToLower(string(b))
	}
	n := copy(buf[:], b)
	for i, c := range buf[:n] {
		if c >= 'A' && c <= 'Z' {
			buf[i] = c + ('a' - 'A')
		}
	}
	return intern(buf[:n])
}

// intern is string(b), shared for frequent words.
func intern(b []byte) string {
	for _, w := range frequentWords[min(len(b), len(frequentWords)-1)] {
		if string(b) == w {
			return w
		}
	}
	return string(b)
}

// frequentWords by their length.
var frequentWords = func() (t [20][]string) {
	for _, w := range strings.Fields(`text plain html multipart mixed alternative related application octet-stream
		pdf image png jpeg gif message rfc822 charset boundary name filename format flowed utf-8 us-ascii iso-8859-1
		7bit 8bit binary base64 quoted-printable inline attachment size type report delsp yes`) {
		t[len(w)] = append(t[len(w)], w)
	}
	return t
}()

// trimCut drops white space around v.
func trimCut(v []byte) []byte { return bytes.Trim(v, " \t\r\n") }

// cutRunes cuts s to at most n characters.
func cutRunes(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	i := 0
	for ; n > 0; n-- {
		_, w := utf8.DecodeRuneInString(s[i:])
		i += w
	}
	return s[:i]
}
