package sanitize_test

import (
	"archive/tar"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/eidermail/eider/internal/sanitize"
)

// TestCorpus sanitizes the HTML of the test corpus, where it is there: of every
// fourth message, for time.
func TestCorpus(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("EIDER_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "corpus")
	}
	n := 0
	for _, name := range []string{"everyday", "torture"} {
		f, err := os.Open(filepath.Join(dir, name+".tar.zst"))
		if err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skipf("no corpus in %s: this test checks nothing", dir)
		}
		defer f.Close() //nolint:errcheck // read only
		z, err := zstd.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r := tar.NewReader(z)
		for i := 0; ; i++ {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if i%4 != 0 {
				continue
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, page := range htmlOf(t, b) {
				checkSafe(t, sanitize.HTML(page, sanitize.Options{}).HTML, sanitize.Options{})
				n += len(page)
			}
			if t.Failed() {
				t.Fatal(h.Name)
			}
		}
	}
	t.Logf("%d bytes of HTML", n)
}
