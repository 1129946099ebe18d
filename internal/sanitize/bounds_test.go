package sanitize_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/sanitize"
)

// TestBounds: each limit cuts, and what is left is a document.
func TestBounds(t *testing.T) {
	t.Parallel()
	numbered := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	count := func(what string) func(sanitize.Result) int {
		return func(r sanitize.Result) int { return bytes.Count(r.HTML, []byte(what)) }
	}
	for _, c := range []struct {
		name string
		in   string
		got  func(sanitize.Result) int
		most int
		cut  bool
	}{
		{"MaxDepth", strings.Repeat("<div>", sanitize.MaxDepth+100) + "deep", count("<div>"), sanitize.MaxDepth, false},
		{"MaxNodes", strings.Repeat("<br>", sanitize.MaxNodes+100), count("<br"), sanitize.MaxNodes, true},
		{"MaxBytes", strings.Repeat("x", sanitize.MaxBytes+100), count("x"), sanitize.MaxBytes + 100, true},
		{"MaxAttrs", "<td" + numbered(sanitize.MaxAttrs+10, " a%d=b") + " title=far>x", count("far"), 0, false},
		{"MaxStyleBytes", "<style>" + strings.Repeat("p{color:red}", sanitize.MaxStyleBytes/12+100) + "</style>",
			count("p{color:red}"), sanitize.MaxStyleBytes / 12, false},
		{"MaxSuspicions", numbered(sanitize.MaxSuspicions+20, `<a href="http://evil%d.test/">http://bank.test/</a>`),
			func(r sanitize.Result) int { return len(r.Suspicious) }, sanitize.MaxSuspicions, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := sanitize.HTML([]byte(c.in), sanitize.Options{})
			if got := c.got(r); got > c.most || c.most > 0 && got == 0 && c.name != "MaxStyleBytes" {
				t.Errorf("%d are left, at most %d", got, c.most)
			}
			if c.cut && !r.Truncated {
				t.Error("it is not said that something was cut")
			}
		})
	}
}
