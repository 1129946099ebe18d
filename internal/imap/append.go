package imap

import (
	"fmt"
	"io"
	"time"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// handleAppend: RFC 9051 §6.3.12, with APPENDUID (RFC 4315 §3), several
// messages (RFC 3502) and the UTF8 form (RFC 6855 §4). Messages go straight
// from the connection to a spool. What is known to be refused is refused
// before a synchronising literal is sent.
func (c *conn) handleAppend(r *request) error {
	d := r.dec
	a := appending{c: c, r: r}
	defer a.close()
	if !d.ExpectSP() || !d.ExpectMailbox(&a.name) {
		return nil
	}
	for !d.CRLF() {
		if err := a.read(); err != nil || d.Err() != nil {
			return err
		}
	}
	if len(a.messages) == 0 {
		d.Fail("expected a message literal")
		return nil
	}
	t := Task{Append: &AppendTask{To: a.name, Messages: a.messages}}
	a.messages = nil // the task's from here on
	return c.carry(r, t, c.appended)
}

// appended tells what an APPEND did.
func (c *conn) appended(r *request, t *Task) error {
	if t.Err != nil {
		return t.Err
	}
	r.force = true
	r.code, r.text = appendUID(&t.Append.Done), "APPEND completed"
	return nil
}

// appendUID is the response code (RFC 4315 §3).
func appendUID(done *Appended) string {
	return string(imapwire.AppendInOrder(fmt.Appendf(nil, "APPENDUID %d ", done.UIDValidity), done.UIDs))
}

// appending are the messages of an APPEND or REPLACE, as they come.
type appending struct {
	c        *conn
	r        *request
	name     string
	messages []AppendMessage
	size     int64 // of all messages
	part     int64 // of the one at hand
}

// Limit: messages of one IMAP APPEND (RFC 3502); they are stored in one go.
const MaxAppend = 100

func (a *appending) close() {
	for i := range a.messages {
		a.messages[i].Draft.Close()
	}
}

// read reads one message with what stands before it. Errors of the grammar
// are the decoder's.
func (a *appending) read() error {
	d := a.r.dec
	var m AppendMessage
	if !d.ExpectSP() || !appendArguments(d, &m) {
		return nil
	}
	if len(a.messages) == MaxAppend {
		return &Error{Code: "LIMIT", Text: "too many messages in one APPEND"}
	}
	a.part = 0
	if d.Word("CATENATE") {
		if err := a.c.settle(); err != nil { // it may read what waits to be stored
			return &inputError{err}
		}
		return a.catenate(&m)
	}
	wrapped := d.Word("UTF8")
	if wrapped && (!d.ExpectSP() || !d.ExpectByte('(')) {
		return nil
	}
	l, ok := d.Literal()
	if !ok {
		d.Fail("expected a message literal")
		return nil
	}
	if err := a.receive(l, &m); err != nil {
		return err
	}
	if l.Done() && wrapped {
		d.ExpectByte(')')
	}
	return nil
}

// receive takes the bytes of a message that is one literal.
func (a *appending) receive(l *imapwire.Literal, m *AppendMessage) error {
	if err := a.room(l.Size, l.NonSync); err != nil {
		return err
	}
	if err := l.Accept(); err != nil {
		return err
	}
	return a.take(l, m)
}

// comesAnyhow is how large a message may be that is not asked about before it
// has come, if the client sends it unasked: storing it tells what is wrong.
const comesAnyhow = 256 << 10

// room tells why so many more bytes of a message would be refused.
func (a *appending) room(n int64, unasked bool) error {
	a.size += n
	a.part += n
	if limit := a.c.s.o.MessageLimit; limit > 0 && a.part > limit {
		return &Error{Code: "TOOBIG", Text: fmt.Sprintf("messages have at most %d bytes here", limit)}
	}
	if unasked && a.size <= comesAnyhow {
		return nil
	}
	return a.c.session.CheckAppend(a.r.ctx, a.name, a.size)
}

// take spools a message.
func (a *appending) take(r io.Reader, m *AppendMessage) error {
	draft, err := a.c.session.Receive(a.r.ctx, r)
	if draft != nil {
		m.Draft = draft
		a.messages = append(a.messages, *m)
	}
	if d := a.r.dec; d.Err() != nil {
		return d.Err()
	}
	return err
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

// handleReplace: RFC 8508 §3.3. The new message is there and the old one gone
// in one step.
func (c *conn) handleReplace(r *request) error {
	d := r.dec
	var set imapwire.SeqSet
	a := appending{c: c, r: r}
	defer a.close()
	if !d.ExpectSP() || !d.ExpectSeqSet(&set) || !d.ExpectSP() || !d.ExpectMailbox(&a.name) {
		return nil
	}
	old, err := c.uidsOf(r, set)
	switch {
	case err != nil:
		return err
	case c.readOnly:
		return errReadOnly
	case len(set) != 1 || set[0].Start != set[0].Stop:
		return &Error{Bad: true, Text: "REPLACE takes one message"}
	case old.Empty():
		return &Error{Code: "NONEXISTENT", Text: "there is no such message"}
	}
	if err := a.read(); err != nil || !d.ExpectCRLF() {
		return err
	}
	done, err := c.session.Replace(r.ctx, old.Min(), a.name, a.messages[0])
	if err != nil {
		return err
	}
	c.enc.Raw("* OK ")
	c.writeText(appendUID(&done), "replacement stored")
	r.force, r.highest = true, true
	return nil
}
