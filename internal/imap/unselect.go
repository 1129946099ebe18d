package imap

// handleUnselect: RFC 9051 §6.4.2, RFC 3691.
func (c *conn) handleUnselect(r *request) error {
	if r.dec.ExpectCRLF() {
		c.leave(r)
	}
	return nil
}
