package imap

import (
	"strings"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// decoder reads commands from a text.
func decoder(s string) *imapwire.Decoder {
	d := imapwire.NewDecoder(imapwire.NewReader(strings.NewReader(s + "\r\n")))
	d.Continue = func() error { return nil }
	return d
}
