package sanitize

import (
	"html/template"
	"strings"

	"github.com/eidermail/eider/internal/message"
)

// Text makes HTML of a plain text: escaped, with links around URLs and mail
// addresses. White space stays as it is; show it with white-space: pre-wrap.
// The links are cut from the text before anything is escaped, so no text can
// close one. A host that is not ASCII has its punycode behind it.
func Text(s string) template.HTML {
	s = strings.ToValidUTF8(s, "\uFFFD")
	var b strings.Builder
	b.Grow(len(s) + len(s)/8)
	last := 0
	for _, l := range message.FindLinks(s) {
		writeEscaped(&b, s[last:l.Start])
		last = l.End
		writeLink(&b, l.URL, s[l.Start:l.End])
	}
	writeEscaped(&b, s[last:])
	return template.HTML(b.String()) //nolint:gosec // every piece is escaped above
}

func writeLink(b *strings.Builder, u, text string) {
	b.WriteString(`<a href="`)
	writeEscaped(b, u)
	b.WriteString(`" target="_blank" rel="noopener noreferrer nofollow">`)
	writeEscaped(b, strings.Map(visible, text))
	b.WriteString(`</a>`)
	host := hostOf(u)
	if ascii := asciiHost(host); ascii != host {
		b.WriteString(` <span class="idn">[`)
		writeEscaped(b, ascii)
		b.WriteString(`]</span>`)
	}
}

// visible shows hidden characters of a link as a replacement character.
func visible(r rune) rune {
	if hidden(r) {
		return '\uFFFD'
	}
	return r
}

func writeEscaped(b *strings.Builder, s string) {
	last := 0
	for i := range len(s) {
		var e string
		switch s[i] {
		case '&':
			e = "&amp;"
		case '<':
			e = "&lt;"
		case '>':
			e = "&gt;"
		case '"':
			e = "&#34;"
		case '\'':
			e = "&#39;"
		case 0:
			e = "\uFFFD"
		default:
			continue
		}
		b.WriteString(s[last:i])
		b.WriteString(e)
		last = i + 1
	}
	b.WriteString(s[last:])
}
