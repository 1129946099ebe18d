package spool_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/eidermail/eider/internal/spool"
	"pgregory.net/rapid"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		p := spool.New(spool.Options{
			Dir:       dir,
			MemBytes:  rapid.SampledFrom([]int{1, 100, 20_000, 300_000}).Draw(t, "mem"),
			PoolBytes: rapid.SampledFrom([]int64{1, 10_000, 1 << 20}).Draw(t, "pool"),
		})
		m := p.Message()
		var want []byte
		for range rapid.IntRange(0, 20).Draw(t, "writes") {
			b := make([]byte, rapid.SampledFrom([]int{0, 1, 77, 5000, 31_000, 70_000}).Draw(t, "len"))
			for i := range b {
				b[i] = byte(rand.Uint32())
			}
			want = append(want, b...)
			if n, err := m.Write(b); n != len(b) || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
		}
		if m.Size() != int64(len(want)) {
			t.Fatalf("Size = %d, want %d", m.Size(), len(want))
		}
		got, err := io.ReadAll(m.Reader())
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("Reader gives %d bytes, %v; want %d", len(got), err, len(want))
		}
		if b := m.Bytes(); b != nil && !bytes.Equal(b, want) {
			t.Fatal("Bytes differ")
		}
		off := rapid.IntRange(0, len(want)+5).Draw(t, "off")
		part := make([]byte, rapid.IntRange(0, 40_000).Draw(t, "part"))
		n, err := m.ReadAt(part, int64(off))
		tail := want[min(off, len(want)):]
		if !bytes.Equal(part[:n], tail[:min(len(tail), len(part))]) || (n < len(part)) != (err == io.EOF) {
			t.Fatalf("ReadAt(%d bytes, %d) = %d, %v", len(part), off, n, err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if p.InMemory() != 0 {
			t.Fatalf("%d bytes still counted after Close", p.InMemory())
		}
		if _, err := m.Write([]byte("x")); !errors.Is(err, spool.ErrClosed) {
			t.Fatalf("Write after Close = %v", err)
		}
	})
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Fatalf("files left behind: %v, %v", left, err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	const pool = 1 << 20
	p := spool.New(spool.Options{Dir: t.TempDir(), MemBytes: 256 << 10, PoolBytes: pool})
	block := make([]byte, 10_000)
	for range 20 {
		m := p.Message()
		defer m.Close()
		for range 100 {
			if _, err := m.Write(block); err != nil {
				t.Fatal(err)
			}
		}
		if p.InMemory() > pool+20*(32<<10) {
			t.Fatalf("%d bytes in memory", p.InMemory())
		}
		if m.Bytes() != nil {
			t.Fatal("a message of 1 MB is held in memory")
		}
	}
}

// TestDefaults: memory ends at the default of a message, and at that of all.
func TestDefaults(t *testing.T) {
	t.Parallel()
	p := spool.New(spool.Options{Dir: t.TempDir()})
	fill := func(n int) *spool.Message {
		m := p.Message()
		t.Cleanup(func() { m.Close() })
		if _, err := m.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		return m
	}
	if fill(spool.DefaultMemBytes+1).Bytes() != nil {
		t.Error("a message over the limit is in memory")
	}
	n := 0
	for ; n <= spool.DefaultPoolBytes/spool.DefaultMemBytes && fill(spool.DefaultMemBytes).Bytes() != nil; n++ {
	}
	if n == 0 || p.InMemory() > spool.DefaultPoolBytes {
		t.Errorf("%d messages and %d bytes in memory", n, p.InMemory())
	}
	if n > spool.DefaultPoolBytes/spool.DefaultMemBytes {
		t.Errorf("%d messages in memory, more than the pool holds", n)
	}
}

func TestFileThatCannotBeMade(t *testing.T) {
	t.Parallel()
	p := spool.New(spool.Options{Dir: "/nonexistent/folder", MemBytes: 10})
	m := p.Message()
	defer m.Close()
	if _, err := m.Write(make([]byte, 11)); err == nil {
		t.Fatal("no error without a folder for the file")
	}
	if _, err := m.Write([]byte("x")); err == nil {
		t.Fatal("a failed message takes more")
	}
}

func BenchmarkSmall(b *testing.B) {
	p := spool.New(spool.Options{})
	line := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		m := p.Message()
		m.Write(line)
		m.Write(line)
		m.Close()
	}
}
