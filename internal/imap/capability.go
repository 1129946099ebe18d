package imap

import "github.com/eidermail/eider/internal/sasl"

// capability is an entry of the list that CAPABILITY sends: each is there
// only when it is wholly implemented (RFC 9051 §6.1.1).
type capability struct {
	name string
	// offered tells whether it is to be named in the state of a connection; nil: always.
	offered func(*conn) bool
}

// capabilityTable is in the order in which clients see it.
var capabilityTable = [...]capability{
	{"IMAP4rev1", nil},
	{"SASL-IR", beforeLogin},
	{"LITERAL+", nil},
	{"STARTTLS", (*conn).offersStartTLS},
	{"LOGINDISABLED", (*conn).loginDisabled},
	{"ENABLE", nil},
	{"ID", nil},
	{"IDLE", nil},
	{"NAMESPACE", nil},
	{"CHILDREN", nil},
	{"UNSELECT", nil},
	{"UIDPLUS", nil},
	{"MOVE", nil},
	{"SPECIAL-USE", nil},
	{"CREATE-SPECIAL-USE", nil},
	{"LIST-EXTENDED", nil},
	{"LIST-STATUS", nil},
	{"STATUS=SIZE", nil},
	{"ESEARCH", nil},
	{"WITHIN", nil},
	{"CONDSTORE", nil},
	{"BINARY", nil},
	{"OBJECTID", nil},
	{"SAVEDATE", nil},
	{"PREVIEW", nil},
}

func beforeLogin(c *conn) bool { return c.state == notAuthenticated }

// secure tells whether passwords may be sent on the connection.
func (c *conn) secure() bool { return c.info.TLS || c.info.Trusted }

// offersStartTLS: RFC 2595 §3.1.
func (c *conn) offersStartTLS() bool {
	return c.state == notAuthenticated && c.s.o.StartTLS && !c.info.TLS
}

// loginDisabled: RFC 2595 §3.2.
func (c *conn) loginDisabled() bool { return c.state == notAuthenticated && !c.secure() }

// writeCapabilities writes the list.
func (c *conn) writeCapabilities() {
	for i := range capabilityTable {
		k := &capabilityTable[i]
		if k.offered != nil && !k.offered(c) {
			continue
		}
		if i > 0 {
			c.enc.SP()
		}
		c.enc.Raw(k.name)
	}
	if c.state == notAuthenticated && c.secure() {
		for _, m := range sasl.Mechanisms() {
			c.enc.Raw(" AUTH=").Raw(m)
		}
	}
	if c.s.o.MessageLimit > 0 {
		c.enc.Raw(" APPENDLIMIT=").Number64(uint64(c.s.o.MessageLimit)) // RFC 7889
	}
}

// handleCapability: RFC 9051 §6.1.1.
func (c *conn) handleCapability(r *request) error {
	if !r.dec.ExpectCRLF() {
		return nil
	}
	c.enc.Raw("* CAPABILITY ")
	c.writeCapabilities()
	c.enc.CRLF()
	return nil
}
