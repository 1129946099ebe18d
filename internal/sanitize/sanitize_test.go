package sanitize_test

import (
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/sanitize"
)

const head = `<html><head><meta charset="utf-8"/><meta name="referrer" content="no-referrer"/>` +
	`<meta http-equiv="x-dns-prefetch-control" content="off"/>`

// body is what a document has between its body tags.
func body(t testing.TB, out []byte) string {
	t.Helper()
	_, s, ok := strings.Cut(string(out), "<body")
	if !ok {
		t.Fatalf("no body: %s", out)
	}
	_, s, _ = strings.Cut(s, ">")
	return strings.TrimSuffix(s, "</body></html>")
}

func TestHTML(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"plain & simple", "plain &amp; simple"},
		{"<p>a<p>b", "<p>a</p><p>b</p>"},
		{"<b><p>x</b>y", "<b><p>x</p></b>y"},
		{"<p><b>x</p>y", "<p><b>x</b></p><b>y</b>"},
		{"<b><i>x</b>y</i>z", "<b><i>x</i></b><i>y</i>z"},
		{"<ul><li>a<li>b<ul><li>c</ul><li>d</ul>", "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>"},
		{"<table><tr><td>a<td>b<tr><td><b>c</table>d", "<table><tr><td>a</td><td>b</td></tr><tr><td><b>c</b></td></tr></table>d"},
		{"<td></div></td>", "<td></td>"},
		{"<script>alert(1)</script>x", "x"},
		{"<img src=x onerror=alert(1)>", "<img/>"},
		{"<svg onload=alert(1)><p>x</p>y", "<p>x</p>y"},
		{"<svg><style><img src=x></style></svg>y", "<img/>y"},
		{"<math><mtext><p>hidden</p></mtext></math>y", "y"},
		{"<noscript><img src=x></noscript>y", "y"},
		{"<xmp><b>x</xmp>y", "<pre>&lt;b&gt;x</pre>y"},
		{"<textarea></b><img src=x></textarea>", `<textarea disabled="">&lt;/b&gt;&lt;img src=x&gt;</textarea>`},
		{"<form action=x><input name=a value=b><input type=hidden></form>", `<div><input value="b" disabled=""/></div>`},
		{"<button formaction=x popovertarget=y>b</button>", `<button disabled="" type="button">b</button>`},
		{`<a href="http://a.test/?a=1&amp;b=2">x</a>`,
			`<a href="http://a.test/?a=1&amp;b=2" target="_blank" rel="noopener noreferrer nofollow">x</a>`},
		{`<a href=" java&#10;script:alert(1)">x</a>`, `<a>x</a>`},
		{`<a href="&#1;javascript:alert(1)">x</a>`, `<a>x</a>`},
		{`<a href="myapp://open" target=_top ping=x>x</a>`,
			`<a href="myapp://open" target="_blank" rel="noopener noreferrer nofollow">x</a>`},
		{`<a href="#top">x</a>`, `<a href="#top">x</a>`},
		{`<a href="/logout">x</a><a href="//h.test/x">y</a>`,
			`<a>x</a><a href="https://h.test/x" target="_blank" rel="noopener noreferrer nofollow">y</a>`},
		{`<img src="http://r.test/x.png" alt="a">`, `<img data-remote="" alt="a"/>`},
		{`<img src="cid:a%40b">`, `<img src="/f/1"/>`},
		{`<img src="data:image/png;base64,AAAA"><img src="data:image/svg+xml;base64,AAAA">`,
			`<img src="data:image/png;base64,AAAA"/><img/>`},
		{`<p style="color:red;background:url(http://r.test/x)">x`, `<p style="color:red;background:none">x</p>`},
		{`<p style='background:u\72l(http://r.test'>x`, `<p style="background:none">x</p>`},
		{`<p style='background:url("cid:a@b") no-repeat'>x`, `<p style="background:url(&#34;/f/1&#34;) no-repeat">x</p>`},
		{`<td background="http://r.test/x">x`, `<td>x</td>`},
		{"<object data=x><embed src=y>fall</object>", "fall"},
		{"<o:p>word</o:p>", "word"},
		{"a</p>b</br>c", "ab<br/>c"},
		{"<p id=a id=b>x", `<p id="a">x</p>`},
		{"x\x00y\r\nz&#13;", "x\uFFFDy\nz&#13;"},
	} {
		o := sanitize.Options{CID: func(id string) (string, bool) { return "/f/1", id == "a@b" }}
		if got := body(t, sanitize.HTML([]byte(c.in), o).HTML); got != c.want {
			t.Errorf("%q:\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

func TestStyle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"p{color:red}", "p{color:red}"},
		{`@import "http://r.test/x"; p{a:b}`, "p{a:b}"},
		{`@@x;import "http://r.test/x"; p{a:b}`, `import "http://r.test/x"; p{a:b}`},
		{`p{background:u@x;rl(http://r.test/x)}`, `p{background:u rl(http://r.test/x)}`},
		{`@im\70ort url(http://r.test/x); p{a:b}`, "p{a:b}"},
		{"<!-- p > a { b : c } -->", "p > a { b : c }"},
		{`@font-face{src:url(http://r.test/f)}p{x:y}`, "@font-face{src:none}p{x:y}"},
		{`@media (min-width:1px) and (width<=9px){a{b:c}}`, `@media (min-width:1px) and (width<=9px){a{b:c}}`},
		{`a{b:"</sty`, `a{b:"\3c /sty"`},
		{`a{b:image-set("http://r.test/x" 1x)}c{d:e}`, `a{b:none}c{d:e}`},
		{`a{--x:url(http://r.test/x);b:var(--x)}`, `a{--x:none;b:var(--x)}`},
		{`a{b:url(http://r.test/x`, `a{b:none`},
		{`a/**/b /* x */c{}`, `a/**/b c{}`},
		{`@charset "x"; @foo {a{b:c}} d{e:f}`, `d{e:f}`},
		{`a{b:url( "data:image/png;base64,AA==" )}`, `a{b:url("data:image/png;base64,AA==")}`},
		{`#a\:b .\31 x{}`, `#a\3a b .\31 x{}`},
		{`a[href^="x"]{}`, `a[href^="x"]{}`},
	} {
		out := string(sanitize.HTML([]byte("<style media=screen>"+c.in+"</style>x"), sanitize.Options{}).HTML)
		_, s, _ := strings.Cut(out, `<style media="screen">`)
		s, _, _ = strings.Cut(s, "</style>")
		if s != c.want {
			t.Errorf("%q:\n got %s\nwant %s\n%s", c.in, s, c.want, out)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	a := func(u, text string) string {
		return `<a href="` + u + `" target="_blank" rel="noopener noreferrer nofollow">` + text + `</a>`
	}
	for _, c := range []struct{ in, want string }{
		{`<b>"x" & 'y'`, `&lt;b&gt;&#34;x&#34; &amp; &#39;y&#39;`},
		{"see http://a.test/?a=1&b=2.", "see " + a("http://a.test/?a=1&amp;b=2", "http://a.test/?a=1&amp;b=2") + "."},
		{`http://a.test/"onclick="x`, a("http://a.test/", "http://a.test/") + "&#34;onclick=&#34;x"},
		{"javascript:alert(1)", "javascript:alert(1)"},
		{"http://аpple.test/x", a("http://аpple.test/x", "http://аpple.test/x") +
			` <span class="idn">[xn--pple-43d.test]</span>`},
		{"http://a.test/\u202egpj.exe", a("http://a.test/\u202egpj.exe", "http://a.test/\uFFFDgpj.exe")},
	} {
		if got := string(sanitize.Text(c.in)); got != c.want {
			t.Errorf("%q:\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

// TestLinks: a link is judged, and written, as browsers read it, however it is written.
func TestLinks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, text, href, why string }{
		{`https://bank.test/a\b`, "https://bank.test", `https://bank.test/a/b`, ""},
		{`HTTPS://www.bank.test/?a=\#\`, "bank.test", `https://www.bank.test/?a=\#\`, ""},
		{`https:\\evil.test`, "https://bank.test", `https://evil.test`, "other host"},
		{`https:evil.test`, "https://bank.test", `https://evil.test`, "other host"},
		{`https:/evil.test`, "bank.test", `https://evil.test`, "other host"},
		{`https:///evil.test`, "bank.test", `https://evil.test`, "other host"},
		{`http:/\/\evil.test/x`, "bank.test", `http://evil.test/x`, "other host"},
		{`https://evil.test\.bank.test/`, "https://bank.test", `https://evil.test/.bank.test/`, "other host"},
		{`https://evil.test\@bank.test/`, "https://bank.test", `https://evil.test/@bank.test/`, "other host"},
		{`https://bank.test\@evil.test/`, "https://bank.test", `https://bank.test/@evil.test/`, ""},
		{`https://bank.test@evil.test/`, "https://bank.test", `https://bank.test@evil.test/`, "other host"},
		{`\\evil.test`, "bank.test", `https://evil.test`, "other host"},
		{`/\evil.test`, "bank.test", `https://evil.test`, "other host"},
		{`///evil.test`, "bank.test", `https://evil.test`, "other host"},
		{`https:\\bаnk.test`, "https://bank.test", "https://bаnk.test", "look-alike host"},
		{`https://b%D0%B0nk.test`, "https://bank.test", `https://b%D0%B0nk.test`, "look-alike host"},
		{`https://evil%2Etest`, "https://bank.test", `https://evil%2Etest`, "other host"},
		{`https://bank%2etest:443/`, "https://bank.test", `https://bank%2etest:443/`, ""},
		{`https://evil%2`, "bank.test", `https://evil%2`, "broken address"},
		{`https://evil%252Etest`, "bank.test", `https://evil%252Etest`, "broken address"},
		{`https:`, "bank.test", `https://`, "broken address"},
		{`https://[::1]/`, "http://[::1]:80", `https://[::1]/`, ""},
		{`https://[::1]/`, "bank.test", `https://[::1]/`, "other host"},
		{`https://evil.test`, `https:\\bank.test`, `https://evil.test`, "other host"},
		{`https://evil.test`, `https:bank.test`, `https://evil.test`, "other host"},
		{`myapp:\\open`, "bank.test", `myapp:\\open`, ""},
	} {
		page := `<a href="` + c.in + `">` + c.text + `</a>`
		r := sanitize.HTML([]byte(page), sanitize.Options{})
		_, href, _ := strings.Cut(string(r.HTML), `href="`)
		href, _, _ = strings.Cut(href, `"`)
		why := ""
		for _, d := range r.Suspicious {
			why = d.Why
		}
		if href != c.href || why != c.why {
			t.Errorf("%s for %q leads to %s, %q; want %s, %q", c.in, c.text, href, why, c.href, c.why)
		}
		checkSafe(t, r.HTML, sanitize.Options{})
	}
}
