package imap

// handleUnauthenticate: RFC 8437 §3. All that the client has set up is gone,
// but for TLS and compression.
func (c *conn) handleUnauthenticate(r *request) error {
	if !r.dec.ExpectCRLF() {
		return nil
	}
	if c.state == selected {
		c.leave(r)
	}
	c.endNotify()
	c.session.Close()
	c.session = c.s.o.NewSession(c.info, c.progress)
	c.state, c.on = notAuthenticated, switches{}
	c.enc.UTF8, c.dec.UTF8, c.dec.NoCharset = false, false, false
	return nil
}
