package message

import (
	"bytes"
	"strings"
)

// fieldID names a header field that an index reads.
type fieldID uint8

const (
	fieldOther fieldID = iota
	fieldContentType
	fieldEncoding
	fieldContentID
	fieldDescription
	fieldDisposition
	fieldLanguage
	fieldLocation
	fieldMD5
	fieldDate
	fieldSubject
	fieldFrom
	fieldSender
	fieldReplyTo
	fieldTo
	fieldCc
	fieldBcc
	fieldInReplyTo
	fieldMessageID
	fieldReferences
)

type fieldSet uint32

// fieldOf finds a field by its name.
func fieldOf(name []byte) fieldID {
	var buf [32]byte
	if len(name) > len(buf) {
		return fieldOther
	}
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	switch string(buf[:len(name)]) {
	case "content-type":
		return fieldContentType
	case "content-transfer-encoding":
		return fieldEncoding
	case "content-id":
		return fieldContentID
	case "content-description":
		return fieldDescription
	case "content-disposition":
		return fieldDisposition
	case "content-language":
		return fieldLanguage
	case "content-location":
		return fieldLocation
	case "content-md5":
		return fieldMD5
	case "date":
		return fieldDate
	case "subject":
		return fieldSubject
	case "from":
		return fieldFrom
	case "sender":
		return fieldSender
	case "reply-to":
		return fieldReplyTo
	case "to":
		return fieldTo
	case "cc":
		return fieldCc
	case "bcc":
		return fieldBcc
	case "in-reply-to":
		return fieldInReplyTo
	case "message-id":
		return fieldMessageID
	case "references":
		return fieldReferences
	}
	return fieldOther
}

type answer uint8

const (
	no answer = iota
	yes
	perhaps
)

// fieldStart says whether a line can start a header: "Name:", or the "From "
// that mbox files put before it. perhaps: more of the line must be seen.
func fieldStart(line []byte) answer {
	for _, from := range [...]string{"From ", ">From "} {
		if n := min(len(line), len(from)); string(line[:n]) == from[:n] {
			if n == len(from) {
				return yes
			}
			return perhaps
		}
	}
	n := nameLen(line)
	rest := bytes.TrimLeft(line[n:], " \t")
	switch {
	case len(trimLineEnd(line)) == 0:
		return perhaps // a blank line
	case n == 0 && len(line) > 0, n > MaxFieldName:
		return no
	case len(rest) == 0:
		if len(line)-n > MaxFieldName {
			return no
		}
		return perhaps
	case rest[0] == ':':
		return yes
	}
	return no
}

// trimLineEnd drops a line feed and up to two CR before it.
func trimLineEnd(line []byte) []byte {
	line = bytes.TrimSuffix(line, newlineByte)
	for range 2 {
		line = bytes.TrimSuffix(line, []byte{'\r'})
	}
	return line
}

// nameLen is the length of the field name that line begins with (RFC 5322 §2.2).
func nameLen(line []byte) int {
	for i, c := range line {
		if c <= ' ' || c >= 0x7f || c == ':' {
			return i
		}
		if i > MaxFieldName {
			return i
		}
	}
	return len(line)
}

// headReader collects the fields of one header block.
type headReader struct {
	first bool // no line was read yet
	field fieldID
	size  int    // bytes of the block
	value []byte // of field, unfolded; re-used
}

func (h *headReader) reset() {
	h.first, h.field, h.size, h.value = true, fieldOther, 0, h.value[:0]
}

// headerLine reads one line of a header that starts at start; x.off is behind
// it. It returns false where the block has no header at all.
// ended says whether its line feed was read.
func (x *Indexer) headerLine(line []byte, start int64, ended bool) bool {
	h := &x.head
	t := trimLineEnd(line)
	h.size += len(line)
	switch {
	case len(t) == 0 && len(line) > 0:
		h.flush(x)
		x.count(ended)
		x.endHeader(x.off)
		return true
	case t[0] == '-':
		if at, closing, ok := x.isDelimiter(t); ok {
			x.defect("a header ends at a boundary")
			x.delimit(at, closing, start)
			if ended {
				x.count(true)
				x.afterDelimiter()
			}
			return true
		}
	case isSpace(t[0]) && !h.first:
		x.count(ended)
		h.continued(t)
		return true
	}
	if h.first && isSpace(t[0]) && x.stack[len(x.stack)-1].env != nil {
		x.defect("a header that starts with a folded line")
		x.count(ended)
		h.first = false
		return true
	}
	if h.first && fieldStart(t) != yes {
		return false
	}
	x.count(ended)
	h.flush(x)
	h.first = false
	h.start(x, t)
	return true
}

// count counts a header line.
func (x *Indexer) count(ended bool) {
	if ended {
		x.newline++
	}
}

// start begins a field; a line that is none is passed over.
func (h *headReader) start(x *Indexer, line []byte) {
	n := nameLen(line)
	rest := bytes.TrimLeft(line[n:], " \t")
	if n == 0 || len(rest) == 0 || rest[0] != ':' {
		return
	}
	if h.size > MaxHeaderBytes {
		x.defect("a header longer than is read")
		return
	}
	if h.field = fieldOf(line[:n]); h.field != fieldOther {
		h.add(rest[1:])
	}
}

// continued adds a folded line (RFC 5322 §2.2.3).
func (h *headReader) continued(line []byte) {
	if h.field != fieldOther && h.size <= MaxHeaderBytes {
		h.value = append(h.value, ' ')
		h.add(line)
	}
}

