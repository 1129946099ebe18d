package message_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/eidermail/eider/internal/message"
)

func FuzzIndexer(f *testing.F) {
	f.Add(nested, uint64(1))
	for _, s := range hostileShapes {
		f.Add([]byte(s.make(300)), uint64(2))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		x := message.Parse(b)
		checkIndex(t, b, x)
		want := dump(x)
		for _, most := range []int{1, 5, 100} {
			if got := dump(inPieces(b, rand.New(rand.NewPCG(seed, 1)), most)); got != want {
				t.Fatalf("in pieces:\n%s\nat once:\n%s", got, want)
			}
		}
		header := b[x.Root.Header.Start:x.Root.Header.End]
		n := 0
		for fl := range message.HeaderFields(header) {
			n += len(fl.Raw)
			_ = fl.Text()
		}
		if rest := bytes.Trim(header[n:], "\r\n"); len(rest) > 0 {
			t.Fatalf("fields end before %q", rest)
		}
		for path, p := range message.WalkParts(x.Root) {
			at, ok := message.ParsePath(path)
			if !ok || message.FindPart(x.Root, at) != p {
				t.Fatalf("part %s is not found", path)
			}
			text, err := io.ReadAll(message.TextReader(p, bytes.NewReader(b[p.Body.Start:p.Body.End])))
			if err != nil || !utf8.Valid(text) {
				t.Fatalf("text of %s: %v", path, err)
			}
			if !utf8.ValidString(p.FileName()) {
				t.Fatalf("file name %q", p.FileName())
			}
		}
		if !utf8.ValidString(x.Preview) {
			t.Fatalf("preview %q", x.Preview)
		}
	})
}

func FuzzDecodeHeader(f *testing.F) {
	for _, s := range []string{"=?utf-8?q?=C3=A4?= x", "=?x?b?", "caf\xe9", "=?utf-7?b?K0FPUS0=?="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := message.DecodeHeader(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' }) {
			t.Fatalf("%q", got)
		}
		message.BaseSubject(got)
	})
}

func FuzzParseAddresses(f *testing.F) {
	for _, s := range []string{"A <a@b>, \"x\" <@r:c@d>", "g:a@b;,(c", `"\`, "<<\"", "[a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list := message.ParseAddresses(s)
		open := false
		for _, a := range list {
			if !a.Group {
				continue
			}
			if open == (a.Mailbox != "" || a.Name != "" || a.Host != "") && open {
				t.Fatalf("group in group: %+v", list)
			}
			open = !open
		}
		if open || len(list) > message.MaxAddresses+3 {
			t.Fatalf("%d entries, open %v", len(list), open)
		}
	})
}

func FuzzParams(f *testing.F) {
	for _, s := range []string{"a/b; c=d; e*0*=utf-8''%41; e*1=x", `x; filename="a\"`, "; ;=;*=;*0=", "a/b (c; d=e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		x := message.Parse([]byte("Content-Type: " + s + "\r\nContent-Disposition: " + s + "\r\n\r\n"))
		for _, p := range append(x.Root.Params, x.Root.DispParams...) {
			if p.Name == "" || strings.ContainsAny(p.Name+p.Value, "\r\n\x00") {
				t.Fatalf("param %+v", p)
			}
			if v := message.ParamValue(x.Root.Params, p.Name); !utf8.ValidString(v) {
				t.Fatalf("value %q", v)
			}
		}
	})
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"Mon, 2 Jan 2006 15:04:05 +0100", "2006-01-02T15:04:05Z", "1/2/06 3:04 PM"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := message.ParseDate(s); ok && (d.Year() < 0 || d.Year() > 10_000) {
			t.Fatalf("%v", d)
		}
	})
}

func FuzzExtract(f *testing.F) {
	f.Add("code 123456 http://a.test/(x) <a href='x:y'>z</a>")
	f.Fuzz(func(t *testing.T, s string) {
		at := 0
		for _, l := range message.FindLinks(s) {
			if l.Start < at || l.End <= l.Start || l.End > len(s) {
				t.Fatalf("%+v", l)
			}
			at = l.End
		}
		message.Links(s, s)
		message.HTMLText(s)
	})
}
