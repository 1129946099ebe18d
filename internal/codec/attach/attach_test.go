package attach_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/eidermail/eider/internal/codec/attach"
	"github.com/eidermail/eider/test/corpus"
	"github.com/eidermail/eider/test/harness"
)

func shipped(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("../shipped.dict")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// content is what of a dictionary can be matched.
func content(t testing.TB, dict []byte) []byte {
	t.Helper()
	d, err := zstd.InspectDictionary(dict)
	if err != nil {
		t.Fatal(err)
	}
	return dict[len(dict)-d.ContentSize():]
}

// withContent is the shipped dictionary with other content.
func withContent(t testing.TB, b []byte) []byte {
	d := shipped(t)
	return append(d[:len(d)-len(content(t, d)):len(d)-len(content(t, d))], b...)
}

// both is an encoder and the library's decoder.
type both struct {
	dict, content []byte
	e             *attach.Encoder
	d             *zstd.Decoder
}

func newBoth(t testing.TB, dict []byte) *both {
	t.Helper()
	e, err := attach.New(dict)
	if err != nil {
		t.Fatal(err)
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderDicts(dict), zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return &both{dict, content(t, dict), e, d}
}

// trip encodes and decodes.
func (b *both) trip(t testing.TB, src []byte) []byte {
	t.Helper()
	out := b.e.Encode([]byte("before"), src)
	if string(out[:6]) != "before" {
		t.Fatal("what was in dst is lost")
	}
	out = out[6:]
	got, err := b.d.DecodeAll(out, nil)
	if err != nil || !bytes.Equal(got, src) {
		t.Fatalf("%d bytes became %d, then %d: %v", len(src), len(out), len(got), err)
	}
	var h zstd.Header
	if err := h.Decode(out); err != nil || !h.HasFCS || h.FrameContentSize != uint64(len(src)) || h.HasCheckSum ||
		!h.SingleSegment || h.DictionaryID == 0 || len(out) > len(src)+16 {
		t.Fatalf("%d bytes became %d: %+v, %v", len(src), len(out), h, err)
	}
	return out
}

func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// letters are bytes of so many kinds, the first ones most often.
func letters(seed uint64, n, kinds int) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + r.IntN(1+r.IntN(kinds)))
	}
	return b
}

// head, tail and part are of b, less where it is shorter.
func head(b []byte, n int) []byte        { return b[:min(n, len(b))] }
func tail(b []byte, n int) []byte        { return b[max(len(b)-n, 0):] }
func part(b []byte, from, to int) []byte { return head(b, to)[min(from, len(b)):] }

func join(bs ...[]byte) []byte { return bytes.Join(bs, nil) }

// inputs are all that is odd, by name.
func inputs(t testing.TB, dict []byte) map[string][]byte {
	c := content(t, dict)
	all := map[string][]byte{
		"noise": noise(1, 5000), "most noise": noise(2, attach.MaxBytes), "zeros": make([]byte, 777),
		"most zeros": make([]byte, attach.MaxBytes), "but one": append(make([]byte, attach.MaxBytes-1), 1),
		"most text": head(bytes.Repeat(head(c, 100), attach.MaxBytes/8), attach.MaxBytes),
		"content":   head(c, attach.MaxBytes),
		// The first place of the dictionary, from the first and the farthest places of the input.
		"farthest": join(head(c, 64), noise(3, 100_000), head(c, 64)),
		// What is at its end, and goes on in the input.
		"end": tail(c, 20), "over the end": join(tail(c, 20), tail(c, 20), tail(c, 20)),
		"end and start": join(tail(c, 9), head(c, 9), tail(c, 9), head(c, 9)),
		"last byte":     join(noise(4, 50), part(c, 10, 40), noise(4, 50)),
		"backwards":     join([]byte("#"), part(c, 100, 108), []byte("#"), part(c, 99, 130), part(c, 100, 131)),
	}
	for n := range 301 {
		all[fmt.Sprint("noise of ", n)] = noise(uint64(n), n)
		all[fmt.Sprint("letters of ", n)] = letters(uint64(n), n, 4)
		all[fmt.Sprint("content of ", n)] = tail(c, n)
		all[fmt.Sprint("ones of ", n)] = bytes.Repeat([]byte("1"), n)
	}
	for _, n := range []int{511, 512, 1023, 1024, 1025, 4095, 4096, 16_383, 16_384, 65_535, 65_536, 65_791, 65_792, 131_071} {
		for _, kinds := range []int{2, 60, 200} {
			all[fmt.Sprint(n, " letters of ", kinds)] = letters(uint64(n), n, kinds)
		}
	}
	for n := range 40 { // what of the dictionary is not quite repeated
		b := bytes.Clone(part(c, n*len(c)/41, n*len(c)/41+3000))
		for i := n; i < len(b); i += 5 + 3*n {
			b[i] ^= 1 << (n % 8)
		}
		all[fmt.Sprint("changed ", n)] = b
	}
	return all
}

