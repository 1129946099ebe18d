package imap

import "github.com/eidermail/eider/internal/imap/imapwire"

var errReadOnly = &Error{Code: "READ-ONLY", Text: "the mailbox is open read-only"}

// handleExpunge: RFC 9051 §6.4.3, and UID EXPUNGE (RFC 4315 §2.1). With
// QRESYNC the tagged response tells where the mailbox is (RFC 7162 §3.2.7).
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
	var uids imapwire.Set // nil: all
	if r.uid {
		if uids, _ = c.uidsOf(r, set); uids.Empty() {
			return nil
		}
	}
	n, err := c.session.Expunge(r.ctx, uids)
	r.highest = n > 0
	return err
}
