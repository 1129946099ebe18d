package sanitize_test

import (
	"bytes"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/sanitize"
	"github.com/eidermail/eider/internal/sanitize/hostile"
)

// forbidden elements, written down here once more on purpose.
var forbidden = strings.Fields(`script iframe frame frameset object embed applet link base svg math template noscript noembed
	noframes audio video source track canvas portal form dialog plaintext xmp title param image marquee slot picture map-x
	isindex keygen bgsound fencedframe`)

// checkSafe fails where a document could run or load anything, or where it
// changes when it is sanitized again.
func checkSafe(t testing.TB, out []byte, o sanitize.Options) {
	t.Helper()
	for _, scripting := range []bool{false, true} {
		root, err := html.ParseWithOptions(bytes.NewReader(out), html.ParseOptionEnableScripting(scripting))
		if err != nil {
			t.Fatalf("%v: %.300s", err, out)
		}
		for n := range root.Descendants() {
			checkNode(t, n, o)
		}
	}
	if again := sanitize.HTML(out, o).HTML; !bytes.Equal(out, again) {
		t.Errorf("another result the second time:\n%s\nfirst:\n%s", near(again, out), near(out, again))
	}
}

// near is where a begins to differ from b.
func near(a, b []byte) []byte {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return a[max(0, i-60):min(len(a), i+100)]
}

func checkNode(t testing.TB, n *html.Node, o sanitize.Options) {
	t.Helper()
	switch n.Type {
	case html.CommentNode:
		t.Errorf("a comment: %q", n.Data)
	case html.TextNode:
		if n.Parent.Data == "style" {
			checkCSS(t, n.Data, o)
		}
	case html.ElementNode:
		if n.Namespace != "" {
			t.Errorf("element of %s", n.Namespace)
		}
		for _, f := range forbidden {
			if n.Data == f {
				t.Errorf("element %s", f)
			}
		}
		for _, a := range n.Attr {
			checkAttr(t, n, a, o)
		}
	}
}

func checkAttr(t testing.TB, n *html.Node, a html.Attribute, o sanitize.Options) {
	t.Helper()
	v := strings.ToLower(a.Val)
	switch {
	case strings.HasPrefix(a.Key, "on"), a.Key == "srcdoc", a.Key == "srcset", a.Key == "ping", a.Key == "action",
		a.Key == "formaction", a.Key == "poster", a.Key == "data", a.Key == "download", strings.Contains(a.Key, ":"):
		t.Errorf("attribute %s=%q", a.Key, a.Val)
	case n.Data == "meta":
		if a.Key == "http-equiv" && a.Val != "x-dns-prefetch-control" {
			t.Errorf("meta %q", a.Val)
		}
	case a.Key == "src" || a.Key == "background":
		if !strings.HasPrefix(v, "data:image/") && (!o.AllowRemote || !strings.HasPrefix(v, "http")) {
			t.Errorf("loads %q", a.Val)
		}
	case a.Key == "href":
		scheme, _, _ := strings.Cut(a.Val, ":")
		if n.Data != "a" && n.Data != "area" || !strings.HasPrefix(v, "#") && !message.SafeScheme(scheme) {
			t.Errorf("%s leads to %q", n.Data, a.Val)
		}
	case a.Key == "target":
		if v != "_blank" {
			t.Errorf("target %q", a.Val)
		}
	case a.Key == "style":
		checkCSS(t, a.Val, o)
	}
}

func checkCSS(t testing.TB, s string, o sanitize.Options) {
	t.Helper()
	s = cssEscape.ReplaceAllStringFunc(s, func(e string) string {
		v, _ := strconv.ParseUint(strings.TrimSpace(e[1:]), 16, 32)
		if c := byte(v); v < 128 && (c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9') {
			return string(rune(c))
		}
		return "_" // part of a name or of a string, but no letter
	})
	if m := badCSS.FindString(s); m != "" {
		t.Errorf("CSS with %q: %s", m, s)
	}
	for _, m := range cssURL.FindAllStringSubmatch(s, -1) {
		if u := strings.ToLower(m[1]); !strings.HasPrefix(u, `"data:`) && (!o.AllowRemote || !strings.HasPrefix(u, `"http`)) {
			t.Errorf("CSS loads %.40s", u)
		}
	}
}

// No name may be longer than these are, so what stands before them is no letter.
var (
	badCSS = regexp.MustCompile("(?i)</|<!|<[a-z]|@(import|namespace|charset|document)|" +
		`(^|[^-_a-z0-9\x{80}-\x{10ffff}])(expression|(-webkit-)?image-set|src|image|paint)\(`)
	cssEscape = regexp.MustCompile(`\\[0-9a-f]{1,6} ?`)
	cssURL    = regexp.MustCompile(`(?i)(?:^|[^-_a-z0-9\x{80}-\x{10ffff}])url\(([^)]*)`)
)

// htmlOf are the HTML texts of a message, decoded as they are shown.
func htmlOf(t testing.TB, b []byte) (out [][]byte) {
	t.Helper()
	for _, p := range message.WalkParts(message.Parse(b).Root) {
		if p.Type == "text" && p.Subtype == "html" {
			var text bytes.Buffer
			if _, err := text.ReadFrom(message.TextReader(p, bytes.NewReader(b[p.Body.Start:p.Body.End]))); err != nil {
				t.Fatal(err)
			}
			out = append(out, text.Bytes())
		}
	}
	return out
}

