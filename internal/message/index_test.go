package message_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eidermail/eider/internal/message"
)

// checkIndex fails where an index breaks a promise: spans in bounds, children
// inside parents and in order, sizes counted as decoding gives them, strings clean.
func checkIndex(t testing.TB, b []byte, x *message.Index) {
	t.Helper()
	size := int64(len(b))
	if x.Size != size {
		t.Errorf("size %d, want %d", x.Size, size)
	}
	checkPart(t, b, x.Root, message.Span{Start: 0, End: size})
	if x.Root.Header.Start != 0 || x.Root.Body.End != size {
		t.Errorf("root %v %v does not cover %d bytes", x.Root.Header, x.Root.Body, size)
	}
	for _, a := range x.Attachments {
		path, ok := message.ParsePath(a.Path)
		p := message.FindPart(x.Root, path)
		if !ok || p == nil {
			t.Fatalf("attachment %s has no part", a.Path)
		}
		n, _ := io.Copy(io.Discard, message.DecodeTransfer(p.Encoding, bytes.NewReader(b[p.Body.Start:p.Body.End])))
		if p.Message == nil && (n != a.DecodedSize || p.Body.Len() != a.Size) {
			t.Errorf("attachment %s %q: size %d, decoded %d, want %d", a.Path, p.Encoding, a.Size, a.DecodedSize, n)
		}
	}
	if n := len([]rune(x.Preview)); n > message.MaxPreview || strings.ContainsAny(x.Preview, "\r\n\x00") {
		t.Errorf("preview of %d characters: %q", n, x.Preview)
	}
	if s := fmt.Sprintf("%+v", x.Envelope); strings.ContainsAny(s, "\r\n\x00") {
		t.Errorf("line end in the envelope %s", s)
	}
}

func checkPart(t testing.TB, b []byte, p *message.Part, in message.Span) {
	t.Helper()
	h, c := p.Header, p.Body
	if h.Start < in.Start || h.Start > h.End || h.End > c.Start || c.Start > c.End || c.End > in.End {
		t.Fatalf("%s/%s: header %v, body %v, outside %v", p.Type, p.Subtype, h, c, in)
	}
	if n := int64(bytes.Count(b[c.Start:c.End], []byte("\n"))); n != p.Lines {
		t.Errorf("%s/%s at %v: %d lines, want %d", p.Type, p.Subtype, c, p.Lines, n)
	}
	at := c.Start
	for _, q := range p.Parts {
		checkPart(t, b, q, message.Span{Start: at, End: c.End})
		at = q.Body.End
	}
	if p.Message != nil {
		checkPart(t, b, p.Message.Root, c)
		if r := p.Message.Root; r.Header.Start != c.Start || r.Body.End != c.End {
			t.Errorf("embedded message %v %v does not fill %v", r.Header, r.Body, c)
		}
	}
}

// inPieces indexes b cut at random.
func inPieces(b []byte, r *rand.Rand, most int) *message.Index {
	x := message.NewIndexer(message.Limits{})
	for len(b) > 0 {
		n := min(len(b), 1+r.IntN(most))
		_, _ = x.Write(b[:n])
		b = b[n:]
	}
	return x.Index()
}

func TestCorpus(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for _, m := range allMail(t) {
		x := message.Parse(m.Data)
		checkIndex(t, m.Data, x)
		if d := cmp.Diff(x, inPieces(m.Data, r, 3000)); d != "" {
			t.Errorf("%s: other writes, other index: %s", m.Name, d)
		}
		if len(m.Data) < 20_000 {
			if d := cmp.Diff(x, inPieces(m.Data, r, 7)); d != "" {
				t.Errorf("%s: small writes, other index: %s", m.Name, d)
			}
		}
		if t.Failed() {
			t.Fatal(m.Name)
		}
	}
}
