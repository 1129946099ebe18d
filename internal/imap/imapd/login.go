package imapd

import (
	"context"
	"errors"
	"net/netip"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/imap"
)

var (
	errWrongPassword = &imap.Error{Code: "AUTHENTICATIONFAILED", Text: "wrong user name or password"}
	errThrottled     = &imap.Error{Code: "UNAVAILABLE", Text: "too many failed logins, wait a while"}
	errDisabled      = &imap.Error{Code: "CONTACTADMIN", Text: "the account is disabled"}
)

// Bearer checks tokens of OAUTHBEARER (RFC 7628), which is offered where there
// is one: auth.ErrBadCredentials for a token that does not hold.
type Bearer interface {
	// Bearer says who a token stands for; user is who the client wants to be, or "".
	Bearer(ctx context.Context, peer netip.Addr, user, token string) (auth.Identity, error)
}

// Login checks a password (RFC 9051 §6.2.3). A store that is away is never a
// wrong password.
func (s *session) Login(ctx context.Context, user, password string) error {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	s.login = user
	id, err := s.b.o.Auth.Password(ctx, s.info.Remote, user, password)
	return s.enter(ctx, id, err)
}

// enter makes the session that of an account, unless there was an error.
func (s *session) enter(ctx context.Context, id auth.Identity, err error) error {
	if err != nil {
		return s.loginError(err)
	}
	s.info.Note("login", s.login)
	s.who, s.ended = id, nil
	// Without its default mailboxes a client still works.
	if err := s.store.EnsureDefaults(ctx, id.Acct); err != nil {
		s.b.o.Log.Warn("default mailboxes were not made", "err", err)
	}
	return nil
}

func (s *session) loginError(err error) error {
	s.info.Note("denied", s.login)
	switch {
	case errors.Is(err, auth.ErrBadCredentials), errors.Is(err, auth.ErrNoAccount):
		return errWrongPassword
	case errors.Is(err, auth.ErrThrottled):
		return errThrottled
	case errors.Is(err, auth.ErrDisabled):
		return errDisabled
	}
	return s.refusal(err)
}
