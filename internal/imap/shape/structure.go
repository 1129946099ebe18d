// Package shape writes what FETCH tells of a message's form: ENVELOPE, BODY and
// BODYSTRUCTURE (RFC 9051 §7.5.2).
package shape

import (
	"strings"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/message"
)

// Structure writes BODY or, with ext, BODYSTRUCTURE (RFC 9051 §7.5.2).
// The tree's depth is limited by message.MaxDepth.
func Structure(e *imapwire.Encoder, p *message.Part, ext bool) {
	e.Byte('(')
	typ, sub := p.WireType()
	if typ == "multipart" {
		writeMultipart(e, p, ext)
		e.Byte(')')
		return
	}
	e.String(typ).SP().String(sub).SP()
	writeParams(e, p.Params)
	e.SP().NString(p.ID).SP().NString(p.Description).SP()
	writeEncoding(e, p)
	e.SP().Number64(uint64(p.Body.Len()))
	switch {
	case p.Message != nil && sub == "rfc822":
		e.SP()
		Envelope(e, &p.Message.Envelope)
		e.SP()
		Structure(e, p.Message.Root, ext)
		e.SP().Number64(uint64(p.Lines))
	case typ == "text":
		e.SP().Number64(uint64(p.Lines))
	}
	if ext {
		e.SP().NString(p.MD5)
		writeExtension(e, p)
	}
	e.Byte(')')
}

func writeEncoding(e *imapwire.Encoder, p *message.Part) {
	if p.Encoding == "" {
		e.Raw(`"7bit"`)
		return
	}
	e.String(p.Encoding)
}

func writeMultipart(e *imapwire.Encoder, p *message.Part, ext bool) {
	for _, child := range p.Parts {
		Structure(e, child, ext)
	}
	e.SP().String(p.Subtype)
	if ext {
		e.SP()
		writeParams(e, p.Params)
		writeExtension(e, p)
	}
}

// writeExtension writes disposition, language and location.
func writeExtension(e *imapwire.Encoder, p *message.Part) {
	if p.Disposition == "" {
		e.Raw(" NIL ")
	} else {
		e.Raw(" (").String(p.Disposition).SP()
		writeParams(e, p.DispParams)
		e.Raw(") ")
	}
	if len(p.Language) == 0 {
		e.Raw("NIL")
	} else {
		e.Byte('(')
		for i, l := range p.Language {
			if i > 0 {
				e.SP()
			}
			e.String(l)
		}
		e.Byte(')')
	}
	e.SP().NString(p.Location)
}

// writeParams writes parameters. Their values are decoded in the index; those
// outside ASCII go out in the encoding that the header would use for them
// (RFC 2231 §4), which every client reads.
func writeParams(e *imapwire.Encoder, params []message.Param) {
	if len(params) == 0 {
		e.Raw("NIL")
		return
	}
	e.Byte('(')
	for i := range params {
		p := &params[i]
		if i > 0 {
			e.SP()
		}
		if asciiText(p.Value) || e.UTF8 {
			e.String(p.Name).SP().String(p.Value)
		} else {
			e.String(p.Name + "*").SP().String(encodeParam(p.Value))
		}
	}
	e.Byte(')')
}

func asciiText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// encodeParam writes a value as RFC 2231 §4 does.
func encodeParam(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(s)*3 + 8)
	b.WriteString("utf-8''")
	for i := range len(s) {
		c := s[i]
		plain := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			strings.IndexByte("-._~!#$&+^`{|}", c) >= 0
		if plain {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}
