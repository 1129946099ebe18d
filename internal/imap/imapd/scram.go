package imapd

import (
	"context"

	"github.com/eidermail/eider/internal/sasl"
)

// StartScram finds what a password is proved against (RFC 5802).
func (s *session) StartScram(ctx context.Context, user string) (sasl.Verifier, error) {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	s.login = user
	p, err := s.b.o.Auth.StartScram(ctx, s.info.Remote, user)
	if err != nil {
		return sasl.Verifier{}, s.loginError(err)
	}
	s.proving = p
	return sasl.Verifier(p.Verifier), nil
}

// EndScram logs in who has proved to know the password.
func (s *session) EndScram(ctx context.Context, proved bool) error {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	id, err := s.b.o.Auth.EndScram(ctx, s.proving, proved)
	s.proving = nil
	return s.enter(ctx, id, err)
}

// Bearer logs in by a token (RFC 7628).
func (s *session) Bearer(ctx context.Context, user, token string) error {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	s.login = user
	id, err := s.b.o.Bearer.Bearer(ctx, s.info.Remote, user, token)
	return s.enter(ctx, id, err)
}
