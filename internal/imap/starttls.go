package imap

import (
	"context"
	"crypto/tls"

	"github.com/eidermail/eider/internal/netx"
)

// handleStartTLS: RFC 9051 §6.2.1.
func (c *conn) handleStartTLS(r *request) error {
	if !r.dec.ExpectCRLF() {
		return nil
	}
	if !c.offersStartTLS() {
		c.info.Note("no-starttls", "")
		return &Error{Bad: true, Text: "STARTTLS is not offered here"}
	}
	if c.in.Buffered() > 0 {
		// Commands that came in clear behind STARTTLS are from somebody else
		// than the one who will be behind the TLS.
		r.replied = true
		c.enc.Raw(r.tag).Raw(" BAD nothing may follow STARTTLS before the handshake").CRLF()
		c.bye("", "closing, for your safety")
		return nil
	}
	r.replied = true
	c.enc.Raw(r.tag).Raw(" OK begin TLS").CRLF()
	if err := c.enc.Flush(); err != nil {
		return err
	}
	t := tls.Server(c.nc, c.s.o.TLS)
	ctx, cancel := context.WithTimeout(c.ctx, HandshakeTime)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		c.info.Note(string(netx.TLSFaultOf(t, err)), "")
		return errForeign
	}
	c.mu.Lock()
	c.nc = t
	c.mu.Unlock()
	c.in.Reset((*connReader)(c))
	c.enc.Reset((*connWriter)(c))
	c.info.TLS = true
	c.info.Note("secured", "")
	return nil
}