// dictionaries are one of usual size and ones of few bytes.
func dictionaries(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"shipped": shipped(t), "few": withContent(t, []byte("0123 4567 89ab")), "noise": withContent(t, noise(9, 5000)),
		"text": withContent(t, bytes.Repeat([]byte("From: somebody at some.example\r\n"), 40)),
	}
}

func TestInputs(t *testing.T) {
	t.Parallel()
	for name, dict := range dictionaries(t) {
		b := newBoth(t, dict)
		for what, src := range inputs(t, dict) {
			t.Run(name+"/"+what, func(t *testing.T) {
				out := b.trip(t, src)
				if name != "few" {
					return
				}
				if fresh, err := attach.New(dict); err != nil || !bytes.Equal(fresh.Encode(nil, src), out) {
					t.Error("an encoder that has encoded nothing before does it in another way")
				}
			})
		}
	}
	if out := newBoth(t, shipped(t)).e.Encode([]byte("x"), make([]byte, attach.MaxBytes+1)); string(out) != "x" {
		t.Errorf("more than MaxBytes became %d bytes", len(out))
	}
}

func TestMail(t *testing.T) {
	t.Parallel()
	b := newBoth(t, shipped(t))
	raw, sum := 0, 0
	for _, m := range generated(t, 500) {
		raw += len(m)
		sum += len(b.trip(t, m))
	}
	if sum > raw/4 {
		t.Errorf("%d bytes of mail became %d", raw, sum)
	}
}

// TestCorpus: real mail comes back, and takes less than with the library's default
// level, which costs more.
func TestCorpus(t *testing.T) {
	t.Parallel()
	b := newBoth(t, shipped(t))
	k, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderDict(b.dict),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	ours, library := 0, 0
	for i, m := range everyday(t) {
		if out := b.trip(t, m); i%8 == 0 {
			ours += len(out)
			library += len(k.EncodeAll(m, nil))
		}
	}
	if ours > library {
		t.Errorf("%d bytes, and %d with the library", ours, library)
	}
	for _, m := range realMail(t, corpus.Torture(t)) {
		b.trip(t, m)
	}
}

// TestZstd: the program that everyone has decodes it all.
func TestZstd(t *testing.T) {
	t.Parallel()
	harness.Need(t, "zstd")
	for name, dict := range dictionaries(t) {
		t.Run(name, func(t *testing.T) {
			b := newBoth(t, dict)
			var frames, want []byte
			add := func(src []byte) {
				frames = b.e.Encode(frames, src)
				want = append(want, src...)
			}
			for _, src := range inputs(t, dict) {
				add(src)
			}
			for _, m := range generated(t, 100) {
				add(m)
			}
			file := filepath.Join(t.TempDir(), "dict")
			if err := os.WriteFile(file, dict, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("zstd", "-d", "-c", "-q", "-D", file)
			cmd.Stdin = bytes.NewReader(frames)
			got, err := cmd.Output()
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes in %d became %d: %v", len(want), len(frames), len(got), err)
			}
		})
	}
}

// TestNumbers: dictionaries of all sizes of numbers.
func TestNumbers(t *testing.T) {
	t.Parallel()
	for _, id := range []uint32{1, 255, 256, 65_535, 65_536, 1<<32 - 1} {
		d := shipped(t)
		binary.LittleEndian.PutUint32(d[4:], id)
		out := newBoth(t, d).trip(t, d[len(d)-1000:])
		var h zstd.Header
		if err := h.Decode(out); err != nil || h.DictionaryID != id {
			t.Errorf("number %d: %d, %v", id, h.DictionaryID, err)
		}
	}
}

