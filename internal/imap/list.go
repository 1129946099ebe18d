package imap

import (
	"slices"
	"strings"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// listOptions are the options of LIST (RFC 5258, RFC 5819, RFC 6154 §2).
type listOptions struct {
	reference string
	patterns  []string
	extended  bool // more than one pattern, or options: the answer's form is RFC 5258's

	subscribed, remote, recursive, specialUse bool // selection

	returnChildren, returnSubscribed, returnSpecial bool
	status                                          []string
}

// handleList: RFC 9051 §6.3.9.
func (c *conn) handleList(r *request) error {
	d := r.dec
	var o listOptions
	if !d.ExpectSP() || !readList(d, &o) || !d.ExpectCRLF() {
		return nil
	}
	if len(o.patterns) == 1 && o.patterns[0] == "" && !o.extended {
		// RFC 9051 §6.3.9: an empty pattern asks for the hierarchy separator.
		c.enc.Raw(`* LIST (\Noselect) "/" ""`).CRLF()
		return nil
	}
	c.statusEnables(o.status)
	boxes, err := c.session.Mailboxes(r.ctx)
	if err != nil {
		return err
	}
	if o.subscribed {
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

// withSubscribed adds subscribed names that do not exist, and the levels above
// them, which RECURSIVEMATCH tells; their UIDValidity is 0.
func (c *conn) withSubscribed(r *request, boxes []Mailbox) ([]Mailbox, error) {
	names, err := c.session.Subscriptions(r.ctx)
	if err != nil {
		return nil, err
	}
	have := make(map[string]bool, len(boxes))
	for i := range boxes {
		have[boxes[i].Name] = true
	}
	known := len(boxes)
	for _, n := range names {
		if !have[n] {
			have[n] = true
			boxes = append(boxes, Mailbox{Name: n, Subscribed: true})
		}
	}
	for _, m := range boxes[known:] {
		for i := range len(m.Name) {
			if m.Name[i] == '/' && !have[m.Name[:i]] {
				have[m.Name[:i]] = true
				boxes = append(boxes, Mailbox{Name: m.Name[:i]})
			}
		}
	}
	return boxes, nil
}

// listOne writes the response for one mailbox if it was asked for.
func (c *conn) listOne(r *request, o *listOptions, boxes []Mailbox, i int) error {
	m := &boxes[i]
	if !o.matches(m.Name) {
		return nil
	}
	childInfo := o.recursive && o.subscribed && subscribedBelow(boxes, m.Name)
	if o.subscribed && !m.Subscribed && !childInfo || o.specialUse && m.SpecialUse == "" {
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
	if m.Subscribed && (o.subscribed || o.returnSubscribed) {
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
	if len(o.status) > 0 && exists {
		return c.listStatus(r, o, m)
	}
	return nil
}

// listStatus adds a STATUS response (RFC 5819 §2); a mailbox that went meanwhile has none.
func (c *conn) listStatus(r *request, o *listOptions, m *Mailbox) error {
	full := *m
	if wantsRecent(o.status) {
		s, err := c.session.Status(r.ctx, m.Name, true)
		if err != nil {
			return nil
		}
		full = s
	}
	c.writeStatus(m.Name, &full, o.status)
	return nil
}

func (o *listOptions) matches(name string) bool {
	for _, p := range o.patterns {
		if p == "" {
			continue
		}
		if matchPattern(o.reference+p, name) {
			return true
		}
	}
	return false
}

// boxes are sorted by name, but INBOX comes first and names that do not exist
// last, so both look at all.

func hasChildren(boxes []Mailbox, name string) bool {
	return slices.ContainsFunc(boxes, func(m Mailbox) bool { return m.UIDValidity != 0 && isBelow(m.Name, name) })
}

func subscribedBelow(boxes []Mailbox, name string) bool {
	return slices.ContainsFunc(boxes, func(m Mailbox) bool { return m.Subscribed && isBelow(m.Name, name) })
}

func isBelow(name, parent string) bool {
	return len(name) > len(parent) && name[len(parent)] == '/' && strings.HasPrefix(name, parent)
}

// matchPattern matches a name with a pattern in which "*" is anything and "%"
// anything without a separator (RFC 9051 §6.3.9). INBOX matches in any case.
// It needs time proportional to the product of the lengths, whatever the pattern.
func matchPattern(pattern, name string) bool {
	if len(pattern) >= 5 && strings.EqualFold(pattern[:5], "INBOX") &&
		(len(pattern) == 5 || strings.IndexByte("/*%", pattern[5]) >= 0) {
		pattern = "INBOX" + pattern[5:]
	}
	// reach[j]: the pattern so far matches name[:j].
	reach := make([]bool, len(name)+1)
	reach[0] = true
	for i := range len(pattern) {
		switch p := pattern[i]; p {
		case '*', '%':
			for j := 1; j <= len(name); j++ {
				reach[j] = reach[j] || reach[j-1] && (p == '*' || name[j-1] != '/')
			}
		default:
			for j := len(name); j > 0; j-- {
				reach[j] = reach[j-1] && name[j-1] == p
			}
			reach[0] = false
		}
	}
	return reach[len(name)]
}

// readList reads the arguments of LIST, extended or not.
func readList(d *imapwire.Decoder, o *listOptions) bool {
	if d.List(func() bool { return listSelection(d, o) }) {
		o.extended = true
		if o.recursive && !o.subscribed {
			return d.Fail("RECURSIVEMATCH needs another option")
		}
		if !d.ExpectSP() {
			return false
		}
	}
	if !d.ExpectMailbox(&o.reference) || !d.ExpectSP() {
		return false
	}
	bytes := len(o.reference)
	pattern := func() bool {
		var p string
		if len(o.patterns) >= maxListPatterns {
			return d.Fail("too many patterns")
		}
		if !d.ExpectListMailbox(&p) {
			return false
		}
		if bytes += len(p); bytes > maxListBytes {
			return d.Fail("patterns too long")
		}
		o.patterns = append(o.patterns, p)
		return true
	}
	if d.List(pattern) {
		o.extended = true
	} else if !pattern() {
		return false
	}
	if !d.SP() {
		return true
	}
	o.extended = true
	if !d.Word("RETURN") {
		return d.Fail("expected RETURN")
	}
	return d.ExpectSP() && d.ExpectList(func() bool { return listReturn(d, o) })
}

// Limit: patterns of one IMAP LIST (RFC 5258).
const maxListPatterns = 100

// Limit: bytes of all patterns of one IMAP LIST: matching costs in proportion.
const maxListBytes = 4 << 10

func listSelection(d *imapwire.Decoder, o *listOptions) bool {
	switch {
	case d.Word("SUBSCRIBED"):
		o.subscribed = true
	case d.Word("REMOTE"):
		o.remote = true // there are none, so it changes nothing
	case d.Word("RECURSIVEMATCH"):
		o.recursive = true
	case d.Word("SPECIAL-USE"):
		o.specialUse = true
	default:
		return d.Fail("unknown selection option")
	}
	return true
}

func listReturn(d *imapwire.Decoder, o *listOptions) bool {
	switch {
	case d.Word("CHILDREN"):
		o.returnChildren = true
	case d.Word("SUBSCRIBED"):
		o.returnSubscribed = true
	case d.Word("SPECIAL-USE"):
		o.returnSpecial = true
	case d.Word("STATUS"):
		return d.ExpectSP() && statusItems(d, &o.status)
	default:
		return d.Fail("unknown RETURN option")
	}
	return true
}
