package faces

import (
	"strings"
	"testing"
)

func TestParseQuery(t *testing.T) {
	t.Parallel()
	got, err := parseQuery(`hello "two words" -from:Ada@x.test subject:"Big News" !is:read larger:10k before:2026-01-31`)
	if err != nil || len(got) != 7 {
		t.Fatalf("%+v %v", got, err)
	}
	for i, want := range []term{{want: "hello"}, {want: "two words"}, {not: true, field: "from", want: "ada@x.test"},
		{field: "subject", want: "big news"}, {not: true, field: "is", want: "read"}} {
		if got[i] != want {
			t.Errorf("term %d: %+v, want %+v", i, got[i], want)
		}
	}
	if got[5].size != 10<<10 || got[6].at.Year() != 2026 {
		t.Errorf("%+v", got[5:])
	}
	for _, q := range []string{"larger:big", "before:yesterday", strings.Repeat("a ", 30), strings.Repeat("a", 2000)} {
		if _, err := parseQuery(q); err == nil {
			t.Errorf("%.20q is taken", q)
		}
	}
	if got, err := parseQuery("http://x.test/a"); err != nil || len(got) != 1 || got[0].field != "" {
		t.Errorf("a word with a colon: %+v %v", got, err)
	}
}

func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{"", `"`, `-`, "from:", `a"b c" -x`, "larger:99999999999999999999k", "before:", "!:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, q string) {
		terms, err := parseQuery(q)
		if err == nil && len(terms) > MaxTerms {
			t.Errorf("%d terms", len(terms))
		}
		for i := range terms {
			if terms[i].want == "" || terms[i].size < 0 {
				t.Errorf("%+v of %q", terms[i], q)
			}
		}
	})
}
