package imap

import (
	"fmt"
	"time"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// handleAppend: RFC 9051 §6.3.12, with APPENDUID (RFC 4315 §3). The message
// goes straight from the connection to a spool. What is known to be refused is
// refused before a synchronising literal is sent.
func (c *conn) handleAppend(r *request) error {
	d := r.dec
	var name string
	var m AppendMessage
	if !d.ExpectSP() || !d.ExpectMailbox(&name) || !d.ExpectSP() || !appendArguments(d, &m) {
		return nil
	}
	l, ok := d.Literal()
	if !ok {
		d.Fail("expected a message literal")
		return nil
	}
	if limit := c.s.o.MessageLimit; limit > 0 && l.Size > limit {
		return &Error{Code: "TOOBIG", Text: fmt.Sprintf("messages have at most %d bytes here", limit)}
	}
	if err := c.session.CheckAppend(r.ctx, name, l.Size); err != nil {
		return err
	}
	if err := l.Accept(); err != nil {
		return err
	}
	draft, err := c.session.Receive(r.ctx, l)
	if d.Err() != nil {
		if draft != nil {
			draft.Close()
		}
		return d.Err()
	}
	if err != nil {
		return err
	}
	defer draft.Close()
	if !l.Done() || !d.ExpectCRLF() {
		return nil
	}
	m.Draft = draft
	done, err := c.session.Append(r.ctx, name, m)
	if err != nil {
		return err
	}
	r.force = true
	r.code, r.text = fmt.Sprintf("APPENDUID %d %d", done.UIDValidity, done.UID), "APPEND completed"
	return nil
}

// appendArguments reads the flags and the date that may stand before the message.
func appendArguments(d *imapwire.Decoder, m *AppendMessage) bool {
	if d.FlagList(&m.Flags) && !d.ExpectSP() {
		return false
	}
	var date time.Time
	if d.DateTime(&date) {
		m.Date = date
		return d.ExpectSP()
	}
	return d.Err() == nil
}
