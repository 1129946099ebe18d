package imap

import (
	"github.com/eidermail/eider/internal/imap/imapwire"
)

// handleCopy: RFC 9051 §6.4.7, with COPYUID (RFC 4315 §3).
func (c *conn) handleCopy(r *request) error {
	uids, to, ok, err := c.readCopy(r)
	if !ok || err != nil {
		return err
	}
	r.force = true
	if uids.Empty() {
		return nil
	}
	return c.carry(r, Task{Copy: &CopyTask{UIDs: uids, To: to}}, c.copied)
}

// copied tells what a COPY did.
func (c *conn) copied(r *request, t *Task) error {
	if t.Err != nil {
		return t.Err
	}
	done := &t.Copy.Done
	if len(done.Dest) == 0 {
		return nothingCopied(r)
	}
	r.code, r.text = copyUID(done), "COPY completed"
	return nil
}

// nothingCopied: OK would say that there is a copy (RFC 5530 §3). UIDs that
// are not there are passed over.
func nothingCopied(r *request) error {
	if r.uid {
		return nil
	}
	return &Error{Code: "EXPUNGEISSUED", Text: "the messages have been expunged meanwhile"}
}

// readCopy reads the arguments of COPY and MOVE.
func (c *conn) readCopy(r *request) (uids imapwire.Set, to string, ok bool, err error) {
	d := r.dec
	var set imapwire.SeqSet
	if !d.ExpectSP() || !d.ExpectSeqSet(&set) || !d.ExpectSP() || !d.ExpectMailbox(&to) || !d.ExpectCRLF() {
		return nil, "", false, nil
	}
	if err = c.settleFor(); err != nil {
		return nil, "", false, err
	}
	uids, err = c.uidsOf(r, set)
	return uids, to, err == nil, err
}

// uidsOf turns the set of a command into UIDs that the client knows.
func (c *conn) uidsOf(r *request, q imapwire.SeqSet) (imapwire.Set, error) {
	if !r.uid && c.on.uidOnly {
		return nil, errUIDRequired
	}
	if q.Saved() {
		return c.view.UIDs().Intersect(c.saved), nil
	}
	if r.uid {
		return c.view.ByUID(q), nil
	}
	uids, ok := c.view.BySeq(q)
	if !ok {
		return nil, &Error{Bad: true, Text: "there is no message with that number"}
	}
	return uids, nil
}

// errUIDRequired: after ENABLE UIDONLY there are no message sequence numbers (RFC 9586 §3).
var errUIDRequired = &Error{Bad: true, Code: "UIDREQUIRED", Text: "message sequence numbers are switched off"}

// copyUID is the response code (RFC 4315 §3): sets in corresponding order,
// which is ascending on both sides.
func copyUID(d *Copied) string {
	e := make([]byte, 0, 64)
	e = append(e, "COPYUID "...)
	e = imapwire.Set{{Start: d.UIDValidity, Stop: d.UIDValidity}}.Append(e)
	e = append(e, ' ')
	e = imapwire.AppendInOrder(e, d.Source)
	e = append(e, ' ')
	return string(imapwire.AppendInOrder(e, d.Dest))
}
