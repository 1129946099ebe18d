package imap

// handleClose: RFC 9051 §6.4.1. Nobody is told what it expunges.
func (c *conn) handleClose(r *request) error {
	if !r.dec.ExpectCRLF() {
		return nil
	}
	if !c.readOnly {
		if err := c.session.Expunge(r.ctx, nil); err != nil {
			return err
		}
	}
	c.leave(r)
	return nil
}
