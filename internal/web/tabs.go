package web

import (
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/message/codes"
	"github.com/eidermail/eider/internal/web/ui"
)

// Limit: bytes of text that the Text view shows.
const MaxTextShown = 1 << 20

// Limit: bytes of a message that the Source view shows.
const MaxSourceShown = 512 << 10

// Limit: bytes of headers that the Headers view shows.
const MaxHeadersShown = 256 << 10

// Limit: header fields that the Headers view shows.
const MaxFieldsShown = 2000

// Limit: bytes of a message's text in which one-time codes are looked for.
const MaxCodeText = 16 << 10

// Limit: parts that the Parts view shows.
const MaxPartsShown = 1000

// tabs are the views of a message, in the order of their keys 1 to 6.
var tabs = []ui.Tab{{Key: "html", Label: "HTML"}, {Key: "text", Label: "Text"}, {Key: "headers", Label: "Headers"},
	{Key: "source", Label: "Source"}, {Key: "parts", Label: "Parts"}, {Key: "envelope", Label: "Envelope"}}

// fillTab fills in the view that was asked for, or the best one there is.
func (s *Site) fillTab(c *call, m *mail, content mailstore.Content, r *ui.Reader, context string) error {
	plain, html := bodies(&m.info.Index)
	q := c.r.URL.Query()
	r.Tab = q.Get("tab")
	if !slices.ContainsFunc(tabs, func(t ui.Tab) bool { return t.Key == r.Tab }) || r.Tab == "html" && len(html) == 0 {
		switch {
		case len(html) > 0:
			r.Tab = "html"
		case len(plain) > 0:
			r.Tab = "text"
		default:
			r.Tab = "parts"
		}
	}
	for _, t := range tabs {
		if t.Key == "html" && len(html) == 0 {
			continue
		}
		t.URL, t.Current = at(m.base, context, "tab", t.Key), t.Key == r.Tab
		r.Tabs = append(r.Tabs, t)
	}
	text, left, err := body(content, plain, MaxTextShown)
	if err != nil {
		return err
	}
	seen := text
	if r.Tab == "html" || len(plain) == 0 && len(html) > 0 {
		page, _, err := body(content, html, MaxHTML)
		if err != nil {
			return err
		}
		if strings.TrimSpace(seen) == "" {
			seen = message.HTMLText(page)
		}
		if r.Tab == "html" {
			s.htmlTab(c, m, page, r, context)
		}
	}
	r.Codes = codes.Find(r.Subject, cut(seen, MaxCodeText))
	given, err := sent(m, content)
	if err != nil {
		return err
	}
	switch r.Tab {
	case "text":
		r.Text, r.Cut = runs(text), left
	case "headers":
		r.Fields, r.Cut, err = headers(given, m.info.Index.Root.Header.Len()-given.gap)
	case "source":
		r.Source, r.Numbers, r.Cut, err = sourceView(given)
	case "parts":
		r.Root = partTree(m)
	case "envelope":
		r.Envelope = envelope(m)
	}
	return err
}

// at writes base with the context's and one more value.
func at(base, context, key, value string) string {
	q, err := url.ParseQuery(strings.TrimPrefix(context, "?"))
	if err != nil {
		q = url.Values{}
	}
	q.Set(key, value)
	return base + "?" + q.Encode()
}

// widths are the preview widths; 0 fills the pane.
var widths = []int{0, 375, 768}

func (s *Site) htmlTab(c *call, m *mail, page string, r *ui.Reader, context string) {
	q := c.r.URL.Query()
	r.Images = q.Get("images") == "1"
	if r.Images {
		context = at("", context, "images", "1")
	}
	for _, w := range widths {
		label := "Full"
		if w > 0 {
			label = strconv.Itoa(w)
		}
		chosen := q.Get("w") == strconv.Itoa(w) || w == 0 && q.Get("w") == ""
		if chosen {
			r.Width = w
		}
		u := at(m.base, at("", context, "tab", "html"), "w", strconv.Itoa(w))
		r.Widths = append(r.Widths, ui.Width{Label: label, URL: u, Current: chosen})
	}
	r.LoadURL = at(m.base, at("", context, "tab", "html"), "images", "1")
	clean := s.clean(m, page, "", r.Images)
	r.Blocked, r.Removed = clean.blocked, clean.removed
	for _, d := range clean.doubts {
		r.Doubts = append(r.Doubts, ui.Doubt{Text: d.Text, URL: d.URL, Why: d.Why})
	}
	r.Frame = "/f/" + s.frameToken(m, r.Images) + "/"
}

// runs cuts plain text into text and links.
func runs(text string) []ui.TextRun {
	var out []ui.TextRun
	last := 0
	for _, l := range message.FindLinks(text) {
		if l.Start > last {
			out = append(out, ui.TextRun{Text: text[last:l.Start]})
		}
		out = append(out, ui.TextRun{Text: text[l.Start:l.End], URL: webURL(l)})
		last = l.End
	}
	if last < len(text) {
		out = append(out, ui.TextRun{Text: text[last:]})
	}
	return out
}

