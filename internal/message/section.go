package message

import (
	"iter"
	"strconv"
	"strings"
)

// child is the part that number n names below p (RFC 9051 §6.4.5): a part of a
// multipart, or of the message that p embeds.
func (p *Part) child(n int) *Part {
	if p.Message != nil {
		return messageChild(p.Message.Root, n)
	}
	if n >= 1 && n <= len(p.Parts) {
		return p.Parts[n-1]
	}
	return nil
}

// messageChild is part n of a message: one that is no multipart is its own part 1.
func messageChild(root *Part, n int) *Part {
	if len(root.Parts) > 0 {
		return root.child(n)
	}
	if n == 1 {
		return root
	}
	return nil
}

// FindPart finds a part by its IMAP number, nil if there is none. The empty
// path is the root.
func FindPart(root *Part, path []int) *Part {
	p := root
	for i, n := range path {
		if i == 0 {
			p = messageChild(root, n)
		} else {
			p = p.child(n)
		}
		if p == nil {
			return nil
		}
	}
	return p
}

// ParsePath reads a part number, "1.2"; "" is the empty path.
func ParsePath(s string) (path []int, ok bool) {
	if s == "" {
		return nil, true
	}
	if len(s) > 1000 {
		return nil, false
	}
	for n := range strings.SplitSeq(s, ".") {
		v, err := strconv.ParseUint(n, 10, 31)
		if err != nil || v == 0 || n[0] == '+' {
			return nil, false
		}
		path = append(path, int(v))
	}
	return path, true
}

// WalkParts yields every part below root with its IMAP number, parents first,
// embedded messages too. A multipart that is the root of a message has no
// number of its own: the outermost comes with "", the others only by their parts.
func WalkParts(root *Part) iter.Seq2[string, *Part] {
	return func(yield func(string, *Part) bool) {
		if len(root.Parts) > 0 {
			if yield("", root) {
				walkChildren(root.Parts, "", yield)
			}
			return
		}
		walkPart(root, "1", yield)
	}
}

func walkPart(p *Part, path string, yield func(string, *Part) bool) bool {
	if !yield(path, p) {
		return false
	}
	if p.Message == nil {
		return walkChildren(p.Parts, path, yield)
	}
	if r := p.Message.Root; len(r.Parts) > 0 {
		return walkChildren(r.Parts, path, yield)
	}
	return walkPart(p.Message.Root, joinPath(path, 1), yield)
}

func walkChildren(parts []*Part, path string, yield func(string, *Part) bool) bool {
	for i, c := range parts {
		if !walkPart(c, joinPath(path, i+1), yield) {
			return false
		}
	}
	return true
}

// What says which section of a part is meant.
type What int

// The section texts of RFC 9051 §6.4.5.
const (
	All    What = iota // BODY[] or BODY[1.2]: the message, or the body of the part
	Header             // BODY[HEADER], BODY[1.HEADER]
	Text               // BODY[TEXT], BODY[1.TEXT]
	MIME               // BODY[1.MIME]
)

// Section tells where a section lies in the message. ok is false where there
// is no such section, which IMAP shows as an empty one.
func (x *Index) Section(path []int, what What) (s Span, ok bool) {
	p := FindPart(x.Root, path)
	if p == nil {
		return Span{}, false
	}
	top := len(path) == 0
	switch {
	case what == All && top:
		return Span{0, x.Size}, true
	case what == All:
		return p.Body, true
	case what == MIME:
		return p.Header, !top
	case !top && p.Message == nil:
		return Span{}, false
	case !top:
		p = p.Message.Root
	}
	if what == Header {
		return p.Header, true
	}
	return p.Body, true
}

// WireType is the type that BODYSTRUCTURE must show so that it fits the rest
// of what it shows: a multipart without parts is text/plain, a message that was
// not looked into is application/octet-stream.
func (p *Part) WireType() (typ, sub string) {
	switch {
	case p.Type == "multipart" && len(p.Parts) == 0:
		return "text", "plain"
	case p.Type == "message" && (p.Subtype == "rfc822" || p.Subtype == "global") && p.Message == nil:
		return "application", "octet-stream"
	}
	return p.Type, p.Subtype
}

// WireParams are the parameters that BODYSTRUCTURE shows: those of the header,
// and the charset that a text without one has (RFC 2045 §5.2).
func (p *Part) WireParams() []Param {
	if typ, _ := p.WireType(); typ != "text" {
		return p.Params
	}
	for _, q := range p.Params {
		if q.Name == "charset" || q.Name == "charset*" {
			return p.Params
		}
	}
	return append(p.Params[:len(p.Params):len(p.Params)], Param{"charset", "us-ascii"})
}