// TestNoDictionary: what is malformed is refused, or works all the same.
func TestNoDictionary(t *testing.T) {
	t.Parallel()
	d := shipped(t)
	most := len(d) - len(content(t, d))
	mail := generated(t, 1)[0]
	for n := range most + 8 {
		if _, err := attach.New(d[:n]); !errors.Is(err, attach.ErrDict) {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
	short := d[:most+500]
	for i := 0; i < 8*most; i += 11 { // a bit of most bytes
		b := bytes.Clone(short)
		b[i/8] ^= 1 << (i % 8)
		e, err := attach.New(b)
		if err != nil {
			if !errors.Is(err, attach.ErrDict) {
				t.Errorf("bit %d: %v", i, err)
			}
			continue
		}
		dec, err := zstd.NewReader(nil, zstd.WithDecoderDicts(b), zstd.WithDecoderConcurrency(1))
		if err != nil {
			continue // it is stricter
		}
		if got, err := dec.DecodeAll(e.Encode(nil, mail), nil); err != nil || !bytes.Equal(got, mail) {
			t.Errorf("bit %d is another: %v", i, err)
		}
		dec.Close()
	}
	for _, r := range []uint32{0, uint32(len(d) - most + 1)} {
		b := bytes.Clone(d)
		binary.LittleEndian.PutUint32(b[most-8:], r)
		if _, err := attach.New(b); !errors.Is(err, attach.ErrDict) {
			t.Errorf("a repeated offset of %d: %v", r, err)
		}
	}
}

func TestMaxDict(t *testing.T) {
	t.Parallel()
	c := append(noise(5, 2000), bytes.Repeat([]byte("what comes again and again\r\n"), attach.MaxDict/20)...)[:attach.MaxDict+1]
	b := newBoth(t, withContent(t, c[:attach.MaxDict]))
	out := b.trip(t, join(c[:1000], noise(6, 60_000), c[1000:2000]))
	if len(out) > 61_000 {
		t.Errorf("the farthest places are not found: %d bytes", len(out))
	}
	if _, err := attach.New(withContent(t, c)); !errors.Is(err, attach.ErrDict) {
		t.Errorf("one byte more: %v", err)
	}
}

// TestManyAtOnce: what one call does, others do not see, and all calls give the same.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	b := newBoth(t, shipped(t))
	mails := generated(t, 60)
	var want [][]byte
	for _, m := range mails {
		want = append(want, b.trip(t, m))
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range mails {
				i = (i*7 + g*13) % len(mails)
				if !bytes.Equal(b.e.Encode(nil, mails[i]), want[i]) {
					t.Errorf("message %d is encoded in another way", i)
				}
			}
		})
	}
	all.Wait()
}

// FuzzAttach encodes src behind n bytes of a dictionary's content from at on, of which
// some are changed.
func FuzzAttach(f *testing.F) {
	var all []*both
	for _, name := range []string{"shipped", "few", "text"} {
		all = append(all, newBoth(f, dictionaries(f)[name]))
	}
	for i, m := range generated(f, 12) {
		f.Add(m[:min(len(m), 2500)], uint32(i*9000), uint16(i*50), uint8(i))
	}
	for n := range 40 {
		f.Add(noise(uint64(n), n), uint32(n*2500), uint16(n*3), uint8(n))
		f.Add(letters(uint64(n), n*40, 2+n*5), uint32(0), uint16(n), uint8(7*n))
		f.Add(bytes.Repeat([]byte("ab1"), n*n), uint32(1<<31), uint16(20), uint8(0))
	}
	f.Fuzz(func(t *testing.T, src []byte, at uint32, n uint16, change uint8) {
		for _, b := range all {
			c := b.content
			from := int(at) % len(c)
			in := append(bytes.Clone(c[from:min(from+int(n), len(c))]), src...)
			for i := int(change); change > 0 && i < min(int(n), len(in)); i += int(change) {
				in[i] ^= change
			}
			b.trip(t, in[:min(len(in), attach.MaxBytes)])
		}
	})
}
