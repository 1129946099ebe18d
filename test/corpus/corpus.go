// Package corpus reads the real mail that tests and benchmarks use. The mail
// is not part of the project: EIDER_CORPUS names its folder. Where it is
// absent a test is skipped at a desk and fails under CI=true.
package corpus

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/eidermail/eider/test/harness"
)

// Message is one message as it lies in the corpus, line ends as found.
type Message struct {
	Name string
	Data []byte
}

// Everyday returns the 2,000 everyday messages in their fixed delivery order.
func Everyday(t testing.TB) []Message {
	t.Helper()
	files := load(t, "everyday.tar.zst")
	order, ok := files["everyday/ORDER"]
	if !ok {
		t.Fatal("corpus: everyday/ORDER is missing")
	}
	var out []Message
	for name := range strings.FieldsSeq(string(order)) {
		data, ok := files[path.Join("everyday", path.Base(name))]
		if !ok {
			t.Fatalf("corpus: ORDER names %s, which is not there", name)
		}
		out = append(out, Message{name, data})
	}
	return out
}

// Torture returns the malformed messages, by name.
func Torture(t testing.TB) []Message {
	t.Helper()
	var out []Message
	for name, data := range load(t, "torture.tar.zst") {
		out = append(out, Message{name, data})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func load(t testing.TB, name string) map[string][]byte {
	t.Helper()
	dir := os.Getenv("EIDER_CORPUS")
	if dir == "" {
		dir = filepath.Join(harness.Root(t), "../shared/corpus")
	}
	fh, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		harness.Missing(t, "the corpus file %s (EIDER_CORPUS)", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer fh.Close()
	z, err := zstd.NewReader(fh)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	files, err := untar(z)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func untar(r io.Reader) (map[string][]byte, error) {
	files := map[string][]byte{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			return nil, err
		}
		files[path.Clean(h.Name)] = data
	}
}

// CRLF returns m with every line end as CRLF, and one at its end: the form in
// which a client submits it by DATA.
func CRLF(m []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(m) + len(m)/32)
	for i, c := range m {
		switch {
		case c == '\n' && (i == 0 || m[i-1] != '\r'):
			b.WriteString("\r\n")
		case c == '\r' && (i+1 == len(m) || m[i+1] != '\n'):
			b.WriteString("\r\n")
		default:
			b.WriteByte(c)
		}
	}
	if n := b.Len(); n == 0 || b.Bytes()[n-1] != '\n' {
		b.WriteString("\r\n")
	}
	return b.Bytes()
}
