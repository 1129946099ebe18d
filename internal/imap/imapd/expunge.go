package imapd

import (
	"context"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/mailstore"
)

// Expunge removes messages that have \Deleted (RFC 9051 §6.4.3, RFC 4315 §2.1).
func (s *session) Expunge(ctx context.Context, uids imapwire.Set) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, s.b.o.AppendBudget)
	defer cancel()
	if err := s.stillHere(ctx); err != nil {
		return 0, err
	}
	var list []mailstore.UID
	if uids != nil {
		list = uidList(uids)
	}
	s.sel.dirty = true
	gone, _, err := s.store.Expunge(ctx, s.acct(), s.sel.id, list, true)
	return len(gone), s.refusal(err)
}

// Vanished reads the change log (RFC 7162 §3.2.5).
func (s *session) Vanished(ctx context.Context, since uint64) (imapwire.Set, bool, error) {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	ch, err := s.store.Changes(ctx, s.acct(), s.sel.id, s.sel.epoch, mailstore.ModSeq(since))
	if err != nil {
		return nil, false, s.refusal(err)
	}
	return uidSet(ch.Vanished), !ch.Resync && !ch.Gone, nil
}
