package imap

// handleDelete: RFC 9051 §6.3.5. A client that deletes the mailbox it has
// selected has none selected afterwards.
func (c *conn) handleDelete(r *request) error {
	d := r.dec
	var name string
	if !d.ExpectSP() || !d.ExpectMailbox(&name) || !d.ExpectCRLF() {
		return nil
	}
	if err := c.session.Delete(r.ctx, name); err != nil {
		return err
	}
	if c.state == selected && c.name == name {
		c.leave(r)
	}
	return nil
}