// webURL keeps what html/template would let through, so that nothing shows as
// an odd placeholder: web and mail addresses; others stay text.
func webURL(l message.TextLink) string {
	u := strings.ToLower(l.URL)
	switch {
	case strings.HasPrefix(u, "http://"), strings.HasPrefix(u, "https://"), strings.HasPrefix(u, "mailto:"):
		return l.URL
	case l.Mail:
		return "mailto:" + l.URL
	}
	return ""
}

// headers reads the header fields, decoded.
func headers(r io.ReaderAt, size int64) (out []ui.Field, cut int64, err error) {
	n := min(size, MaxHeadersShown)
	cut = size - n
	b := make([]byte, n)
	if k, err := r.ReadAt(b, 0); err != nil && (err != io.EOF || k < len(b)) {
		return nil, 0, err
	}
	for f := range message.HeaderFields(b) {
		if len(out) == MaxFieldsShown {
			break
		}
		if len(f.Name) == 0 {
			out = append(out, ui.Field{Name: "(not a field)", Value: strings.ToValidUTF8(string(f.Raw), "\uFFFD")})
			continue
		}
		out = append(out, ui.Field{Name: strings.ToValidUTF8(string(f.Name), "\uFFFD"), Value: f.Text()})
	}
	return out, cut, nil
}

// sourceView reads the start of the message with line numbers.
func sourceView(c *cutOut) (text, numbers string, cut int64, err error) {
	n := min(c.Size(), MaxSourceShown)
	b := make([]byte, n)
	if k, err := c.ReadAt(b, 0); err != nil && (err != io.EOF || int64(k) < n) {
		return "", "", 0, err
	}
	text = strings.ToValidUTF8(strings.ReplaceAll(string(b), "\r\n", "\n"), "\uFFFD")
	var nums strings.Builder
	lines := strings.Count(text, "\n")
	if !strings.HasSuffix(text, "\n") {
		lines++
	}
	for i := range lines {
		fmt.Fprintf(&nums, "%d\n", i+1)
	}
	// A browser drops the first line end of a pre.
	return "\n" + text, "\n" + nums.String(), c.Size() - n, nil
}

// partTree shows how the message is built.
func partTree(m *mail) *ui.Node {
	paths := map[*message.Part]string{}
	for path, p := range message.WalkParts(m.info.Index.Root) {
		paths[p] = path
	}
	left := MaxPartsShown
	n := partNode(m, m.info.Index.Root, paths, &left)
	return &n
}

func partNode(m *mail, p *message.Part, paths map[*message.Part]string, left *int) ui.Node {
	*left--
	n := ui.Node{Path: paths[p], Type: p.Type + "/" + p.Subtype, Name: p.FileName()}
	fact := func(s string) {
		if s != "" {
			n.Facts = append(n.Facts, s)
		}
	}
	if n.Path != "" {
		fact("part " + n.Path)
	}
	fact(message.ParamValue(p.Params, "charset"))
	if len(p.Parts) == 0 {
		fact(p.Encoding)
	}
	fact(p.Disposition)
	if p.ID != "" {
		fact("id " + p.ID)
	}
	fact(ui.Bytes(p.Body.Len()) + " encoded")
	if len(p.Parts) == 0 && n.Path != "" {
		n.URL = m.base + "/parts/" + n.Path
	}
	kids := p.Parts
	if p.Message != nil && p.Message.Root != nil {
		kids = []*message.Part{p.Message.Root}
	}
	for _, k := range kids {
		if *left <= 0 {
			n.Parts = append(n.Parts, ui.Node{Type: "and more"})
			break
		}
		n.Parts = append(n.Parts, partNode(m, k, paths, left))
	}
	return n
}

// envelope says how the message came. A stranger with a link does not learn
// where its sender sits.
func envelope(m *mail) []ui.Field {
	e := &m.info.Envelope
	var out []ui.Field
	add := func(name, value string) {
		if value != "" {
			out = append(out, ui.Field{Name: name, Value: value})
		}
	}
	from := e.From
	if from == "" {
		from = "<> (the null sender)"
	}
	add("MAIL FROM", from)
	for _, to := range e.To {
		add("RCPT TO", to)
	}
	if n := e.ToCount - len(e.To); n > 0 {
		add("RCPT TO", fmt.Sprintf("and %d more", n))
	}
	add("Protocol", e.Protocol)
	add("TLS", e.TLS)
	add("BODY", e.Body)
	if !m.public {
		add("Client", e.Client)
		add("Greeting", e.Helo)
		add("Login", e.User)
		add("Mailbox", m.box.Name)
		add("UID", strconv.FormatUint(uint64(m.entry.UID), 10))
		add("MSGID", m.link)
	}
	if !e.Received.IsZero() {
		add("Received", stamp(e.Received))
	}
	add("Size", strconv.FormatInt(m.entry.Size, 10)+" bytes")
	return out
}
