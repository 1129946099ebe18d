package sanitize_test

import (
	"slices"
	"testing"

	"github.com/eidermail/eider/internal/sanitize"
	"github.com/eidermail/eider/test/corpus"
)

// TestCorpus sanitizes the HTML of the test corpus: of every fourth message, for time.
func TestCorpus(t *testing.T) {
	t.Parallel()
	n := 0
	for i, m := range slices.Concat(corpus.Everyday(t), corpus.Torture(t)) {
		if i%4 != 0 {
			continue
		}
		for _, page := range htmlOf(t, m.Data) {
			checkSafe(t, sanitize.HTML(page, sanitize.Options{}).HTML, sanitize.Options{})
			n += len(page)
		}
		if t.Failed() {
			t.Fatal(m.Name)
		}
	}
	t.Logf("%d bytes of HTML", n)
}
