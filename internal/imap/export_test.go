package imap

import (
	"strings"

	"github.com/eidermail/eider/internal/imap/backend"
	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/message"
)

// For the tests of limits.
const (
	MaxPipelinedUIDs = maxPipelinedUIDs
	MaxWritten       = maxWritten
	MaxWrittenItem   = maxWrittenItem
)

// Written is what a server keeps of messages as it was written.
type Written struct{ f *fetcher }

// NewWritten is that of a new server.
func NewWritten() *Written {
	c := &conn{s: New(Options{}), enc: imapwire.NewEncoder(nil)}
	return &Written{&fetcher{c: c, e: c.enc, ids: []uint64{1}, items: []imapwire.FetchItem{{Kind: imapwire.ItemPreview}}}}
}

// Write writes an item of so many bytes of a message.
func (w *Written) Write(msg uint64, bytes int) error {
	w.f.c.enc = imapwire.NewEncoder(nil)
	frame := len("PREVIEW ") + len("{0000}\r\n")
	m := Message{Key: backend.MessageKey{Message: msg}, Index: &message.Index{Preview: strings.Repeat("p", bytes-frame)}}
	return w.f.keep(0, &m)
}

// Kept is how many bytes are kept of a message.
func (w *Written) Kept(msg uint64) int {
	m := Message{Key: backend.MessageKey{Message: msg}}
	w.f.prepare(&m)
	return len(m.Ready[0])
}
