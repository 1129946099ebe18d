package smtpd

import (
	"strings"
	"time"

	"github.com/eidermail/eider/internal/smtp"
)

// Limit: characters of the client's EHLO name in a Received line.
const maxTraceName = 128

// prepend is what stands before the message: Return-Path always (RFC 5321
// §4.4), Received only where the message came over a network from another
// mail system. There is no Delivered-To: one message serves several accounts,
// and recipients need not know of each other.
func (s *session) prepend(now time.Time) []byte {
	var b strings.Builder
	b.Grow(512)
	b.WriteString("Return-Path: <")
	b.WriteString(s.mail.From.String())
	b.WriteString(">\r\n")
	if s.c.Mode == smtp.Submission {
		return []byte(b.String())
	}
	b.WriteString("Received: from ")
	b.WriteString(traceName(s.c.Helo))
	if ip := s.c.Addr.Addr(); ip.Is6() {
		b.WriteString(" ([IPv6:" + ip.String() + "])")
	} else if ip.IsValid() {
		b.WriteString(" ([" + ip.String() + "])")
	}
	b.WriteString("\r\n\tby " + traceName(s.b.o.Hostname) + " (Eider) with " + s.c.Protocol())
	if s.count == 1 && len(s.to) == 1 {
		b.WriteString("\r\n\tfor <" + s.to[0] + ">")
	}
	b.WriteString(";\r\n\t" + now.Format("Mon, 2 Jan 2006 15:04:05 -0700") + "\r\n")
	return []byte(b.String())
}

// traceName is a name a client gave itself as it may stand in a header: no
// comment, no line end, no surprise.
func traceName(s string) string {
	b := []byte(s)
	if len(b) > maxTraceName {
		b = b[:maxTraceName]
	}
	for i, c := range b {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte("-._:[]", c) < 0 {
			b[i] = '?'
		}
	}
	if len(b) == 0 {
		return "unknown"
	}
	return string(b)
}
