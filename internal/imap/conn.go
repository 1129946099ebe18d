package imap

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/imap/deflate"
	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/imap/rate"
	"github.com/eidermail/eider/internal/imap/view"
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

	mu   sync.Mutex // held to change nc and idler, which interrupt and wake read
	nc   net.Conn
	ctx  context.Context // ends when the server stops
	in   *imapwire.Reader
	dec  *imapwire.Decoder
	enc  *imapwire.Encoder
	wait waiting

	running string    // the tag of the command that runs
	told    time.Time // when it was begun, or the client was told that it goes on last

	hints    hints
	idler    *idler // while what happens is told as it happens
	state    int
	done     bool       // LOGOUT was answered, or BYE said
	bads     int        // BAD commands in a row
	count    rate.Count // of commands
	slowed   bool       // it was logged that they come too fast
	failures int        // failed logins
	on       switches
	packer   *deflate.Writer // after COMPRESS
	pipe     pipeline
	notify   *notify // after NOTIFY SET
	mailbox
}

// mailbox is the selected mailbox.
type mailbox struct {
	name     string
	objectID string
	readOnly bool
	view     view.Tracker
	modseq   uint64              // the client was told all up to it, but for expunges that wait
	saved    imapwire.Set        // the UIDs of "$" (RFC 5182)
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
	if info.Note == nil {
		info.Note = func(string, string) {}
	}
	c := &conn{s: s, nc: nc, info: info, log: s.o.Log.With("peer", info.Remote.String()), state: notAuthenticated}
	c.in = imapwire.NewReader((*connReader)(c))
	c.in.Wait = c.beforeRead
	c.dec = imapwire.NewDecoder(c.in)
	c.dec.Continue = c.askLiteral
	c.enc = imapwire.NewEncoder((*connWriter)(c))
	c.session = s.o.NewSession(info, c.progress)
	return c
}

func (c *conn) close() {
	c.pipe.drop()
	c.packer.Release()
	c.nc.Close() // says goodbye on TLS, also on that of STARTTLS
	c.endNotify()
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
	if len(c.pipe.waiting) > 0 {
		if n, err := c.readSoon(p); n > 0 || err != nil {
			return n, err
		}
	}
	if c.wait.since.IsZero() || c.wait.each {
		c.wait.since = time.Now()
	}
	end := c.wait.since.Add(c.wait.limit)
	if c.idler != nil {
		return c.readIdling(p, end)
	}
	c.nc.SetReadDeadline(end)
	return c.read(p)
}

// read reads until the deadline that was set, or until the server stops.
func (c *conn) read(p []byte) (int, error) {
	if c.ctx.Err() != nil { // looked at after the deadline was set: interrupt may have come before
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
	if len(c.pipe.waiting) > 0 {
		return nil // the read looks first whether more has come
	}
	err := c.enc.Flush()
	c.enc.Release()
	c.packer.Release()
	return err
}

// askLiteral sends a continuation request (RFC 9051 §7.6).
func (c *conn) askLiteral() error {
	if err := c.settle(); err != nil {
		return err
	}
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
			_ = c.settle() // what had come whole is carried out; trouble with it is the connection's
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
	if c.notify != nil && c.in.Buffered() == 0 {
		if err := c.attend(); err != nil || c.done {
			return err
		}
	}
	err := c.dec.Next()
	if errors.Is(err, imapwire.ErrLineTooLong) {
		return c.badCommand(c.dec.DroppedTag(), &imapwire.SyntaxError{Text: "command line too long"})
	}
	if err != nil {
		return err
	}
	if c.state == notAuthenticated && imapwire.Foreign(c.dec.Line()) {
		c.info.Note("foreign", "")
		return errForeign
	}
	if err := c.slowDown(); err != nil {
		return err
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

// slowDown makes a session wait that sends more commands than it may. What it
// was to be told is told before, by which a client that is gone is noticed.
func (c *conn) slowDown() error {
	if !c.count.Take(time.Now()) {
		return nil
	}
	if !c.slowed {
		c.slowed = true
		c.s.o.Log.Info("an imap session is slowed down", "commands_a_second", rate.PerSecond)
	}
	if err := c.settle(); err != nil {
		return err
	}
	if err := c.enc.Flush(); err != nil {
		return err
	}
	if rate.Wait(c.ctx) != nil {
		return errStopping
	}
	return nil
}

// badCommand answers a command that cannot be read: BAD, or NO where it could
// be read and is only over a limit.
func (c *conn) badCommand(tag string, err *imapwire.SyntaxError) error {
	return c.bad(tag, &Error{Bad: !err.IsBadCharset() && err.Code == "", Code: err.Code, Text: err.Text})
}

// bad cuts off a client that says nothing else.
func (c *conn) bad(tag string, err *Error) error {
	if err := c.settle(); err != nil {
		return err
	}
	c.enc.Raw(tag)
	if err.Bad {
		c.enc.Raw(" BAD ")
	} else {
		c.enc.Raw(" NO ")
	}
	c.writeText(err.Code, err.Text)
	if c.bads++; c.bads >= MaxBadCommands {
		c.bye("", "too many bad commands")
	}
	return nil
}
