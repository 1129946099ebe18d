package row

import (
	"time"

	"github.com/eidermail/eider/internal/message"
	"google.golang.org/protobuf/encoding/protowire"
)

// maxDepth bounds the recursion of the decoder; the indexer's own bound is far lower.
const maxDepth = 1000

// AppendIndex encodes a message's index. The parts stand in pre-order, each
// with the number of its children, so that no part is copied more than once
// however deep it lies.
func AppendIndex(b []byte, x *message.Index) []byte {
	e := indexEncoder{out: append(b, version)}
	e.out = putI64(e.out, 1, x.Size)
	e.begin()
	e.envelope(&x.Envelope)
	e.end(2)
	e.out = putStrs(e.out, 3, x.References)
	e.out = putStr(e.out, 4, x.Preview)
	for i := range x.Attachments {
		e.begin()
		e.attachment(&x.Attachments[i])
		e.end(5)
	}
	e.out = putStrs(e.out, 6, x.Defects)
	if x.Root != nil {
		e.part(x.Root)
	}
	return e.out
}

type indexEncoder struct {
	out   []byte
	tmp   []byte // the nested message being built
	addrs []byte // the address within it
}

func (e *indexEncoder) begin() { e.tmp = e.tmp[:0] }

func (e *indexEncoder) end(num protowire.Number) {
	e.out = protowire.AppendBytes(protowire.AppendTag(e.out, num, protowire.BytesType), e.tmp)
}

func (e *indexEncoder) envelope(v *message.Envelope) {
	e.tmp = putStr(e.tmp, 1, v.Date)
	if !v.SentAt.IsZero() {
		_, zone := v.SentAt.Zone()
		e.tmp = putI64(e.tmp, 2, v.SentAt.Unix())
		e.tmp = putI64(e.tmp, 3, int64(zone))
		e.tmp = putBool(e.tmp, 14, v.SentAt.Unix() == 0)
	}
	e.tmp = putStr(e.tmp, 4, v.Subject)
	e.addresses(5, v.From)
	// Sender and Reply-To are mostly From again.
	if e.same(12, v.From, v.Sender) {
		e.addresses(6, v.Sender)
	}
	if e.same(13, v.From, v.ReplyTo) {
		e.addresses(7, v.ReplyTo)
	}
	e.addresses(8, v.To)
	e.addresses(9, v.Cc)
	e.addresses(10, v.Bcc)
	e.tmp = putStr(e.tmp, 11, v.InReplyTo)
	e.tmp = putStr(e.tmp, 15, v.MessageID)
}

// same notes that b equals a, or returns true if it must be written.
func (e *indexEncoder) same(num protowire.Number, a, b []message.Address) bool {
	if len(a) != len(b) {
		return true
	}
	for i := range a {
		if a[i] != b[i] {
			return true
		}
	}
	e.tmp = putBool(e.tmp, num, true)
	return false
}

func (e *indexEncoder) addresses(num protowire.Number, as []message.Address) {
	for i := range as {
		a := &as[i]
		e.addrs = putStr(e.addrs[:0], 1, a.Name)
		e.addrs = putStr(e.addrs, 2, a.Mailbox)
		e.addrs = putStr(e.addrs, 3, a.Host)
		e.addrs = putBool(e.addrs, 4, a.Group)
		e.tmp = protowire.AppendBytes(protowire.AppendTag(e.tmp, num, protowire.BytesType), e.addrs)
	}
}

func (e *indexEncoder) attachment(a *message.Attachment) {
	e.tmp = putStr(e.tmp, 1, a.ID)
	e.tmp = putStr(e.tmp, 2, a.Path)
	e.tmp = putStr(e.tmp, 3, a.Name)
	e.tmp = putStr(e.tmp, 4, a.Type)
	e.tmp = putStr(e.tmp, 5, a.ContentID)
	e.tmp = putBool(e.tmp, 6, a.Inline)
	e.tmp = putI64(e.tmp, 7, a.Size)
	e.tmp = putI64(e.tmp, 8, a.DecodedSize)
}

