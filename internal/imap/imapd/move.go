package imapd

import (
	"context"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/imap/imapwire"
)

// Move moves messages (RFC 9051 §6.4.8). What was moved before an error is told.
func (s *session) Move(ctx context.Context, uids imapwire.Set, to string) (imap.Copied, error) {
	ctx, cancel := context.WithTimeout(ctx, s.b.o.AppendBudget)
	defer cancel()
	if err := s.stillHere(ctx); err != nil {
		return imap.Copied{}, err
	}
	s.sel.dirty = true
	done, err := s.store.Move(ctx, s.acct(), s.sel.id, uidList(uids), to)
	return copied(&done), s.target(err)
}
