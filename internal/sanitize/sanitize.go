// Package sanitize makes hostile mail safe to look at: an HTML text becomes a
// whole document that runs no script and loads nothing, a plain text becomes
// escaped HTML with links.
//
// It promises: the output holds only elements and attributes of the lists in
// policy.go, each written anew (nothing is copied from the input as markup),
// closed in order, and rendered once, last. The output goes through unchanged
// when it is sanitized again. Time and memory are linear in the input, and depth
// and number of nodes are bounded. It holds alone; the frame's headers are a
// second wall, not a part of this one.
//
// It never fetches anything and never looks at what a link leads to.
//
// The tree is built here from the tokens of golang.org/x/net/html: its parser
// follows browsers in copying unclosed formatting elements into every block,
// which lets a small mail ask for gigabytes.
//
// RFCs: 2392 (cid URLs). Standards: HTML (parsing, §13.2), CSS Syntax 3 (§4).
package sanitize

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// Limit: how deep elements of a mail's HTML are nested; deeper ones lose their tags.
const MaxDepth = 256

// Limit: elements and texts of a mail's HTML that are shown; the rest is cut.
const MaxNodes = 50_000

// Limit: bytes of one mail's HTML that are shown; the rest is cut.
const MaxBytes = 16 << 20

// Limit: attributes of one element that are looked at.
const MaxAttrs = 64

// Limit: bytes of style sheets of one mail that are used.
const MaxStyleBytes = 1 << 20

// Limit: suspicious links that are listed of one mail.
const MaxSuspicions = 50

// Options say what a document may refer to.
type Options struct {
	// CID gives the URL under which the part with this Content-ID (without
	// brackets, as written) can be loaded; ok is false if there is none. nil: none.
	CID func(cid string) (url string, ok bool)
	// AllowRemote keeps http and https images. Fonts, frames and style sheets
	// stay out.
	AllowRemote bool
}

// Result is a sanitized document.
type Result struct {
	HTML         []byte    // a whole document in UTF-8
	Removed      []Removal // by kind, most frequent first
	RemoteImages int       // remote images found, whether kept or not
	Truncated    bool      // a limit cut the document
	Suspicious   []Suspicion
}

// Removal says what was taken out, and how often.
type Removal struct {
	What  string // "script", "event handler", "remote font", …
	Count int
}

// HTML sanitizes an HTML text, which must be decoded to UTF-8 already.
func HTML(src []byte, o Options) Result {
	d := document{options: o, removed: make(map[string]int), counts: make(map[string]int)}
	if len(src) > MaxBytes {
		src, d.truncated = src[:MaxBytes], true
	}
	src = bytes.ToValidUTF8(src, []byte("\uFFFD"))
	d.body.Grow(len(src) + len(src)/8)
	d.read(html.NewTokenizer(bytes.NewReader(src)))
	return Result{
		HTML:         d.render(),
		Removed:      d.removals(),
		RemoteImages: d.remote,
		Truncated:    d.truncated,
		Suspicious:   d.suspicious,
	}
}

// document is being built.
type document struct {
	options    Options
	doctype    string
	root       string // attributes of html
	top        string // attributes of body
	hasTop     bool
	scheme     string // content of meta color-scheme
	styles     []sheet
	styleBytes int
	body       bytes.Buffer
	stack      []open
	counts     map[string]int // open elements by name
	pending    []open         // formatting elements to open again before the next text
	nodes      int
	removed    map[string]int
	remote     int
	truncated  bool
	suspicious []Suspicion
	link       linkText
	seen       []string // attribute names of the current element
}

// sheet is a style element.
type sheet struct{ attrs, text string }

// render writes the document, once.
func (d *document) render() []byte {
	var out bytes.Buffer
	out.Grow(d.body.Len() + d.styleBytes + 512)
	out.WriteString(d.doctype)
	out.WriteString("<html" + d.root + "><head><meta charset=\"utf-8\"/>" +
		"<meta name=\"referrer\" content=\"no-referrer\"/>" +
		"<meta http-equiv=\"x-dns-prefetch-control\" content=\"off\"/>")
	if d.scheme != "" {
		out.WriteString("<meta name=\"color-scheme\" content=\"" + d.scheme + "\"/>")
	}
	for _, s := range d.styles {
		out.WriteString("<style" + s.attrs + ">")
		out.WriteString(s.text)
		out.WriteString("</style>")
	}
	out.WriteString("</head><body" + d.top + ">")
	out.Write(d.body.Bytes())
	out.WriteString("</body></html>")
	return out.Bytes()
}

// remove counts something that was taken out.
func (d *document) remove(what string) { d.removed[what]++ }

func (d *document) removals() []Removal {
	out := make([]Removal, 0, len(d.removed))
	for what, n := range d.removed {
		out = append(out, Removal{what, n})
	}
	slices.SortFunc(out, func(a, b Removal) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(a.What, b.What)
	})
	return out
}
