package pop3

import (
	"strings"

	"github.com/eidermail/eider/internal/netx"
)

// dispatch runs one command line. Keywords are matched without case (RFC 1939 §3).
func (c *conn) dispatch(raw []byte) {
	for _, b := range raw {
		if b < ' ' && b != '\t' || b == 0x7f {
			if netx.SpeaksHTTP(raw) {
				c.fatal(CauseHTTP, "This is a POP3 port, it does not speak HTTP")
				return
			}
			c.wrong("Not a command line")
			return
		}
	}
	verb, arg, _ := strings.Cut(string(raw), " ")
	verb = strings.ToUpper(verb)
	if verb != "PASS" { // a password may have spaces anywhere
		arg = strings.Trim(arg, " \t")
	}
	if c.common(verb, arg) {
		return
	}
	known := c.authorization
	if c.in {
		known = c.transaction
	}
	if known(verb, arg) {
		return
	}
	switch verb {
	case "USER", "PASS", "AUTH", "STLS":
		c.wrong("Already logged in")
	case "STAT", "LIST", "UIDL", "RETR", "TOP", "DELE", "RSET", "NOOP":
		c.wrong("Log in first")
	default:
		if netx.SpeaksHTTP(raw) {
			c.fatal(CauseHTTP, "This is a POP3 port, it does not speak HTTP")
			return
		}
		c.wrong("Unknown command")
	}
}

// common are the commands of every state.
func (c *conn) common(verb, arg string) bool {
	switch verb {
	case "CAPA":
		c.capa()
	case "QUIT":
		c.quit(arg)
	default:
		return false
	}
	return true
}

// authorization are the commands before the login (RFC 1939 §4).
func (c *conn) authorization(verb, arg string) bool {
	switch verb {
	case "USER":
		c.userName(arg)
	case "PASS":
		c.pass(arg)
	case "AUTH":
		c.auth(arg)
	case "STLS":
		c.stls(arg)
	case "APOP":
		c.wrong("APOP is not offered")
	default:
		return false
	}
	return true
}

// transaction are the commands after it (RFC 1939 §5).
func (c *conn) transaction(verb, arg string) bool {
	switch verb {
	case "STAT":
		c.stat(arg)
	case "LIST":
		c.list(arg)
	case "UIDL":
		c.uidl(arg)
	case "RETR":
		c.retr(arg)
	case "TOP":
		c.top(arg)
	case "DELE":
		c.dele(arg)
	case "RSET":
		c.rset(arg)
	case "NOOP":
		c.ok("Nothing done")
	default:
		return false
	}
	return true
}

// RFC 2449 §5.
func (c *conn) capa() {
	c.asked = true
	c.ok("Capabilities")
	lines := []string{"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"}
	if m := c.session.Mechanisms(); len(m) > 0 && !c.in {
		lines = append(lines, "USER", "SASL "+strings.Join(m, " "))
	}
	if c.stlsOffered() && !c.in {
		lines = append(lines, "STLS")
	}
	lines = append(lines, "IMPLEMENTATION Eider", ".")
	for _, l := range lines {
		c.w.WriteString(l)
		c.w.WriteString("\r\n")
	}
}
