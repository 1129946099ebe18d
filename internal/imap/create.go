package imap

import "strings"

// handleCreate: RFC 9051 §6.3.4, with a special use (RFC 6154 §3).
func (c *conn) handleCreate(r *request) error {
	d := r.dec
	var name, use string
	if !d.ExpectSP() || !d.ExpectMailbox(&name) {
		return nil
	}
	if d.SP() && !d.ExpectCreateOptions(&use) {
		return nil
	}
	if !d.ExpectCRLF() {
		return nil
	}
	if len(name) > 1 {
		// RFC 9051 §6.3.4: a separator at the end only declares that there will be children.
		name = strings.TrimSuffix(name, "/")
	}
	m, err := c.session.Create(r.ctx, name, use)
	if err != nil {
		return err
	}
	r.code, r.text = "MAILBOXID ("+m.ObjectID+")", "CREATE completed" // RFC 8474 §4.1
	return nil
}
