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
	r.force = true
	if uids.Empty() {
		return nil
	}
	done, err := c.session.Move(r.ctx, uids, to)
	if err == nil && len(done.Dest) == 0 {
		err = nothingCopied(r)
	}
	if len(done.Dest) > 0 {
		c.enc.Raw("* OK ")
		c.writeText(copyUID(&done), "moved")
		r.highest = true // RFC 7162 §3.2.7 with RFC 6851 §4.4
	}
	return err
}