func (e *indexEncoder) params(num protowire.Number, ps []message.Param) {
	for i := range ps {
		e.addrs = putStr(putStr(e.addrs[:0], 1, ps[i].Name), 2, ps[i].Value)
		e.tmp = protowire.AppendBytes(protowire.AppendTag(e.tmp, num, protowire.BytesType), e.addrs)
	}
}

// part writes a part and then those within it.
func (e *indexEncoder) part(p *message.Part) {
	e.begin()
	e.tmp = putStr(e.tmp, 1, p.Type)
	e.tmp = putStr(e.tmp, 2, p.Subtype)
	e.params(3, p.Params)
	e.tmp = putStr(e.tmp, 4, p.ID)
	e.tmp = putStr(e.tmp, 5, p.Description)
	e.tmp = putStr(e.tmp, 6, p.Encoding)
	e.tmp = putStr(e.tmp, 7, p.MD5)
	e.tmp = putStr(e.tmp, 8, p.Disposition)
	e.params(9, p.DispParams)
	e.tmp = putStrs(e.tmp, 10, p.Language)
	e.tmp = putStr(e.tmp, 11, p.Location)
	e.tmp = putI64(e.tmp, 12, p.Header.Start)
	e.tmp = putI64(e.tmp, 13, p.Header.Len())
	e.tmp = putI64(e.tmp, 14, p.Body.Start-p.Header.End)
	e.tmp = putI64(e.tmp, 15, p.Body.Len())
	e.tmp = putI64(e.tmp, 16, p.Lines)
	e.tmp = putU64(e.tmp, 17, uint64(len(p.Parts)))
	if p.Message != nil {
		e.tmp = putBool(e.tmp, 18, true)
		e.tmp = putBool(e.tmp, 19, p.Message.Root != nil)
	}
	e.end(7)
	if p.Message != nil {
		e.begin()
		e.envelope(&p.Message.Envelope)
		e.end(8)
		if p.Message.Root != nil {
			e.part(p.Message.Root)
		}
	}
	for _, child := range p.Parts {
		e.part(child)
	}
}

// DecodeIndex is the inverse of AppendIndex.
func DecodeIndex(b []byte) (x message.Index, err error) {
	f := open(b)
	for f.next() {
		switch f.num {
		case 1:
			x.Size = f.i64()
		case 2:
			decodeEnvelope(&f, &x.Envelope)
		case 3:
			x.References = append(x.References, f.str())
		case 4:
			x.Preview = f.str()
		case 5:
			x.Attachments = append(x.Attachments, decodeAttachment(&f))
		case 6:
			x.Defects = append(x.Defects, f.str())
		case 7:
			x.Root = decodePart(&f, 0)
		}
	}
	return x, f.err
}

// nested walks the fields of a nested message; its error becomes f's.
func (f *fields) nested(visit func(*fields)) {
	in := fields{b: f.bytes(), err: f.err}
	for in.next() {
		visit(&in)
	}
	f.err = in.err
}

func decodeEnvelope(f *fields, v *message.Envelope) {
	var sec, zone int64
	var epoch, sameSender, sameReply bool
	f.nested(func(f *fields) {
		switch f.num {
		case 1:
			v.Date = f.str()
		case 2:
			sec = f.i64()
		case 3:
			zone = f.i64()
		case 4:
			v.Subject = f.str()
		case 5:
			v.From = append(v.From, decodeAddress(f))
		case 6:
			v.Sender = append(v.Sender, decodeAddress(f))
		case 7:
			v.ReplyTo = append(v.ReplyTo, decodeAddress(f))
		case 8:
			v.To = append(v.To, decodeAddress(f))
		case 9:
			v.Cc = append(v.Cc, decodeAddress(f))
		case 10:
			v.Bcc = append(v.Bcc, decodeAddress(f))
		case 11:
			v.InReplyTo = f.str()
		case 12:
			sameSender = f.bool()
		case 13:
			sameReply = f.bool()
		case 14:
			epoch = f.bool()
		case 15:
			v.MessageID = f.str()
		}
	})
	if sec != 0 || epoch {
		v.SentAt = time.Unix(sec, 0).In(zoneOf(zone))
	}
	if sameSender {
		v.Sender = v.From
	}
	if sameReply {
		v.ReplyTo = v.From
	}
}

