package imap

import (
	"strings"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// sync tells the client what happened to the selected mailbox (RFC 9051 §5.2).
// Trouble of the store is no reason to fail a command that has succeeded:
// what is not told now is told later.
func (c *conn) sync(r *request) {
	u := r.news
	if u == nil {
		polled, err := c.session.Poll(r.ctx, r.force)
		if err != nil {
			c.log.Debug("imap changes could not be read", "err", err)
			return
		}
		u = &polled
	}
	c.tell(r, u)
	if !r.hold {
		c.tellExpunged()
	}
	if u.ModSeq > 0 {
		c.modseq = u.ModSeq
	}
}

// tell writes an update, except for its expunges.
func (c *conn) tell(r *request, u *Update) {
	if u.Gone {
		c.bye("UNAVAILABLE", "the selected mailbox was deleted")
		return
	}
	next := c.view.Next()
	changed, grown, ok := c.view.Apply(u)
	if !ok {
		c.bye("UNAVAILABLE", "the selected mailbox has changed too much, connect again")
		return
	}
	g := c.notify.selected()
	if grown {
		c.writeExists()
		if g != nil {
			c.fetchNew(r, c.view.UIDs().Intersect(imapwire.Set{{Start: next, Stop: 1<<32 - 1}}))
		}
	}
	if g != nil && g.Events&imapwire.FlagChange == 0 {
		return
	}
	for i := range changed {
		c.writeFlags(&changed[i], c.on.rev2) // RFC 9051 §7.5.2: with the UID, as nobody asked
	}
}

func (c *conn) writeExists() {
	c.enc.Raw("* ").Number(c.view.Count()).Raw(" EXISTS").CRLF()
	c.writeRecent()
}

// writeRecent: RFC 3501 §7.3.2.
func (c *conn) writeRecent() {
	if !c.on.rev2 {
		c.enc.Raw("* ").Number(uint32(c.view.Recent().Len())).Raw(" RECENT").CRLF()
	}
}

// fetchHead begins a FETCH response, or with UIDONLY the UIDFETCH that takes
// its place (RFC 9586 §3.3); it is not begun if the client does not know the message.
func (c *conn) fetchHead(uid uint32) bool {
	seq := c.view.Seq(uid)
	if seq == 0 {
		return false
	}
	if c.on.uidOnly {
		c.enc.Raw("* ").Number(uid).Raw(" UIDFETCH (")
	} else {
		c.enc.Raw("* ").Number(seq).Raw(" FETCH (")
	}
	return true
}

// writeFlags writes a message's flags as a FETCH response.
func (c *conn) writeFlags(m *Change, uid bool) {
	if c.view.Seq(m.UID) == 0 {
		return
	}
	c.learn(m.Flags.Keywords)
	c.fetchHead(m.UID)
	if (uid || c.on.condstore) && !c.on.uidOnly {
		c.enc.Raw("UID ").Number(m.UID).SP()
	}
	if c.on.condstore {
		c.enc.Raw("MODSEQ (").Number64(m.ModSeq).Raw(") ")
	}
	c.enc.Raw("FLAGS ").Flags(c.systemFlags(m.UID, m.Flags.System), m.Flags.Keywords).Byte(')').CRLF()
}

// systemFlags adds \Recent, which is this session's (RFC 3501 §2.3.2).
func (c *conn) systemFlags(uid uint32, f imapwire.System) imapwire.System {
	if len(c.view.Recent()) > 0 && !c.on.rev2 && c.view.Recent().Contains(uid) {
		f |= imapwire.Recent
	}
	return f
}

// tellExpunged writes the expunges that wait (RFC 9051 §7.5.1), by UID to who
// knows VANISHED (RFC 7162 §3.2.10, RFC 9586 §3.4).
func (c *conn) tellExpunged() {
	recent := c.view.Recent().Len()
	uids, seqs := c.view.TakeExpunged()
	if uids.Empty() {
		return
	}
	c.saved = c.saved.Subtract(uids)
	if c.on.qresync || c.on.uidOnly {
		c.enc.Raw("* VANISHED ").Set(uids).CRLF()
		seqs = nil
	}
	for i := len(seqs) - 1; i >= 0; i-- {
		for n := seqs[i].Stop; n >= seqs[i].Start; n-- {
			c.enc.Raw("* ").Number(n).Raw(" EXPUNGE").CRLF()
		}
	}
	if c.view.Recent().Len() != recent {
		c.writeRecent()
	}
}

// learn tells the client of keywords that are new to it (RFC 9051 §7.3.5).
func (c *conn) learn(keywords []string) {
	grown := false
	for _, k := range keywords {
		if _, ok := c.keywords[k]; ok || len(c.keywords) >= MaxKnownKeywords {
			continue
		}
		c.keywords[strings.Clone(k)] = struct{}{}
		grown = true
	}
	if grown {
		c.writeFlagsInUse()
	}
}
