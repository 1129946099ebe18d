package imap

// handleSubscribe: RFC 9051 §6.3.7.
func (c *conn) handleSubscribe(r *request) error { return c.subscribe(r, true) }

// handleUnsubscribe: RFC 9051 §6.3.8.
func (c *conn) handleUnsubscribe(r *request) error { return c.subscribe(r, false) }

func (c *conn) subscribe(r *request, on bool) error {
	d := r.dec
	var name string
	if !d.ExpectSP() || !d.ExpectMailbox(&name) || !d.ExpectCRLF() {
		return nil
	}
	return c.session.Subscribe(r.ctx, name, on)
}
