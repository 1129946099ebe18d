package imap

import (
	"crypto/tls"
	"errors"

	"github.com/eidermail/eider/internal/sasl"
)

var errNoClearLogin = &Error{Code: "PRIVACYREQUIRED", Text: "passwords need TLS here"}

// handleLogin: RFC 9051 §6.2.3.
func (c *conn) handleLogin(r *request) error {
	d := r.dec
	var user, password string
	if !d.ExpectSP() || !d.ExpectAstring(&user) || !d.ExpectSP() || !d.ExpectAstring(&password) || !d.ExpectCRLF() {
		return nil
	}
	if !c.secure() {
		c.info.Note("auth-in-clear", "")
		return errNoClearLogin
	}
	return c.loggedIn(r, c.session.Login(r.ctx, user, password))
}

// loggedIn goes on after the credentials were checked, however they came.
func (c *conn) loggedIn(r *request, err error) error {
	if err != nil {
		return c.denied(r, err)
	}
	c.state = authenticated
	// RFC 9051 §6.2.2: capabilities in the tagged OK save the client a round trip.
	r.replied = true
	c.bads = 0
	c.enc.Raw(r.tag).Raw(" OK [CAPABILITY ")
	c.writeCapabilities()
	c.enc.Raw("] logged in").CRLF()
	return nil
}

// denied counts wrong credentials, and cuts off who only guesses.
func (c *conn) denied(r *request, err error) error {
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Code != "AUTHENTICATIONFAILED" {
		return err
	}
	if c.failures++; c.failures < MaxLoginFailures {
		return err
	}
	r.replied = true
	c.enc.Raw(r.tag).Raw(" NO ")
	c.writeText(refusal.Code, refusal.Text)
	c.bye("", "too many failed logins")
	return nil
}

// bindings are what the client can bind its login to: nothing, unless the TLS
// of the connection is ours.
func (c *conn) bindings() []sasl.Binding {
	t, ok := c.nc.(*tls.Conn)
	if !ok || c.s.o.TLS == nil {
		return nil
	}
	state := t.ConnectionState()
	return sasl.Bindings(&state, c.certificate(state.ServerName))
}

// certificate is the one that a client which asked for a name was shown.
func (c *conn) certificate(name string) *tls.Certificate {
	o := c.s.o.TLS
	if o.GetCertificate != nil {
		cert, err := o.GetCertificate(&tls.ClientHelloInfo{ServerName: name, Conn: c.nc})
		if err == nil && cert != nil {
			return cert
		}
	}
	if len(o.Certificates) == 1 {
		return &o.Certificates[0]
	}
	return nil
}
