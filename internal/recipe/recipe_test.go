package recipe_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/recipe"
)

// tester is what testing.T and rapid.T have in common.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// cut is a message taken apart, and stored as a row would.
type cut struct {
	plan     *recipe.Plan
	recipe   *recipe.Recipe
	encoded  []byte
	skeleton []byte
	blobs    [][]byte
}

func takeApart(t tester, p *recipe.Planner, mail []byte) *cut {
	t.Helper()
	pl, err := p.Plan(bytes.NewReader(mail), int64(len(mail)), message.Parse(mail), sha256.New())
	if err != nil {
		t.Fatal(err)
	}
	c := &cut{plan: pl, encoded: recipe.Append(nil, pl.Segments)}
	if c.skeleton, err = io.ReadAll(pl.ReadSkeleton()); err != nil {
		t.Fatal(err)
	}
	for i := range pl.Sums {
		b, err := io.ReadAll(pl.Blob(i))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(b); !bytes.Equal(sum[:], pl.Sums[i]) || int64(len(b)) != pl.BlobSize(i) {
			t.Fatalf("blob %d: %d bytes, said to be %d, or another sum", i, len(b), pl.BlobSize(i))
		}
		c.blobs = append(c.blobs, b)
	}
	segs, skel, err := recipe.Decode(c.encoded, int64(len(mail)), len(c.blobs))
	if err != nil || skel != int64(len(c.skeleton)) || skel != pl.Skeleton {
		t.Fatalf("decoding the recipe: %v, skeleton of %d, %d, %d", err, skel, len(c.skeleton), pl.Skeleton)
	}
	c.recipe = recipe.New(segs)
	return c
}

func (c *cut) ReadAt(p []byte, off int64) (int, error) {
	return c.recipe.ReadAt(p, off, func(i int) (io.ReaderAt, error) {
		if i == recipe.InSkeleton {
			return bytes.NewReader(c.skeleton), nil
		}
		return bytes.NewReader(c.blobs[i]), nil
	})
}

// check takes a message apart and compares what comes back, as a whole and in pieces.
func check(t tester, p *recipe.Planner, mail []byte) *cut {
	t.Helper()
	c := takeApart(t, p, mail)
	got := make([]byte, len(mail))
	if n, err := c.ReadAt(got, 0); n != len(mail) || err != nil && err != io.EOF || !bytes.Equal(got, mail) {
		i := 0
		for i < n && got[i] == mail[i] {
			i++
		}
		t.Fatalf("%d of %d bytes come back, %v; they differ at %d: %.60q, want %.60q",
			n, len(mail), err, i, got[i:], mail[i:])
	}
	for range 8 {
		if len(mail) == 0 {
			break
		}
		off := rand.IntN(len(mail))
		want := mail[off:min(len(mail), off+1+rand.IntN(300))]
		b := make([]byte, len(want))
		if n, err := c.ReadAt(b, int64(off)); n != len(want) || err != nil || !bytes.Equal(b, want) {
			t.Fatalf("at %d: %d bytes, %v: %.80q, want %.80q", off, n, err, b, want)
		}
	}
	return c
}

func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// wrap breaks text into lines.
func wrap(s string, width int, eol string) string {
	var b strings.Builder
	for len(s) > width {
		b.WriteString(s[:width])
		b.WriteString(eol)
		s = s[width:]
	}
	return b.String() + s
}

func mail(eol string, bodies ...string) []byte {
	var b strings.Builder
	b.WriteString("From: a@a.test" + eol + "Content-Type: multipart/mixed; boundary=x" + eol + eol)
	for _, body := range bodies {
		b.WriteString("--x" + eol + "Content-Type: application/octet-stream" + eol +
			"Content-Transfer-Encoding: base64" + eol + eol + body + eol)
	}
	b.WriteString("--x--" + eol)
	return []byte(b.String())
}

func TestWidthsShareABlob(t *testing.T) {
	t.Parallel()
	p := recipe.NewPlanner()
	for _, size := range []int{200_000, 200_001, 199_999} {
		file := noise(size)
		enc := base64.StdEncoding.EncodeToString(file)
		for _, width := range []int{4, 5, 60, 64, 72, 73, 75, 76, 1000, 32768, 266_664, 266_668, 300_000} {
			for _, eol := range []string{"\r\n", "\n"} {
				c := check(t, p, mail(eol, wrap(enc, width, eol)))
				if len(c.blobs) != 1 || !bytes.Equal(c.blobs[0], file) {
					t.Errorf("%d bytes in lines of %d: %d blobs, not the file", size, width, len(c.blobs))
				}
			}
		}
		raw := strings.TrimRight(enc, "=")
		if c := check(t, p, mail("\r\n", wrap(raw, 76, "\r\n"))); len(c.blobs) != 1 || !bytes.Equal(c.blobs[0], file) {
			t.Errorf("unpadded: %d blobs, not the file", len(c.blobs))
		}
	}
}

