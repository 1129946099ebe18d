package imap

import (
	"io"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/imap/shape"
	"github.com/eidermail/eider/internal/message"
)

// span writes a stretch of the message as a literal.
func (f *fetcher) span(s message.Span, p *imapwire.Partial, m *Message) error {
	e := f.e
	offset, n := shape.Cut(s.Len(), p)
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
	e := f.e
	span, ok := shape.Span(s, m.Index, m.Content)
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
	out := shape.Fields(f.head.bytes, s.Fields, s.Spec == imapwire.SpecFieldsNot)
	offset, n := shape.Cut(int64(len(out)), p)
	e.LiteralHead(n).Bytes(out[offset : offset+n])
	return nil
}

// binary writes a part without its transfer encoding, or its size (RFC 3516
// §4.2). The part is decoded twice: the size stands before the bytes.
func (f *fetcher) binary(it *imapwire.FetchItem, m *Message) error {
	e := f.e
	span, ok := shape.Span(&it.Section, m.Index, m.Content)
	encoding := ""
	if ok && m.Index != nil {
		if p := message.FindPart(m.Index.Root, shape.Path(it.Section.Part)); p != nil && len(p.Parts) == 0 {
			encoding = p.Encoding
		}
	}
	unknown := ok && !shape.KnownEncoding(encoding)
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
	var look shape.NULs
	size, err := io.Copy(&look, decoded())
	if err != nil {
		return err
	}
	if it.Kind == imapwire.ItemBinarySize {
		e.Number64(uint64(size))
		return nil
	}
	offset, n := shape.Cut(size, it.Partial)
	if look.Found {
		e.Byte('~') // literal8
	}
	e.LiteralHead(n)
	r := decoded()
	if _, err := io.CopyN(io.Discard, r, offset); err != nil {
		return err
	}
	return e.CopyN(r, n)
}
