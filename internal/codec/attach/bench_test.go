package attach_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/eidermail/eider/internal/codec/attach"
	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/recipe"
	"github.com/eidermail/eider/test/corpus"
	"github.com/eidermail/eider/test/genmail"
)

// skeletons are what of messages is encoded with a dictionary.
func skeletons(t testing.TB, mails [][]byte) (all [][]byte) {
	t.Helper()
	p := recipe.NewPlanner()
	for _, m := range mails {
		pl, err := p.Plan(bytes.NewReader(m), int64(len(m)), message.Parse(m), sha256.New())
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(pl.ReadSkeleton())
		if err != nil {
			t.Fatal(err)
		}
		if len(b) <= attach.MaxBytes {
			all = append(all, b)
		}
	}
	return all
}

// generated are n skeletons that the shipped dictionary was not trained on.
func generated(t testing.TB, n int) [][]byte {
	g := genmail.New(99)
	var mails [][]byte
	for range n {
		mails = append(mails, g.Message())
	}
	return skeletons(t, mails)
}

// everyday are skeletons of real mail, as it comes by SMTP.
func everyday(t testing.TB) [][]byte { return realMail(t, corpus.Everyday(t)) }

func realMail(t testing.TB, list []corpus.Message) [][]byte {
	var mails [][]byte
	for _, m := range list {
		mails = append(mails, corpus.CRLF(m.Data))
	}
	return skeletons(t, mails)
}

// BenchmarkEncode compares with the library, whose calls begin with a copy of the
// dictionary's tables: bytes that come out, and time for one skeleton.
func BenchmarkEncode(b *testing.B) {
	dict := shipped(b)
	for _, of := range []struct {
		name  string
		mails func(testing.TB) [][]byte
	}{{"generated", func(t testing.TB) [][]byte { return generated(t, 500) }}, {"everyday", everyday}} {
		b.Run(of.name, func(b *testing.B) {
			mails := of.mails(b)
			e, err := attach.New(dict)
			if err != nil {
				b.Fatal(err)
			}
			b.Run("attach", func(b *testing.B) { benchmark(b, mails, e.Encode) })
			for _, level := range []zstd.EncoderLevel{zstd.SpeedDefault, zstd.SpeedBetterCompression} {
				k, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1),
					zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true),
					zstd.WithWindowSize(1<<20), zstd.WithEncoderDict(dict))
				if err != nil {
					b.Fatal(err)
				}
				b.Run(level.String(), func(b *testing.B) {
					benchmark(b, mails, func(dst, src []byte) []byte { return k.EncodeAll(src, dst) })
				})
			}
		})
	}
}

func benchmark(b *testing.B, mails [][]byte, encode func(dst, src []byte) []byte) {
	var out []byte
	raw, sum := 0, 0
	for _, m := range mails {
		out = encode(out[:0], m)
		raw += len(m)
		sum += len(out)
	}
	b.ReportAllocs()
	b.SetBytes(int64(raw / len(mails)))
	for i := 0; b.Loop(); i++ {
		out = encode(out[:0], mails[i%len(mails)])
	}
	b.ReportMetric(float64(sum)/1000, "KB-out")
	b.ReportMetric(100*float64(sum)/float64(raw), "%")
}
