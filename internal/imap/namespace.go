package imap

// handleNamespace: RFC 2342 §5. All mailboxes are the user's own.
func (c *conn) handleNamespace(r *request) error {
	if !r.dec.ExpectCRLF() {
		return nil
	}
	c.enc.Raw(`* NAMESPACE (("" "/")) NIL NIL`).CRLF()
	return nil
}
