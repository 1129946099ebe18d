package message

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Link is a link of a message.
type Link struct {
	URL  string
	Text string // what an HTML message shows for it, "" in plain text
}

// Links lists where a message leads, each URL once and in order: the links of
// its HTML text, then those of its plain text that are not among them. At most
// MaxLinks. Only schemes that SafeScheme allows are listed.
func Links(text, htmlText string) []Link {
	var out []Link
	at := make(map[string]int)
	add := func(u, label string) {
		if i, ok := at[u]; ok {
			if out[i].Text == "" {
				out[i].Text = label
			}
			return
		}
		if len(out) < MaxLinks {
			at[u] = len(out)
			out = append(out, Link{URL: u, Text: label})
		}
	}
	htmlLinks(htmlText, add)
	for _, l := range FindLinks(text) {
		if !l.Mail {
			add(l.URL, "")
		}
	}
	return out
}

// htmlLinks finds a and area elements with an href.
func htmlLinks(s string, add func(url, label string)) {
	z := html.NewTokenizer(strings.NewReader(s[:min(len(s), MaxLinkText)]))
	z.SetMaxBuf(1 << 20)
	var href string
	var label strings.Builder
	end := func() {
		if href != "" {
			add(href, cutRunes(squeezeTo(label.String(), MaxPreview), MaxPreview))
		}
		href = ""
		label.Reset()
	}
	for {
		switch t := z.Next(); t {
		case html.ErrorToken:
			end()
			return
		case html.TextToken:
			if href != "" && label.Len() < MaxPreviewSource {
				label.Write(z.Text())
			}
		case html.StartTagToken, html.SelfClosingTagToken, html.EndTagToken:
			name, more := z.TagName()
			a := atom.Lookup(name)
			if a != atom.A && a != atom.Area {
				continue
			}
			end()
			for more && t != html.EndTagToken {
				var k, v []byte
				if k, v, more = z.TagAttr(); string(k) == "href" {
					href = cleanURL(string(v))
				}
			}
		}
	}
}

// cleanURL drops what browsers drop of a URL, and all of it if it must not be followed.
func cleanURL(u string) string {
	u = strings.Trim(u, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\v\f\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17"+
		"\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f ")
	if strings.ContainsAny(u, "\t\r\n") {
		u = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(u)
	}
	if scheme, _, ok := strings.Cut(u, ":"); !ok || !SafeScheme(scheme) || len(u) > MaxLinkBytes {
		return ""
	}
	return strings.ToValidUTF8(u, "\uFFFD")
}

