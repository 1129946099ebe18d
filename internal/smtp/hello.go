package smtp

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limit: bytes kept of what EHLO names.
const maxHelo = 255

// RFC 5321 §4.1.1.1, RFC 2033 §4.1. What the client calls itself is kept, not
// judged: half of all programs name something wrong.
func (c *conn) hello(verb, arg string) {
	switch {
	case c.s.o.Mode == LMTP && verb != "LHLO":
		c.wrong(replyLHLOOnly)
		return
	case c.s.o.Mode != LMTP && verb == "LHLO":
		c.wrong(replyUnknown)
		return
	case arg == "":
		c.wrong(replyNoHello)
		return
	}
	c.reset()
	c.greeted = true
	c.client.ESMTP = verb != "HELO"
	c.client.Helo = cut(strings.ToValidUTF8(arg, "?"), maxHelo)
	if verb == "HELO" {
		c.reply(Reply{Code: 250, Text: c.s.o.Hostname})
		return
	}
	c.reply(Reply{Code: 250, Text: strings.Join(c.offers(), "\n")})
}

// offers are the lines of the reply to EHLO, as the connection is now.
func (c *conn) offers() []string {
	lines := []string{
		c.s.o.Hostname, "PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING",
		"SIZE " + strconv.FormatInt(c.s.o.MaxSize, 10),
	}
	if c.s.enhanced() {
		lines = append(lines, "ENHANCEDSTATUSCODES")
	}
	if c.startTLSOffered() {
		lines = append(lines, "STARTTLS")
	}
	if m := c.session.Mechanisms(); len(m) > 0 {
		lines = append(lines, "AUTH "+strings.Join(m, " "))
	}
	return lines
}

// cut shortens s to n bytes, between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
