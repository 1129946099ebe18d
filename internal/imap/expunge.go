package imap

import "github.com/eidermail/eider/internal/imap/imapwire"

var errReadOnly = &Error{Code: "READ-ONLY", Text: "the mailbox is open read-only"}

// handleExpunge: RFC 9051 §6.4.3, and UID EXPUNGE (RFC 4315 §2.1).
func (c *conn) handleExpunge(r *request) error {
	d := r.dec
	var set imapwire.SeqSet
	if r.uid && (!d.ExpectSP() || !d.ExpectSeqSet(&set)) || !d.ExpectCRLF() {
		return nil
	}
	if c.readOnly {
		return errReadOnly
	}
	r.force = true
	if !r.uid {
		return c.session.Expunge(r.ctx, nil)
	}
	uids := c.view.byUID(set)
	if uids.Empty() {
		return nil
	}
	return c.session.Expunge(r.ctx, uids)
}
