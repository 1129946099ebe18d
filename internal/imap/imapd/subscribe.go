package imapd

import "context"

// Subscribe sets or ends a subscription (RFC 9051 §6.3.7).
func (s *session) Subscribe(ctx context.Context, name string, on bool) error {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	if err := s.still(ctx); err != nil {
		return err
	}
	return s.refusal(s.store.Subscribe(ctx, s.acct(), name, on))
}
