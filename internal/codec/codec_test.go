package codec_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/eidermail/eider/internal/codec"
	"github.com/eidermail/eider/internal/codec/attach"
)

func text(n int) []byte {
	return []byte(strings.Repeat("Received: from mail.example.com by mx.example.org with ESMTP\r\n", n/62+1)[:n])
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	c := codec.New()
	p, err := c.NewPacker(codec.Shipped, false)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for _, n := range []int{100, 4_000, 300_000, codec.MaxBytes} {
		b := text(n)
		for _, dict := range []uint32{0, codec.Shipped} {
			all.Go(func() {
				enc, ok := c.Encode([]byte("before"), b, dict)
				if !ok || !codec.Worth(n, len(enc)-6) || string(enc[:6]) != "before" {
					t.Errorf("%d bytes, dictionary %d: not compressed", n, dict)
					return
				}
				got, err := c.Decode([]byte("x"), enc[6:], int64(n))
				if err != nil || !bytes.Equal(got[1:], b) || codec.SizeOf(enc[6:]) != int64(n) {
					t.Errorf("%d bytes, dictionary %d: %v", n, dict, err)
				}
			})
		}
		if enc, ok := p.Encode(nil, b); !ok {
			t.Errorf("packer: %d bytes are not compressed", n)
		} else if got, err := c.Decode(nil, enc, int64(n)); err != nil || !bytes.Equal(got, b) {
			t.Errorf("packer: %v", err)
		}
	}
	all.Wait()
}

// TestDictionaryHelps: a short mail is far smaller with it.
func TestDictionaryHelps(t *testing.T) {
	t.Parallel()
	c := codec.New()
	mail := []byte("From: Ada <ada@example.com>\r\nTo: bob@example.org\r\nSubject: Meeting\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\nPlease let me know what you think.\r\n")
	plain, _ := c.Encode(nil, mail, 0)
	with, ok := c.Encode(nil, mail, codec.Shipped)
	if !ok || len(with) > len(mail)/2 || len(plain) > 0 && len(with) > len(plain)*2/3 {
		t.Errorf("%d bytes of mail take %d without and %d with the dictionary", len(mail), len(plain), len(with))
	}
}

func TestNoGainIsLeftAlone(t *testing.T) {
	t.Parallel()
	c := codec.New()
	for _, b := range [][]byte{nil, {1}, noise(50_000), make([]byte, codec.MaxBytes+1)} {
		if out, ok := c.Encode([]byte("x"), b, codec.Shipped); ok || string(out) != "x" {
			t.Errorf("%d bytes: ok %v, %d bytes of output", len(b), ok, len(out))
		}
	}
}

// TestBombs: what claims to be small and is not, or large and is not, is an
// error, and takes no more memory than was asked for.
func TestBombs(t *testing.T) {
	t.Parallel()
	c := codec.New()
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := e.EncodeAll(make([]byte, 64<<20), nil)
	good, _ := c.Encode(nil, text(5000), 0)
	for _, x := range []struct {
		src  []byte
		size int64
	}{{bomb, 100}, {bomb, 64 << 20}, {bomb, codec.MaxBytes}, {good, 4999}, {good, 5001}, {good, -1}, {good[:20], 5000},
		{nil, 0}, {[]byte("no frame"), 8}, {append(bytes.Clone(good), good...), 5000}} {
		dst := make([]byte, 3, 10)
		out, err := c.Decode(dst, x.src, x.size)
		if !errors.Is(err, codec.ErrCorrupt) || len(out) != 3 {
			t.Errorf("%d bytes as %d: %d bytes, %v", len(x.src), x.size, len(out), err)
		}
	}
}

