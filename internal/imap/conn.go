package imap

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/netx"
)

// The states of a connection (RFC 9051 §3).
const (
	notAuthenticated = 1 << iota
	authenticated
	selected

	anyState = notAuthenticated | authenticated | selected
	loggedIn = authenticated | selected
)

// conn is one client's connection.
type conn struct {
	s       *Server
	info    ConnInfo
	log     *slog.Logger
	session Session

	mu   sync.Mutex // held to change nc, which interrupt reads
	nc   net.Conn
	ctx  context.Context // ends when the server stops
	in   *imapwire.Reader
	dec  *imapwire.Decoder
	enc  *imapwire.Encoder
	wait waiting

	woken    atomic.Bool // the writer of IDLE has ended: reading on makes no sense
	state    int
	done     bool // LOGOUT was answered, or BYE said
	bad      int  // BAD commands in a row
	failures int  // failed logins
	condense
	mailbox
}

// condense are the extensions that the client has switched on (RFC 5161).
type condense struct {
	condstore bool
}

// mailbox is the selected mailbox.
type mailbox struct {
	name     string
	readOnly bool
	view     tracker
	keywords map[string]struct{} // told in FLAGS
}

// waiting is how long the next read may take.
type waiting struct {
	limit time.Duration
	since time.Time // zero: from the next read on
	each  bool      // limit is for each read, not for all of them
}

// errStopping ends a read because the server stops.
var errStopping = errors.New("imap: the server is stopping")

func newConn(s *Server, nc net.Conn, info ConnInfo) *conn {
	c := &conn{s: s, nc: nc, info: info, log: s.o.Log.With("peer", info.Remote.String()), state: notAuthenticated}
	c.in = imapwire.NewReader((*connReader)(c))
	c.in.Wait = c.beforeRead
	c.dec = imapwire.NewDecoder(c.in)
	c.dec.Continue = c.askLiteral
	c.enc = imapwire.NewEncoder((*connWriter)(c))
	c.session = s.o.NewSession(info)
	return c
}

func (c *conn) close() {
	c.nc.Close() // says goodbye on TLS, also on that of STARTTLS
	if c.state == selected {
		c.session.Unselect(netx.Work(c.ctx))
	}
	c.session.Close()
}

// interrupt wakes a read that waits for the client, because the server stops.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc.SetReadDeadline(time.Unix(1, 0))
}

// connReader and connWriter set deadlines around the connection's reads and writes.
type (
	connReader conn
	connWriter conn
)

// Read reads within the time that the state of the connection gives.
func (r *connReader) Read(p []byte) (int, error) {
	c := (*conn)(r)
	if c.wait.since.IsZero() || c.wait.each {
		c.wait.since = time.Now()
	}
	c.nc.SetReadDeadline(c.wait.since.Add(c.wait.limit))
	if c.ctx.Err() != nil || c.woken.Load() { // looked at after the deadline was set: interrupt may have come before
		return 0, errStopping
	}
	n, err := c.nc.Read(p)
	if err != nil && c.ctx.Err() != nil {
		err = errStopping
	}
	return n, err
}

// Write writes within WriteTime.
func (w *connWriter) Write(p []byte) (int, error) {
	c := (*conn)(w)
	c.nc.SetWriteDeadline(time.Now().Add(WriteTime))
	return c.nc.Write(p)
}

// beforeRead sends what is held: the input buffer is empty, so the client may wait for it.
func (c *conn) beforeRead() error {
	err := c.enc.Flush()
	c.enc.Release()
	return err
}

// askLiteral sends a continuation request (RFC 9051 §7.6).
func (c *conn) askLiteral() error {
	c.enc.Raw("+ go on").CRLF()
	return c.enc.Flush()
}

// serve runs the connection to its end.
func (c *conn) serve(ctx context.Context) {
	c.ctx = ctx
	c.enc.Raw("* OK [CAPABILITY ")
	c.writeCapabilities()
	c.enc.Raw("] Eider is ready").CRLF()
	for !c.done && c.enc.Err() == nil {
		if err := c.next(); err != nil {
			c.sayWhy(err)
			break
		}
	}
	c.enc.Flush()
}

// sayWhy says goodbye for a reason that is ours; a client that is gone is told nothing.
func (c *conn) sayWhy(err error) {
	switch {
	case errors.Is(err, errStopping):
		c.bye("UNAVAILABLE", "the server is stopping, connect again")
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.bye("", "you were silent for too long")
	case errors.Is(err, imapwire.ErrDesync):
		c.bye("TOOBIG", "that is more than can be read")
	case errors.Is(err, errForeign), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
	default:
		c.log.Debug("imap connection failed", "err", err)
	}
}

// bye ends the connection with a reason (RFC 9051 §7.1.5).
func (c *conn) bye(code, text string) {
	c.done = true
	c.enc.Raw("* BYE ")
	c.writeText(code, text)
}

func (c *conn) writeText(code, text string) {
	if code != "" {
		c.enc.Byte('[').Raw(code).Raw("] ")
	}
	c.enc.Text(text).CRLF()
}

// errForeign is another protocol on our port: it gets no answer.
var errForeign = errors.New("imap: the client does not speak IMAP")

// next reads and runs one command. An error ends the connection.
func (c *conn) next() error {
	c.wait = waiting{limit: AutoLogout}
	if c.state == notAuthenticated {
		c.wait.limit = LoginTime
	}
	err := c.dec.Next()
	if errors.Is(err, imapwire.ErrLineTooLong) {
		return c.badCommand("*", &imapwire.SyntaxError{Text: "command line too long"})
	}
	if err != nil {
		return err
	}
	if c.state == notAuthenticated && foreign(c.dec.Line()) {
		return errForeign
	}
	if c.state != notAuthenticated {
		c.wait = waiting{limit: LiteralTime, each: true}
	}
	if err := c.command(); err != nil {
		return err
	}
	if c.done {
		return nil
	}
	return c.dec.Finish()
}

// foreign recognises HTTP and TLS. Any web page can make a browser send
// commands in the body of a request to a port of this machine, so none of the
// lines of one may be executed.
func foreign(line []byte) bool {
	if len(line) > 0 && line[0] == 0x16 {
		return true // TLS client hello
	}
	i := bytes.LastIndexByte(line, ' ')
	if i < 0 || !bytes.HasPrefix(line[i+1:], []byte("HTTP/")) {
		// Header lines: a browser's first line can also be cut off before its end.
		for _, h := range []string{"host:", "user-agent:", "content-length:", "origin:"} {
			if len(line) >= len(h) && bytes.EqualFold(line[:len(h)], []byte(h)) {
				return true
			}
		}
		return false
	}
	return true
}

// badCommand answers BAD, and cuts off a client that says nothing else.
func (c *conn) badCommand(tag string, err *imapwire.SyntaxError) error {
	c.enc.Raw(tag)
	if err.IsBadCharset() || err.Code != "" {
		c.enc.Raw(" NO ")
	} else {
		c.enc.Raw(" BAD ")
	}
	c.writeText(err.Code, err.Text)
	if c.bad++; c.bad >= MaxBadCommands {
		c.bye("", "too many bad commands")
	}
	return nil
}
