package imap

// handleNoop: RFC 9051 §6.1.2.
func (c *conn) handleNoop(r *request) error {
	r.force = true
	r.dec.ExpectCRLF()
	return nil
}
