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
	{"IMAP4rev2", nil},
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
	{"UIDONLY", loggedInNow},
	{"UTF8=ACCEPT", loggedInNow},
	{"UNAUTHENTICATE", loggedInNow},
	{"MOVE", nil},
	{"SPECIAL-USE", nil},
	{"CREATE-SPECIAL-USE", nil},
	{"LIST-EXTENDED", nil},
	{"LIST-STATUS", nil},
	{"STATUS=SIZE", nil},
	{"ESEARCH", nil},
	{"WITHIN", nil},
	{"SEARCHRES", nil},
	{"PARTIAL", nil},
	{"SORT", nil},
	{"SORT=DISPLAY", nil},
	{"ESORT", nil},
	{"THREAD=ORDEREDSUBJECT", nil},
	{"THREAD=REFERENCES", nil},
	{"QUOTA", nil},
	{"QUOTA=RES-STORAGE", nil},
	{"QUOTA=RES-MESSAGE", nil},
	{"NOTIFY", nil},
	{"INPROGRESS", nil},
	{"COMPRESS=DEFLATE", func(c *conn) bool { return c.state != notAuthenticated && c.packer == nil }},
	{"CONDSTORE", nil},
	{"QRESYNC", nil},
	{"MULTIAPPEND", nil},
	{"REPLACE", nil},
	{"CATENATE", nil},
	{"BINARY", nil},
	{"OBJECTID", nil},
	{"SAVEDATE", nil},
	{"PREVIEW", nil},
}

func loggedInNow(c *conn) bool { return c.state != notAuthenticated }

func beforeLogin(c *conn) bool { return c.state == notAuthenticated }

// secure tells whether passwords may be sent on the connection.
func (c *conn) secure() bool { return c.info.TLS || c.info.Trusted }

// offersStartTLS: RFC 2595 §3.1.
func (c *conn) offersStartTLS() bool {
	return c.state == notAuthenticated && c.s.o.StartTLS && !c.info.TLS && c.packer == nil
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
		c.enc.Raw(" AUTH=").Raw(sasl.ScramSHA256)
		if len(c.bindings()) > 0 {
			c.enc.Raw(" AUTH=").Raw(sasl.ScramSHA256Plus)
		}
		if c.s.o.Bearer {
			c.enc.Raw(" AUTH=").Raw(sasl.OAuthBearer)
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
	if c.state == notAuthenticated {
		c.info.Note("asked", "")
	}
	c.enc.Raw("* CAPABILITY ")
	c.writeCapabilities()
	c.enc.CRLF()
	return nil
}
