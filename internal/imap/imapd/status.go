package imapd

import (
	"context"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/mailstore"
)

// Status reads one mailbox (RFC 9051 §6.3.11).
func (s *session) Status(ctx context.Context, name string, recent bool) (imap.Mailbox, error) {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	m, err := s.store.Mailbox(ctx, s.acct(), name)
	if err != nil {
		return imap.Mailbox{}, s.refusal(err)
	}
	out := mailbox(&m)
	if recent && m.RecentFloor < m.UIDNext {
		out.Recent, err = s.countFrom(ctx, m.ID, m.RecentFloor)
	}
	return out, s.refusal(err)
}

// countFrom counts the messages from a UID on.
func (s *session) countFrom(ctx context.Context, m mailstore.MailboxID, from mailstore.UID) (n uint32, err error) {
	for {
		rows, err := s.store.Entries(ctx, s.acct(), m, mailstore.Rows{From: from, Limit: rowBatch})
		if err != nil {
			return n, err
		}
		n += uint32(len(rows))
		if len(rows) < rowBatch {
			return n, nil
		}
		from = rows[len(rows)-1].UID + 1
	}
}
