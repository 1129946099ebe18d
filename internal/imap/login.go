package imap

import "errors"

var errNoClearLogin = &Error{Code: "PRIVACYREQUIRED", Text: "passwords need TLS here"}

// handleLogin: RFC 9051 §6.2.3.
func (c *conn) handleLogin(r *request) error {
	d := r.dec
	var user, password string
	if !d.ExpectSP() || !d.ExpectAstring(&user) || !d.ExpectSP() || !d.ExpectAstring(&password) || !d.ExpectCRLF() {
		return nil
	}
	if !c.secure() {
		return errNoClearLogin
	}
	return c.login(r, user, password)
}

// login checks a password, however it came.
func (c *conn) login(r *request, user, password string) error {
	if err := c.session.Login(r.ctx, user, password); err != nil {
		var refusal *Error
		if errors.As(err, &refusal) && refusal.Code == "AUTHENTICATIONFAILED" {
			if c.failures++; c.failures >= MaxLoginFailures {
				r.replied = true
				c.enc.Raw(r.tag).Raw(" NO ")
				c.writeText(refusal.Code, refusal.Text)
				c.bye("", "too many failed logins")
				return nil
			}
		}
		return err
	}
	c.state = authenticated
	// RFC 9051 §6.2.2: capabilities in the tagged OK save the client a round trip.
	r.replied = true
	c.bad = 0
	c.enc.Raw(r.tag).Raw(" OK [CAPABILITY ")
	c.writeCapabilities()
	c.enc.Raw("] logged in").CRLF()
	return nil
}
