package imap

import (
	"strings"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// sync tells the client what happened to the selected mailbox (RFC 9051 §5.2).
// Trouble of the store is no reason to fail a command that has succeeded:
// what is not told now is told later.
func (c *conn) sync(r *request) {
	u, err := c.session.Poll(r.ctx, r.force)
	if err != nil {
		c.log.Debug("imap changes could not be read", "err", err)
		return
	}
	c.tell(&u)
	if !r.hold {
		c.tellExpunged()
	}
}

// tell writes an update, except for its expunges.
func (c *conn) tell(u *Update) {
	if u.Gone {
		c.bye("UNAVAILABLE", "the selected mailbox was deleted")
		return
	}
	changed, grown, ok := c.view.apply(u)
	if !ok {
		c.bye("UNAVAILABLE", "the selected mailbox has changed too much, connect again")
		return
	}
	if grown {
		c.writeExists()
	}
	for i := range changed {
		c.writeFlags(&changed[i], false)
	}
}

func (c *conn) writeExists() {
	c.enc.Raw("* ").Number(c.view.count).Raw(" EXISTS").CRLF()
	c.enc.Raw("* ").Number(uint32(c.view.recent.Len())).Raw(" RECENT").CRLF()
}

// writeFlags writes a message's flags as a FETCH response.
func (c *conn) writeFlags(m *Change, uid bool) {
	seq := c.view.seq(m.UID)
	if seq == 0 {
		return
	}
	c.learn(m.Flags.Keywords)
	c.enc.Raw("* ").Number(seq).Raw(" FETCH (")
	if uid || c.condstore {
		c.enc.Raw("UID ").Number(m.UID).SP()
	}
	if c.condstore {
		c.enc.Raw("MODSEQ (").Number64(m.ModSeq).Raw(") ")
	}
	c.enc.Raw("FLAGS ").Flags(c.systemFlags(m.UID, m.Flags.System), m.Flags.Keywords).Byte(')').CRLF()
}

// systemFlags adds \Recent, which is this session's (RFC 3501 §2.3.2).
func (c *conn) systemFlags(uid uint32, f imapwire.System) imapwire.System {
	if len(c.view.recent) > 0 && c.view.recent.Contains(uid) {
		f |= imapwire.Recent
	}
	return f
}

// tellExpunged writes the expunges that wait (RFC 9051 §7.5.1).
func (c *conn) tellExpunged() {
	seqs := c.view.takeExpunged()
	for i := len(seqs) - 1; i >= 0; i-- {
		for n := seqs[i].Stop; n >= seqs[i].Start; n-- {
			c.enc.Raw("* ").Number(n).Raw(" EXPUNGE").CRLF()
		}
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
