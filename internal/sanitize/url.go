package sanitize

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/eidermail/eider/internal/message"
)

// Suspicion is a link that is not what it looks like.
type Suspicion struct {
	URL  string
	Text string // what the reader sees
	Why  string // "other host", "look-alike host", "hidden characters", "broken address"
}

// linkText collects what an open link shows.
type linkText struct {
	url  string
	text strings.Builder
}

func (l *linkText) add(s string) {
	if l.url != "" && l.text.Len() < 512 {
		l.text.WriteString(s[:min(len(s), 512)])
	}
}

// trimURL drops what browsers drop of a URL before they read it (URL §4.4).
func trimURL(u string) string {
	u = strings.TrimFunc(u, func(r rune) bool { return r <= ' ' })
	if strings.ContainsAny(u, "\t\r\n") {
		u = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(u)
	}
	return u
}

// splitURL gives the scheme in lower case, "//" for one without but with a
// host, "#" for a fragment, "" for what is relative to the page.
func splitURL(u string) (scheme, rest string) {
	for i := range len(u) {
		switch c := u[i]; {
		case c == ':' && i > 0:
			return strings.ToLower(u[:i]), u[i+1:]
		case c == '#' && i == 0:
			return "#", u[1:]
		case (c == '/' || c == '\\') && i == 0 && len(u) > 1 && (u[1] == '/' || u[1] == '\\'):
			return "//", u[2:]
		case c == '/' || c == '?' || c == '#' || c == '\\':
			return "", u
		case c >= utf8.RuneSelf || c <= ' ':
			return "", u
		}
	}
	return "", u
}

// normalURL writes an http URL, or one that has a host but no scheme, in the form
// that browsers read it in (URL §4.4): for them "\" is "/" before query and
// fragment, and any number of slashes, even none, leads to the host. Others stay.
func normalURL(u string) string {
	scheme, rest := splitURL(u)
	switch scheme {
	case "http", "https":
	case "//":
		scheme = "https"
	default:
		return u
	}
	end := strings.IndexAny(rest, "?#")
	if end < 0 {
		end = len(rest)
	}
	path := strings.TrimLeft(strings.ReplaceAll(rest[:end], `\`, "/"), "/")
	return scheme + "://" + path + rest[end:]
}

// href writes where a link leads, and makes it open elsewhere.
func (d *document) href(raw string) {
	u := normalURL(trimURL(raw))
	scheme, _ := splitURL(u)
	switch {
	case scheme == "#":
		d.attr("href", u)
		return
	case scheme == "":
		if u != "" {
			d.remove("relative link")
		}
		return
	case !message.SafeScheme(scheme) || len(u) > message.MaxLinkBytes:
		d.remove("unsafe link")
		return
	}
	d.attr("href", u)
	d.attr("target", "_blank")
	d.attr("rel", "noopener noreferrer nofollow")
	d.endLink()
	d.link.url = u
}

// endLink judges a link when all of its text is known.
func (d *document) endLink() {
	u, text := d.link.url, strings.TrimSpace(d.link.text.String())
	d.link.url = ""
	d.link.text.Reset()
	if u == "" || len(d.suspicious) >= MaxSuspicions {
		return
	}
	if why := suspect(u, text); why != "" {
		d.suspicious = append(d.suspicious, Suspicion{URL: u, Text: text, Why: why})
	}
}

// suspect says why a link is not what it looks like, "" if it is.
func suspect(u, text string) string {
	if !isWeb(u) {
		return ""
	}
	host := hostOf(u)
	if host == "" {
		return "broken address"
	}
	if strings.ContainsFunc(text, hidden) {
		return "hidden characters"
	}
	if ascii := asciiHost(host); ascii != host || strings.HasPrefix(host, "xn--") || strings.Contains(host, ".xn--") {
		return "look-alike host"
	}
	if strings.ContainsAny(text, " \t\n") {
		return ""
	}
	shown := hostOf(text)
	if shown == "" {
		shown = bareHost(text)
	}
	if shown != "" && site(asciiHost(shown)) != site(host) {
		return "other host"
	}
	return ""
}

// bareHost is the host of a text like "www.example.com/path".
func bareHost(text string) string {
	host, _, _ := strings.Cut(text, "/")
	i := strings.LastIndexByte(host, '.')
	if i <= 0 || strings.ContainsAny(host, "@:,;!?()") {
		return ""
	}
	switch end := strings.ToLower(host[i+1:]); end {
	case "com", "org", "net", "edu", "gov", "io", "de", "uk", "fr", "eu", "co", "info", "biz", "app", "dev", "test":
		return strings.ToLower(host)
	default:
		if strings.HasPrefix(strings.ToLower(host), "www.") {
			return strings.ToLower(host)
		}
	}
	return ""
}

// site is the last two labels of a host: enough for a warning.
func site(host string) string {
	l := strings.Split(strings.TrimSuffix(host, "."), ".")
	return strings.Join(l[max(0, len(l)-2):], ".")
}

func isWeb(u string) bool {
	scheme, _ := splitURL(u)
	return scheme == "http" || scheme == "https"
}

// hostOf is the host of an http URL in lower case, as browsers find it; "" where
// there is none, or none that can be.
func hostOf(u string) string {
	if !isWeb(u) {
		return ""
	}
	_, host, _ := strings.Cut(normalURL(u), "://")
	if end := strings.IndexAny(host, "/?#"); end >= 0 {
		host = host[:end]
	}
	host = host[strings.LastIndexByte(host, '@')+1:]
	if six, ok := strings.CutPrefix(host, "["); ok {
		host, _, _ = strings.Cut(six, "]")
		return strings.ToLower(host)
	}
	host, _, _ = strings.Cut(host, ":")
	host, err := url.PathUnescape(host)
	if err != nil || strings.ContainsAny(host, "\x00\t\n\r #%/:<>?@[\\]^|") {
		return ""
	}
	return strings.ToLower(host)
}

// asciiHost is a host in punycode.
func asciiHost(host string) string {
	for i := range len(host) {
		if host[i] >= utf8.RuneSelf {
			if a, err := idna.Punycode.ToASCII(strings.ToLower(host)); err == nil {
				return a
			}
			return url.PathEscape(host)
		}
	}
	return host
}

// hidden are characters that change how a text looks without being seen.
func hidden(r rune) bool {
	return r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2060 && r <= 0x206f || r == 0xfeff ||
		r == 0xad || r == 0x34f || r == 0x61c || r == 0x180e || unicode.Is(unicode.Co, r)
}

// unescapeCID undoes the URL escapes of a cid URL (RFC 2392).
func unescapeCID(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}
