package imapd

import (
	"context"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/mailstore"
)

// Mailboxes lists all mailboxes.
func (s *session) Mailboxes(ctx context.Context) ([]imap.Mailbox, error) {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	if err := s.still(ctx); err != nil {
		return nil, err
	}
	boxes, err := s.store.Mailboxes(ctx, s.acct())
	if err != nil {
		return nil, s.refusal(err)
	}
	out := make([]imap.Mailbox, len(boxes))
	for i := range boxes {
		out[i] = mailbox(&boxes[i])
	}
	return out, nil
}

func mailbox(m *mailstore.Mailbox) imap.Mailbox {
	return imap.Mailbox{
		Name: m.Name, UIDValidity: m.UIDValidity, UIDNext: uint32(m.UIDNext), Messages: m.Exists,
		Unseen: m.Unseen, Deleted: m.Deleted, Size: m.Bytes, HighestModSeq: uint64(m.HighestModSeq),
		SpecialUse: m.SpecialUse, Subscribed: m.Subscribed, ObjectID: m.ObjectID,
	}
}
