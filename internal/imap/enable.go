package imap

import "strings"

// switches are what a client has switched on (RFC 5161).
type switches struct {
	condstore, qresync bool // RFC 7162
	utf8               bool // RFC 9755
	rev2               bool // RFC 9051
	uidOnly            bool // RFC 9586
}

// enableTable are the names that ENABLE knows.
var enableTable = [...]struct {
	name string
	is   func(*switches) *bool
}{
	{"CONDSTORE", func(s *switches) *bool { return &s.condstore }},
	{"QRESYNC", func(s *switches) *bool { return &s.qresync }},
	{"UTF8=ACCEPT", func(s *switches) *bool { return &s.utf8 }},
	{"IMAP4rev2", func(s *switches) *bool { return &s.rev2 }},
	{"UIDONLY", func(s *switches) *bool { return &s.uidOnly }},
}

// handleEnable: RFC 5161 §3.1. What is not known is ignored.
func (c *conn) handleEnable(r *request) error {
	d := r.dec
	now := c.on
	for {
		var name string
		if !d.ExpectSP() || !d.ExpectAtom(&name) {
			return nil
		}
		for i := range enableTable {
			if strings.EqualFold(enableTable[i].name, name) {
				*enableTable[i].is(&now) = true
			}
		}
		if d.CRLF() {
			break
		}
	}
	c.enc.Raw("* ENABLED")
	for i := range enableTable {
		if k := &enableTable[i]; *k.is(&now) && !*k.is(&c.on) {
			c.enc.SP().Raw(k.name)
		}
	}
	c.enc.CRLF()
	condstore := now.condstore || now.qresync // RFC 7162 §3.2.3
	now.condstore = c.on.condstore
	c.on = now
	if condstore {
		c.enableCondstore()
	}
	c.enc.UTF8 = now.utf8 || now.rev2
	c.dec.UTF8, c.dec.NoCharset = c.enc.UTF8, now.utf8
	return nil
}

// enableCondstore switches CONDSTORE on: by ENABLE, or by a command that needs
// it. A client that has a mailbox open is told where it is (RFC 7162 §3.1).
func (c *conn) enableCondstore() {
	if !c.on.condstore && c.state == selected {
		c.writeHighest(c.modseq)
	}
	c.on.condstore = true
}

func (c *conn) writeHighest(modseq uint64) {
	c.enc.Raw("* OK [HIGHESTMODSEQ ").Number64(max(modseq, 1)).Raw("] highest").CRLF()
}
