package imapd

import (
	"context"
	"errors"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/imap"
)

// errStale: RFC 5530 §3.
var errStale = &imap.Error{Code: "EXPIRED", Text: "this login holds no more, log in again"}

// still refuses a login that holds no more, from then on: its password was
// changed since, or its account disabled or deleted. One read. A mailbox that is
// selected is then gone for the client, which is told goodbye (see Poll). The
// caller bounds how long it may take.
func (s *session) still(ctx context.Context) error {
	if s.ended != nil {
		return s.ended
	}
	err := s.b.o.Auth.Still(ctx, s.who)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, auth.ErrDisabled):
		s.ended = errDisabled
	case auth.Stale(err):
		s.ended = errStale
	default:
		return s.refusal(err)
	}
	return s.ended
}

// stillHere is still for what is done in the selected mailbox: it reads only
// when something was heard of the account since.
func (s *session) stillHere(ctx context.Context) error {
	h := s.sel.hints
	if s.ended != nil || h == nil || !h.asked.Swap(false) {
		return s.ended
	}
	err := s.still(ctx)
	if err != nil && s.ended == nil {
		h.asked.Store(true)
	}
	return err
}
