package smtp

import (
	"strings"

	"github.com/eidermail/eider/internal/netx"
)

// dispatch runs one command line. Verbs are matched without case (RFC 5321 §2.4).
func (c *conn) dispatch(raw []byte) {
	if !printable(raw) {
		if netx.SpeaksHTTP(raw) {
			c.fatal(CauseHTTP, replyHTTP)
			return
		}
		c.wrong(replyGarbage)
		return
	}
	line := strings.TrimRight(string(raw), " \t")
	verb, arg, _ := strings.Cut(line, " ")
	arg = strings.TrimLeft(arg, " ")
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO", "LHLO":
		c.hello(strings.ToUpper(verb), arg)
	case "MAIL":
		c.mailFrom(arg)
	case "RCPT":
		c.rcptTo(arg)
	case "DATA":
		c.data(arg)
	case "BDAT":
		c.bdat(arg)
	case "RSET":
		c.rset(arg)
	case "NOOP":
		c.reply(replyOK) // RFC 5321 §4.1.1.9: a parameter is ignored
	case "QUIT":
		c.quit(arg)
	case "VRFY":
		c.vrfy(arg)
	case "HELP":
		c.reply(replyHelp)
	case "EXPN", "TURN", "ETRN", "SEND", "SOML", "SAML":
		c.wrong(replyNotHere)
	case "STARTTLS":
		c.startTLS(arg)
	case "AUTH":
		c.auth(arg)
	default:
		if netx.SpeaksHTTP(raw) {
			c.fatal(CauseHTTP, replyHTTP)
			return
		}
		c.wrong(replyUnknown)
	}
}

// printable tells whether a line has no control characters but tabs. Other
// bytes are looked at where they are used.
func printable(line []byte) bool {
	for _, b := range line {
		if b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}

// RFC 5321 §4.1.1.5.
func (c *conn) rset(arg string) {
	if arg != "" {
		c.wrong(replyNoParams)
		return
	}
	c.reset()
	c.reply(replyOK)
}

// RFC 5321 §4.1.1.10.
func (c *conn) quit(arg string) {
	if arg != "" {
		c.wrong(replyNoParams)
		return
	}
	c.reply(replyBye)
	c.closing = true
}

// RFC 5321 §4.1.1.6, §3.5.3: it tells nobody who exists.
func (c *conn) vrfy(arg string) {
	if arg == "" {
		c.wrong(replySyntax)
		return
	}
	c.reply(replyVerify)
}

// reset ends the transaction, if one is open.
func (c *conn) reset() {
	if c.mail {
		c.session.Reset()
	}
	c.mail, c.refused, c.rcpts, c.client.UTF8 = false, false, 0, false
}
