package addr_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/addr"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, local, domain, out string }{
		{"a@b", "a", "b", "a@b"},
		{"First.Last+x@Example.COM", "First.Last+x", "Example.COM", ""},
		{`"a b"@c`, "a b", "c", `"a b"@c`},
		{`"a\"b\\c"@d`, `a"b\c`, "d", `"a\"b\\c"@d`},
		{`"plain"@d`, "plain", "d", "plain@d"},
		{`"a@b"@c`, "a@b", "c", `"a@b"@c`},
		{"postmaster", "postmaster", "", "postmaster"},
		{"a@[127.0.0.1]", "a", "[127.0.0.1]", ""},
		{"a@[IPv6:::1]", "a", "[IPv6:::1]", ""},
		{"a..b@c", "a..b", "c", "a..b@c"},
		{".a.@c", ".a.", "c", ".a.@c"},
		{"a@b.", "a", "b", "a@b"},
		{"a@under_score.example", "a", "under_score.example", ""},
		{"üser@bücher.example", "üser", "bücher.example", ""},
		{"o'hara!#$%&*-/=?^`{|}~@x", "o'hara!#$%&*-/=?^`{|}~", "x", ""},
	} {
		a, err := addr.Parse(c.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.in, err)
			continue
		}
		if a.Local != c.local || a.Domain != c.domain {
			t.Errorf("Parse(%q) = %q %q", c.in, a.Local, a.Domain)
		}
		want := c.out
		if want == "" {
			want = c.in
		}
		if a.String() != want {
			t.Errorf("Parse(%q).String() = %q, want %q", c.in, a.String(), want)
		}
	}
}

