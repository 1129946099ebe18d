package imap

// handleClose: RFC 9051 §6.4.1. The client is not told what it expunges, nor
// the MODSEQ after it, with QRESYNC either: it would take what others did
// before for known (RFC 7162 §3.2.8).
func (c *conn) handleClose(r *request) error {
	if !r.dec.ExpectCRLF() {
		return nil
	}
	if !c.readOnly {
		if _, err := c.session.Expunge(r.ctx, nil); err != nil {
			return err
		}
	}
	c.leave(r)
	return nil
}
