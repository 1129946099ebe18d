package imap

import (
	"slices"
	"strings"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// handleLsub: RFC 3501 §6.3.9.
func (c *conn) handleLsub(r *request) error {
	d := r.dec
	var reference, pattern string
	if !d.ExpectSP() || !d.ExpectMailbox(&reference) || !d.ExpectSP() ||
		!d.ExpectListMailbox(&pattern) || !d.ExpectCRLF() {
		return nil
	}
	if pattern == "" {
		c.enc.Raw(`* LSUB (\Noselect) "/" ""`).CRLF()
		return nil
	}
	names, err := c.session.Subscriptions(r.ctx)
	if err != nil {
		return err
	}
	pattern = reference + pattern
	var parents []string
	for _, n := range names {
		if imapwire.MatchPattern(pattern, n) {
			c.enc.Raw(`* LSUB () "/" `).Mailbox(n).CRLF()
		} else if strings.Contains(pattern, "%") {
			parents = appendParent(parents, pattern, n)
		}
	}
	// RFC 3501 §6.3.9: with "%", a level is told that is not subscribed itself
	// but has subscribed ones below.
	for _, p := range parents {
		if !slices.Contains(names, p) {
			c.enc.Raw(`* LSUB (\Noselect) "/" `).Mailbox(p).CRLF()
		}
	}
	return nil
}

// appendParent adds the levels above name that match.
func appendParent(parents []string, pattern, name string) []string {
	for i := range len(name) {
		if name[i] == '/' && imapwire.MatchPattern(pattern, name[:i]) && !slices.Contains(parents, name[:i]) {
			parents = append(parents, name[:i])
		}
	}
	return parents
}
