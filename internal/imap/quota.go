package imap

// quotaRoot is the name of the one root: all mailboxes share the account's quota.
const quotaRoot = ""

// handleGetQuota: RFC 9208 §4.1.1.
func (c *conn) handleGetQuota(r *request) error {
	d := r.dec
	var root string
	if !d.ExpectSP() || !d.ExpectAstring(&root) || !d.ExpectCRLF() {
		return nil
	}
	if root != quotaRoot {
		return &Error{Code: "NONEXISTENT", Text: "there is no such quota root"}
	}
	return c.writeQuota(r)
}

// handleGetQuotaRoot: RFC 9208 §4.1.2. The mailbox need not be there: a client
// may ask which root would count before it makes one.
func (c *conn) handleGetQuotaRoot(r *request) error {
	d := r.dec
	var name string
	if !d.ExpectSP() || !d.ExpectMailbox(&name) || !d.ExpectCRLF() {
		return nil
	}
	c.enc.Raw("* QUOTAROOT ").Mailbox(name).SP().String(quotaRoot).CRLF()
	return c.writeQuota(r)
}

// handleSetQuota: RFC 9208 §4.1.3. Limits are the operator's to set, so
// QUOTASET is not offered.
func (c *conn) handleSetQuota(r *request) error {
	d := r.dec
	var root string
	if !d.ExpectSP() || !d.ExpectAstring(&root) || !d.ExpectSP() || !d.ExpectList(func() bool {
		var name string
		var n uint64
		return d.ExpectAtom(&name) && d.ExpectSP() && d.ExpectNumber64(&n)
	}) || !d.ExpectCRLF() {
		return nil
	}
	return &Error{Code: "NOPERM", Text: "quotas are set by the operator"}
}

// writeQuota tells the resources that are limited; storage counts in units of
// 1,024 bytes.
func (c *conn) writeQuota(r *request) error {
	q, err := c.session.Quota(r.ctx)
	if err != nil {
		return err
	}
	e := c.enc
	e.Raw("* QUOTA ").String(quotaRoot).Raw(" (")
	if q.MaxBytes > 0 {
		e.Raw("STORAGE ").Number64(uint64(q.Bytes+1023) / 1024).SP().Number64(uint64(q.MaxBytes) / 1024)
	}
	if q.MaxMessages > 0 {
		if q.MaxBytes > 0 {
			e.SP()
		}
		e.Raw("MESSAGE ").Number64(uint64(q.Messages)).SP().Number64(uint64(q.MaxMessages))
	}
	e.Byte(')').CRLF()
	return nil
}
