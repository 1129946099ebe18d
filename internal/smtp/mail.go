package smtp

import (
	"errors"
	"strconv"
	"strings"

	"github.com/eidermail/eider/internal/addr"
	"github.com/eidermail/eider/internal/netx"
)

// RFC 5321 §4.1.1.2, with the parameters of RFC 1870, 4954 §5, 6152 and 6531.
func (c *conn) mailFrom(arg string) {
	c.tried = true
	switch {
	case !c.greeted:
		c.wrong(replyHelloFirst)
		return
	case c.mail:
		c.wrong(replyNested)
		return
	}
	c.refused = true // unless it ends well
	from, params, err := path(arg, "FROM:")
	if err != nil {
		c.about(CauseBadAddress, replyBadSender, arg)
		c.wrong(replyBadSender)
		return
	}
	m := Mail{From: from}
	if err := m.parse(params); err != nil {
		c.wrong(replyOf(err))
		return
	}
	if m.Size > c.s.o.MaxSize {
		c.event(CauseTooLarge, replyTooLarge, m.Size)
		c.reply(replyTooLarge)
		return
	}
	// Addresses in UTF-8 without SMTPUTF8 are taken as they are: what a test
	// sends is to be seen, not refused.
	c.client.UTF8 = m.UTF8
	if err := c.session.Mail(netx.Work(c.ctx), m); err != nil {
		r := replyOf(err)
		c.event(CauseSenderRefused, r, 0)
		c.client.UTF8 = false
		c.refuse(r)
		return
	}
	c.mail, c.refused = true, false
	c.reply(replySenderOK)
}

// refuse queues a reply of the session; after 421 the connection ends (RFC 5321 §3.8).
func (c *conn) refuse(r Reply) {
	c.reply(r)
	if r.Code == 421 {
		c.closing, c.fault = true, true
	}
}

// noMail answers what needs a transaction. Behind a MAIL or a chunk that was
// refused it may have been sent unknowing, and is no mistake (RFC 2920 §3.1).
func (c *conn) noMail() {
	if c.refused {
		c.reply(replyMailFirst)
		return
	}
	c.wrong(replyMailFirst)
}

// path cuts "FROM:<path> params" apart; the colon may have spaces around it.
func path(arg, word string) (addr.Addr, string, error) {
	if len(arg) < len(word) || !strings.EqualFold(arg[:len(word)-1], word[:len(word)-1]) {
		return addr.Addr{}, "", addr.ErrSyntax
	}
	rest, ok := strings.CutPrefix(strings.TrimLeft(arg[len(word)-1:], " "), ":")
	if !ok {
		return addr.Addr{}, "", addr.ErrSyntax
	}
	return addr.ParsePath(rest)
}

// parse reads the parameters of MAIL.
func (m *Mail) parse(params string) error {
	for p := range strings.FieldsSeq(params) {
		key, value, _ := strings.Cut(p, "=")
		switch strings.ToUpper(key) {
		case "SIZE": // RFC 1870 §6: up to 20 digits
			n, err := strconv.ParseUint(value, 10, 63)
			if err != nil && !errors.Is(err, strconv.ErrRange) || value == "" || value[0] == '+' {
				return replySyntax
			}
			m.Size = int64(min(n, 1<<62)) // more than anyone's limit stays more
		case "BODY": // RFC 6152 §2
			if m.Body = strings.ToUpper(value); m.Body != "7BIT" && m.Body != "8BITMIME" {
				return replySyntax
			}
		case "SMTPUTF8": // RFC 6531 §3.4
			if p != key {
				return replySyntax
			}
			m.UTF8 = true
		case "AUTH": // RFC 4954 §5: whom another server speaks for; nothing hangs on it
			if value == "" {
				return replySyntax
			}
		default:
			return replyUnknownParam
		}
	}
	return nil
}

// RFC 5321 §4.1.1.3. A recipient that cannot be read is refused as one that is
// not there is, without counting: lists have some, and the others want their mail.
func (c *conn) rcptTo(arg string) {
	if !c.mail {
		c.noMail()
		return
	}
	to, params, err := path(arg, "TO:")
	if err != nil || to.IsZero() {
		c.about(CauseBadAddress, replyBadRcpt, arg)
		c.reply(replyBadRcpt)
		return
	}
	if params != "" {
		c.reply(replyUnknownParam)
		return
	}
	if c.rcpts >= c.s.o.MaxRecipients {
		c.event(CauseRcptRefused, replyTooManyRcpts, 0)
		c.reply(replyTooManyRcpts)
		return
	}
	if err := c.session.Rcpt(netx.Work(c.ctx), to); err != nil {
		r := replyOf(err)
		c.about(CauseRcptRefused, r, to.String())
		c.refuse(r)
		return
	}
	c.rcpts++
	c.reply(replyRcptOK)
}