func TestDictionaries(t *testing.T) {
	t.Parallel()
	c := codec.New()
	for _, d := range [][]byte{nil, []byte("none"), noise(2000), make([]byte, codec.MaxDict+1)} {
		if err := c.Add(7, d); !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("a dictionary of %d bytes of nothing: %v", len(d), err)
		}
	}
	c.Use(codec.Skeletons, 7) // not known
	if c.Current(codec.Skeletons) != codec.Shipped {
		t.Error("an unknown dictionary is used")
	}
	d, err := zstd.BuildDict(zstd.BuildDictOptions{ID: 9, Contents: samples(), History: text(3000), Offsets: [3]int{1, 4, 8}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Add(8, d); !errors.Is(err, codec.ErrCorrupt) {
		t.Errorf("a dictionary under another's number: %v", err)
	}
	if err := c.Add(9, d); err != nil {
		t.Fatal(err)
	}
	c.Use(codec.Skeletons, 9)
	enc, ok := c.Encode(nil, text(500), c.Current(codec.Skeletons))
	if !ok || c.Current(codec.Skeletons) != 9 {
		t.Fatal("the new dictionary is not used")
	}
	if got, err := c.Decode(nil, enc, 500); err != nil || !bytes.Equal(got, text(500)) {
		t.Error(err)
	}
	if _, err := codec.New().Decode(nil, enc, 500); !errors.Is(err, codec.ErrNoDict) {
		t.Errorf("without the dictionary: %v", err)
	}
}

func samples() (all [][]byte) {
	for i := range 50 {
		all = append(all, append(text(400+i), noise(20)...))
	}
	return all
}

func FuzzDecode(f *testing.F) {
	c := codec.New()
	for _, dict := range []uint32{0, codec.Shipped} {
		enc, _ := c.Encode(nil, text(900), dict)
		f.Add(enc, int64(900))
	}
	f.Fuzz(func(t *testing.T, src []byte, size int64) {
		out, err := c.Decode(nil, src, size)
		if err == nil && int64(len(out)) != size || err != nil && len(out) > 0 {
			t.Errorf("asked for %d bytes, got %d, %v", size, len(out), err)
		}
	})
}

// TestMostDictionaries: a store has MaxDicts of them, with the one that is shipped.
func TestMostDictionaries(t *testing.T) {
	t.Parallel()
	c := codec.New()
	d, err := zstd.BuildDict(zstd.BuildDictOptions{ID: 9, Contents: samples(), History: text(3000), Offsets: [3]int{1, 4, 8}})
	if err != nil {
		t.Fatal(err)
	}
	add := func(id uint32) error { // its number stands behind the magic (RFC 8878 §5)
		binary.LittleEndian.PutUint32(d[4:], id)
		return c.Add(id, d)
	}
	for i := range uint32(codec.MaxDicts - 1) {
		if !c.Room() {
			t.Fatalf("no room for dictionary %d", i)
		}
		if err := add(100 + i); err != nil {
			t.Fatal(err)
		}
	}
	if err := add(99); c.Room() || err == nil || !strings.Contains(err.Error(), "more than 64") {
		t.Errorf("one more: %v", err)
	}
	if err := add(100); err != nil {
		t.Errorf("one that is known: %v", err)
	}
}

// TestSmallAndLarge: what lies about the size up to which package attach encodes
// comes back, with each dictionary that is used in turn.
func TestSmallAndLarge(t *testing.T) {
	t.Parallel()
	c := codec.New()
	d, err := zstd.BuildDict(zstd.BuildDictOptions{ID: 9, Contents: samples(), History: text(3000), Offsets: [3]int{1, 4, 8}})
	if err != nil {
		t.Fatal(err)
	}
	odd := bytes.Clone(d[:len(d)-3000+4]) // so little that only the library takes it
	binary.LittleEndian.PutUint32(odd[4:], 10)
	for i := range 3 {
		binary.LittleEndian.PutUint32(odd[len(odd)-16+4*i:], 1)
	}
	if err := errors.Join(c.Add(9, d), c.Add(10, odd)); err != nil {
		t.Fatal(err)
	}
	for _, dict := range []uint32{codec.Shipped, 9, 10, codec.Shipped, 11} {
		c.Use(codec.Skeletons, dict)
		for _, n := range []int{200, 3000, attach.MaxBytes, attach.MaxBytes + 1} {
			b := append(text(n-n/8), noise(n/8)...)
			enc, ok := c.Encode(nil, b, dict)
			if got, err := c.Decode(nil, enc, int64(n)); !ok || err != nil || !bytes.Equal(got, b) {
				t.Errorf("%d bytes, dictionary %d: %v, %v", n, dict, ok, err)
			}
		}
	}
}