func TestParse_Rejects(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", "@", "@b", "a@", "a b@c", "a@b c", "a@b@c", `"a@b`, `""@b`, `"a\`, "a\x00@b", "a\n@b", "a@b\r",
		"a\xff@b", "a\u0085b@c", "a@b..c", "a@.b", "a@..", "a@[", "a@[]", "a@[1.2.3.4", "<a@b>", "a@b>", "a,b@c",
		strings.Repeat("a", 319) + "@b", "a@b,c@d", "(x)a@b", `"a"b@c`, "a\x7f@b",
	} {
		if a, err := addr.Parse(in); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", in, a)
		}
	}
	if _, err := addr.Parse(strings.Repeat("a", 318) + "@b"); err != nil {
		t.Errorf("320 bytes: %v", err)
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"First.Last@Example.COM":     "firstlast@example.com",
		"u.s.e.r+label@x":            "user@x",
		"user+a+b@x":                 "user@x",
		"+label@x":                   "+label@x",
		"...@x":                      "...@x",
		".+a@x":                      "+a@x",
		"a@B.":                       "a@b",
		"Postmaster":                 "postmaster",
		`"A B.c"@x`:                  `"a bc"@x`,
		`"a@b"`:                      `"a@b"`,
		`"a@b"@c`:                    `"a@b"@c`,
		"a@Bücher.example":           "a@xn--bcher-kva.example",
		"a@XN--BCHER-KVA.example":    "a@xn--bcher-kva.example",
		"ÜSER@x":                     "üser@x",
		"u\u0308ser@x":               "üser@x",
		"a@[IPv6:FE80::1]":           "a@[ipv6:fe80::1]",
		"a@bu\u0308cher。example":     "a@xn--bcher-kva.example",
		"cdlmjbppyjd72mru@localhost": "cdlmjbppyjd72mru@localhost",
	} {
		a, err := addr.Parse(in)
		if err != nil {
			t.Errorf("Parse(%q): %v", in, err)
			continue
		}
		if got := a.Key(); got != want {
			t.Errorf("Key(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParsePath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want, rest string }{
		{"<a@b>", "a@b", ""},
		{" <a@b> SIZE=10 BODY=8BITMIME", "a@b", "SIZE=10 BODY=8BITMIME"},
		{"<>", "", ""},
		{"<> SIZE=1", "", "SIZE=1"},
		{"<@x,@y.z:a@b>", "a@b", ""},
		{`<"a>b"@c> X`, `"a>b"@c`, "X"},
		{`<"a\">b"@c>`, `"a\">b"@c`, ""},
		{"a@b", "a@b", ""},
		{"a@b SIZE=3", "a@b", "SIZE=3"},
		{"<postmaster>", "postmaster", ""},
		{"< a@b >", "a@b", ""},
	} {
		a, rest, err := addr.ParsePath(c.in)
		if err != nil || a.String() != c.want || rest != c.rest {
			t.Errorf("ParsePath(%q) = %q, %q, %v", c.in, a.String(), rest, err)
		}
	}
	for _, in := range []string{
		"", " ", "<", "<a@b", "<a@b>x", "a@b>", "<a@b", "<@x>", "<@x:>", "<@x,a@b>", "<<a@b>>", "<a@b\x00>", "a@b\x00", "a\xff b",
		"<" + strings.Repeat("a", 400) + "@b>", "<" + strings.Repeat("a", 2000), strings.Repeat("a", 2000), "<\"a@b>",
	} {
		if a, rest, err := addr.ParsePath(in); err == nil {
			t.Errorf("ParsePath(%q) = %+v %q, want an error", in, a, rest)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a@b", `"a b"@c`, "x+y@z", "...@x", "ü@bücher.example", "a@[::1]", "<@x:a@b> SIZE=1",
		"<>", "İ@x", "a@ẞ.de", "a@\u200d.x", `"\\"@b`, ".+a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if a, _, err := addr.ParsePath(s); err == nil && !a.IsZero() {
			back, err := addr.Parse(a.String())
			if err != nil && len(a.String()) <= addr.MaxLen || err == nil && back != a {
				t.Fatalf("path %q: %q does not read back: %+v %v", s, a.String(), back, err)
			}
		}
		a, err := addr.Parse(s)
		if err != nil {
			return
		}
		if len(a.String()) <= addr.MaxLen {
			if back, err := addr.Parse(a.String()); err != nil || back != a {
				t.Fatalf("%q: %q does not read back: %+v %v", s, a.String(), back, err)
			}
		}
		k := a.Key()
		if k == "" || a.Local != "" && k[0] == '@' {
			t.Fatalf("%q: key %q has no local part", s, k)
		}
		if len(k) > addr.MaxLen {
			return
		}
		b, err := addr.Parse(k)
		if err != nil {
			t.Fatalf("%q: key %q does not parse: %v", s, k, err)
		}
		if b.Key() != k {
			t.Fatalf("%q: key %q is not stable: %q", s, k, b.Key())
		}
	})
}

func BenchmarkKey(b *testing.B) {
	a := addr.Addr{Local: "First.Last+x", Domain: "example.com"}
	b.ReportAllocs()
	for b.Loop() {
		_ = a.Key()
	}
}

// TestParsePath_Long: a source route fills a path up to its limit, and no further.
func TestParsePath_Long(t *testing.T) {
	t.Parallel()
	path := func(n int) string { return "<@" + strings.Repeat("x", n-len("<@:a@b>")) + ":a@b>" }
	if a, _, err := addr.ParsePath(path(addr.MaxPath)); err != nil || a.String() != "a@b" {
		t.Errorf("%d bytes: %q %v", addr.MaxPath, a.String(), err)
	}
	if _, _, err := addr.ParsePath(path(addr.MaxPath + 1)); !errors.Is(err, addr.ErrTooLong) {
		t.Errorf("%d bytes: %v", addr.MaxPath+1, err)
	}
}

// TestParse_Long: an address is as long as it may be, and no longer.
func TestParse_Long(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]error{addr.MaxLen: nil, addr.MaxLen + 1: addr.ErrTooLong} {
		if a, err := addr.Parse(strings.Repeat("a", n-2) + "@b"); !errors.Is(err, want) || err == nil && len(a.String()) != n {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
