package imapd

import (
	"context"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/mailstore"
)

// Expunge removes messages that have \Deleted (RFC 9051 §6.4.3, RFC 4315 §2.1).
func (s *session) Expunge(ctx context.Context, uids imapwire.Set) error {
	ctx, cancel := context.WithTimeout(ctx, s.b.o.AppendBudget)
	defer cancel()
	var list []mailstore.UID
	if uids != nil {
		list = uidList(uids)
	}
	s.sel.dirty = true
	_, _, err := s.store.Expunge(ctx, s.acct(), s.sel.id, list, true)
	return s.refusal(err)
}
