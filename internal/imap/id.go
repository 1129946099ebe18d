package imap

// handleID: RFC 2971 §3.1. What the client says of itself is read and kept nowhere.
func (c *conn) handleID(r *request) error {
	d := r.dec
	if !d.ExpectSP() {
		return nil
	}
	n := 0
	field := func() bool {
		var name, value string
		if n++; n > MaxIDFields {
			return d.Fail("too many fields")
		}
		return d.ExpectString(&name) && d.ExpectSP() && d.ExpectNString(&value)
	}
	if !d.Word("NIL") && !d.ExpectList(field) || !d.ExpectCRLF() {
		return nil
	}
	c.enc.Raw(`* ID ("name" "Eider"`)
	if v := c.s.o.Version; v != "" {
		c.enc.Raw(` "version" `).String(v)
	}
	c.enc.Raw(")").CRLF()
	return nil
}
