package imap

// handleEnable: RFC 5161 §3.1. What is not known is ignored.
func (c *conn) handleEnable(r *request) error {
	d := r.dec
	condstore := false
	for {
		var name string
		if !d.ExpectSP() || !d.ExpectAtom(&name) {
			return nil
		}
		if name == "CONDSTORE" {
			condstore = true
		}
		if d.CRLF() {
			break
		}
	}
	c.enc.Raw("* ENABLED")
	if condstore && !c.condstore {
		c.enc.Raw(" CONDSTORE")
	}
	c.enc.CRLF()
	if condstore {
		c.enableCondstore()
	}
	return nil
}

// enableCondstore switches CONDSTORE on: by ENABLE, or by a command that needs
// it (RFC 7162 §3.1.8).
func (c *conn) enableCondstore() { c.condstore = true }
