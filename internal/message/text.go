package message

import (
	"io"

	"github.com/eidermail/eider/internal/message/charset"
	"github.com/eidermail/eider/internal/message/transfer"
)

// DecodeTransfer returns a reader of r without its Content-Transfer-Encoding
// (RFC 2045 §6). It fails only where r fails: garbage in base64 is skipped,
// missing padding is no matter, bad quoted-printable stays as it stands.
func DecodeTransfer(encoding string, r io.Reader) io.Reader { return transfer.NewReader(encoding, r) }

// TextReader returns the text of a leaf part as valid UTF-8: r is its body as
// it lies in the message. The charset is the one declared, for HTML also in a
// meta element; without one that is known it is guessed as in ToUTF8.
func TextReader(p *Part, r io.Reader) io.Reader {
	return charset.NewReader(ParamValue(p.Params, "charset"), p.Subtype == "html", DecodeTransfer(p.Encoding, r))
}

// ToUTF8 decodes b from the named charset to valid UTF-8. An unknown charset,
// or ASCII with the eighth bit set, is taken as UTF-8 if it is that, else as
// windows-1252, which has a character for every byte.
func ToUTF8(label string, b []byte) string { return charset.ToUTF8(label, b) }

func unhex(b byte) int {
	switch {
	case b >= '0' && b <= '9':
		return int(b - '0')
	case b >= 'A' && b <= 'F':
		return int(b-'A') + 10
	case b >= 'a' && b <= 'f':
		return int(b-'a') + 10
	}
	return -1
}
