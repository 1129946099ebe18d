package imapd

import (
	"context"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/mailstore"
)

// Status reads one mailbox (RFC 9051 §6.3.11).
func (s *session) Status(ctx context.Context, name string, needs imap.StatusNeeds) (imap.Mailbox, error) {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	if err := s.still(ctx); err != nil {
		return imap.Mailbox{}, err
	}
	m, err := s.store.Mailbox(ctx, s.acct(), name)
	if err != nil {
		return imap.Mailbox{}, s.refusal(err)
	}
	out := mailbox(&m)
	if needs.Recent && m.RecentFloor < m.UIDNext {
		err = s.eachFrom(ctx, m.ID, m.RecentFloor, func(*mailstore.Entry) { out.Recent++ })
	}
	if needs.DeletedSize && m.Deleted > 0 && err == nil {
		err = s.eachFrom(ctx, m.ID, 1, func(e *mailstore.Entry) {
			if e.Flags&mailstore.Deleted != 0 {
				out.DeletedSize += e.Size
			}
		})
	}
	return out, s.refusal(err)
}

// eachFrom calls f for each row of a mailbox from a UID on.
func (s *session) eachFrom(ctx context.Context, m mailstore.MailboxID, from mailstore.UID, f func(*mailstore.Entry),
) error {
	for {
		rows, err := s.store.Entries(ctx, s.acct(), m, mailstore.Rows{From: from, Limit: rowBatch})
		if err != nil {
			return err
		}
		for i := range rows {
			f(&rows[i])
		}
		if len(rows) < rowBatch {
			return nil
		}
		from = rows[len(rows)-1].UID + 1
	}
}
