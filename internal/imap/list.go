package imap

import (
	"slices"
	"strings"

	"github.com/eidermail/eider/internal/imap/backend"
	"github.com/eidermail/eider/internal/imap/imapwire"
)

// handleList: RFC 9051 §6.3.9.
func (c *conn) handleList(r *request) error {
	d := r.dec
	var o imapwire.ListOptions
	if !d.ExpectSP() || !d.ExpectListOptions(&o, statusItems) || !d.ExpectCRLF() {
		return nil
	}
	if len(o.Patterns) == 1 && o.Patterns[0] == "" && !o.Extended {
		// RFC 9051 §6.3.9: an empty pattern asks for the hierarchy separator.
		c.enc.Raw(`* LIST (\Noselect) "/" ""`).CRLF()
		return nil
	}
	c.statusEnables(o.Status)
	boxes, err := c.session.Mailboxes(r.ctx)
	if err != nil {
		return err
	}
	if o.Subscribed {
		if boxes, err = c.withSubscribed(r, boxes); err != nil {
			return err
		}
	}
	for i := range boxes {
		if err := c.listOne(r, &o, boxes, i); err != nil {
			return err
		}
	}
	return nil
}

// withSubscribed adds subscribed names that do not exist.
func (c *conn) withSubscribed(r *request, boxes []Mailbox) ([]Mailbox, error) {
	names, err := c.session.Subscriptions(r.ctx)
	return backend.WithSubscribed(boxes, names), err
}

// listOne writes the response for one mailbox if it was asked for.
func (c *conn) listOne(r *request, o *imapwire.ListOptions, boxes []Mailbox, i int) error {
	m := &boxes[i]
	if !o.Matches(m.Name) {
		return nil
	}
	childInfo := o.Recursive && o.Subscribed && subscribedBelow(o, boxes, m)
	if o.Subscribed && !m.Subscribed && !childInfo || o.SpecialUse && m.SpecialUse == "" {
		return nil
	}
	exists := m.UIDValidity != 0
	e := c.enc
	e.Raw("* LIST (")
	first := true
	attr := func(s string) {
		if !first {
			e.SP()
		}
		first = false
		e.Raw(s)
	}
	if !exists {
		attr(`\NonExistent`)
	}
	if m.Subscribed && (o.Subscribed || o.ReturnSubscribed) {
		attr(`\Subscribed`)
	}
	// CHILDREN (RFC 3348): always told, it costs nothing.
	if hasChildren(boxes, m.Name) {
		attr(`\HasChildren`)
	} else {
		attr(`\HasNoChildren`)
	}
	if m.SpecialUse != "" {
		attr(m.SpecialUse)
	}
	e.Raw(`) "/" `).Mailbox(m.Name)
	if childInfo {
		e.Raw(` ("CHILDINFO" ("SUBSCRIBED"))`)
	}
	e.CRLF()
	if len(o.Status) > 0 && exists {
		return c.listStatus(r, o, m)
	}
	return nil
}

// listStatus adds a STATUS response (RFC 5819 §2); a mailbox that went meanwhile has none.
func (c *conn) listStatus(r *request, o *imapwire.ListOptions, m *Mailbox) error {
	full := *m
	if needs := needsOf(o.Status); needs != (StatusNeeds{}) {
		s, err := c.session.Status(r.ctx, m.Name, needs)
		if err != nil {
			return nil
		}
		full = s
	}
	c.writeStatus(m.Name, &full, o.Status)
	return nil
}

// boxes are sorted by name, but INBOX comes first and names that do not exist
// last, so both look at all.

func hasChildren(boxes []Mailbox, name string) bool {
	return slices.ContainsFunc(boxes, func(m Mailbox) bool { return m.UIDValidity != 0 && isBelow(m.Name, name) })
}

// subscribedBelow: where the mailbox itself is not subscribed to, those below it
// that are listed for themselves do not count (RFC 5258 §3.5).
func subscribedBelow(o *imapwire.ListOptions, boxes []Mailbox, above *Mailbox) bool {
	return slices.ContainsFunc(boxes, func(m Mailbox) bool {
		return m.Subscribed && isBelow(m.Name, above.Name) && (above.Subscribed || !o.Matches(m.Name))
	})
}

func isBelow(name, parent string) bool {
	return len(name) > len(parent) && name[len(parent)] == '/' && strings.HasPrefix(name, parent)
}
