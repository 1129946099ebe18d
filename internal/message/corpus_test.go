package message_test

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// mail is one message of the corpus.
type mail struct {
	name string
	data []byte
}

var corpusOnce sync.Once
var corpusMail []mail

// corpus returns all messages of the test corpus, and skips the test where it
// is not there.
func corpus(tb testing.TB) []mail {
	tb.Helper()
	dir := os.Getenv("EIDER_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "corpus")
	}
	corpusOnce.Do(func() {
		for _, name := range []string{"everyday", "torture"} {
			corpusMail = append(corpusMail, untar(filepath.Join(dir, name+".tar.zst"))...)
		}
	})
	if len(corpusMail) == 0 {
		if os.Getenv("CI") == "true" {
			tb.Fatalf("no corpus in %s", dir)
		}
		tb.Skipf("no corpus in %s: this test checks nothing", dir)
	}
	return corpusMail
}

func untar(name string) (out []mail) {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // read only
	z, err := zstd.NewReader(f)
	if err != nil {
		return nil
	}
	defer z.Close()
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err != nil {
			return out
		}
		if h.Typeflag != tar.TypeReg || strings.HasSuffix(h.Name, "/ORDER") {
			continue
		}
		var b bytes.Buffer
		if _, err := io.Copy(&b, t); err != nil {
			return out
		}
		out = append(out, mail{h.Name, b.Bytes()})
	}
}
