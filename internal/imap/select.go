package imap

import (
	"maps"
	"slices"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// handleSelect: RFC 9051 §6.3.2, RFC 3501 §6.3.1, RFC 7162 §3.2.5.
func (c *conn) handleSelect(r *request) error { return c.selectMailbox(r, false) }

// handleExamine: RFC 9051 §6.3.3.
func (c *conn) handleExamine(r *request) error { return c.selectMailbox(r, true) }

func (c *conn) selectMailbox(r *request, readOnly bool) error {
	d := r.dec
	var name string
	if !d.ExpectSP() || !d.ExpectMailbox(&name) {
		return nil
	}
	condstore := false
	var q *imapwire.Resync
	if d.SP() && !d.ExpectList(func() bool {
		switch {
		case d.Word("CONDSTORE"): // RFC 7162 §3.1.8
			condstore = true
			return true
		case q == nil && d.Word("QRESYNC"):
			q = new(imapwire.Resync)
			return d.ExpectSP() && d.ExpectResync(q)
		}
		return d.Fail("unknown SELECT parameter")
	}) || !d.ExpectCRLF() {
		return nil
	}
	switch {
	case q != nil && !c.on.qresync:
		return &Error{Bad: true, Text: "ENABLE QRESYNC comes first"} // RFC 7162 §3.2.5
	case q != nil && q.Seqs != nil && c.on.uidOnly:
		return errUIDRequired
	}
	// The mailbox selected before is left even if this one cannot be opened.
	if c.state == selected {
		c.leave(r)
		c.enc.Raw("* OK [CLOSED] the mailbox selected before is closed").CRLF() // RFC 9051 §7.1
	}
	if condstore {
		c.enableCondstore()
	}
	m, err := c.session.Select(r.ctx, name, readOnly)
	if err != nil {
		return err
	}
	c.state = selected
	c.mailbox = mailbox{name: name, objectID: m.ObjectID, readOnly: m.ReadOnly, modseq: m.HighestModSeq,
		keywords: make(map[string]struct{})}
	c.view.Reset(m.UIDs, m.UIDNext, m.RecentFrom)
	for _, k := range m.Keywords {
		if len(c.keywords) < MaxKnownKeywords {
			c.keywords[k] = struct{}{}
		}
	}
	c.writeSelected(&m)
	r.code, r.text = "READ-WRITE", "SELECT completed"
	if m.ReadOnly {
		r.code, r.text = "READ-ONLY", "EXAMINE completed"
	}
	if q != nil && q.Validity == m.UIDValidity {
		return c.resync(r, q)
	}
	return nil
}

// leave ends the selection without an expunge.
func (c *conn) leave(r *request) {
	c.session.Unselect(r.ctx)
	c.state = authenticated
	c.mailbox = mailbox{}
}

func (c *conn) writeSelected(m *Selected) {
	e := c.enc
	c.writeFlagsInUse()
	c.writeExists()
	if m.FirstUnseen != 0 && !c.on.rev2 && !c.on.uidOnly {
		if seq := c.view.Seq(m.FirstUnseen); seq != 0 {
			e.Raw("* OK [UNSEEN ").Number(seq).Raw("] first unseen message").CRLF()
		}
	}
	e.Raw("* OK [UIDVALIDITY ").Number(m.UIDValidity).Raw("] UIDs are valid").CRLF()
	e.Raw("* OK [UIDNEXT ").Number(c.view.Next()).Raw("] predicted next UID").CRLF()
	c.writeHighest(m.HighestModSeq)
	if m.ObjectID != "" {
		e.Raw("* OK [MAILBOXID (").Raw(m.ObjectID).Raw(")] mailbox id").CRLF()
	}
	if c.on.rev2 { // RFC 9051 §6.3.2: its name as it is written here
		e.Raw(`* LIST () "/" `).Mailbox(m.Name)
		if m.Name != c.name {
			e.Raw(` ("OLDNAME" (`).Mailbox(c.name).Raw("))")
		}
		e.CRLF()
	}
}

// writeFlagsInUse tells the flags of the mailbox, and those that can be set
// (RFC 9051 §7.3.5, §7.1 PERMANENTFLAGS).
func (c *conn) writeFlagsInUse() {
	const all = imapwire.Seen | imapwire.Answered | imapwire.Flagged | imapwire.Deleted | imapwire.Draft
	words := slices.Sorted(maps.Keys(c.keywords))
	c.enc.Raw("* FLAGS ").Flags(all, words).CRLF()
	if c.readOnly {
		c.enc.Raw("* OK [PERMANENTFLAGS ()] read-only mailbox").CRLF()
		return
	}
	c.enc.Raw("* OK [PERMANENTFLAGS ").Flags(all, append(words, `\*`)).Raw("] flags that can be set").CRLF()
}
