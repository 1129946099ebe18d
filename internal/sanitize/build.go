package sanitize

import (
	"strings"

	"golang.org/x/net/html"
)

// open is an open element.
type open struct {
	name string
	tag  string // its start tag, of a short formatting element
	wall bool   // see walls
}

const (
	// maxReopen is how many formatting elements go on behind the end of a block.
	maxReopen = 8
	// maxReopenTag is how long the start tag of such an element may be.
	maxReopenTag = 256
)

// read builds the document out of tokens.
func (d *document) read(z *html.Tokenizer) {
	for {
		t := z.Next()
		if t == html.ErrorToken {
			break
		}
		if d.nodes >= MaxNodes {
			d.truncated = true
			break
		}
		switch t {
		case html.TextToken:
			d.text(z.Token().Data)
		case html.StartTagToken, html.SelfClosingTagToken:
			d.start(z, z.Token())
		case html.EndTagToken:
			name, _ := z.TagName()
			d.endTag(string(name))
		case html.DoctypeToken:
			d.setDoctype(z.Token().Data)
		}
	}
	for len(d.stack) > 0 {
		d.pop()
	}
	d.endLink()
}

// setDoctype keeps the three ways in which browsers lay out pages.
func (d *document) setDoctype(s string) {
	if d.doctype != "" || d.nodes > 0 {
		return
	}
	s = strings.ToLower(s)
	if strings.Contains(s, "transitional//") && strings.Contains(s, "http:") {
		d.doctype = `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" ` +
			`"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">`
		return
	}
	d.doctype = "<!DOCTYPE html>"
}

// text writes a text.
func (d *document) text(s string) {
	if s == "" {
		return
	}
	if strings.Trim(s, " \t\r\n\f") != "" {
		d.reopen()
		if d.nodes >= MaxNodes {
			d.truncated = true
			return
		}
		d.nodes++
	}
	d.link.add(s)
	escape(&d.body, s, false)
}

// start takes a start tag.
func (d *document) start(z *html.Tokenizer, t html.Token) {
	k := kinds[t.Data]
	switch k {
	case hide:
		d.hide(z, t)
		return
	case tagsOnly, gone:
		d.remove(t.Data)
		return
	case asDiv:
		if t.Data == "form" {
			d.remove("form")
		}
		t.Data = "div"
	case asSpan:
		t.Data = "span"
	case special:
		d.special(z, t)
		return
	case unwrap:
		if t.Data == "plaintext" {
			z.NextIsNotRawText()
		}
		return
	}
	d.element(t)
}

// element writes the start tag of an element that is kept.
func (d *document) element(t html.Token) {
	name := t.Data
	if blocks[name] {
		d.closeTo("p", nil)
	}
	for _, s := range siblings[name] {
		d.closeTo(s, siblingWalls[name])
	}
	if name == "input" && strings.EqualFold(attr(t, "type"), "hidden") {
		return
	}
	isVoid := kinds[name] == void
	if !isVoid && len(d.stack) >= MaxDepth {
		d.truncated = true
		return
	}
	if !blocks[name] && !tableTags[name] {
		d.reopen()
	}
	if d.nodes >= MaxNodes {
		d.truncated = true
		return
	}
	at := d.body.Len()
	d.body.WriteByte('<')
	d.body.WriteString(name)
	d.attrs(name, t.Attr)
	d.nodes++
	if name == "area" {
		d.endLink()
	}
	if isVoid {
		d.body.WriteString("/>")
		return
	}
	d.body.WriteByte('>')
	o := open{name: name, wall: walls[name]}
	if formatting[name] && d.body.Len()-at <= maxReopenTag {
		o.tag = string(d.body.Bytes()[at:])
	}
	d.push(o)
}

// push opens an element whose start tag is written.
func (d *document) push(o open) {
	d.stack = append(d.stack, o)
	d.counts[o.name]++
}

