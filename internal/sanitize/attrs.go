package sanitize

import (
	"bytes"
	"strings"

	"golang.org/x/net/html"
)

// attrString writes attributes to a string.
func (d *document) attrString(name string, attrs []html.Attribute) string {
	at := d.body.Len()
	d.attrs(name, attrs)
	s := string(d.body.Bytes()[at:])
	d.body.Truncate(at)
	return s
}

// attrs writes the attributes of an element that may stand there.
func (d *document) attrs(name string, attrs []html.Attribute) {
	d.seen = d.seen[:0]
	own := elementAttrs[name]
	for i, a := range attrs {
		if i >= MaxAttrs {
			d.truncated = true
			break
		}
		r := own[a.Key]
		if r == 0 {
			r = globalAttrs[a.Key]
		}
		if r == 0 || a.Namespace != "" {
			d.dropped(a.Key)
			continue
		}
		if !d.firstAttr(a.Key) {
			continue
		}
		switch r {
		case plain:
			d.attr(a.Key, a.Val)
		case yesOnly:
			d.attr(a.Key, "")
		case css:
			if v := strings.TrimSpace(d.css(a.Val)); v != "" {
				d.attr(a.Key, v)
			}
		case image:
			d.image(a.Key, a.Val)
		case link:
			d.href(a.Val)
		}
	}
	if disabled[name] {
		d.attr("disabled", "")
	}
	if name == "button" {
		d.attr("type", "button")
	}
}

// firstAttr: of an attribute that is there twice, the first counts.
func (d *document) firstAttr(key string) bool {
	for _, s := range d.seen {
		if s == key {
			return false
		}
	}
	d.seen = append(d.seen, key)
	return true
}

// dropped counts attributes that do something.
func (d *document) dropped(key string) {
	switch {
	case strings.HasPrefix(key, "on"):
		d.remove("event handler")
	case key == "srcdoc" || key == "formaction" || key == "ping" || key == "action" || key == "srcset" ||
		key == "poster" || key == "popovertarget" || key == "xlink:href":
		d.remove(key)
	}
}

// attr writes one attribute.
func (d *document) attr(key, val string) {
	d.body.WriteByte(' ')
	d.body.WriteString(key)
	d.body.WriteString(`="`)
	escape(&d.body, val, true)
	d.body.WriteByte('"')
}

// image writes an attribute that loads an image.
func (d *document) image(key, val string) {
	u, ok := d.imageURL(val)
	switch {
	case ok:
		d.attr(key, u)
	case u == remoteURL && key == "src" && d.firstAttr("data-remote"):
		d.attr("data-remote", "")
	}
}

// remoteURL is what imageURL returns for an image that is not to be loaded.
const remoteURL = "remote"

// imageURL decides what an image may be loaded from.
func (d *document) imageURL(raw string) (string, bool) {
	u := trimURL(raw)
	scheme, rest := splitURL(u)
	switch scheme {
	case "cid":
		if d.options.CID != nil {
			if to, ok := d.options.CID(unescapeCID(rest)); ok {
				return to, true
			}
		}
		d.remove("missing inline image")
	case "data":
		if rasterData(rest) {
			return u, true
		}
		d.remove("data URL")
	case "http", "https", "//":
		d.remote++
		if d.options.AllowRemote {
			if scheme == "//" {
				u = "https:" + u
			}
			return u, true
		}
		d.remove("remote image")
		return remoteURL, false
	case "":
	default:
		d.remove("unsafe URL")
	}
	return "", false
}

// rasterData: data URLs of images that cannot hold a document.
func rasterData(rest string) bool {
	rest = strings.ToLower(rest[:min(len(rest), 64)])
	for _, t := range [...]string{"png", "jpeg", "jpg", "gif", "webp", "avif", "bmp"} {
		if after, ok := strings.CutPrefix(rest, "image/"+t); ok {
			return strings.HasPrefix(after, ";base64,")
		}
	}
	return false
}

// escape writes s as text or as the value of a quoted attribute, such that a
// parser gives exactly s back (without NUL, which none gives back).
func escape(b *bytes.Buffer, s string, quoted bool) {
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
		case '\r':
			e = "&#13;"
		case 0:
			e = "\uFFFD"
		case '"':
			if !quoted {
				continue
			}
			e = "&#34;"
		default:
			continue
		}
		b.WriteString(s[last:i])
		b.WriteString(e)
		last = i + 1
	}
	b.WriteString(s[last:])
}
