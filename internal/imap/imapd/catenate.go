package imapd

import (
	"context"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/mailstore"
)

// OpenMessage opens a message by its URL (RFC 4469 §3).
func (s *session) OpenMessage(ctx context.Context, u *imapwire.MessageURL) (*imap.Message, func(), error) {
	read, cancel := s.budget(ctx)
	defer cancel()
	m, err := s.store.Mailbox(read, s.acct(), u.Mailbox)
	if gone(err) || err == nil && u.Validity != 0 && u.Validity != m.UIDValidity {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, s.refusal(err)
	}
	rows, err := s.store.EntriesByUID(read, s.acct(), m.ID, []mailstore.UID{mailstore.UID(u.UID)})
	if err != nil || len(rows) == 0 {
		return nil, nil, s.refusal(err)
	}
	infos, err := s.infos(ctx, rows)
	if err != nil || infos[0].Msg == 0 {
		return nil, nil, err
	}
	c, err := s.open(ctx, rows[0].Msg)
	if gone(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, s.refusal(err)
	}
	return &imap.Message{UID: u.UID, Index: &infos[0].Index, Content: c}, func() { c.Close() }, nil
}
