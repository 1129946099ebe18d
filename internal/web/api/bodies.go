package api

import (
	"bytes"
	"io"
	"strconv"
	"strings"

	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/message/codes"
)

// textParts are the leaves that people read: text/plain and text/html that are
// not files.
func textParts(ix *message.Index) []*message.Part {
	files := map[string]bool{}
	for _, a := range ix.Attachments {
		files[a.Path] = true
	}
	var out []*message.Part
	walk(ix.Root, "", func(path string, p *message.Part) bool {
		// A multipart whose boundary never occurs is its text.
		text := p.Type == "text" && (p.Subtype == "plain" || p.Subtype == "html") || p.Type == "multipart"
		if text && !files[path] {
			out = append(out, p)
		}
		return len(out) < maxTextParts
	})
	return out
}

// maxTextParts bounds the text parts that are read of one message.
const maxTextParts = 100

// walk visits the leaves with their IMAP part numbers (RFC 9051 §6.4.5.1),
// until f says no.
func walk(p *message.Part, path string, f func(string, *message.Part) bool) bool {
	if p == nil {
		return true
	}
	if len(p.Parts) == 0 {
		if path == "" {
			path = "1"
		}
		return f(path, p)
	}
	for i, c := range p.Parts {
		sub := strconv.Itoa(i + 1)
		if path != "" {
			sub = path + "." + sub
		}
		if !walk(c, sub, f) {
			return false
		}
	}
	return true
}

// findPart returns the part with an IMAP part number that has no parts itself.
func findPart(ix *message.Index, number string) *message.Part {
	path, ok := message.ParsePath(number)
	if !ok || len(path) == 0 || ix.Root == nil {
		return nil
	}
	p := message.FindPart(ix.Root, path)
	if p == nil || len(p.Parts) > 0 {
		return nil
	}
	return p
}

// partText decodes a text part, at most limit bytes of it.
func partText(c io.ReaderAt, p *message.Part, limit int64) (text string, cut bool, err error) {
	var b bytes.Buffer
	r := message.TextReader(p, io.NewSectionReader(c, p.Body.Start, p.Body.Len()))
	n, err := io.Copy(&b, io.LimitReader(r, limit+1))
	if err != nil {
		return "", false, err
	}
	if n > limit {
		b.Truncate(int(limit))
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD"), n > limit, nil
}

// readBodies fills in text, HTML, and what is found in them.
func readBodies(c io.ReaderAt, ix *message.Index, m *Message) error {
	var text, html strings.Builder
	for _, p := range textParts(ix) {
		to := &text
		if p.Type == "text" && p.Subtype == "html" {
			to = &html
		}
		left := int64(MaxText - to.Len())
		if left <= 0 {
			m.Truncated = true
			continue
		}
		t, cut, err := partText(c, p, left)
		if err != nil {
			return err
		}
		m.Truncated = m.Truncated || cut
		to.WriteString(t)
	}
	m.Text, m.HTML = text.String(), html.String()
	for _, l := range message.Links(m.Text, m.HTML) {
		m.Links = append(m.Links, Link{URL: l.URL, Text: l.Text})
	}
	readable := m.Text
	if strings.TrimSpace(readable) == "" {
		readable = message.HTMLText(m.HTML)
	}
	m.Codes = append(m.Codes, codes.Find(m.Subject, readable)...)
	return nil
}

// maxHeaderBytes bounds the header that is read for an answer.
const maxHeaderBytes = 256 << 10

// readHeaders fills in the fields of the header.
func readHeaders(c io.ReaderAt, ix *message.Index, m *Message) error {
	if ix.Root == nil {
		return nil
	}
	span := ix.Root.Header
	b := make([]byte, min(span.Len(), maxHeaderBytes))
	n, err := c.ReadAt(b, span.Start)
	if err != nil && err != io.EOF {
		return err
	}
	m.Headers = fields(b[:n])
	return nil
}

// fields are a header's fields, unfolded and decoded (RFC 5322 §2.2).
func fields(b []byte) []Header {
	out := []Header{}
	for f := range message.HeaderFields(b) {
		if len(f.Name) == 0 {
			continue
		}
		if len(out) >= MaxHeaders {
			break
		}
		out = append(out, Header{Name: strings.ToValidUTF8(string(f.Name), "\uFFFD"),
			Value: strings.TrimSpace(f.Text())})
	}
	return out
}
