package inflate

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// texts are inputs of several kinds.
func texts() map[string][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	words := new(bytes.Buffer)
	for words.Len() < 200_000 {
		words.WriteString(strings.Repeat("abcdefgh"[:rnd.IntN(8)+1], rnd.IntN(40)+1))
	}
	return map[string][]byte{
		"empty": {}, "short": []byte("a NOOP\r\n"), "zeros": make([]byte, 300_000), "noise": noise, "words": words.Bytes(),
	}
}

// TestSame: what compress/flate wrote at any level is read, however it is cut.
func TestSame(t *testing.T) {
	t.Parallel()
	for name, text := range texts() {
		for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
			var z bytes.Buffer
			w, _ := flate.NewWriter(&z, level)
			for rest := text; len(rest) > 0; {
				n := min(len(rest), 10_001)
				w.Write(rest[:n])
				w.Flush()
				rest = rest[n:]
			}
			w.Close()
			for cut, src := range map[string]io.Reader{"whole": bytes.NewReader(z.Bytes()),
				"bytes": iotest.OneByteReader(bytes.NewReader(z.Bytes())), "half": iotest.HalfReader(bytes.NewReader(z.Bytes()))} {
				got, err := io.ReadAll(NewReader(src, nil))
				if err != nil || !bytes.Equal(got, text) {
					t.Errorf("%s, level %d, %s: %d bytes of %d, %v", name, level, cut, len(got), len(text), err)
				}
			}
		}
	}
}

// starved is a source that must not be read when it has nothing.
type starved struct {
	t    *testing.T
	next []byte
}

func (s *starved) Read(p []byte) (int, error) {
	if len(s.next) == 0 {
		s.t.Fatal("waits for input although there is something to hand out")
	}
	n := copy(p, s.next)
	s.next = s.next[n:]
	return n, nil
}

// TestPartialFlush reads what Python's zlib flushed with Z_PARTIAL_FLUSH, piece
// by piece (testdata/partial.py writes the file): each piece is handed out
// before the next is asked for.
func TestPartialFlush(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/partial.bin")
	if err != nil {
		t.Fatal(err)
	}
	src := &starved{t: t}
	r := NewReader(src, nil)
	pieces := 0
	for ; len(b) > 0; pieces++ {
		text, rest := field(b)
		packed, rest := field(rest)
		b, src.next = rest, packed
		got := make([]byte, len(text))
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("piece %d: %q, %v; want %q", pieces, got, err, text)
		}
		if len(src.next) > 0 {
			r.in = append(r.in, src.next...)
		}
	}
	if pieces < 100 {
		t.Errorf("%d pieces", pieces)
	}
}

func field(b []byte) (f, rest []byte) {
	n := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	return b[3 : 3+n], b[3+n:]
}

func FuzzInflate(f *testing.F) {
	for _, text := range texts() {
		var z bytes.Buffer
		w, _ := flate.NewWriter(&z, 6)
		w.Write(text[:min(len(text), 3000)])
		w.Close()
		f.Add(z.Bytes())
	}
	f.Add([]byte{0x06})
	f.Fuzz(func(t *testing.T, z []byte) {
		limit := int64(1 << 20)
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(z)), limit))
		got, err := io.ReadAll(io.LimitReader(NewReader(bytes.NewReader(z), nil), limit))
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%v, compress/flate says %v", err, wantErr)
		}
		// It hands out more of a stream that breaks off: that is what it is for.
		if err == nil && !bytes.Equal(got, want) || !bytes.HasPrefix(got, want) {
			t.Fatalf("%d bytes, compress/flate has %d", len(got), len(want))
		}
	})
}

func BenchmarkInflate(b *testing.B) {
	text := texts()["words"]
	var z bytes.Buffer
	w, _ := flate.NewWriter(&z, 6)
	w.Write(text)
	w.Close()
	for name, open := range map[string]func(io.Reader) io.Reader{
		"ours":  func(r io.Reader) io.Reader { return NewReader(r, nil) },
		"flate": func(r io.Reader) io.Reader { return flate.NewReader(r) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if n, err := io.Copy(io.Discard, open(bytes.NewReader(z.Bytes()))); err != nil || n != int64(len(text)) {
					b.Fatal(n, err)
				}
			}
		})
	}
}
