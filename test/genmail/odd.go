package genmail

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// files is how many files Odd sends again and again.
const files = 12

// Odd makes a message of any MIME shape, right or wrong: depths, line ends,
// widths and paddings of base64, charsets that do not fit, headers that lie,
// bodies that were cut. Some of its files come again, in other lines. It may be
// empty.
func (g *Generator) Odd() []byte {
	o := &odd{g: g, eol: one(g, []string{"\r\n", "\r\n", "\r\n", "\n"})}
	if g.some(2) {
		return nil
	}
	if g.some(95) {
		o.header()
	}
	b := []byte(o.b.String() + o.part(0))
	if g.some(15) && len(b) > 0 {
		b = b[:g.r.IntN(len(b))]
	}
	return b
}

// odd is such a message that is being written.
type odd struct {
	g   *Generator
	b   strings.Builder
	eol string
}

func (o *odd) header() {
	g := o.g
	all := []string{
		"From: " + g.person().full(),
		"To: " + strings.Repeat(g.person().full()+","+o.eol+" ", g.r.IntN(20)) + g.person().full(),
		"Subject: " + one(g, []string{"plain", "=?utf-8?q?t=C3=A9xt?=", "=?x-none?b?////?=", "=?utf-8?b?A",
			"\xff\xfe raw \x80", strings.Repeat("long ", 400)}),
		"Message-ID: " + g.id(),
		"Date: " + one(g, []string{g.date(), "yesterday", ""}),
		"Content-Length: " + one(g, []string{"0", "-1", "99999999999999999999", "12"}),
		"Lines: 3",
		"X-" + g.random(5) + ":" + strings.Repeat(" "+g.random(60)+o.eol, 1+g.r.IntN(3)) + "\tend",
		"MIME-Version: 1.0",
		"no colon at all",
	}
	for _, l := range all {
		if g.some(55) {
			o.b.WriteString(l + o.eol)
		}
	}
}

// part draws a part with its header fields.
func (o *odd) part(depth int) string {
	g := o.g
	kinds := []func(int) string{o.text, o.file, o.file, o.multi, o.multi, o.message, o.binary}
	if depth > 4 {
		kinds = kinds[:2]
	}
	return kinds[g.r.IntN(len(kinds))](depth)
}

func (o *odd) fields(kind, encoding string) string {
	s := "Content-Type: " + kind + o.eol
	if encoding != "" {
		s += "Content-Transfer-Encoding: " + encoding + o.eol
	}
	return s + o.eol
}

func (o *odd) text(int) string {
	g := o.g
	charset := one(g, []string{"utf-8", "us-ascii", "iso-8859-1", "iso-2022-jp", "utf-16", "x-none", `"`, ""})
	s := o.fields("text/"+one(g, []string{"plain", "html", "x"})+"; charset="+charset,
		one(g, []string{"", "7bit", "8bit", "quoted-printable", "quoted-printable", "x-none"}))
	for range g.r.IntN(60) {
		s += one(g, []string{g.random(g.r.IntN(100)), "=C3=A9 = =\xff", "größe", "\x80\x81\xff", ". a dot", "", "From here",
			g.random(70) + "="}) + one(g, []string{o.eol, o.eol, o.eol, "\n", "\r\n", "\r"})
	}
	return s
}

// file is base64 of all kinds.
func (o *odd) file(int) string {
	g := o.g
	seed, size := g.r.Uint64(), []int{g.r.IntN(200), g.r.IntN(30_000), g.r.IntN(30_000), 1, 0}[g.r.IntN(5)]
	if g.some(30) {
		seed = uint64(g.r.IntN(files))
		size = 9000 + 3001*int(seed)
	}
	enc := New(seed).base64(size)
	switch g.r.IntN(10) {
	case 0:
		enc = strings.TrimRight(enc, "=")
	case 1:
		enc += "===="
	case 2:
		enc = strings.NewReplacer("+", "-", "/", "_").Replace(enc)
	case 3:
		enc = base64.RawURLEncoding.EncodeToString([]byte(enc))
	}
	width := []int{76, 76, 76, 60, 64, 72, 73, 1 + g.r.IntN(400), 4, 1 << 20}[g.r.IntN(10)]
	eol := one(g, []string{o.eol, o.eol, o.eol, "\r\n", "\n", " \r\n"})
	var b strings.Builder
	b.WriteString(o.fields("image/png; name="+g.random(5),
		one(g, []string{"base64", "base64", "base64", "BASE64", "base64 x"})))
	for len(enc) > width {
		b.WriteString(enc[:width] + eol)
		enc = enc[width:]
	}
	s := b.String() + enc
	if at := len(s) - 1; g.some(15) && at > 0 {
		at = g.r.IntN(at)
		s = s[:at] + one(g, []string{"!", "=", "\r", "\n", " ", "A", "\x00", "AAAA", "\r\n\r\n"}) + s[at:]
	}
	return s + one(g, []string{"", o.eol, o.eol + o.eol, "-- " + o.eol + "text behind it" + o.eol})
}

func (o *odd) multi(depth int) string {
	g := o.g
	x := fmt.Sprintf("b%d", depth)
	if g.some(10) {
		x = "same" // as further up
	}
	s := o.fields("multipart/"+one(g, []string{"mixed", "alternative", "digest", "signed"})+"; boundary="+x, "")
	if g.some(20) {
		s += "A preamble." + o.eol
	}
	for range g.r.IntN(4) {
		s += "--" + x + o.eol
		if g.some(90) {
			s += o.part(depth + 1)
		}
		s += o.eol
	}
	if g.some(80) {
		s += "--" + x + "--" + o.eol
	}
	return s
}

func (o *odd) message(depth int) string {
	return o.fields("message/rfc822", one(o.g, []string{"", "base64", "8bit"})) + o.part(depth+1)
}

func (o *odd) binary(int) string {
	b := make([]byte, o.g.r.IntN(3000))
	for i := range b {
		b[i] = byte(o.g.r.Uint32())
	}
	return o.fields("application/octet-stream", one(o.g, []string{"binary", "8bit", "uuencode", "x"})) + string(b)
}
