package imap

import (
	"io"
	"strings"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/imap/shape"
	"github.com/eidermail/eider/internal/message"
)

// catenate takes a message that is put together from texts and from parts of
// stored messages (RFC 4469 §3): the parts are read one after the other, as
// they come.
func (a *appending) catenate(m *AppendMessage) error {
	d := a.r.dec
	if !d.ExpectSP() || !d.ExpectByte('(') {
		return nil
	}
	k := &catenation{a: a}
	defer k.close()
	return a.take(k, m)
}

// catenation reads the parts of a CATENATE.
type catenation struct {
	a     *appending
	part  io.Reader
	text  *imapwire.Literal // the part, if it is a TEXT
	shut  func()            // of the part, if it is a URL
	parts int
}

// Read reads the part at hand, or goes on to the next.
func (k *catenation) Read(p []byte) (int, error) {
	for {
		if k.part == nil {
			if err := k.next(); err != nil {
				return 0, err
			}
		}
		n, err := k.part.Read(p)
		if err != io.EOF {
			return n, err
		}
		k.part = nil
		if k.text != nil && !k.text.Done() {
			return n, k.a.r.dec.Err()
		}
		k.close()
		if n > 0 {
			return n, nil
		}
	}
}

// next opens the next part; io.EOF says that there is none.
func (k *catenation) next() error {
	d := k.a.r.dec
	if k.parts > 0 {
		if d.Byte(')') {
			return io.EOF
		}
		d.ExpectSP()
	}
	k.parts++
	switch {
	case d.Word("TEXT") && d.ExpectSP():
		l, ok := d.Literal()
		if !ok {
			d.Fail("expected a literal")
			return d.Err()
		}
		k.part, k.text = l, l
		if err := k.a.room(l.Size, false); err != nil {
			return err
		}
		return l.Accept()
	case d.Word("URL") && d.ExpectSP():
		var url string
		if !d.ExpectAstring(&url) {
			return d.Err()
		}
		return k.open(url)
	}
	d.Fail("expected TEXT or URL")
	return d.Err()
}

// open opens the part of a message that a URL names.
func (k *catenation) open(url string) error {
	bad := &Error{Text: "there is no such message or part"}
	odd := func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"\\]", r) }
	if !strings.ContainsFunc(url, odd) {
		bad.Code = "BADURL " + url // unquoted: RFC 4469, url-resp-text
	}
	u, ok := imapwire.ParseMessageURL(url)
	if !ok || u.Section.Fields != nil {
		return bad
	}
	m, shut, err := k.a.c.session.OpenMessage(k.a.r.ctx, &u)
	if err != nil {
		return err
	}
	k.shut = shut
	span, ok := message.Span{}, false
	if m != nil {
		span, ok = shape.Span(&u.Section, m.Index, m.Content)
	}
	if !ok {
		return bad
	}
	offset, n := shape.Cut(span.Len(), u.Partial)
	k.part = io.NewSectionReader(m.Content, span.Start+offset, n)
	return k.a.room(n, false)
}

// close ends with the part at hand.
func (k *catenation) close() {
	if k.shut != nil {
		k.shut()
	}
	k.text, k.shut = nil, nil
}