// malformed are ways to write base64 wrongly.
func malformed(enc string) map[string]string {
	lines := strings.Split(wrap(enc, 76, "\r\n"), "\r\n")
	join := func(f func(i int, l string) string) string {
		var out []string
		for i, l := range lines {
			out = append(out, f(i, l))
		}
		return strings.Join(out, "\r\n")
	}
	mid := len(lines) / 2
	at := func(g func(l string) string) string {
		return join(func(i int, l string) string {
			if i == mid {
				return g(l)
			}
			return l
		})
	}
	return map[string]string{
		"a stray character":       at(func(l string) string { return l[:10] + "!" + l[10:] }),
		"a character replaced":    at(func(l string) string { return l[:10] + "\x80" + l[11:] }),
		"a NUL":                   at(func(l string) string { return l[:10] + "\x00" + l[11:] }),
		"padding in the middle":   at(func(l string) string { return l[:72] + "AA==" }),
		"a space at a line's end": at(func(l string) string { return l + " " }),
		"spaces at every end":     join(func(_ int, l string) string { return l + " " }),
		"a short line":            at(func(l string) string { return l[:33] }),
		"a long line":             at(func(l string) string { return l + l }),
		"a blank line":            at(func(l string) string { return l + "\r\n" }),
		"a bare LF":               strings.Replace(wrap(enc, 76, "\r\n"), "\r\n", "\n", 1),
		"a bare CR":               strings.Replace(wrap(enc, 76, "\r\n"), "\r\n", "\r", 1),
		"a stray CR":              at(func(l string) string { return l[:10] + "\r" + l[10:] }),
		"mixed line ends":         strings.Replace(wrap(enc, 76, "\n"), "\n", "\r\n", len(lines)/2),
		"dangling bits":           wrap(enc, 76, "\r\n") + "\r\nQR==",
		"three pads":              wrap(enc, 76, "\r\n") + "\r\nQ===",
		"one character over":      wrap(enc, 76, "\r\n") + "\r\nQ",
		"text behind it":          wrap(enc, 76, "\r\n") + "\r\n\r\n-- \r\nsent by a virus scanner\r\n",
		"text before it":          "This is a file:\r\n\r\n" + wrap(enc, 76, "\r\n"),
		"two joined":              wrap(enc, 76, "\r\n") + "\r\nQQ==\r\n" + wrap(enc, 76, "\r\n"),
		"URL alphabet":            strings.NewReplacer("+", "-", "/", "_").Replace(wrap(enc, 76, "\r\n")),
		"empty":                   "",
		"only padding":            "====",
		"quoted":                  "> " + wrap(enc, 76, "\r\n> "),
		"a shorter first line":    enc[:40] + "\r\n" + wrap(enc[40:], 76, "\r\n"),
		"growing lines":           join(func(i int, l string) string { return l[:min(len(l), i)] }),
		"a letter case changed":   strings.ToLower(wrap(enc, 76, "\r\n")),
	}
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	p := recipe.NewPlanner()
	for _, size := range []int{300, 5000, 50_000, 50_001, 50_002} {
		for name, body := range malformed(base64.StdEncoding.EncodeToString(noise(size))) {
			t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) { check(t, p, mail("\r\n", body)) })
		}
	}
}

func TestManyParts(t *testing.T) {
	t.Parallel()
	p := recipe.NewPlanner()
	bodies := make([]string, 10_000)
	for i := range bodies {
		bodies[i] = base64.StdEncoding.EncodeToString(noise(150))
		if i%100 == 0 {
			bodies[i] = base64.StdEncoding.EncodeToString(noise(9000))
		}
	}
	c := check(t, p, mail("\r\n", bodies...))
	if len(c.blobs) < 50 || len(c.blobs) > recipe.MaxBlobs {
		t.Errorf("%d blobs, at most %d", len(c.blobs), recipe.MaxBlobs)
	}
	if len(c.plan.Segments) > recipe.MaxSegments {
		t.Errorf("%d segments", len(c.plan.Segments))
	}
	for _, empty := range [][]byte{{}, []byte("\r\n"), mail("\r\n", "", "", ""), mail("\n")} {
		check(t, p, empty)
	}
}

// TestShapes draws MIME trees with bodies of all kinds.
func TestShapes(t *testing.T) {
	t.Parallel()
	p := recipe.NewPlanner()
	rapid.Check(t, func(t *rapid.T) {
		eol := rapid.SampledFrom([]string{"\r\n", "\n"}).Draw(t, "eol")
		b := []byte(part(t, eol, 0))
		if rapid.Bool().Draw(t, "cut") {
			b = b[:rapid.IntRange(0, len(b)).Draw(t, "at")]
		}
		check(t, p, b)
	})
}

