package imapd

import (
	"context"

	"github.com/eidermail/eider/internal/imap"
)

// specialUses are the uses that a mailbox can be made for (RFC 6154 §2). All
// and Flagged are views of other mailboxes, which there are none of.
var specialUses = map[string]string{
	`\ARCHIVE`: `\Archive`, `\DRAFTS`: `\Drafts`, `\JUNK`: `\Junk`, `\SENT`: `\Sent`, `\TRASH`: `\Trash`,
}

// Create makes a mailbox (RFC 9051 §6.3.4).
func (s *session) Create(ctx context.Context, name, use string) (imap.Mailbox, error) {
	if use != "" {
		known, ok := specialUses[use]
		if !ok {
			return imap.Mailbox{}, &imap.Error{Code: "USEATTR", Text: "no mailbox can have that special use"}
		}
		use = known
	}
	ctx, cancel := s.budget(ctx)
	defer cancel()
	if err := s.still(ctx); err != nil {
		return imap.Mailbox{}, err
	}
	if err := s.b.o.Policy.Space(ctx); err != nil {
		return imap.Mailbox{}, s.refusal(err)
	}
	if use != "" {
		if err := s.freeUse(ctx, use); err != nil {
			return imap.Mailbox{}, err
		}
	}
	m, err := s.store.CreateMailbox(ctx, s.acct(), name, use)
	return mailbox(&m), s.refusal(err)
}

// freeUse refuses a special use that another mailbox has: clients would not know which to take.
func (s *session) freeUse(ctx context.Context, use string) error {
	boxes, err := s.store.Mailboxes(ctx, s.acct())
	if err != nil {
		return s.refusal(err)
	}
	for i := range boxes {
		if boxes[i].SpecialUse == use {
			return &imap.Error{Code: "USEATTR", Text: "another mailbox has that special use"}
		}
	}
	return nil
}
