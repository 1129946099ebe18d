package imap

// handleRename: RFC 9051 §6.3.6.
func (c *conn) handleRename(r *request) error {
	d := r.dec
	var from, to string
	if !d.ExpectSP() || !d.ExpectMailbox(&from) || !d.ExpectSP() || !d.ExpectMailbox(&to) || !d.ExpectCRLF() {
		return nil
	}
	if err := c.session.Rename(r.ctx, from, to); err != nil {
		return err
	}
	if c.state == selected && c.name == from && from != "INBOX" {
		c.name = to
	}
	r.force = true
	return nil
}