func attr(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// endTag takes an end tag.
func (d *document) endTag(name string) {
	switch kinds[name] {
	case asDiv:
		name = "div"
	case asSpan:
		name = "span"
	case keep:
	default:
		if name == "br" { // browsers take it for a line break
			d.element(html.Token{Data: "br"})
		}
		return
	}
	var w map[string]bool
	if tableTags[name] {
		w = siblingWalls["tr"]
	}
	d.closeTo(name, w)
	// What was to be opened again and is closed now stays closed.
	for i := len(d.pending) - 1; i >= 0; i-- {
		if d.pending[i].name == name {
			d.pending = append(d.pending[:i], d.pending[i+1:]...)
			break
		}
	}
}

// closeTo closes the innermost open element of this name and all in it, unless
// one of the walls stands before it; nil means those that most elements have.
func (d *document) closeTo(name string, own map[string]bool) {
	if d.counts[name] == 0 {
		return
	}
	i := len(d.stack) - 1
	for i >= 0 && d.stack[i].name != name {
		if o := &d.stack[i]; own == nil && o.wall || own != nil && own[o.name] {
			return
		}
		i--
	}
	if i < 0 {
		return
	}
	var again []open
	for len(d.stack) > i {
		o := d.stack[len(d.stack)-1]
		d.pop()
		if o.tag != "" && len(d.stack) > i && len(again) < maxReopen {
			again = append(again, o)
		}
	}
	if tableTags[name] {
		d.pending = nil // formatting does not leave its cell
		return
	}
	for j := len(again) - 1; j >= 0 && len(d.pending) < maxReopen; j-- {
		d.pending = append(d.pending, again[j])
	}
}

// reopen opens the formatting elements that go on.
func (d *document) reopen() {
	for _, o := range d.pending {
		if len(d.stack) < MaxDepth && d.nodes < MaxNodes {
			d.body.WriteString(o.tag)
			d.push(o)
			d.nodes++
		}
	}
	d.pending = d.pending[:0]
}

// pop writes the end tag of the innermost element.
func (d *document) pop() {
	n := len(d.stack) - 1
	name := d.stack[n].name
	d.stack = d.stack[:n]
	d.counts[name]--
	d.body.WriteString("</")
	d.body.WriteString(name)
	d.body.WriteByte('>')
	if name == "a" {
		d.endLink()
	}
}

// hide passes over an element with all that is in it.
func (d *document) hide(z *html.Tokenizer, t html.Token) {
	name := t.Data
	if !quiet[name] {
		d.remove(name)
	}
	if t.Type == html.SelfClosingTagToken && (name == "svg" || name == "math") {
		return
	}
	foreign := name == "svg" || name == "math"
	depth, points := 1, 0
	for depth > 0 {
		z.AllowCDATA(foreign)
		tok := z.Next()
		if tok == html.ErrorToken {
			break
		}
		if tok != html.StartTagToken && tok != html.EndTagToken && tok != html.SelfClosingTagToken {
			continue
		}
		if foreign {
			z.NextIsNotRawText()
		}
		raw, _ := z.TagName()
		tag := string(raw)
		switch {
		case tok == html.SelfClosingTagToken && foreign:
		case tag == name && tok == html.EndTagToken:
			depth--
		case tag == name:
			depth++
		case foreign && integration[tag] && tok == html.StartTagToken:
			points++
		case foreign && integration[tag] && points > 0:
			points--
		case foreign && points == 0 && tok == html.StartTagToken && breakout[tag]:
			z.AllowCDATA(false)
			d.start(z, html.Token{Type: tok, Data: tag, Attr: tagAttrs(z)})
			return
		}
	}
	z.AllowCDATA(false)
}

// tagAttrs reads the attributes of a tag whose name was read.
func tagAttrs(z *html.Tokenizer) (out []html.Attribute) {
	for len(out) < MaxAttrs {
		k, v, more := z.TagAttr()
		if len(k) > 0 {
			out = append(out, html.Attribute{Key: string(k), Val: string(v)})
		}
		if !more {
			break
		}
	}
	return out
}

// special elements.
func (d *document) special(z *html.Tokenizer, t html.Token) {
	switch t.Data {
	case "html":
		if d.root == "" {
			d.root = d.attrString("html", t.Attr)
		}
	case "body":
		if !d.hasTop {
			d.hasTop = true
			d.top = d.attrString("body", t.Attr)
		}
	case "meta":
		d.meta(t)
	case "style":
		d.style(t, d.rawText(z, "style"))
	case "image": // browsers read it as img
		t.Data = "img"
		d.element(t)
	case "xmp":
		s := d.rawText(z, "xmp")
		d.element(html.Token{Data: "pre"})
		d.text(s)
		d.endTag("pre")
	case "textarea":
		s := html.UnescapeString(d.rawText(z, "textarea"))
		d.reopen()
		d.body.WriteString("<textarea")
		d.attrs("textarea", t.Attr)
		d.body.WriteByte('>')
		escape(&d.body, s, false)
		d.body.WriteString("</textarea>")
		d.nodes++
	}
}

// rawText reads the text of an element that has no child elements.
func (d *document) rawText(z *html.Tokenizer, name string) string {
	var b strings.Builder
	for {
		switch z.Next() {
		case html.ErrorToken:
			return b.String()
		case html.TextToken:
			b.Write(z.Raw())
		case html.EndTagToken:
			if tag, _ := z.TagName(); string(tag) == name {
				return b.String()
			}
		}
	}
}

// meta keeps the color scheme; all else that it can say is said by us or not at all.
func (d *document) meta(t html.Token) {
	name := strings.ToLower(attr(t, "name"))
	switch equiv := strings.ToLower(attr(t, "http-equiv")); {
	case equiv == "refresh" || equiv == "content-security-policy" || equiv == "set-cookie":
		d.remove("meta " + equiv)
	case name == "color-scheme" || name == "supported-color-schemes":
		var words []string
		for _, w := range strings.Fields(strings.ToLower(attr(t, "content"))) {
			if (w == "light" || w == "dark" || w == "only" || w == "normal") && len(words) < 3 {
				words = append(words, w)
			}
		}
		if d.scheme == "" {
			d.scheme = strings.Join(words, " ")
		}
	}
}

// style keeps a style sheet, cleaned.
func (d *document) style(t html.Token, s string) {
	if typ := attr(t, "type"); typ != "" && !strings.EqualFold(typ, "text/css") {
		return // browsers do not use it
	}
	if d.styleBytes+len(s) > MaxStyleBytes {
		d.truncated = true
		return
	}
	s = strings.TrimSpace(d.css(strings.ToValidUTF8(s, "\uFFFD")))
	if s != "" {
		d.styleBytes += len(s)
		d.styles = append(d.styles, sheet{d.attrString("style", t.Attr), s})
	}
}
