package message

import (
	"bytes"
	"iter"
)

// Field is one field of a header, as slices of it.
type Field struct {
	Name  []byte // as written; empty for a line that is no field
	Raw   []byte // all of it with its folded lines and line ends
	Value []byte // behind the colon, still folded and encoded
}

// Is says whether the field has this name, in any case.
func (f Field) Is(name string) bool { return equalFold(f.Name, name) }

// Text is the value for people: unfolded and decoded.
func (f Field) Text() string { return DecodeHeader(string(Unfold(f.Value))) }

func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		d := s[i]
		if c != d && (c|0x20 != d|0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

// Unfold makes one line of a folded value (RFC 5322 §2.2.3): each fold becomes
// one space, CR and NUL do not stay.
func Unfold(value []byte) []byte {
	h := headReader{value: make([]byte, 0, len(value))}
	for line := range bytes.Lines(value) {
		if len(h.value) > 0 {
			h.value = append(h.value, ' ')
		}
		h.append(bytes.Trim(line, " \t\r\n"))
	}
	return h.value
}

// HeaderFields yields the fields of a header in order, up to its blank line,
// cut in the same way as an Indexer does it: a line that is no field comes
// without a name. The slices together are the header without its blank line.
func HeaderFields(header []byte) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for len(header) > 0 {
			n := lineLen(header)
			if len(trimLineEnd(header[:n])) == 0 {
				return
			}
			f := Field{}
			if at := nameLen(header[:n]); at > 0 {
				colon := at
				for colon < n && (header[colon] == ' ' || header[colon] == '\t') {
					colon++
				}
				if colon < n && header[colon] == ':' {
					f.Name = header[:at]
					f.Value = header[colon+1:]
				}
			}
			start := header
			for n < len(header) && (header[n] == ' ' || header[n] == '\t') {
				n += lineLen(header[n:])
			}
			f.Raw, header = start[:n], start[n:]
			if f.Name != nil {
				f.Value = bytes.Trim(f.Value[:len(f.Value)-len(header)], " \t\r\n")
			}
			if !yield(f) {
				return
			}
		}
	}
}

// lineLen is the length of the first line with its line feed.
func lineLen(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}
