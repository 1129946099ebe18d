package imap

import (
	"errors"

	"github.com/eidermail/eider/internal/sasl"
)

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
	m, ok := sasl.New(name)
	if !ok {
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
		challenge, done, err := m.Next(response)
		if err != nil {
			return authFailed(err)
		}
		if done {
			cred := m.Credentials()
			return c.login(r, cred.User, cred.Password)
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

// authFailed says why an exchange ended; it never says anything of the credentials.
func authFailed(err error) error {
	switch {
	case errors.Is(err, sasl.ErrCancelled):
		return &Error{Bad: true, Text: "authentication cancelled"}
	case errors.Is(err, sasl.ErrAuthzid):
		return &Error{Code: "AUTHORIZATIONFAILED", Text: "acting for another user is not offered"}
	}
	return &Error{Bad: true, Text: "malformed response"}
}
