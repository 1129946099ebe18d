package ui_test

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/eidermail/eider/internal/web/ui"
)

// nasty closes tags, attributes, scripts and templates, and brings controls.
const nasty = `"'><img src=x onerror=alert(1)></script></style></title></textarea>--><svg onload=alert(2)>{{.}}` +
	"`${alert(3)}\x00\x1b[31m\u202e\u2028\r\n javascript:alert(4) &lt;"

// texts are what every string of a page is filled with, one after the other.
var texts = []string{nasty, "javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:x"}

// fill puts text in every string of v and something in every slice.
func fill(v reflect.Value, text string, depth int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(3)
	case reflect.Uint32:
		v.SetUint(3)
	case reflect.Pointer:
		if depth < 4 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), text, depth+1)
		}
	case reflect.Slice:
		if depth < 5 {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			fill(v.Index(0), text, depth+1)
			fill(v.Index(1), text, depth+1)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1763890000, 0)))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), text, depth+1)
			}
		}
	}
}

func filled[T ui.View](text string) T {
	var v T
	fill(reflect.ValueOf(&v).Elem(), text, 0)
	return v
}

// views is one of each page and fragment, full of text, and some that are empty.
func views(text string) map[string]ui.View {
	out := map[string]ui.View{
		"home": filled[ui.Home](text), "create": filled[ui.Create](text), "login": filled[ui.Login](text),
		"logout": filled[ui.Logout](text), "account": filled[ui.Account](text), "help": filled[ui.Help](text),
		"status": filled[ui.Status](text), "problem": filled[ui.Problem](text),
		"empty home": ui.Home{}, "empty account": ui.Account{}, "empty login": ui.Login{},
		"empty mailbox": ui.Mailbox{}, "empty message": ui.Page{}, "empty status": ui.Status{},
		"inbox": ui.Mailbox{Box: ui.Box{Label: "Inbox"}}, "empty problem": ui.Problem{},
	}
	p := filled[ui.Problem](text)
	p.Mini = false
	out["problem page"] = p
	for _, tab := range []string{"html", "text", "headers", "source", "parts", "envelope"} {
		m := filled[ui.Page](text)
		m.Reader.Tab, m.Reader.Public = tab, true
		out["message "+tab] = m
		b := filled[ui.Mailbox](text)
		b.Reader.Tab, b.RowsOnly, b.ReaderOnly = tab, false, false
		out["mailbox "+tab] = b
		b.ReaderOnly = true
		out["reader "+tab] = b
		b.RowsOnly = true
		out["rows "+tab] = b
	}
	return out
}

func TestNastyDataStaysText(t *testing.T) {
	t.Parallel()
	u, err := ui.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		for name, v := range views(text) {
			checkPage(t, u, name, v)
		}
	}
}

func checkPage(t *testing.T, u *ui.UI, name string, v ui.View) {
	t.Helper()
	var b bytes.Buffer
	if err := u.Render(&b, v); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if strings.Contains(b.String(), "ZgotmplZ") && strings.Contains(name, "empty") {
		t.Errorf("%s: a value was refused by the template", name)
	}
	doc, err := html.Parse(&b)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode {
			checkElement(t, name, n)
		}
	}
}

var urlAttrs = map[string]bool{"href": true, "src": true, "action": true, "formaction": true, "xlink:href": true}

func checkElement(t *testing.T, page string, n *html.Node) {
	t.Helper()
	attr := map[string]string{}
	for _, a := range n.Attr {
		k := strings.ToLower(a.Key)
		if a.Namespace != "" {
			k = a.Namespace + ":" + k
		}
		attr[k] = a.Val
		if strings.HasPrefix(k, "on") || k == "srcdoc" || k == "style" {
			t.Errorf("%s: <%s> has attribute %s", page, n.Data, k)
		}
		v := strings.ToLower(strings.TrimSpace(a.Val))
		if urlAttrs[k] && regexp.MustCompile(`^(javascript|data|vbscript):`).MatchString(v) {
			t.Errorf("%s: <%s %s=%q>", page, n.Data, k, a.Val)
		}
	}
	switch n.Data {
	case "img", "object", "embed", "base":
		t.Errorf("%s: <%s> came in", page, n.Data)
	case "svg":
		if c := attr["class"]; c == "" {
			t.Errorf("%s: a foreign <svg>", page)
		}
	case "script":
		if n.FirstChild != nil || attr["nonce"] == "" && !strings.HasPrefix(page, "empty") && page != "inbox" {
			t.Errorf("%s: a script that is inline or has no nonce", page)
		}
		if !strings.HasPrefix(attr["src"], "/static/") {
			t.Errorf("%s: script from %q", page, attr["src"])
		}
	case "iframe":
		if attr["sandbox"] != "allow-popups allow-popups-to-escape-sandbox" {
			t.Errorf("%s: iframe with sandbox %q", page, attr["sandbox"])
		}
	case "form":
		if !strings.EqualFold(attr["method"], "post") && attr["role"] != "search" && attr["method"] != "dialog" {
			t.Errorf("%s: form with method %q", page, attr["method"])
		}
	case "button":
		if attr["name"] == "" && attr["type"] == "" && textOf(n) == "" && attr["aria-label"] == "" {
			t.Errorf("%s: a button without a name", page)
		}
	}
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.TrimSpace(b.String())
}

