package imapd

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
)

// Limit: bytes of a header that SEARCH looks at.
const maxSearchHeader = 1 << 20

// headPeek is read first of a message: nearly every header lies in it.
const headPeek = 16 << 10

// textChunk is how much text is compared at once.
const textChunk = 32 << 10

// texts searches the text of a message: all texts that a search asks for in
// one pass, and only once for a message.
type texts struct {
	wanted []string // folded
	length int      // of the longest
	head   []byte   // the header of the message that was read last
	result *textResult
	buf    []byte
	folded []byte
}

// textResult is which texts a message holds, in its body and in its headers.
type textResult struct{ body, head map[string]bool }

func (t *texts) want(s string) {
	if s != "" && !slices.Contains(t.wanted, s) {
		t.wanted = append(t.wanted, s)
		t.length = max(t.length, len(s))
	}
}

// forget turns to another message.
func (t *texts) forget() { t.head, t.result = nil, nil }

// header is the header of the message, cut at maxSearchHeader.
func (t *texts) header(c mailstore.Content) ([]byte, error) {
	if t.head != nil {
		return t.head, nil
	}
	for n := int64(headPeek); ; n *= 8 {
		b := make([]byte, min(n, c.Size(), maxSearchHeader))
		if _, err := c.ReadAt(b, 0); err != nil && err != io.EOF {
			return nil, err
		}
		whole := bytes.Contains(b, []byte("\n\r\n")) || bytes.Contains(b, []byte("\n\n"))
		if whole || int64(len(b)) == c.Size() || len(b) == maxSearchHeader {
			t.head = b
			return b, nil
		}
	}
}

// search looks for all wanted texts.
func (t *texts) search(c mailstore.Content, root *message.Part) (*textResult, error) {
	if t.result != nil {
		return t.result, nil
	}
	r := &textResult{body: make(map[string]bool), head: make(map[string]bool)}
	head, err := t.header(c)
	if err != nil {
		return nil, err
	}
	t.inHeader(head, r.head)
	for path, p := range message.WalkParts(root) {
		if len(r.body) == len(t.wanted) {
			break
		}
		if err := t.inPart(c, path, p, r); err != nil {
			return nil, err
		}
	}
	t.result = r
	return r, nil
}

// inPart searches one part: the headers of parts and of embedded messages count
// as headers (RFC 9051 §6.4.4, BODY), and text is decoded first.
func (t *texts) inPart(c mailstore.Content, path string, p *message.Part, r *textResult) error {
	if path != "" && p.Header.Len() > 0 && p.Header.Start > 0 {
		if err := t.inSpan(c, p.Header, r.head); err != nil {
			return err
		}
	}
	if p.Message != nil {
		return t.inSpan(c, p.Message.Root.Header, r.head)
	}
	typ, _ := p.WireType()
	if typ != "text" && typ != "message" {
		return nil
	}
	return t.inText(message.TextReader(p, io.NewSectionReader(c, p.Body.Start, p.Body.Len())), r.body)
}

func (t *texts) inSpan(c mailstore.Content, s message.Span, found map[string]bool) error {
	b := make([]byte, min(s.Len(), maxSearchHeader))
	if _, err := c.ReadAt(b, s.Start); err != nil && err != io.EOF {
		return err
	}
	t.inHeader(b, found)
	return nil
}

// inHeader searches the fields of a header, decoded for people.
func (t *texts) inHeader(head []byte, found map[string]bool) {
	for f := range message.HeaderFields(head) {
		line := foldString(string(f.Name) + ": " + f.Text())
		for _, w := range t.wanted {
			if !found[w] && strings.Contains(line, w) {
				found[w] = true
			}
		}
	}
}

// inText searches text in pieces that overlap by the longest text.
func (t *texts) inText(r io.Reader, found map[string]bool) error {
	if t.buf == nil {
		t.buf = make([]byte, textChunk)
	}
	kept := 0 // bytes of a character that is not whole yet
	t.folded = t.folded[:0]
	for len(found) < len(t.wanted) {
		n, err := r.Read(t.buf[kept:])
		n += kept
		whole := wholeRunes(t.buf[:n])
		if err != nil {
			whole = n
		}
		t.folded = appendFolded(t.folded, t.buf[:whole])
		kept = copy(t.buf, t.buf[whole:n])
		for _, w := range t.wanted {
			if !found[w] && bytes.Contains(t.folded, []byte(w)) {
				found[w] = true
			}
		}
		if overlap := t.length - 1; len(t.folded) > overlap {
			t.folded = append(t.folded[:0], t.folded[len(t.folded)-overlap:]...)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wholeRunes is how much of b ends with a whole character.
func wholeRunes(b []byte) int {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if utf8.FullRune(b[i:]) {
				return len(b)
			}
			return i
		}
	}
	return len(b)
}

// foldString makes texts that differ only in case equal.
func foldString(s string) string { return string(appendFolded(make([]byte, 0, len(s)), []byte(s))) }

// appendFolded appends b in the form in which texts are compared, that of RFC
// 5051: characters taken apart (NFKD), so that "e" finds "\u00e9" and letters in
// fancy forms, and without the differences of case. Upper case comes first, so
// that characters with several lower cases meet.
func appendFolded(dst, b []byte) []byte {
	for i := 0; i < len(b); {
		if c := b[i]; c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		p := norm.NFKD.Properties(b[i:])
		parts := p.Decomposition()
		if n := p.Size(); parts == nil {
			n = max(n, 1)
			parts = b[i : i+n]
			i += n
		} else {
			i += n
		}
		for len(parts) > 0 {
			r, n := utf8.DecodeRune(parts)
			dst = utf8.AppendRune(dst, unicode.ToLower(unicode.ToUpper(r)))
			parts = parts[n:]
		}
	}
	return dst
}
