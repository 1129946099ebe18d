package imapwire

import (
	"net/url"
	"strconv"
	"strings"
)

// MessageURL names a message, or a part of one, on this server (RFC 5092).
type MessageURL struct {
	Mailbox  string // UTF-8
	Validity uint32 // 0: not said
	UID      uint32
	Section  Section
	Partial  *Partial
}

// ParseMessageURL reads a URL relative to this server, as CATENATE takes it:
// "/INBOX;UIDVALIDITY=785799047/;UID=113330/;SECTION=1.5.9".
func ParseMessageURL(s string) (u MessageURL, ok bool) {
	rest, ok := strings.CutPrefix(s, "/")
	if !ok || strings.HasPrefix(rest, "/") {
		return u, false // relative to something else, or another server
	}
	steps := strings.Split(rest, "/;")
	name, validity, has := strings.Cut(steps[0], ";")
	if has {
		n, isValidity := cutFold(validity, "UIDVALIDITY=")
		if u.Validity, ok = number(n); !ok || !isValidity {
			return u, false
		}
	}
	name, err := url.PathUnescape(name)
	if err != nil || (&Decoder{UTF8: true}).mailbox(name, &u.Mailbox) != true || u.Mailbox == "" {
		return u, false
	}
	for _, step := range steps[1:] {
		if v, is := cutFold(step, "UID="); is {
			u.UID, ok = number(v)
		} else if v, is := cutFold(step, "SECTION="); is && u.UID != 0 {
			ok = u.section(v)
		} else if v, is := cutFold(step, "PARTIAL="); is && u.UID != 0 {
			ok = u.partial(v)
		} else {
			ok = false
		}
		if !ok {
			return u, false
		}
	}
	return u, u.UID != 0
}

func (u *MessageURL) section(s string) bool {
	s, err := url.PathUnescape(s)
	d := &Decoder{line: []byte(s)}
	return err == nil && s != "" && d.section(&u.Section) && d.CRLF()
}

// partial reads offset[.length].
func (u *MessageURL) partial(s string) bool {
	offset, length, has := strings.Cut(s, ".")
	p := Partial{Count: 1<<63 - 1}
	var err error
	if p.Offset, err = strconv.ParseUint(offset, 10, 63); err == nil && has {
		p.Count, err = strconv.ParseUint(length, 10, 63)
	}
	u.Partial = &p
	return err == nil && p.Count > 0
}

func number(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n > 0
}

// cutFold is strings.CutPrefix without regard to case.
func cutFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}
