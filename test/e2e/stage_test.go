package e2e_test

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/sanitize"
	"github.com/eidermail/eider/internal/sanitize/hostile"
)

// kind is how a vector reaches the reader.
type kind string

const (
	asHTML kind = "html" // by the mail's HTML
	asText kind = "text" // by what pages show of headers, names and text
	asFile kind = "file" // by a file that is opened
)

// attack is a vector with its place in the test.
type attack struct {
	hostile.Vector
	n    int // number within its group
	kind kind
	open string // how a file is opened: "document", "script", …
}

func (a *attack) host(l layer, click bool) string {
	at := 20 + 2*int(l)
	if click {
		at++
	}
	return fmt.Sprintf("127.%d.%d.%d", at, a.Group, a.n)
}

// attacks are all vectors, and files that are scripts to the letter.
func attacks() []*attack {
	var all []*attack
	count := map[int]int{}
	add := func(v hostile.Vector, k kind, open string) {
		count[v.Group]++
		all = append(all, &attack{v, count[v.Group], k, open})
	}
	only := os.Getenv("EIDER_ATTACKS") // for work at the desk: only those with this in their names
	for _, v := range hostile.All() {
		switch {
		case !strings.Contains(v.Name, only) && v.Name != "01a-script" && v.Name != "29-as-iframe":
		case v.Group >= 28 && v.Group <= 30:
			open := "document"
			if v.Group == 29 {
				_, open, _ = strings.Cut(v.Name, "-as-")
			}
			add(v, asFile, open)
		case v.Group == 31:
			add(v, asText, "")
			add(v, asFile, "document")
		case v.Group == 26 || v.Group == 27 || v.Group == 34:
			add(v, asText, "")
		default:
			add(v, asHTML, "")
		}
	}
	return all
}

// letter is the attack's message.
func (a *attack) letter(beacon string) []byte {
	m := a.EML(beacon)
	if a.Group == 29 && (a.open == "script" || a.open == "worker") { // a file that is a script to the letter
		body := "fetch('http://" + beacon + "/" + a.Name + "-script',{mode:'no-cors'})"
		m = []byte("From: m@evil.test\r\nTo: ada@x.test\r\nSubject: " + a.Name + "\r\nMIME-Version: 1.0\r\n" +
			"Content-Type: text/javascript; name=x.js\r\nContent-Disposition: attachment\r\n\r\n" + body + "\r\n")
	}
	return m
}

// stage shows attacks without the product, each through one of its layers.
type stage struct {
	*httptest.Server
	sink    *sink
	attacks []*attack
	// What the product sends with its pages, with a mail's frame and with files.
	page, frame, file http.Header
	// shown is what the product's pages show of a mail, by the attack's number.
	shown map[int]string
}

