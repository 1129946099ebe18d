package imapd

import (
	"context"
	"errors"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/imap"
)

var (
	errWrongPassword = &imap.Error{Code: "AUTHENTICATIONFAILED", Text: "wrong user name or password"}
	errThrottled     = &imap.Error{Code: "UNAVAILABLE", Text: "too many failed logins, wait a while"}
	errDisabled      = &imap.Error{Code: "CONTACTADMIN", Text: "the account is disabled"}
)

// Login checks a password (RFC 9051 §6.2.3). A store that is away is never a
// wrong password.
func (s *session) Login(ctx context.Context, user, password string) error {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	id, err := s.b.o.Auth.Password(ctx, s.info.Remote, user, password)
	switch {
	case errors.Is(err, auth.ErrBadCredentials), errors.Is(err, auth.ErrNoAccount):
		return errWrongPassword
	case errors.Is(err, auth.ErrThrottled):
		return errThrottled
	case errors.Is(err, auth.ErrDisabled):
		return errDisabled
	case err != nil:
		return s.refusal(err)
	}
	s.who = id
	// Without its default mailboxes a client still works.
	if err := s.store.EnsureDefaults(ctx, id.Acct); err != nil {
		s.b.o.Log.Warn("default mailboxes were not made", "err", err)
	}
	return nil
}
