package smtp

import (
	"errors"
	"slices"
	"strings"

	"github.com/eidermail/eider/internal/netx"
	"github.com/eidermail/eider/internal/sasl"
)

// RFC 4954 §4.
func (c *conn) auth(arg string) {
	name, initial, hasInitial := strings.Cut(arg, " ")
	name = strings.ToUpper(name)
	c.tried = true
	switch {
	case c.s.o.Mode != Submission:
		c.wrong(replyNotHere)
		return
	case !c.greeted:
		c.wrong(replyHelloFirst)
		return
	case c.client.User != "":
		c.wrong(replyAuthDone)
		return
	case c.mail:
		c.wrong(replyNested)
		return
	case name == "":
		c.wrong(replySyntax)
		return
	}
	offered := c.session.Mechanisms()
	if len(offered) == 0 {
		r := replyNeedTLS
		if c.startTLSOffered() {
			r = replyStartTLSFirst
		}
		c.event(CauseAuthClear, r, 0)
		c.wrong(r)
		return
	}
	server, ok := sasl.New(name)
	if !ok || !slices.Contains(offered, name) {
		c.about(CauseMechanism, replyNoMechanism, name)
		c.wrong(replyNoMechanism)
		return
	}
	cred, ok := c.exchange(server, initial, hasInitial)
	if !ok {
		return
	}
	if err := c.session.Auth(netx.Work(c.ctx), name, cred); err != nil {
		c.authFailed(replyOf(err), cred.User)
		return
	}
	if c.client.Nobody {
		c.about(CauseNoAccount, replyAuthOK, cred.User)
	}
	c.client.User = cred.User
	c.reply(replyAuthOK)
}

// exchange runs the mechanism; if it fails, the reply is given.
func (c *conn) exchange(server sasl.Server, initial string, hasInitial bool) (sasl.Credentials, bool) {
	var response []byte
	if hasInitial {
		var err error
		if response, err = sasl.Decode(strings.TrimLeft(initial, " ")); err != nil {
			c.wrong(saslReply(err))
			return sasl.Credentials{}, false
		}
	}
	for {
		challenge, done, err := server.Next(response)
		if err != nil {
			c.wrong(saslReply(err))
			return sasl.Credentials{}, false
		}
		if done {
			return server.Credentials(), true
		}
		c.reply(Reply{Code: 334, Text: sasl.Encode(challenge)})
		line, err := c.readLine(CommandTimeout, MaxAuthLine)
		if errors.Is(err, errLineTooLong) {
			c.wrong(replyAuthTooLong)
			return sasl.Credentials{}, false
		}
		if err != nil {
			c.broken(err)
			return sasl.Credentials{}, false
		}
		if response, err = sasl.Decode(string(line)); err != nil {
			c.wrong(saslReply(err))
			return sasl.Credentials{}, false
		}
	}
}

// saslReply is the reply to an exchange that went wrong (RFC 4954 §4, §6).
func saslReply(err error) Reply {
	switch {
	case errors.Is(err, sasl.ErrCancelled):
		return replyCancelled
	case errors.Is(err, sasl.ErrTooLong):
		return replyAuthTooLong
	case errors.Is(err, sasl.ErrAuthzid):
		return replyActingAs
	}
	return replyBadBase64
}

func (c *conn) authFailed(r Reply, user string) {
	c.about(CauseAuthFailed, r, user)
	if r.Temporary() { // trouble of ours is no wrong guess of theirs
		c.reply(r)
		return
	}
	if c.authFails++; c.authFails >= MaxAuthFailures {
		c.reply(r)
		c.fatal(CauseAuthFailed, replyTooManyLogins)
		return
	}
	c.reply(r)
}
