package imap

// handleCheck: RFC 3501 §6.4.1. Everything is on disk already, so it is NOOP.
func (c *conn) handleCheck(r *request) error {
	r.force = true
	r.dec.ExpectCRLF()
	return nil
}
