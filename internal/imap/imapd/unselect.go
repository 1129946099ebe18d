package imapd

import (
	"context"
)

// Unselect leaves the selected mailbox. Messages that came while it was
// selected were \Recent in this session, so they are in no later one.
func (s *session) Unselect(ctx context.Context) {
	sel := s.sel
	s.Close()
	s.sel = selection{}
	if sel.readOnly || !sel.grown || s.ended != nil {
		return
	}
	ctx, cancel := s.budget(ctx)
	defer cancel()
	m, err := s.store.MailboxByID(ctx, s.acct(), sel.id)
	if err != nil || m.UIDNext != sel.next {
		return // others came that the client was not told of: all stay recent (RFC 3501 §2.3.2)
	}
	if _, err := s.store.MarkNotRecent(ctx, s.acct(), sel.id); err != nil && !gone(err) {
		s.b.o.Log.Warn("recent messages could not be marked", "err", err)
	}
}
