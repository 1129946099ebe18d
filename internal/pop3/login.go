package pop3

import (
	"errors"
	"slices"
	"strings"

	"github.com/eidermail/eider/internal/sasl"
)

func (c *conn) stlsOffered() bool {
	return c.s.o.TLS != nil && !c.s.o.ImplicitTLS && c.client.TLS == nil
}

// RFC 2595 §4. Whatever came in clear behind the command is not for the time
// after the handshake: a man in the middle could have put it there.
func (c *conn) stls(arg string) {
	switch {
	case c.client.TLS != nil:
		c.wrong("TLS is on already")
		return
	case !c.stlsOffered():
		c.cause(CauseNoSTLS)
		c.wrong("STLS is not offered here")
		return
	case arg != "":
		c.wrong("No parameters allowed")
		return
	case c.r.Buffered() > 0:
		c.fatal(CauseInjection, "Nothing may follow STLS before the handshake, closing")
		return
	}
	c.ok("Begin TLS")
	if c.w.Flush() != nil {
		c.closing = true
		return
	}
	c.user = "" // what was said in clear does not count
	c.handshake()
}

// mayLogin refuses a login where a password would go in clear over a network.
func (c *conn) mayLogin() bool {
	if len(c.session.Mechanisms()) > 0 {
		return true
	}
	c.cause(CauseAuthClear)
	if c.stlsOffered() {
		c.wrong("Must issue a STLS command first")
	} else {
		c.wrong("Encryption required for logins")
	}
	return false
}

// RFC 1939 §7. It tells nobody who exists.
func (c *conn) userName(arg string) {
	if arg == "" {
		c.wrong("A name is missing")
		return
	}
	if c.mayLogin() {
		c.user = arg
		c.ok("Password?")
	}
}

// RFC 1939 §7.
func (c *conn) pass(arg string) {
	if c.user == "" {
		c.wrong("USER first")
		return
	}
	cred := sasl.Credentials{User: c.user, Password: arg}
	c.user = ""
	c.login(sasl.Plain, cred)
}

// RFC 5034 §4.
func (c *conn) auth(arg string) {
	name, initial, hasInitial := strings.Cut(arg, " ")
	name = strings.ToUpper(name)
	if !c.mayLogin() {
		return
	}
	offered := c.session.Mechanisms()
	if name == "" { // an old way to ask what there is
		c.ok("Mechanisms")
		for _, m := range offered {
			c.w.WriteString(m + "\r\n")
		}
		c.w.WriteString(".\r\n")
		return
	}
	server, ok := sasl.New(name)
	if !ok || !slices.Contains(offered, name) {
		c.wrong("Unknown authentication mechanism")
		return
	}
	var response []byte
	if hasInitial {
		var err error
		if response, err = sasl.Decode(initial); err != nil {
			c.wrong(saslText(err))
			return
		}
	}
	for {
		challenge, done, err := server.Next(response)
		if err != nil {
			c.wrong(saslText(err))
			return
		}
		if done {
			c.login(name, server.Credentials())
			return
		}
		c.w.WriteString("+ " + sasl.Encode(challenge) + "\r\n")
		line, err := c.readLine(MaxAuthLine)
		if err != nil {
			c.broken(err)
			return
		}
		if response, err = sasl.Decode(string(line)); err != nil {
			c.wrong(saslText(err))
			return
		}
	}
}

func saslText(err error) string {
	switch {
	case errors.Is(err, sasl.ErrCancelled):
		return "Authentication cancelled"
	case errors.Is(err, sasl.ErrTooLong):
		return "Line too long"
	case errors.Is(err, sasl.ErrAuthzid):
		return "Acting for another user is not offered"
	}
	return "Cannot decode the response"
}

func (c *conn) login(mechanism string, cred sasl.Credentials) {
	c.record.Login = cred.User[:min(len(cred.User), maxLogin)]
	if err := c.session.Login(c.work(), mechanism, cred); err != nil {
		c.cause(CauseAuthFailed)
		c.fail(err)
		if c.authFails++; c.authFails >= MaxAuthFailures {
			c.closing, c.fault = true, true
		}
		return
	}
	c.in, c.client.User = true, cred.User
	c.sizes = c.session.Sizes()
	c.gone, c.taken = map[int]bool{}, map[int]bool{}
	c.count()
	c.ok("Logged in")
}

// count sums what is not marked for deletion.
func (c *conn) count() {
	c.bytes = 0
	for i, n := range c.sizes {
		if !c.gone[i] {
			c.bytes += n
		}
	}
}
