package smtp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/netx"
)

// flushAt is how many bytes of replies are gathered at most.
const flushAt = 8 << 10

// Limit: bytes read and thrown away of a connection that is closed for a fault.
const maxLinger = 256 << 10

var (
	errLineTooLong = errors.New("smtp: line too long")
	errTLSHello    = errors.New("smtp: TLS handshake on a plain port")
	errDraining    = errors.New("smtp: server is stopping")
)

// conn is one connection. Everything in it belongs to the goroutine that
// serves it, but for what stands under mu.
type conn struct {
	s       *Server
	ctx     context.Context
	nc      net.Conn
	in      input
	out     []byte
	client  Client
	session Session
	record  Record

	greeted   bool // EHLO, HELO or LHLO was said
	mail      bool // a transaction is open
	refused   bool // MAIL or a chunk was refused, and what follows it may come unknowing
	rcpts     int
	commands  int
	bad       int
	authFails int
	secured   int    // how many commands came before TLS
	tried     bool   // AUTH, MAIL or STARTTLS was said
	pending   []byte // a command that came where BDAT was awaited
	closing   bool   // after the replies that are due
	fault     bool   // closing, and the client may still be sending

	// reader is the connection below TLS; its read deadline is set under mu.
	reader    net.Conn
	mu        sync.Mutex
	draining  bool
	inMessage bool // a message is being read: the stop waits for it

	messageEnd time.Time // when the message that is being read must be over
}

func (s *Server) serve(ctx context.Context, nc net.Conn, client Client) {
	c := &conn{s: s, ctx: ctx, nc: nc, reader: nc, client: client}
	c.in = input{buf: s.pool.get(smallBuffer), pool: &s.pool}
	c.record.Start = time.Now()
	defer context.AfterFunc(ctx, c.drain)()
	defer c.end()
	if s.o.ImplicitTLS && !c.handshake() {
		return
	}
	session, err := s.o.NewSession(ctx, &c.client)
	if err != nil {
		c.reply(replyOf(err))
		c.flush()
		return
	}
	c.session = session
	c.greet()
	for !c.closing {
		line, err := c.command()
		if err != nil {
			c.broken(err)
			continue
		}
		c.commands++
		c.dispatch(line)
	}
	if c.flush() == nil && c.fault {
		c.linger()
	}
}

// end tells the story of the connection, also of one that panicked.
func (c *conn) end() {
	if c.session != nil {
		c.session.Close()
	}
	c.in.pool.put(c.in.buf)
	if t, ok := c.nc.(*tls.Conn); ok {
		t.Close() // says so to the client
	}
	if c.s.o.Done != nil {
		c.left()
		c.record.Client, c.record.End = c.client, time.Now()
		c.s.o.Done(c.record)
	}
}

func (c *conn) greet() {
	name := " ESMTP Eider"
	if c.s.o.Mode == LMTP {
		name = " LMTP Eider"
	}
	c.reply(Reply{Code: 220, Text: c.s.o.Hostname + name})
}

// command returns the next command line; it is valid until the next read.
func (c *conn) command() ([]byte, error) {
	if c.pending != nil {
		line := c.pending
		c.pending = nil
		return line, nil
	}
	wait := CommandTimeout
	if c.commands == 0 {
		wait = GreetingTimeout
	}
	return c.readLine(wait, 0)
}

// readLine returns a line of at most limit bytes, for 0 of the limit that its
// command has. The time-out is for the line as a whole. A line that is too
// long is skipped and errLineTooLong returned.
func (c *conn) readLine(wait time.Duration, limit int) ([]byte, error) {
	var deadline time.Time
	if c.in.r == c.in.w {
		c.in.resize(0)
	}
	for {
		b := c.in.buffered()
		max := limit
		if max == 0 {
			max = lineLimit(b)
		}
		if i := bytes.IndexByte(b, '\n'); i >= max {
			c.in.r += i + 1
			return nil, errLineTooLong
		}
		if line, ok := c.in.line(); ok {
			return line, nil
		}
		if len(b) >= max {
			return nil, c.skipLine()
		}
		if len(b) == len(c.in.buf) {
			c.in.resize(2 * len(b))
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(wait)
		}
		if err := c.fill(deadline, true); err != nil {
			return nil, err
		}
		if b := c.in.buffered(); c.commands == 0 && len(b) > 1 && b[0] == 0x16 && b[1] == 0x03 {
			return nil, errTLSHello
		}
	}
}

