package imap

// handleLogout: RFC 9051 §6.1.3.
func (c *conn) handleLogout(r *request) error {
	if !r.dec.ExpectCRLF() {
		return nil
	}
	c.bye("", "goodbye")
	r.replied = true
	c.enc.Raw(r.tag).Raw(" OK LOGOUT completed").CRLF()
	return nil
}
