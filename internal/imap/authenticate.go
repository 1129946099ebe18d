package imap

import (
	"errors"
	"strings"

	"github.com/eidermail/eider/internal/sasl"
)

// exchange is an AUTHENTICATE under way: next takes the client's responses and
// hands out challenges, end logs in.
type exchange struct {
	next func(response []byte) (challenge []byte, done bool, err error)
	end  func() error
}

// handleAuthenticate: RFC 9051 §6.2.2, with an initial response (RFC 4959).
func (c *conn) handleAuthenticate(r *request) error {
	d := r.dec
	var name, initial string
	if !d.ExpectSP() || !d.ExpectAtom(&name) {
		return nil
	}
	hasInitial := d.SP()
	if hasInitial && !d.ExpectAstring(&initial) || !d.ExpectCRLF() {
		return nil
	}
	if !c.secure() {
		return errNoClearLogin
	}
	x := c.exchange(r, strings.ToUpper(name))
	if x == nil {
		return &Error{Code: "CANNOT", Text: "unknown mechanism"}
	}
	var response []byte
	if hasInitial {
		var err error
		if response, err = sasl.Decode(initial); err != nil {
			return authFailed(err)
		}
	}
	// The line of the command is over: what is read from here are responses.
	if err := d.Finish(); err != nil {
		return err
	}
	for {
		challenge, done, err := x.next(response)
		if err != nil {
			return c.denied(r, authFailed(err))
		}
		if done {
			return c.loggedIn(r, x.end())
		}
		c.enc.Raw("+ ").Raw(sasl.Encode(challenge)).CRLF()
		line, err := d.ReadLine()
		if err != nil {
			return c.lineError(err)
		}
		if response, err = sasl.Decode(line); err != nil {
			return authFailed(err)
		}
	}
}

// exchange starts a mechanism, nil if it is not offered.
func (c *conn) exchange(r *request, name string) *exchange {
	switch name {
	case sasl.ScramSHA256, sasl.ScramSHA256Plus:
		return c.scram(r, name == sasl.ScramSHA256Plus)
	case sasl.OAuthBearer:
		return c.bearer(r)
	}
	m, ok := sasl.New(name)
	if !ok {
		return nil
	}
	return &exchange{next: m.Next, end: func() error {
		cred := m.Credentials()
		return c.session.Login(r.ctx, cred.User, cred.Password)
	}}
}

// scram is SCRAM-SHA-256 (RFC 7677), with plus bound to the TLS connection.
func (c *conn) scram(r *request, plus bool) *exchange {
	bindings := c.bindings()
	if plus && len(bindings) == 0 {
		return nil
	}
	asked, entered := false, false
	m := sasl.NewScram(plus, bindings, func(user string) (sasl.Verifier, error) {
		asked = true
		return c.session.StartScram(r.ctx, user)
	})
	return &exchange{
		next: func(response []byte) ([]byte, bool, error) {
			challenge, done, err := m.Next(response)
			switch {
			case errors.Is(err, sasl.ErrProof) && asked:
				err = c.session.EndScram(r.ctx, false)
			case err == nil && m.Proved() && !entered:
				// Before our proof is sent: who may not come in does not learn that it was right.
				entered = true
				err = c.session.EndScram(r.ctx, true)
			}
			return challenge, done, err
		},
		end: func() error { return nil },
	}
}

// bearer is OAUTHBEARER (RFC 7628): one message, and an answer to why it failed.
func (c *conn) bearer(r *request) *exchange {
	if !c.s.o.Bearer {
		return nil
	}
	var failed error
	return &exchange{
		next: func(response []byte) ([]byte, bool, error) {
			switch {
			case failed != nil: // whatever it answers
				return nil, true, failed
			case response == nil:
				return []byte{}, false, nil
			}
			b, err := sasl.ParseBearer(response)
			if err != nil {
				return nil, true, err
			}
			if failed = c.session.Bearer(r.ctx, b.User, b.Token); failed != nil {
				return []byte(sasl.BearerFailure), false, nil
			}
			return nil, true, nil
		},
		end: func() error { return nil },
	}
}

// authFailed says why an exchange ended; it never says anything of the credentials.
func authFailed(err error) error {
	var refusal *Error
	switch {
	case errors.As(err, &refusal):
		return err
	case errors.Is(err, sasl.ErrCancelled):
		return &Error{Bad: true, Text: "authentication cancelled"}
	case errors.Is(err, sasl.ErrAuthzid):
		return &Error{Code: "AUTHORIZATIONFAILED", Text: "acting for another user is not offered"}
	case errors.Is(err, sasl.ErrProof):
		return &Error{Code: "AUTHENTICATIONFAILED", Text: "the channel binding does not fit"}
	case errors.Is(err, sasl.ErrMalformed), errors.Is(err, sasl.ErrTooLong), errors.Is(err, sasl.ErrDone):
		return &Error{Bad: true, Text: "malformed response"}
	}
	return err
}