func openStage(t *testing.T, s *sink, all []*attack) *stage {
	t.Helper()
	st := &stage{sink: s, attacks: all, shown: map[int]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hold/{layer}/{click}/{ids}", st.hold)
	mux.HandleFunc("GET /doc/{layer}/{click}/{id}", st.doc)
	mux.HandleFunc("GET /open/{layer}/{id}", st.opener)
	mux.HandleFunc("GET /control", st.control)
	st.Server = httptest.NewServer(mux)
	t.Cleanup(st.Close)
	return st
}

func (st *stage) beacon(a *attack, l layer, click bool) string {
	return a.host(l, click) + ":" + strconv.Itoa(st.sink.port)
}

func (st *stage) layer(r *http.Request) (layer, bool) {
	n, _ := strconv.Atoi(r.PathValue("layer"))
	return layer(n), r.PathValue("click") == "1"
}

// hold is a page with frames, as the product's page holds a mail's frame, but
// without the sandbox attribute: each layer stands alone.
func (st *stage) hold(w http.ResponseWriter, r *http.Request) {
	if l, _ := st.layer(r); l == headed {
		send(w.Header(), st.page)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, "<!doctype html><title>held</title><main>")
	for id := range strings.SplitSeq(r.PathValue("ids"), ",") {
		fmt.Fprintf(w, `<iframe width=600 height=300 src="/doc/%s/%s/%s"></iframe>`, r.PathValue("layer"),
			r.PathValue("click"), id)
	}
	fmt.Fprint(w, "</main>")
}

// opener is a page that uses a file of a mail as something else.
func (st *stage) opener(w http.ResponseWriter, r *http.Request) {
	l, _ := st.layer(r)
	if l == headed {
		send(w.Header(), st.page)
	}
	nonce, _, _ := strings.Cut(afterNonce(st.page.Get("Content-Security-Policy")), "'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	id, _ := strconv.Atoi(r.PathValue("id"))
	src := "/doc/" + r.PathValue("layer") + "/0/" + r.PathValue("id")
	fmt.Fprint(w, "<!doctype html><title>opener</title><main>"+openAs(st.attacks[id].open, src, nonce)+"</main>")
}

func openAs(open, src, nonce string) string {
	switch open {
	case "script":
		return `<script src="` + src + `"></script>`
	case "style":
		return `<link rel=stylesheet href="` + src + `">`
	case "worker":
		return `<script nonce="` + nonce + `">try { new Worker('` + src + `') } catch {}</script>`
	case "object":
		return `<object data="` + src + `"></object><embed src="` + src + `">`
	}
	return `<iframe src="` + src + `"></iframe>`
}

func afterNonce(csp string) string {
	_, rest, _ := strings.Cut(csp, "'nonce-")
	return rest
}

func send(to, from http.Header) {
	for k, v := range from {
		to[k] = v
	}
}

// doc is one attack through one layer.
func (st *stage) doc(w http.ResponseWriter, r *http.Request) {
	l, click := st.layer(r)
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil || id < 0 || id >= len(st.attacks) {
		http.NotFound(w, r)
		return
	}
	a := st.attacks[id]
	m := a.letter(st.beacon(a, l, click))
	switch a.kind {
	case asHTML:
		st.docHTML(w, l, m)
	case asText:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		switch l {
		case cleaned:
			fmt.Fprint(w, "<!doctype html>"+st.shown[id])
		case headed:
			send(w.Header(), st.page)
			fallthrough
		default:
			_, _ = w.Write(careless(m))
		}
	case asFile:
		st.docFile(w, l, m)
	}
}

func (st *stage) docHTML(w http.ResponseWriter, l layer, m []byte) {
	p := findPart(m, func(p *message.Part) bool { return p.Type == "text" && p.Subtype == "html" })
	if p == nil {
		p = message.Parse(m).Root
	}
	switch l {
	case cleaned:
		text, _ := io.ReadAll(message.TextReader(p, bytes.NewReader(m[p.Body.Start:p.Body.End])))
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(sanitize.HTML(text, sanitize.Options{}).HTML)
		return
	case headed:
		send(w.Header(), st.frame)
	default:
		w.Header()["Content-Type"] = []string{declared(m, p)}
	}
	_, _ = io.Copy(w, message.DecodeTransfer(p.Encoding, bytes.NewReader(m[p.Body.Start:p.Body.End])))
}

// docFile is a file inline, as the sender calls it: with the product's type
// alone, with its other headers alone, or as it is.
func (st *stage) docFile(w http.ResponseWriter, l layer, m []byte) {
	p := findPart(m, func(p *message.Part) bool { return p.Disposition == "attachment" })
	if p == nil {
		p = message.Parse(m).Root
	}
	h := w.Header()
	h["Content-Type"] = []string{declared(m, p)}
	for k, v := range st.file {
		kind := k == "Content-Type" || k == "Content-Disposition" || k == "X-Content-Type-Options"
		if l == cleaned && kind || l == headed && (!kind || k == "X-Content-Type-Options") {
			h[k] = v
		}
	}
	h.Del("Content-Length")
	if strings.ContainsAny(h.Get("Content-Type"), "\r\n") || h.Get("Content-Type") == "" {
		h.Set("Content-Type", "text/html")
	}
	_, _ = io.Copy(w, message.DecodeTransfer(p.Encoding, bytes.NewReader(m[p.Body.Start:p.Body.End])))
}

// control runs a script whose request is stopped: it must be heard of all the same.
func (st *stage) control(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'unsafe-inline'")
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprintf(w, "<script>new Image().src='http://127.9.9.9:%d/control-script'</script>", st.sink.port)
}

// declared is a part's type as its sender wrote it.
func declared(m []byte, p *message.Part) string {
	for f := range message.HeaderFields(m[p.Header.Start:p.Header.End]) {
		if f.Is("Content-Type") {
			return strings.TrimSpace(string(message.Unfold(f.Value)))
		}
	}
	return "text/html"
}

func findPart(m []byte, is func(*message.Part) bool) *message.Part {
	for _, p := range message.WalkParts(message.Parse(m).Root) {
		if len(p.Parts) == 0 && is(p) {
			return p
		}
	}
	return nil
}

// careless is what a reader without any care would show: everything as markup.
func careless(m []byte) []byte {
	var b bytes.Buffer
	x := message.Parse(m)
	b.WriteString("<!doctype html><title>careless</title>")
	for f := range message.HeaderFields(m[x.Root.Header.Start:x.Root.Header.End]) {
		fmt.Fprintf(&b, "<p title=\"%s\"><b>%s</b>: %s</p>\n", f.Text(), f.Name, f.Text())
	}
	for _, p := range message.WalkParts(x.Root) {
		if len(p.Parts) > 0 {
			continue
		}
		fmt.Fprintf(&b, "<p><a href=\"%s\">%s</a> %s %s %s</p><div>", p.FileName(), p.FileName(), p.ID,
			p.Description, p.Location)
		if p.Type == "text" {
			_, _ = io.Copy(&b, message.TextReader(p, bytes.NewReader(m[p.Body.Start:p.Body.End])))
		}
		b.WriteString("</div>\n")
	}
	return b.Bytes()
}

// shownBy takes what a page of the product shows, without its headers.
func shownBy(page string) string {
	_, main, ok := strings.Cut(page, "<main")
	if !ok {
		return "<p>no main: " + html.EscapeString(page) + "</p>"
	}
	main, _, _ = strings.Cut(main, "</main>")
	return "<main" + main + "</main>"
}
