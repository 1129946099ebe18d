package smtp

import (
	"strings"
	"time"
)

// Cause names why something did not work, for people who look for the mistake.
type Cause string

// The causes.
const (
	CauseHTTP          Cause = "http"                // spoke HTTP
	CauseTLSOnPlain    Cause = "tls-on-plain"        // began with a TLS handshake on a plain port
	CauseNoStartTLS    Cause = "no-starttls"         // asked for STARTTLS, which is off here
	CauseHandshake     Cause = "tls-handshake"       // the TLS handshake failed; see also the faults of package netx
	CauseCertRefused   Cause = "certificate-refused" // left after the handshake without a word
	CauseInjection     Cause = "injection"           // sent commands behind STARTTLS
	CauseAuthClear     Cause = "auth-in-clear"       // AUTH without TLS where that is not allowed
	CauseAuthFailed    Cause = "auth-failed"         // AUTH was refused
	CauseNoAccount     Cause = "no-account"          // a login that names no account was taken for nobody's
	CauseMechanism     Cause = "mechanism"           // AUTH by a mechanism that is not offered
	CauseLeft          Cause = "left"                // left after the greeting, with nothing tried
	CauseBadAddress    Cause = "bad-address"         // an address that is none
	CauseSenderRefused Cause = "mail-refused"        // MAIL was refused, for want of AUTH for instance
	CauseRcptRefused   Cause = "rcpt-refused"        // a recipient was refused
	CauseTooLarge      Cause = "too-large"           // the message is over the limit
	CauseDataRefused   Cause = "data-refused"        // the message was refused
	CauseBadCommands   Cause = "bad-commands"        // too many wrong commands
	CauseTimeout       Cause = "timeout"             // the client was too slow
	CauseDropped       Cause = "dropped"             // the client went away in the midst of a message
)

// Limit: events kept of one SMTP connection.
const maxEvents = 16

// Event is one thing that did not work.
type Event struct {
	Time  time.Time
	Cause Cause
	Reply Reply  // what the client was told, zero if nothing
	Size  int64  // CauseTooLarge: the size that was declared or read
	Text  string // the login, mechanism or address that it is about, cut; "" if none
}

// Record is the story of one connection. It holds no secret and no message.
type Record struct {
	Client     Client
	Start, End time.Time
	Messages   int // accepted
	Events     []Event
}

// about is event with the words of the client that it is about.
func (c *conn) about(cause Cause, r Reply, text string) {
	if n := len(c.record.Events); n < maxEvents {
		c.event(cause, r, 0)
		c.record.Events[n].Text = cut(strings.ToValidUTF8(text, "?"), maxHelo)
	}
}

// left tells what it means that a client went without having tried anything.
func (c *conn) left() {
	switch {
	case len(c.record.Events) > 0 || c.tried:
	case c.client.TLS != nil && c.commands == c.secured:
		c.event(CauseCertRefused, Reply{}, 0)
	case c.greeted:
		c.event(CauseLeft, Reply{}, 0)
	}
}

func (c *conn) event(cause Cause, r Reply, size int64) {
	if len(c.record.Events) < maxEvents {
		c.record.Events = append(c.record.Events, Event{Time: time.Now(), Cause: cause, Reply: r, Size: size})
	}
}
