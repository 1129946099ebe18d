package shape

import (
	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/message"
)

// Span tells where a section of a message lies (RFC 9051 §6.4.5.1). Without an
// index it is the whole of the content.
func Span(s *imapwire.Section, index *message.Index, content interface{ Size() int64 }) (message.Span, bool) {
	if index == nil {
		return message.Span{Start: 0, End: content.Size()}, true
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
	return index.Section(Path(s.Part), what)
}

// Path is a part's number as package message has it.
func Path(part []uint32) []int {
	path := make([]int, len(part))
	for i, n := range part {
		path[i] = int(n)
	}
	return path
}

// Cut applies <offset.count> to a length.
func Cut(n int64, p *imapwire.Partial) (offset, count int64) {
	if p == nil {
		return 0, n
	}
	offset = int64(min(p.Offset, uint64(n)))
	return offset, int64(min(p.Count, uint64(n-offset)))
}