func part(t *rapid.T, eol string, depth int) string {
	kind := rapid.SampledFrom([]string{"text", "base64", "base64", "odd", "multi", "message"}).Draw(t, "kind")
	if depth > 3 {
		kind = "base64"
	}
	var b strings.Builder
	line := func(s string) { b.WriteString(s + eol) }
	switch kind {
	case "text":
		line("Content-Type: text/plain; charset=" + rapid.SampledFrom([]string{"utf-8", "x-none", ""}).Draw(t, "charset"))
		line("")
		b.WriteString(strings.Repeat(rapid.StringN(0, 200, 400).Draw(t, "text")+eol, rapid.IntRange(0, 90).Draw(t, "n")))
	case "multi":
		x := fmt.Sprintf("b%d", depth)
		line("Content-Type: multipart/mixed; boundary=" + x)
		line("")
		for range rapid.IntRange(0, 4).Draw(t, "parts") {
			line("--" + x)
			b.WriteString(part(t, eol, depth+1))
			b.WriteString(eol)
		}
		if rapid.Bool().Draw(t, "closed") {
			line("--" + x + "--")
		}
	case "message":
		line("Content-Type: message/rfc822")
		line("")
		b.WriteString(part(t, eol, depth+1))
	default:
		line("Content-Type: image/png")
		line("Content-Transfer-Encoding: base64")
		line("")
		enc := base64.StdEncoding.EncodeToString(noise(rapid.IntRange(0, 30_000).Draw(t, "size")))
		if rapid.Bool().Draw(t, "unpadded") {
			enc = strings.TrimRight(enc, "=")
		}
		enc = wrap(enc, rapid.IntRange(1, 400).Draw(t, "width"), rapid.SampledFrom([]string{"\r\n", "\n"}).Draw(t, "eol"))
		if kind == "odd" && len(enc) > 0 {
			i := rapid.IntRange(0, len(enc)-1).Draw(t, "where")
			enc = enc[:i] + rapid.SampledFrom([]string{"", "!", "=", "\r", "\n", " ", "A", "\x00", "AAAA"}).Draw(t, "what") + enc[i:]
		}
		b.WriteString(enc)
	}
	return b.String()
}

func FuzzPlan(f *testing.F) {
	for _, m := range malformed(base64.StdEncoding.EncodeToString(noise(12_000))) {
		f.Add(mail("\r\n", m))
	}
	p := recipe.NewPlanner()
	f.Fuzz(func(t *testing.T, b []byte) { check(t, p, b) })
}

func FuzzDecode(f *testing.F) {
	f.Add(recipe.Append(nil, []recipe.Segment{{Blob: 0, Stored: 90, Base64: true, Width: 76}}), int64(122), 1)
	f.Fuzz(func(t *testing.T, b []byte, size int64, blobs int) {
		if size < 0 || size > 1<<30 {
			return
		}
		segs, skel, err := recipe.Decode(b, size, blobs)
		if err != nil {
			return
		}
		r := recipe.New(segs)
		if r.Size() != size || skel > size {
			t.Fatalf("a recipe of %d bytes for a message of %d, skeleton %d", r.Size(), size, skel)
		}
		buf := make([]byte, min(size, 1000))
		for _, off := range []int64{0, size / 2, max(size-1000, 0)} {
			_, err := r.ReadAt(buf, off, func(int) (io.ReaderAt, error) { return zeros{}, nil })
			if err != nil && err != io.EOF {
				t.Fatal(err)
			}
		}
	})
}

type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

// stored counts what a message is taken into: pieces that stand decoded, and blobs.
func stored(t *testing.T, mail []byte) (pieces, blobs int) {
	t.Helper()
	c := check(t, recipe.NewPlanner(), mail)
	for _, s := range c.plan.Segments {
		if s.Base64 {
			pieces++
		}
	}
	return pieces, len(c.blobs)
}

// TestBounds: small parts are no blobs, and of many parts and pieces only so many
// are looked at; the message comes back all the same.
func TestBounds(t *testing.T) {
	t.Parallel()
	encoded := func(n int) string { return wrap(base64.StdEncoding.EncodeToString(noise(n)), 76, "\r\n") }
	for n, want := range map[int]int{recipe.MinBlob - 1: 0, recipe.MinBlob: 1} {
		if _, blobs := stored(t, mail("\r\n", encoded(n))); blobs != want {
			t.Errorf("a part of %d bytes: %d blobs", n, blobs)
		}
	}
	for n, want := range map[int]int{recipe.MaxParts: recipe.MaxParts, recipe.MaxParts + 50: recipe.MaxParts} {
		if pieces, _ := stored(t, mail("\r\n", slices.Repeat([]string{encoded(300)}, n)...)); pieces != want {
			t.Errorf("of %d parts %d are taken", n, pieces)
		}
	}
	for n, want := range map[int]int{recipe.MaxRuns: recipe.MaxRuns, recipe.MaxRuns + 3: recipe.MaxRuns} {
		body := strings.Repeat(encoded(300)+"\r\n\r\n", n)
		if pieces, _ := stored(t, mail("\r\n", body)); pieces != want {
			t.Errorf("of %d pieces %d are taken", n, pieces)
		}
	}
}
