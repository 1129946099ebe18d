package imapd

import "context"

// Subscriptions lists the subscribed names.
func (s *session) Subscriptions(ctx context.Context) ([]string, error) {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	if err := s.still(ctx); err != nil {
		return nil, err
	}
	names, err := s.store.Subscriptions(ctx, s.acct())
	return names, s.refusal(err)
}
