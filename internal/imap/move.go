package imap

// handleMove: RFC 9051 §6.4.8, RFC 6851. COPYUID comes in an untagged OK,
// before the expunges that the move causes.
func (c *conn) handleMove(r *request) error {
	uids, to, ok, err := c.readCopy(r)
	if !ok || err != nil {
		return err
	}
	if c.readOnly {
		return errReadOnly
	}
	done, err := c.copyTo(r, uids, to, c.session.Move)
	if len(done.Dest) > 0 {
		c.enc.Raw("* OK ")
		c.writeText(copyUID(&done), "moved")
	}
	return err
}