func zoneOf(seconds int64) *time.Location {
	if seconds == 0 || seconds < -24*3600 || seconds > 24*3600 {
		return time.UTC
	}
	return time.FixedZone("", int(seconds))
}

func decodeAddress(f *fields) (a message.Address) {
	f.nested(func(f *fields) {
		switch f.num {
		case 1:
			a.Name = f.str()
		case 2:
			a.Mailbox = f.str()
		case 3:
			a.Host = f.str()
		case 4:
			a.Group = f.bool()
		}
	})
	return a
}

func decodeAttachment(f *fields) (a message.Attachment) {
	f.nested(func(f *fields) {
		switch f.num {
		case 1:
			a.ID = f.str()
		case 2:
			a.Path = f.str()
		case 3:
			a.Name = f.str()
		case 4:
			a.Type = f.str()
		case 5:
			a.ContentID = f.str()
		case 6:
			a.Inline = f.bool()
		case 7:
			a.Size = f.i64()
		case 8:
			a.DecodedSize = f.i64()
		}
	})
	return a
}

func decodeParam(f *fields) (p message.Param) {
	f.nested(func(f *fields) {
		switch f.num {
		case 1:
			p.Name = f.str()
		case 2:
			p.Value = f.str()
		}
	})
	return p
}

// decodePart reads the part at f, and from the fields after it those within it.
func decodePart(f *fields, depth int) *message.Part {
	p := new(message.Part)
	d := decodePartFields(f, p)
	if depth > maxDepth {
		f.fail("parts too deep")
	}
	if d.embedded && f.expect(8) {
		p.Message = new(message.Embedded)
		decodeEnvelope(f, &p.Message.Envelope)
		if d.root && f.expect(7) {
			p.Message.Root = decodePart(f, depth+1)
		}
	}
	for range d.children {
		if !f.expect(7) {
			break
		}
		p.Parts = append(p.Parts, decodePart(f, depth+1))
	}
	return p
}

// expect steps to the next field, which must be num.
func (f *fields) expect(num protowire.Number) bool {
	if !f.next() {
		return f.fail("parts end early")
	}
	if f.num != num {
		return f.fail("parts out of order")
	}
	return true
}

// partTail is what follows a part.
type partTail struct {
	children       uint64
	embedded, root bool
}

func decodePartFields(f *fields, p *message.Part) (t partTail) {
	var header, body message.Span // of body: start from the header's end; both: End is the length
	f.nested(func(f *fields) {
		switch f.num {
		case 1:
			p.Type = f.str()
		case 2:
			p.Subtype = f.str()
		case 3:
			p.Params = append(p.Params, decodeParam(f))
		case 4:
			p.ID = f.str()
		case 5:
			p.Description = f.str()
		case 6:
			p.Encoding = f.str()
		case 7:
			p.MD5 = f.str()
		case 8:
			p.Disposition = f.str()
		case 9:
			p.DispParams = append(p.DispParams, decodeParam(f))
		case 10:
			p.Language = append(p.Language, f.str())
		case 11:
			p.Location = f.str()
		case 12:
			header.Start = f.i64()
		case 13:
			header.End = f.i64()
		case 14:
			body.Start = f.i64()
		case 15:
			body.End = f.i64()
		case 16:
			p.Lines = f.i64()
		case 17:
			t.children = f.u64()
		case 18:
			t.embedded = f.bool()
		case 19:
			t.root = f.bool()
		}
	})
	p.Header = message.Span{Start: header.Start, End: header.Start + header.End}
	p.Body.Start = p.Header.End + body.Start
	p.Body.End = p.Body.Start + body.End
	return t
}
