package imapd

import (
	"context"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/mailstore"
)

// Delete deletes a mailbox (RFC 9051 §6.3.5). One with others below it is
// refused: no mailbox exists here without the levels above it.
func (s *session) Delete(ctx context.Context, name string) error {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	if err := s.still(ctx); err != nil {
		return err
	}
	err := s.store.DeleteMailbox(ctx, s.acct(), name)
	if err == nil {
		return nil
	}
	switch mailstore.KindOf(err) {
	case mailstore.Invalid:
		return &imap.Error{Code: "HASCHILDREN", Text: "delete the mailboxes below it first"}
	case mailstore.Permission:
		return &imap.Error{Code: "CANNOT", Text: "INBOX cannot be deleted"}
	}
	return s.refusal(err)
}
