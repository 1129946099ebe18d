package shape

import (
	"bytes"

	"github.com/eidermail/eider/internal/message"
)

// Fields keeps of a header the fields that are named, or those that are not.
func Fields(header []byte, names []string, not bool) []byte {
	out := make([]byte, 0, 256)
	for field := range message.HeaderFields(header) {
		named := false
		for _, n := range names {
			if field.Is(n) {
				named = true
				break
			}
		}
		if named != not {
			out = append(out, field.Raw...)
		}
	}
	if len(out) > 0 && !bytes.HasSuffix(out, []byte("\n")) {
		out = append(out, '\r', '\n')
	}
	return append(out, '\r', '\n')
}

// KnownEncoding tells whether a transfer encoding can be taken off.
func KnownEncoding(cte string) bool {
	switch cte {
	case "", "7bit", "8bit", "binary", "base64", "quoted-printable", "uuencode", "x-uuencode", "uue", "x-uue":
		return true
	}
	return false
}

// NULs is a Writer that looks for a NUL: what has one is sent as literal8 (RFC 3516 §4.2).
type NULs struct{ Found bool }

// Write looks at p.
func (w *NULs) Write(p []byte) (int, error) {
	w.Found = w.Found || bytes.IndexByte(p, 0) >= 0
	return len(p), nil
}
