package message_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eidermail/eider/internal/message"
)

func TestFindLinks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"see http://a.test/x.", "http://a.test/x"},
		{"(https://a.test/wiki/X_(y)), ok", "https://a.test/wiki/X_(y)"},
		{"<https://a.test/?a=1&b=2>", "https://a.test/?a=1&b=2"},
		{`"https://a.test/q"`, "https://a.test/q"},
		{"www.a.test and wwwa.test", "http://www.a.test"},
		{"mail me@a.test, or mailto:you@a.test?subject=x", "mailto:me@a.test mailto:you@a.test?subject=x"},
		{"myapp://open/1 javascript://x data:text/html,x file:///etc", "myapp://open/1"},
		{"javascript:alert(1)", ""},
		{"http://a.test/ä/ü", "http://a.test/ä/ü"},
		{"time 12:30, note: x", ""},
		{"http://", ""},
		{"xhttp://a.test", "xhttp://a.test"},
		{"a@b", ""},
		{"https://a.test/a,https://b.test/b", "https://a.test/a,https://b.test/b"},
		{"http://a.test\u2028x http://b.test\u00a0y", "http://a.test http://b.test"},
	} {
		var got []string
		end := 0
		for _, l := range message.FindLinks(c.text) {
			if l.Start < end || l.End > len(c.text) || l.End <= l.Start {
				t.Fatalf("%q: bad span %+v", c.text, l)
			}
			end = l.End
			got = append(got, l.URL)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%q: %q, want %q", c.text, s, c.want)
		}
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	got := message.Links("also https://a.test/1 and https://c.test",
		`<a href="https://a.test/1">Confirm <b>it</b></a> <A HREF=' java	script:alert(1)'>x</A><a href="/rel">r</a>
		<map><area href="myapp://deep?x=1&amp;y=2"></map><a href="https://b.test`)
	want := []message.Link{{URL: "https://a.test/1", Text: "Confirm it"}, {URL: "myapp://deep?x=1&y=2"}, {URL: "https://c.test"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestBaseSubject(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, want string
		reply    bool
	}{
		{"hello", "hello", false},
		{"Re: hello", "hello", true},
		{"RE[2]: [list] Fwd: hello (fwd)", "hello", true},
		{"[list] hello", "hello", false},
		{"[only]", "[only]", false},
		{"[fwd: Re: hello ]", "hello", true},
		{"Re:", "", true},
		{"Rebecca: x", "Rebecca: x", false},
		{"re : a  b", "a b", true},
		{"(fwd)", "", true},
	} {
		if got, reply := message.BaseSubject(c.in); got != c.want || reply != c.reply {
			t.Errorf("%q: %q %v, want %q %v", c.in, got, reply, c.want, c.reply)
		}
	}
}

// TestSafeScheme: applications may be linked to, what runs in the page or starts
// the system's own programs may not.
func TestSafeScheme(t *testing.T) {
	t.Parallel()
	for want, schemes := range map[bool]string{
		true: "http HTTPS mailto tel sms myapp msteams slack searching x-msauth a1+b.c-d",
		false: "javascript JavaScript data file ms-msdt MS-Officecmd ms-settings ms-its ms-word search search-ms Intent " +
			"microsoft-edge wss shell 1a a_b é",
	} {
		for _, s := range strings.Fields(schemes) {
			if message.SafeScheme(s) != want {
				t.Errorf("%s: %v", s, !want)
			}
		}
	}
	if l := message.Links("see ms-msdt://x/y and intent://x", `<a href="search-ms:query=x">x</a>`); len(l) != 0 {
		t.Errorf("%v", l)
	}
}