func TestHostile(t *testing.T) {
	t.Parallel()
	for _, v := range hostile.All() {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			m := v.EML("beacon.test")
			for _, page := range htmlOf(t, m) {
				r := sanitize.HTML(page, sanitize.Options{})
				checkSafe(t, r.HTML, sanitize.Options{})
				root, _ := html.Parse(bytes.NewReader(r.HTML))
				for n := range root.Descendants() {
					for _, a := range n.Attr {
						if strings.Contains(a.Val, "beacon.test") && (a.Key == "src" || a.Key == "style" || a.Key == "background") {
							t.Errorf("the beacon is in %s=%q", a.Key, a.Val)
						}
					}
				}
				o := sanitize.Options{AllowRemote: true}
				checkSafe(t, sanitize.HTML(page, o).HTML, o)
			}
			if v.Text != "" {
				checkSafe(t, sanitize.HTML([]byte(sanitize.Text(v.Text)), sanitize.Options{}).HTML, sanitize.Options{})
			}
		})
	}
}

func TestRemoved(t *testing.T) {
	t.Parallel()
	r := sanitize.HTML([]byte(`<script>1</script><p onclick=x onload=y><img src=http://r.test/1><img src=http://r.test/2>
		<style>@import "x";</style><a href="http://evil.test/">bank.com</a>`), sanitize.Options{})
	got := ""
	for _, x := range r.Removed {
		got += x.What + strings.Repeat("!", x.Count) + " "
	}
	if got != "event handler!! remote image!! CSS @import! script! " || r.RemoteImages != 2 || r.Truncated {
		t.Errorf("%s, %d remote", got, r.RemoteImages)
	}
	if len(r.Suspicious) != 1 || r.Suspicious[0].Why != "other host" {
		t.Errorf("%+v", r.Suspicious)
	}
}

// hostileUnits are repeated to make big documents.
var hostileUnits = []string{
	"<div>", "<p>x", "<b><p>x", "<table><tr><td>", "<a href=x:y>", "</b>", "<font size=1><i>x</b>", "&", "<", "<svg>",
	"<svg><style>", "<style>", "<!--", "<p style='a:url(", "<style>a{b:url(</style>", "x\x00", "<p a=b ", "<select><option>",
	"<li>", "<ul><li>", "<dl><dd>", "</p>", "<p style='\\'>", "<style>@x{</style>", "<style>/*</style>", "<img src=http://x>",
	"<p><button><span>", "<i></b><b></i>",
}

// TestLinear makes each shape eight times as big and lets each doubling cost 2.5
// times as much.
func TestLinear(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cost := func(b []byte) time.Duration {
		start := cpuTime()
		for i := 1; ; i++ {
			sanitize.HTML(b, sanitize.Options{})
			if took := cpuTime() - start; took > 10*time.Millisecond || i == 16 {
				return took / time.Duration(i)
			}
		}
	}
	for _, unit := range hostileUnits {
		small := []byte(strings.Repeat(unit, 128<<10/len(unit)))
		big := []byte(strings.Repeat(unit, 1<<20/len(unit)))
		a, b := cost(small), cost(big)
		for try := 0; float64(b) > 15.6*float64(a) && b > 8*time.Millisecond; try++ {
			if try == 8 { // the machine is busy with other things at times
				t.Errorf("%q: 1 MB took %v, 1/8 of it %v", unit, b, a)
				break
			}
			a, b = min(a, cost(small)), min(b, cost(big))
		}
		t.Logf("%-30q 1 MB %v", unit, b)
	}
}

// TestMemory: a document of a few bytes does not ask for much.
func TestMemory(t *testing.T) {
	b := []byte(strings.Repeat("<font color=red title=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa><b><i>", 100) +
		strings.Repeat("<p>x", 50_000))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := sanitize.HTML(b, sanitize.Options{})
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 || len(r.HTML) > 16<<20 {
		t.Errorf("%d bytes allocated, %d written", n, len(r.HTML))
	}
}

func FuzzHTML(f *testing.F) {
	for _, v := range hostile.All() {
		if v.HTML != "" && len(v.HTML) < 2000 {
			f.Add(v.Page("b.test"))
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, o := range []sanitize.Options{{}, {AllowRemote: true}} {
			checkSafe(t, sanitize.HTML([]byte(s), o).HTML, o)
		}
		checkSafe(t, sanitize.HTML([]byte(sanitize.Text(s)), sanitize.Options{}).HTML, sanitize.Options{})
	})
}

func FuzzCSS(f *testing.F) {
	for _, v := range hostile.All() {
		if _, css, ok := strings.Cut(v.HTML, "<style>"); ok && len(css) < 2000 {
			css, _, _ = strings.Cut(css, "</style>")
			f.Add(css)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		page := "<style>" + s + "</style><p style=\"" + strings.ReplaceAll(html.EscapeString(s), "\x00", "") + "\">x"
		checkSafe(t, sanitize.HTML([]byte(page), sanitize.Options{}).HTML, sanitize.Options{})
	})
}

func BenchmarkHTML(b *testing.B) {
	page := []byte("<html><body><table>" + strings.Repeat("<tr><td style=\"color:#333;font-family:Arial\" align=left>"+
		"<p class=x>Some text with <b>bold</b> &amp; <a href=\"https://a.test/?a=b&amp;c=d\">a link</a></p></td></tr>\n", 5000))
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		sanitize.HTML(page, sanitize.Options{})
	}
}