// lineLimit is how long the line that begins with b may be.
func lineLimit(b []byte) int {
	if len(b) >= 5 && bytes.EqualFold(b[:5], []byte("AUTH ")) {
		return MaxAuthLine
	}
	return MaxLine
}

// skipLine drops the rest of a line that is too long.
func (c *conn) skipLine() error {
	deadline := time.Now().Add(CommandTimeout)
	for n := 0; n < MaxSkipped; {
		b := c.in.buffered()
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			c.in.r += i + 1
			return errLineTooLong
		}
		n += len(b)
		c.in.r = c.in.w
		if err := c.fill(deadline, true); err != nil {
			return err
		}
	}
	c.closing, c.fault = true, true
	return errLineTooLong
}

// fill reads more, after sending the replies that are due: the client may be
// waiting for them (RFC 2920 §3.2). A command's wait ends when the server stops.
func (c *conn) fill(deadline time.Time, command bool) error {
	if err := c.flush(); err != nil {
		return err
	}
	c.mu.Lock()
	cut := c.draining && command
	if cut {
		deadline = c.drainDeadline(deadline)
	}
	c.reader.SetReadDeadline(deadline)
	c.mu.Unlock()
	err := c.in.read(c.nc)
	if err != nil && command && errors.Is(err, os.ErrDeadlineExceeded) && c.ctx.Err() != nil {
		c.mu.Lock()
		// The stop may have cut a wait that deserves its grace.
		again := c.draining && !cut
		c.mu.Unlock()
		if again {
			return c.fill(deadline, command)
		}
		return errDraining
	}
	return err
}

// drainDeadline gives a client that has not yet brought its message the
// grace, and one that is idle no more time.
func (c *conn) drainDeadline(d time.Time) time.Time {
	now := time.Now()
	if !c.mail && c.record.Messages > 0 {
		return now
	}
	if g := now.Add(DrainGrace); g.Before(d) {
		return g
	}
	return d
}

// drain runs when the server stops: a read for a command is woken, one for a
// message goes on.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if !c.inMessage {
		c.reader.SetReadDeadline(time.Now())
	}
}

func (c *conn) setInMessage(on bool) {
	c.mu.Lock()
	c.inMessage = on
	c.mu.Unlock()
}

// broken ends a connection that cannot be read any more, with a word where
// the client may still listen; a line that is too long ends nothing.
func (c *conn) broken(err error) {
	switch {
	case errors.Is(err, errLineTooLong):
		c.wrong(replyLineTooLong)
		return
	case errors.Is(err, errDraining):
		c.reply(replyStopping)
	case netx.TLSAlert(err) && c.commands == c.secured:
		c.event(CauseCertRefused, Reply{}, 0)
	case errors.Is(err, errTLSHello):
		c.event(CauseTLSOnPlain, Reply{}, 0)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.event(CauseTimeout, replyTimeout, 0)
		c.reply(replyTimeout)
	}
	c.closing = true
}

// reply queues a reply.
func (c *conn) reply(r Reply) {
	c.out = appendReply(c.out, r, c.s.enhanced())
	if len(c.out) >= flushAt {
		c.flush()
	}
}

// wrong queues the reply to a command that is wrong; too many of them end the
// connection.
func (c *conn) wrong(r Reply) {
	if c.bad++; c.bad > MaxBadCommands {
		c.fatal(CauseBadCommands, replyTooManyErrors)
		return
	}
	c.reply(r)
}

// fatal queues a last reply and closes the connection.
func (c *conn) fatal(cause Cause, r Reply) {
	c.event(cause, r, 0)
	c.reply(r)
	c.closing, c.fault = true, true
}

func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	c.nc.SetWriteDeadline(time.Now().Add(WriteTimeout))
	_, err := c.nc.Write(c.out)
	if c.out = c.out[:0]; cap(c.out) > flushAt/4 {
		c.out = nil
	}
	if err != nil {
		c.closing = true
	}
	return err
}

// linger reads on for a moment, so that the last reply reaches a client that
// is still sending: closing with unread input makes TCP reset the connection.
func (c *conn) linger() {
	w, ok := c.nc.(interface{ CloseWrite() error })
	if !ok {
		return
	}
	w.CloseWrite()
	c.mu.Lock()
	c.reader.SetReadDeadline(time.Now().Add(LingerTime))
	c.mu.Unlock()
	io.CopyN(io.Discard, c.nc, maxLinger)
}
