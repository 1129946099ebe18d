package imapwire

import (
	"slices"
	"strings"
)

// Event is a set of the events of NOTIFY (RFC 5465 §5).
type Event uint8

// The events. AnnotationChange and those of metadata are not there.
const (
	MessageNew Event = 1 << iota
	MessageExpunge
	FlagChange
	MailboxName
	SubscriptionChange
)

// SupportedEvents is the list for the response code BADEVENT.
const SupportedEvents = "MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange"

// NotifyFilter is which mailboxes a group of events is about (RFC 5465 §6).
type NotifyFilter uint8

// The filters.
const (
	NotifySelected NotifyFilter = iota
	NotifySelectedDelayed
	NotifyInboxes
	NotifyPersonal
	NotifySubscribed
	NotifySubtree
	NotifyMailboxes
)

var filterNames = [...]string{
	"SELECTED", "SELECTED-DELAYED", "INBOXES", "PERSONAL", "SUBSCRIBED", "SUBTREE", "MAILBOXES",
}

// NotifyGroup is what is told of some mailboxes.
type NotifyGroup struct {
	Filter NotifyFilter
	Names  []string // of Subtree and Mailboxes
	Events Event
	Fetch  []FetchItem // of MessageNew in the selected mailbox
}

// Notify are the arguments of NOTIFY.
type Notify struct {
	None   bool
	Status bool
	Groups []NotifyGroup
	// Unknown tells that an event was named that is not supported.
	Unknown bool
}

// Limit: groups of one IMAP NOTIFY, and mailboxes of all of them.
const (
	MaxNotifyGroups = 50
	MaxNotifyNames  = 500
)

// ExpectNotify reads the arguments of NOTIFY from the first to the last.
func (d *Decoder) ExpectNotify(n *Notify) bool {
	if d.Word("NONE") {
		n.None = true
		return d.ExpectCRLF()
	}
	if !d.Word("SET") || !d.ExpectSP() {
		return d.Fail("expected SET or NONE")
	}
	if n.Status = d.Word("STATUS"); n.Status && !d.ExpectSP() {
		return false
	}
	names := 0
	for {
		var g NotifyGroup
		if !d.notifyGroup(&g, &n.Unknown) {
			return false
		}
		n.Groups = append(n.Groups, g)
		if names += len(g.Names); len(n.Groups) > MaxNotifyGroups || names > MaxNotifyNames {
			return d.failCode("LIMIT", "too many groups or mailboxes")
		}
		if d.CRLF() {
			return true
		}
		if !d.ExpectSP() {
			return false
		}
	}
}

func (d *Decoder) notifyGroup(g *NotifyGroup, unknown *bool) bool {
	if !d.ExpectByte('(') {
		return false
	}
	name, known := string(d.upperName()), false
	for i, f := range filterNames {
		if f == name {
			g.Filter, known = NotifyFilter(i), true
		}
	}
	if !known {
		return d.Fail("unknown mailbox filter")
	}
	if g.Filter >= NotifySubtree && (!d.ExpectSP() || !d.notifyNames(&g.Names)) {
		return false
	}
	if !d.ExpectSP() {
		return false
	}
	if !d.Word("NONE") && !d.ExpectList(func() bool { return d.notifyEvent(g, unknown) }) || !d.ExpectByte(')') {
		return false
	}
	const both = MessageNew | MessageExpunge
	switch { // RFC 5465 §5
	case g.Events&both != 0 && g.Events&both != both, g.Events&FlagChange != 0 && g.Events&both != both:
		return d.Fail("MessageNew and MessageExpunge go together, and FlagChange needs them")
	case g.Filter <= NotifySelectedDelayed && g.Events&(MailboxName|SubscriptionChange) != 0:
		return d.Fail("the selected mailbox has message events only")
	}
	return true
}

func (d *Decoder) notifyNames(names *[]string) bool {
	one := func() bool {
		var name string
		*names = append(*names, "")
		ok := d.ExpectMailbox(&name)
		(*names)[len(*names)-1] = name
		return ok && len(*names) <= MaxNotifyNames
	}
	return d.List(one) && len(*names) > 0 || d.err == nil && len(*names) == 0 && one()
}

func (d *Decoder) notifyEvent(g *NotifyGroup, unknown *bool) bool {
	switch name := string(d.upperName()); name {
	case "MESSAGENEW":
		g.Events |= MessageNew
		if save := d.pos; d.SP() {
			if b, ok := d.peek(); !ok || b != '(' {
				d.pos = save
				return true
			}
			if g.Filter > NotifySelectedDelayed {
				return d.Fail("only the selected mailbox's messages are fetched")
			}
			return d.ExpectFetchItems(&g.Fetch)
		}
	case "MESSAGEEXPUNGE":
		g.Events |= MessageExpunge
	case "FLAGCHANGE":
		g.Events |= FlagChange
	case "MAILBOXNAME":
		g.Events |= MailboxName
	case "SUBSCRIPTIONCHANGE":
		g.Events |= SubscriptionChange
	case "ANNOTATIONCHANGE", "MAILBOXMETADATACHANGE", "SERVERMETADATACHANGE":
		*unknown = true
	default:
		return d.Fail("unknown event")
	}
	return true
}

// EventsOf are those that groups want of a mailbox that is not selected.
func EventsOf(groups []NotifyGroup, name string, subscribed bool) (e Event) {
	for i := range groups {
		g := &groups[i]
		in := false
		switch g.Filter {
		case NotifyInboxes: // mail is delivered to one
			in = name == "INBOX"
		case NotifyPersonal:
			in = true
		case NotifySubscribed:
			in = subscribed || g.Events&SubscriptionChange != 0
		case NotifySubtree:
			in = slices.ContainsFunc(g.Names, func(s string) bool { return name == s || strings.HasPrefix(name, s+"/") })
		case NotifyMailboxes:
			in = slices.Contains(g.Names, name)
		}
		if in {
			e |= g.Events
		}
	}
	return e
}
