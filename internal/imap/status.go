package imap

import "github.com/eidermail/eider/internal/imap/imapwire"

// statusItem is an item of STATUS.
type statusItem struct {
	name  string
	value func(*Mailbox) uint64
}

// statusTable are the items of RFC 3501 §6.3.10, RFC 9051 §6.3.11, RFC 7162
// §3.1.7, RFC 8438, RFC 8474 and RFC 9208 §4.1.4, of those whose value is a number.
var statusTable = [...]statusItem{
	{"MESSAGES", func(m *Mailbox) uint64 { return uint64(m.Messages) }},
	{"RECENT", func(m *Mailbox) uint64 { return uint64(m.Recent) }},
	{"UIDNEXT", func(m *Mailbox) uint64 { return uint64(m.UIDNext) }},
	{"UIDVALIDITY", func(m *Mailbox) uint64 { return uint64(m.UIDValidity) }},
	{"UNSEEN", func(m *Mailbox) uint64 { return uint64(m.Unseen) }},
	{"DELETED", func(m *Mailbox) uint64 { return uint64(m.Deleted) }},
	{"SIZE", func(m *Mailbox) uint64 { return uint64(m.Size) }},
	{"DELETED-STORAGE", func(m *Mailbox) uint64 { return uint64(m.DeletedSize+1023) / 1024 }},
	{"HIGHESTMODSEQ", func(m *Mailbox) uint64 { return max(m.HighestModSeq, 1) }},
}

// handleStatus: RFC 9051 §6.3.11.
func (c *conn) handleStatus(r *request) error {
	d := r.dec
	var name string
	var items []string
	if !d.ExpectSP() || !d.ExpectMailbox(&name) || !d.ExpectSP() ||
		!statusItems(d, &items) || !d.ExpectCRLF() {
		return nil
	}
	c.statusEnables(items)
	m, err := c.session.Status(r.ctx, name, needsOf(items))
	if err != nil {
		return err
	}
	c.writeStatus(name, &m, items)
	return nil
}

// statusItems reads the list of items.
func statusItems(d *imapwire.Decoder, items *[]string) bool {
	ok := d.ExpectList(func() bool {
		var name string
		if !d.ExpectAtom(&name) {
			return false
		}
		if !knownStatus(name) {
			return d.Fail("unknown STATUS item")
		}
		if len(*items) > 2*len(statusTable) {
			return d.Fail("too many STATUS items")
		}
		*items = append(*items, name)
		return true
	})
	return ok && (len(*items) > 0 || d.Fail("no STATUS items"))
}

func knownStatus(name string) bool {
	for i := range statusTable {
		if statusTable[i].name == name {
			return true
		}
	}
	return name == "MAILBOXID" || name == "APPENDLIMIT"
}

func needsOf(items []string) (n StatusNeeds) {
	for _, i := range items {
		n.Recent = n.Recent || i == "RECENT"
		n.DeletedSize = n.DeletedSize || i == "DELETED-STORAGE"
	}
	return n
}

// statusEnables: asking for HIGHESTMODSEQ switches CONDSTORE on (RFC 7162 §3.1.8).
func (c *conn) statusEnables(items []string) {
	for _, i := range items {
		if i == "HIGHESTMODSEQ" {
			c.enableCondstore()
		}
	}
}

func (c *conn) writeStatus(name string, m *Mailbox, items []string) {
	e := c.enc
	e.Raw("* STATUS ").Mailbox(name).Raw(" (")
	for i, item := range items {
		if i > 0 {
			e.SP()
		}
		e.Raw(item).SP()
		switch item {
		case "MAILBOXID":
			e.Byte('(').Raw(m.ObjectID).Byte(')')
		case "APPENDLIMIT":
			if c.s.o.MessageLimit > 0 {
				e.Number64(uint64(c.s.o.MessageLimit))
			} else {
				e.Raw("NIL")
			}
		default:
			for j := range statusTable {
				if statusTable[j].name == item {
					e.Number64(statusTable[j].value(m))
				}
			}
		}
	}
	e.Byte(')').CRLF()
}