// add appends a line to the value, trimmed and as far as there is room.
func (h *headReader) add(line []byte) {
	line = trimCut(line)
	h.append(line[:min(len(line), max(0, MaxFieldBytes-len(h.value)))])
}

// append adds to the value without NUL, and a bare CR as a space.
func (h *headReader) append(line []byte) {
	at := len(h.value)
	h.value = append(h.value, line...)
	v := h.value[at:]
	if bytes.IndexByte(v, 0) < 0 && bytes.IndexByte(v, '\r') < 0 {
		return
	}
	n := at
	for _, c := range v {
		switch c {
		case 0:
			continue
		case '\r':
			c = ' '
		}
		h.value[n] = c
		n++
	}
	h.value = h.value[:n]
}

// flush ends the current field.
func (h *headReader) flush(x *Indexer) {
	id := h.field
	if id == fieldOther {
		return
	}
	v := trimCut(h.value)
	h.field, h.value = fieldOther, h.value[:0]
	f := &x.stack[len(x.stack)-1]
	if f.got&(1<<id) != 0 {
		x.defect("a header field that is there twice")
		return
	}
	f.got |= 1 << id
	if id >= fieldDate {
		if f.env != nil {
			x.envelopeField(f, id, v)
		}
		return
	}
	x.partField(f.part, id, v)
}

func (x *Indexer) partField(p *Part, id fieldID, v []byte) {
	switch id {
	case fieldContentType:
		typ, sub, params, ok := parseMediaType(v)
		if ok {
			p.Type, p.Subtype = x.keep(typ), x.keep(sub)
		} else {
			p.Type, p.Subtype = "text", "plain"
			x.defect("a content type that names no type")
		}
		p.Params = x.keepParams(params)
	case fieldEncoding:
		p.Encoding = x.keep(parseToken(v))
	case fieldContentID:
		p.ID = x.keepBytes(v)
	case fieldDescription:
		p.Description = x.keepBytes(v)
	case fieldDisposition:
		d, params := parseDisposition(v)
		p.Disposition, p.DispParams = x.keep(d), x.keepParams(params)
	case fieldLanguage:
		for _, l := range strings.FieldsFunc(string(v), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
			if len(p.Language) < MaxLanguages && len(l) <= 100 {
				p.Language = append(p.Language, x.keep(l))
			}
		}
	case fieldLocation:
		p.Location = x.keepBytes(bytes.ReplaceAll(v, []byte(" "), nil))
	case fieldMD5:
		p.MD5 = x.keepBytes(v)
	}
}

func (x *Indexer) envelopeField(f *frame, id fieldID, v []byte) {
	e := f.env
	switch id {
	case fieldDate:
		e.Date = x.keepBytes(v)
		e.SentAt, _ = ParseDate(e.Date)
	case fieldSubject:
		e.Subject = x.keepBytes(v)
	case fieldFrom:
		e.From = x.addresses(v)
	case fieldSender:
		e.Sender = x.addresses(v)
	case fieldReplyTo:
		e.ReplyTo = x.addresses(v)
	case fieldTo:
		e.To = x.addresses(v)
	case fieldCc:
		e.Cc = x.addresses(v)
	case fieldBcc:
		e.Bcc = x.addresses(v)
	case fieldInReplyTo:
		e.InReplyTo = x.keepBytes(v)
	case fieldMessageID:
		e.MessageID = x.keepBytes(v)
	case fieldReferences:
		if len(x.stack) == 1 {
			x.refs = MessageIDs(string(v))
		}
	}
}

// endHeader: the body of the innermost part starts at next.
func (x *Indexer) endHeader(next int64) {
	i := len(x.stack) - 1
	f := &x.stack[i]
	p := f.part
	f.body, f.lines = true, x.newline
	p.Header, p.Body = Span{f.start, next}, Span{next, next}
	if e := f.env; e != nil {
		if e.Sender == nil {
			e.Sender = e.From
		}
		if e.ReplyTo == nil {
			e.ReplyTo = e.From
		}
	}
	x.state, x.bol = inBody, true
	x.leaf.none()
	deep := len(x.stack) >= x.limits.Depth
	switch {
	case p.Type == "multipart" && !deep:
		if b := boundaryOf(p); b != "" {
			x.open.push(b, i)
			f.multi, f.digest = true, p.Subtype == "digest"
			if i == 0 {
				x.leaf.preamble(p)
			}
			return
		}
		x.defect("a multipart without a boundary")
	case p.embeds() && !deep && x.parts < x.limits.Parts && x.budget >= 2*partCost:
		x.budget -= partCost
		p.Message = &Embedded{Root: x.newPart()}
		x.push(frame{part: p.Message.Root, env: &p.Message.Envelope, start: next, inside: i > 0})
		return
	case deep && (p.Type == "multipart" || p.embeds()):
		x.defect("nested deeper than is described")
	}
	x.leaf.begin(x, p, f.inside, i > 0)
}

// embeds says whether the body is a message that can be looked into as it
// stands (RFC 2046 §5.2.1, RFC 6532 §3.7).
func (p *Part) embeds() bool {
	if p.Type != "message" || p.Subtype != "rfc822" && p.Subtype != "global" {
		return false
	}
	switch p.Encoding {
	case "base64", "quoted-printable":
		return false
	}
	return true
}

// boundaryOf is the boundary of a multipart, "" if it has none that can be used.
func boundaryOf(p *Part) string {
	for _, q := range p.Params {
		b := q.Value
		switch q.Name {
		case "boundary":
		case "boundary*":
			b = decode2231(b)
		default:
			continue
		}
		if b = strings.TrimRight(b, " \t"); len(b) <= MaxBoundary {
			return b
		}
		return ""
	}
	return ""
}
