package imap

import (
	"bytes"
	"io"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/message"
)

// sectionSpan tells where a section of a message lies (RFC 9051 §6.4.5.1).
func sectionSpan(s *imapwire.Section, m *Message) (message.Span, bool) {
	if m.Index == nil {
		return message.Span{Start: 0, End: m.Content.Size()}, true
	}
	what := message.All
	switch s.Spec {
	case imapwire.SpecHeader, imapwire.SpecFields, imapwire.SpecFieldsNot:
		what = message.Header
	case imapwire.SpecText:
		what = message.Text
	case imapwire.SpecMIME:
		what = message.MIME
	}
	return m.Index.Section(partPath(s.Part), what)
}

func partPath(part []uint32) []int {
	path := make([]int, len(part))
	for i, n := range part {
		path[i] = int(n)
	}
	return path
}

// cut applies <offset.count> to a length.
func cut(n int64, p *imapwire.Partial) (offset, count int64) {
	if p == nil {
		return 0, n
	}
	offset = int64(min(p.Offset, uint64(n)))
	return offset, int64(min(p.Count, uint64(n-offset)))
}

// span writes a stretch of the message as a literal.
func (f *fetcher) span(s message.Span, p *imapwire.Partial, m *Message) error {
	e := f.c.enc
	offset, n := cut(s.Len(), p)
	if n == 0 {
		e.Raw(`""`)
		return nil
	}
	e.LiteralHead(n)
	return e.CopyN(io.NewSectionReader(m.Content, s.Start+offset, n), n)
}

// headerCache is the last header that was read of a message: clients ask for
// several lists of fields of the same one.
type headerCache struct {
	at    message.Span
	bytes []byte
}

// fields writes the wanted fields of a header and its blank line.
func (f *fetcher) fields(s *imapwire.Section, p *imapwire.Partial, m *Message) error {
	e := f.c.enc
	span, ok := sectionSpan(s, m)
	if !ok {
		e.Raw("NIL")
		return nil
	}
	if f.head.bytes == nil || f.head.at != span {
		b := make([]byte, min(span.Len(), MaxHeader))
		if _, err := m.Content.ReadAt(b, span.Start); err != nil && err != io.EOF {
			return err
		}
		f.head = headerCache{span, b}
	}
	out := filterFields(f.head.bytes, s.Fields, s.Spec == imapwire.SpecFieldsNot)
	offset, n := cut(int64(len(out)), p)
	e.LiteralHead(n).Bytes(out[offset : offset+n])
	return nil
}

// filterFields keeps of a header the fields that are named, or those that are not.
func filterFields(header []byte, names []string, not bool) []byte {
	out := make([]byte, 0, 256)
	for field := range message.HeaderFields(header) {
		named := false
		for _, n := range names {
			if field.Is(n) {
				named = true
				break
			}
		}
		if named != not {
			out = append(out, field.Raw...)
		}
	}
	if len(out) > 0 && !bytes.HasSuffix(out, []byte("\n")) {
		out = append(out, '\r', '\n')
	}
	return append(out, '\r', '\n')
}

// binary writes a part without its transfer encoding, or its size (RFC 3516
// §4.2). The part is decoded twice: the size stands before the bytes.
func (f *fetcher) binary(it *imapwire.FetchItem, m *Message) error {
	e := f.c.enc
	span, ok := sectionSpan(&it.Section, m)
	encoding := ""
	if ok && m.Index != nil {
		if p := message.FindPart(m.Index.Root, partPath(it.Section.Part)); p != nil && len(p.Parts) == 0 {
			encoding = p.Encoding
		}
	}
	unknown := ok && !knownEncoding(encoding)
	f.unknownCTE = f.unknownCTE || unknown
	if !ok || unknown {
		if it.Kind == imapwire.ItemBinarySize {
			e.Raw("0")
		} else {
			e.Raw("NIL")
		}
		return nil
	}
	decoded := func() io.Reader {
		return message.DecodeTransfer(encoding, io.NewSectionReader(m.Content, span.Start, span.Len()))
	}
	var look nulWriter
	size, err := io.Copy(&look, decoded())
	if err != nil {
		return err
	}
	if it.Kind == imapwire.ItemBinarySize {
		e.Number64(uint64(size))
		return nil
	}
	offset, n := cut(size, it.Partial)
	if look.nul {
		e.Byte('~') // literal8
	}
	e.LiteralHead(n)
	r := decoded()
	if _, err := io.CopyN(io.Discard, r, offset); err != nil {
		return err
	}
	return e.CopyN(r, n)
}

func knownEncoding(cte string) bool {
	switch cte {
	case "", "7bit", "8bit", "binary", "base64", "quoted-printable", "uuencode", "x-uuencode", "uue", "x-uue":
		return true
	}
	return false
}

// nulWriter looks for a NUL.
type nulWriter struct{ nul bool }

// Write looks at p.
func (w *nulWriter) Write(p []byte) (int, error) {
	w.nul = w.nul || bytes.IndexByte(p, 0) >= 0
	return len(p), nil
}
