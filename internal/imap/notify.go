package imap

import (
	"slices"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// notify is what a client wants to be told without asking (RFC 5465).
type notify struct {
	groups []imapwire.NotifyGroup
	known  map[string]Mailbox // what it knows of each mailbox, by its Key
	cancel func()
}

// handleNotify: RFC 5465 §3.1.
func (c *conn) handleNotify(r *request) error {
	var n imapwire.Notify
	if !r.dec.ExpectSP() || !r.dec.ExpectNotify(&n) {
		return nil
	}
	if n.Unknown {
		return &Error{Code: "BADEVENT (" + imapwire.SupportedEvents + ")", Text: "that event is not offered"}
	}
	c.endNotify()
	if n.None {
		return nil
	}
	w := &notify{groups: n.Groups}
	// Watched before it is read: nothing can happen unseen in between.
	w.cancel = c.session.WatchAll(func() { c.wake(&c.hints.others) })
	c.notify = w
	boxes, err := c.allMailboxes(r)
	if err != nil {
		c.endNotify()
		return err
	}
	w.know(boxes)
	if n.Status {
		for i := range boxes {
			m := &boxes[i]
			const counted = imapwire.MessageNew | imapwire.MessageExpunge | imapwire.FlagChange
			if m.UIDValidity != 0 && w.events(m)&counted != 0 && !c.isSelected(m) {
				c.writeNotice(m)
			}
		}
	}
	return nil
}

// endNotify goes back to telling changes where a command asks for them.
func (c *conn) endNotify() {
	if c.notify != nil {
		c.notify.cancel()
		c.notify = nil
	}
}

func (c *conn) allMailboxes(r *request) ([]Mailbox, error) {
	boxes, err := c.session.Mailboxes(r.ctx)
	if err != nil {
		return nil, err
	}
	return c.withSubscribed(r, boxes)
}

func (c *conn) isSelected(m *Mailbox) bool { return c.state == selected && m.ObjectID == c.objectID }

func (n *notify) know(boxes []Mailbox) {
	n.known = make(map[string]Mailbox, len(boxes))
	for i := range boxes {
		n.known[boxes[i].Key()] = boxes[i]
	}
}

// selected is the group about the selected mailbox, nil if there is none.
func (n *notify) selected() *imapwire.NotifyGroup {
	if n == nil {
		return nil
	}
	for i := range n.groups {
		if n.groups[i].Filter <= imapwire.NotifySelectedDelayed {
			return &n.groups[i]
		}
	}
	return nil
}

// events are those that the client wants of a mailbox that is not selected.
func (n *notify) events(m *Mailbox) imapwire.Event {
	return imapwire.EventsOf(n.groups, m.Name, m.Subscribed)
}

// tellOthers tells what happened to mailboxes and names; the selected
// mailbox's messages are told by sync.
func (c *conn) tellOthers(r *request) {
	n := c.notify
	boxes, err := c.allMailboxes(r)
	if err != nil {
		c.log.Debug("imap changes could not be read", "err", err)
		return
	}
	before := n.known
	n.know(boxes)
	subscribed := make(map[string]bool) // names that were
	for _, old := range before {
		subscribed[old.Name] = subscribed[old.Name] || old.Subscribed
	}
	for i := range boxes {
		m := &boxes[i]
		old, known := before[m.Key()]
		delete(before, m.Key())
		c.tellName(m, old.Name, subscribed[m.Name])
		delete(subscribed, m.Name)
		if known && m.UIDValidity != 0 && !c.isSelected(m) && n.events(m)&m.Since(&old) != 0 {
			c.writeNotice(m)
		}
	}
	for _, old := range before { // those that are gone
		event := imapwire.MailboxName
		if old.UIDValidity == 0 {
			event = imapwire.SubscriptionChange
		}
		if _, still := n.known["/"+old.Name]; still && old.UIDValidity != 0 && n.events(&old)&event != 0 {
			c.enc.Raw(`* LIST (\NonExistent \Subscribed) "/" `).Mailbox(old.Name).CRLF()
		} else if _, there := subscribed[old.Name]; there && n.events(&old)&event != 0 {
			c.enc.Raw(`* LIST (\NonExistent) "/" `).Mailbox(old.Name).CRLF()
		}
	}
}

// tellName tells that a mailbox is new, has another name, or was subscribed to
// or no more (RFC 5465 §5.4, §5.5); oldName is "" if it was not there.
func (c *conn) tellName(m *Mailbox, oldName string, subscribed bool) {
	events := c.notify.events(m)
	named := m.UIDValidity != 0 && m.Name != oldName && events&imapwire.MailboxName != 0
	if !named && (m.Subscribed == subscribed || events&imapwire.SubscriptionChange == 0) {
		return
	}
	e := c.enc
	e.Raw("* LIST (")
	if m.UIDValidity == 0 {
		e.Raw(`\NonExistent`)
	}
	if m.Subscribed {
		if m.UIDValidity == 0 {
			e.SP()
		}
		e.Raw(`\Subscribed`)
	}
	e.Raw(`) "/" `).Mailbox(m.Name)
	if named && oldName != "" {
		e.Raw(` ("OLDNAME" (`).Mailbox(oldName).Raw("))")
	}
	e.CRLF()
}

// writeNotice tells where a mailbox is (RFC 5465 §5.1–5.3).
func (c *conn) writeNotice(m *Mailbox) {
	items := []string{"MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN"}
	if c.on.condstore {
		items = append(items, "HIGHESTMODSEQ")
	}
	c.writeStatus(m.Name, m, items)
}

// fetchNew sends what the client wants of messages that have come to the
// selected mailbox (RFC 5465 §5.1).
func (c *conn) fetchNew(r *request, uids imapwire.Set) {
	g := c.notify.selected()
	if g == nil || len(g.Fetch) == 0 || uids.Empty() {
		return
	}
	var o FetchOptions
	told := *r
	told.uid = true
	f := c.fetcher(&told, slices.Clone(g.Fetch), &o)
	if err := c.session.Fetch(r.ctx, uids, o, f.write); err != nil {
		c.log.Debug("imap messages could not be told", "err", err)
	}
}

// attend tells changes while the client says nothing, until it does.
func (c *conn) attend() error {
	r := c.newRequest("")
	r.force = true
	if g := c.notify.selected(); g != nil && g.Filter == imapwire.NotifySelectedDelayed {
		r.hold = true
	}
	err := c.whileWaiting(r, c.in.Await)
	if c.done || c.enc.Err() != nil {
		return c.enc.Err()
	}
	return err
}
