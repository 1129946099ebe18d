package imapd

import "context"

// Rename renames a mailbox; of INBOX it moves the mail (RFC 9051 §6.3.6).
func (s *session) Rename(ctx context.Context, from, to string) error {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	if err := s.still(ctx); err != nil {
		return err
	}
	s.sel.dirty = true
	return s.refusal(s.store.RenameMailbox(ctx, s.acct(), from, to))
}
