package imapwire

import "testing"

func TestMatchPattern(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a/b", true}, {"%", "a/b", false}, {"%", "a", true}, {"a/%", "a/b", true}, {"a/%", "a/b/c", false},
		{"a/*", "a/b/c", true}, {"a*", "a", true}, {"*b", "a/b", true}, {"%/%", "a/b", true}, {"%/b", "a/b", true},
		{"inbox", "INBOX", true}, {"InBox/x", "INBOX/x", true}, {"inboxes", "inboxes", true},
		{"inboxes", "INBOXes", false}, {"A", "a", false}, {"", "a", false}, {"a%b", "a/b", false},
		{"a*b*c", "axxbxxc", true}, {"a*b*c", "axxbxx", false}, {"é*", "éa", true}, {"**%", "a/b", true},
	} {
		if got := MatchPattern(c.pattern, c.name); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.name, got)
		}
	}
}
