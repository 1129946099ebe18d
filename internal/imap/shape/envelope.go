package shape

import (
	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/message"
)

// Envelope writes ENVELOPE (RFC 9051 §7.5.2). Strings are as they stand in
// the header: clients decode them.
func Envelope(e *imapwire.Encoder, v *message.Envelope) {
	e.Byte('(').NString(v.Date).SP().NString(v.Subject)
	sender, replyTo := v.Sender, v.ReplyTo
	if len(sender) == 0 {
		sender = v.From
	}
	if len(replyTo) == 0 {
		replyTo = v.From
	}
	for _, list := range [...][]message.Address{v.From, sender, replyTo, v.To, v.Cc, v.Bcc} {
		e.SP()
		writeAddresses(e, list)
	}
	e.SP().NString(v.InReplyTo).SP().NString(v.MessageID).Byte(')')
}

func writeAddresses(e *imapwire.Encoder, list []message.Address) {
	if len(list) == 0 {
		e.Raw("NIL")
		return
	}
	e.Byte('(')
	for i := range list {
		writeAddress(e, &list[i])
	}
	e.Byte(')')
}

// writeAddress writes (name route mailbox host). A NIL host marks the start of
// a group, and with a NIL mailbox its end; so an address that has no domain
// has an empty string there.
func writeAddress(e *imapwire.Encoder, a *message.Address) {
	e.Byte('(').NString(a.Name).Raw(" NIL ")
	if a.Group {
		e.NString(a.Mailbox).Raw(" NIL)")
		return
	}
	e.String(a.Mailbox).SP().String(a.Host).Byte(')')
}
