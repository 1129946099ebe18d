package imapd

import (
	"context"

	"github.com/eidermail/eider/internal/imap"
)

// Quota reads what the account has (RFC 9208).
func (s *session) Quota(ctx context.Context) (imap.Quota, error) {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	if err := s.still(ctx); err != nil {
		return imap.Quota{}, err
	}
	a, err := s.store.Account(ctx, s.acct())
	return imap.Quota{Bytes: a.Bytes, MaxBytes: a.Limits.Bytes,
		Messages: a.Messages, MaxMessages: a.Limits.Messages}, s.refusal(err)
}