// allowed are the only absolute addresses in our own files: names of formats,
// and words of explanation, never something to load.
var allowed = map[string]bool{"http://www.w3.org/2000/svg": true}

func TestNoExternalAddress(t *testing.T) {
	t.Parallel()
	abs := regexp.MustCompile(`(?i)(?:https?:)?//[a-z0-9][a-z0-9.-]*\.[a-z]{2,}[^\s"'<>)]*`)
	for _, dir := range []string{"templates", "static"} {
		err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := fs.ReadFile(os.DirFS(dir), p)
			for _, m := range abs.FindAllString(string(b), -1) {
				if !allowed[m] {
					t.Errorf("%s/%s names %s", dir, p, m)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Limit of bytes, compressed, of what a page loads.
const (
	maxJS    = 14 << 10
	maxCSS   = 10 << 10
	maxIcons = 6 << 10
	maxPage  = 30 << 10
)

func TestSizeBudgets(t *testing.T) {
	t.Parallel()
	size := map[string]int{}
	names, err := fs.Glob(os.DirFS("static"), "*")
	if err != nil || len(names) == 0 {
		t.Fatal("no static files", err)
	}
	for _, name := range names {
		raw, err := os.ReadFile("static/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		_, _ = w.Write(raw)
		_ = w.Close()
		size[name[strings.LastIndex(name, "."):]] += b.Len()
	}
	t.Logf("compressed: js %d, css %d, svg %d bytes", size[".js"], size[".css"], size[".svg"])
	for ext, limit := range map[string]int{".js": maxJS, ".css": maxCSS, ".svg": maxIcons} {
		if size[ext] > limit {
			t.Errorf("%s: %d bytes compressed, over %d", ext, size[ext], limit)
		}
	}
	if n := size[".js"] + size[".css"]; n > maxPage {
		t.Errorf("scripts and style: %d bytes, over %d", n, maxPage)
	}
}

func TestStatic(t *testing.T) {
	t.Parallel()
	u, err := ui.New()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := u.Render(&b, ui.Home{}); err != nil {
		t.Fatal(err)
	}
	css := regexp.MustCompile(`/static/[0-9a-f]+/app\.css`).FindString(b.String())
	get := func(path, enc string) *http.Response {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Accept-Encoding", enc)
		w := httptest.NewRecorder()
		u.Static(w, r)
		return w.Result()
	}
	for _, c := range []struct {
		path, enc   string
		code        int
		cache, ctyp string
	}{
		{css, "gzip, br", 200, "immutable", "text/css; charset=utf-8"},
		{css, "", 200, "immutable", "text/css; charset=utf-8"},
		{"/static/000000000000/app.js", "gzip", 200, "no-cache", "text/javascript; charset=utf-8"},
		{"/static/x/../ui.go", "", 404, "", ""},
		{"/static/", "", 404, "", ""},
	} {
		r := get(c.path, c.enc)
		if r.StatusCode != c.code {
			t.Errorf("%s: %d, want %d", c.path, r.StatusCode, c.code)
			continue
		}
		if c.code == 200 && (!strings.Contains(r.Header.Get("Cache-Control"), c.cache) ||
			r.Header.Get("Content-Type") != c.ctyp || (r.Header.Get("Content-Encoding") == "gzip") != (c.enc != "")) {
			t.Errorf("%s: headers %v", c.path, r.Header)
		}
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1 KB", 14022: "14 KB", 1234567: "1.2 MB",
		100e6: "100 MB", 5e9: "5 GB"} {
		if got := ui.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
	if got := ui.Span(7 * 24 * time.Hour); got != "7 days" {
		t.Error(got)
	}
	if got := ui.Number(1234567); got != "1\u202f234\u202f567" {
		t.Error(got)
	}
}