// SafeScheme says whether a link with this scheme may be shown as one: http,
// https, mailto, tel, and the schemes of applications, but none that runs in
// the page, opens the reader's own files, or starts a program of the system with
// what the link says.
func SafeScheme(scheme string) bool {
	if scheme == "" || len(scheme) > 64 || !isLetter(scheme[0]) {
		return false
	}
	for i := range len(scheme) {
		if !schemeChar(scheme[i]) {
			return false
		}
	}
	scheme = strings.ToLower(scheme)
	if strings.HasPrefix(scheme, "ms-") { // ms-msdt, ms-officecmd, ms-its and more: Windows' own
		return false
	}
	switch scheme {
	case "javascript", "vbscript", "livescript", "mocha", "jscript", "data", "file", "blob", "filesystem", "about",
		"view-source", "chrome", "chrome-extension", "moz-extension", "resource", "jar", "mhtml", "feed",
		"cid", "mid", "wyciwyg", "res", "shell", "ws", "wss", "search", "search-ms", "intent", "microsoft-edge":
		return false
	}
	return true
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func schemeChar(c byte) bool {
	return isLetter(c) || isDigit(c) || c == '+' || c == '.' || c == '-'
}

// TextLink is a link in plain text.
type TextLink struct {
	Start, End int // bytes of the text
	URL        string
	Mail       bool // an address, not a URL
}

// FindLinks finds the URLs ("scheme://…", "www.…", "mailto:…") and the mail
// addresses in plain text, in order. Closing punctuation is not part of a link.
func FindLinks(text string) []TextLink {
	text = text[:min(len(text), MaxLinkText)]
	var out []TextLink
	done := 0 // links do not overlap
	for i := 0; i < len(text) && len(out) < MaxLinks; {
		j := strings.IndexAny(text[i:], ":@wW")
		if j < 0 {
			break
		}
		j += i
		l, ok := linkAt(text, j, done)
		if !ok {
			i = j + 1
			continue
		}
		if i, done = l.End, l.End; len(l.URL) <= MaxLinkBytes {
			out = append(out, l)
		}
	}
	return out
}

// linkAt looks for a link whose sign (":", "@" or "www") stands at j.
func linkAt(text string, j, from int) (TextLink, bool) {
	switch text[j] {
	case ':':
		start := j
		for start > from && j-start < 32 && schemeChar(text[start-1]) {
			start--
		}
		for start < j && !isLetter(text[start]) {
			start++
		}
		mail := strings.EqualFold(text[start:j], "mailto")
		if start == j || !mail && !strings.HasPrefix(text[j:], "://") || !SafeScheme(text[start:j]) {
			return TextLink{}, false
		}
		end := urlEnd(text, j+1)
		if end <= j+3 {
			return TextLink{}, false
		}
		return TextLink{Start: start, End: end, URL: text[start:end], Mail: mail}, true
	case '@':
		return mailAt(text, j, from)
	}
	if len(text) < j+5 || !strings.EqualFold(text[j:j+4], "www.") || j > from && !breaks(text, j) {
		return TextLink{}, false
	}
	end := urlEnd(text, j+4)
	if !strings.Contains(text[j+4:max(end, j+4)], ".") {
		return TextLink{}, false
	}
	return TextLink{Start: j, End: end, URL: "http://" + text[j:end]}, true
}

// breaks says whether a word may start at j.
func breaks(text string, j int) bool {
	r, _ := utf8.DecodeLastRuneInString(text[:j])
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '.' && r != '-' && r != '_' && r != '/' && r != '@'
}

// mailAt finds an address around the "@" at j.
func mailAt(text string, j, from int) (TextLink, bool) {
	start := j
	for start > from && j-start < 64 && (isLetter(text[start-1]) || isDigit(text[start-1]) ||
		strings.IndexByte("._%+-", text[start-1]) >= 0) {
		start--
	}
	end := j + 1
	dot := false
	for end < len(text) && end-j < 256 && schemeChar(text[end]) && text[end] != '+' {
		dot = dot || text[end] == '.' && end > j+1
		end++
	}
	for end > j+1 && (text[end-1] == '.' || text[end-1] == '-') {
		end--
	}
	for start < j && text[start] == '.' {
		start++
	}
	if start == j || !dot || !strings.Contains(text[j:end], ".") {
		return TextLink{}, false
	}
	return TextLink{Start: start, End: end, URL: "mailto:" + text[start:end], Mail: true}, true
}

// urlEnd finds where the URL that goes on at i ends.
func urlEnd(text string, i int) int {
	end := i
	open := 0 // parentheses
	for end < len(text) && end-i <= MaxLinkBytes {
		r, n := utf8.DecodeRuneInString(text[end:])
		if r <= ' ' || r == utf8.RuneError && n == 1 || unicode.IsSpace(r) || unicode.IsControl(r) ||
			strings.ContainsRune("<>\"`{}|\\^«»“”„‹›、。，；：！？「」『』（）", r) {
			break
		}
		switch r {
		case '(', '[':
			open++
		case ')', ']':
			open--
		}
		end += n
	}
	for end > i {
		switch c := text[end-1]; c {
		case '.', ',', ';', ':', '!', '?', '\'', '*', '_', '~':
			end--
			continue
		case ')', ']':
			if open < 0 {
				open++
				end--
				continue
			}
		}
		break
	}
	return end
}

// HTMLText is what an HTML text reads like without its markup: blocks on lines
// of their own, white space folded. For search, codes and previews; it is text
// and must be escaped wherever it is shown.
func HTMLText(s string) string {
	z := html.NewTokenizer(strings.NewReader(s[:min(len(s), MaxLinkText)]))
	z.SetMaxBuf(1 << 20)
	var b strings.Builder
	hidden := atom.Atom(0)
	for {
		switch t := z.Next(); t {
		case html.ErrorToken:
			return strings.TrimSpace(foldLines(b.String()))
		case html.TextToken:
			if hidden == 0 {
				b.WriteString(strings.Map(lineBreakToSpace, string(z.Text())))
			}
		case html.StartTagToken, html.SelfClosingTagToken, html.EndTagToken:
			name, _ := z.TagName()
			a := atom.Lookup(name)
			switch a {
			case atom.Style, atom.Script, atom.Title, atom.Template:
				if hidden == 0 && t == html.StartTagToken {
					hidden = a
				} else if hidden == a && t == html.EndTagToken {
					hidden = 0
				}
			case atom.Td, atom.Th:
				b.WriteByte(' ')
			default:
				if !isInline(string(name)) {
					b.WriteByte('\n')
				}
			}
		}
	}
}

func lineBreakToSpace(r rune) rune {
	if r == '\n' || r == '\r' {
		return ' '
	}
	return r
}

// foldLines folds white space within lines and drops empty ones beyond one.
func foldLines(s string) string {
	var b strings.Builder
	empty := 0
	for line := range strings.SplitSeq(s, "\n") {
		line = squeezeTo(line, len(line))
		if line == "" {
			if empty++; empty > 1 {
				continue
			}
		} else {
			empty = 0
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}
