package smtp

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/eidermail/eider/internal/netx"
)

func (c *conn) startTLSOffered() bool {
	return c.s.o.TLS != nil && !c.s.o.ImplicitTLS && c.client.TLS == nil
}

// RFC 3207 §4. Whatever came in clear behind the command is not for the time
// after the handshake: a man in the middle could have put it there, so such a
// connection ends (the attack of CVE-2011-0411).
func (c *conn) startTLS(arg string) {
	c.tried = true
	switch {
	case c.client.TLS != nil:
		c.wrong(replyTLSDone)
		return
	case !c.startTLSOffered():
		c.event(CauseNoStartTLS, replyNoStartTLS, 0)
		c.wrong(replyNoStartTLS)
		return
	case arg != "":
		c.wrong(replyNoParams)
		return
	case c.client.User != "":
		c.wrong(replyAuthDone)
		return
	case len(c.in.buffered()) > 0:
		c.fatal(CauseInjection, replyInjected)
		return
	}
	c.reply(replyReadyTLS)
	if c.flush() != nil || !c.handshake() {
		return
	}
	// What was said before does not count (RFC 3207 §4.2).
	c.reset()
	c.greeted, c.client.Helo, c.client.ESMTP = false, "", false
}

// handshake makes the connection a TLS one; if it fails the connection is over.
func (c *conn) handshake() bool {
	t := tls.Server(c.nc, c.s.o.TLS)
	ctx, cancel := context.WithTimeout(c.ctx, HandshakeTimeout)
	defer cancel()
	c.mu.Lock()
	c.reader.SetDeadline(time.Time{})
	c.mu.Unlock()
	if err := t.HandshakeContext(ctx); err != nil {
		c.event(Cause(netx.TLSFaultOf(t, err)), Reply{}, 0)
		c.s.o.Log.Debug("TLS handshake failed", "err", err)
		c.closing = true
		return false
	}
	state := t.ConnectionState()
	c.nc, c.client.TLS = t, &state
	c.secured, c.tried = c.commands, false
	return true
}
