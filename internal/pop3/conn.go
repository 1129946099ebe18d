package pop3

import (
	"bufio"
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

const (
	readBuffer  = 512
	writeBuffer = 2 << 10
)

// Limit: bytes read and thrown away of a connection that is closed for a fault.
const maxLinger = 64 << 10

var (
	errLineTooLong = errors.New("pop3: line too long")
	errTLSHello    = errors.New("pop3: TLS handshake on a plain port")
)

// conn is one connection; it belongs to the goroutine that serves it, but for
// what stands under mu.
type conn struct {
	s       *Server
	ctx     context.Context
	nc      net.Conn
	r       *bufio.Reader
	w       *bufio.Writer
	client  Client
	session Session
	record  Record

	user      string // of USER, until PASS
	in        bool   // logged in: TRANSACTION state
	asked     bool   // for the capabilities
	sizes     []int64
	gone      map[int]bool // marked by DELE
	taken     map[int]bool // sent by RETR
	bytes     int64        // of what is not marked
	start     time.Time
	commands  int
	bad       int
	authFails int
	secured   int // how many commands came before TLS
	closing   bool
	fault     bool // closing, and the client may still be sending

	// reader is the connection below TLS; its read deadline is set under mu.
	reader   net.Conn
	mu       sync.Mutex
	draining bool
}

func (s *Server) serve(ctx context.Context, nc net.Conn, client Client) {
	c := &conn{s: s, ctx: ctx, reader: nc, client: client, start: time.Now()}
	c.record.Start = c.start
	c.use(nc)
	defer context.AfterFunc(ctx, c.drain)()
	defer c.end()
	if s.o.ImplicitTLS && !c.handshake() {
		return
	}
	session, err := s.o.NewSession(ctx, &c.client)
	if err != nil {
		c.fail(err)
		c.w.Flush()
		return
	}
	c.session = session
	c.ok(s.o.Hostname + " POP3 Eider")
	for !c.closing {
		line, err := c.readLine(MaxLine)
		if err != nil {
			c.broken(err)
			continue
		}
		c.commands++
		c.dispatch(line)
	}
	if c.w.Flush() == nil && c.fault {
		c.linger()
	}
}

// use makes nc what is read and written.
func (c *conn) use(nc net.Conn) {
	c.nc = nc
	c.r = bufio.NewReaderSize(nc, readBuffer)
	c.w = bufio.NewWriterSize(patient{nc}, writeBuffer)
}

// patient gives each write its time.
type patient struct{ nc net.Conn }

func (p patient) Write(b []byte) (int, error) {
	p.nc.SetWriteDeadline(time.Now().Add(WriteTimeout))
	return p.nc.Write(b)
}

// end tells the story of the connection, also of one that panicked.
func (c *conn) end() {
	if c.session != nil {
		c.session.Close()
	}
	if t, ok := c.nc.(*tls.Conn); ok {
		t.Close() // says so to the client
	}
	if c.s.o.Done != nil {
		c.left()
		c.record.Client, c.record.End = c.client, time.Now()
		c.s.o.Done(c.record)
	}
}

// left tells what it means that a client went without having tried to log in.
func (c *conn) left() {
	switch {
	case len(c.record.Causes) > 0 || c.in || c.record.Login != "" || c.user != "":
	case c.client.TLS != nil && c.commands == c.secured:
		c.cause(CauseCertRefused)
	case c.asked:
		c.cause(CauseLeft)
	}
}

// deadline is until when the next line must be there.
func (c *conn) deadline() time.Time {
	if !c.in {
		return c.start.Add(LoginTimeout)
	}
	return time.Now().Add(IdleTimeout)
}

// readLine returns a line without its line end, valid until the next read.
// Replies that are due are sent before it waits.
func (c *conn) readLine(limit int) ([]byte, error) {
	if b, _ := c.r.Peek(c.r.Buffered()); bytes.IndexByte(b, '\n') < 0 {
		if err := c.w.Flush(); err != nil {
			return nil, err
		}
		c.arm(c.deadline())
	}
	line, err := c.r.ReadSlice('\n')
	if c.commands == 0 && len(line) > 1 && line[0] == 0x16 && line[1] == 0x03 {
		return nil, errTLSHello
	}
	if err == nil && len(line) <= limit {
		return bytes.TrimRight(line, "\r\n"), nil
	}
	long := bytes.Clone(line)
	for n := len(line); errors.Is(err, bufio.ErrBufferFull); n += len(line) {
		if n > MaxSkipped {
			c.closing, c.fault = true, true
			return nil, errLineTooLong
		}
		line, err = c.r.ReadSlice('\n')
		if len(long) <= limit {
			long = append(long, line...)
		}
	}
	if err != nil {
		return nil, err
	}
	if len(long) > limit {
		return nil, errLineTooLong
	}
	return bytes.TrimRight(long, "\r\n"), nil
}

// arm sets the deadline for reading; a server that stops waits no longer than its grace.
func (c *conn) arm(d time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := time.Now().Add(DrainGrace); c.draining && g.Before(d) {
		d = g
	}
	c.reader.SetReadDeadline(d)
}

// drain runs when the server stops.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	c.reader.SetReadDeadline(time.Now().Add(DrainGrace))
}

// work is the context for what the session does.
func (c *conn) work() context.Context { return netx.Work(c.ctx) }

// broken ends a connection that cannot be read any more; nothing is deleted. A
// line that is too long ends nothing.
func (c *conn) broken(err error) {
	switch {
	case errors.Is(err, errLineTooLong):
		c.wrong("Line too long")
		return
	case errors.Is(err, errTLSHello):
		c.cause(CauseTLSOnPlain)
	case errors.Is(err, os.ErrDeadlineExceeded) && c.ctx.Err() != nil:
		c.err("SYS/TEMP", "Server is stopping, please try again")
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.cause(CauseTimeout)
		c.err("", "Waited too long, closing")
	}
	c.closing = true
}

func (c *conn) cause(k Cause) {
	if len(c.record.Causes) < maxCauses {
		c.record.Causes = append(c.record.Causes, k)
	}
}

// ok queues a +OK reply.
func (c *conn) ok(text string) {
	c.w.WriteString("+OK ")
	c.w.WriteString(text)
	c.w.WriteString("\r\n")
}

// err queues a -ERR reply.
func (c *conn) err(code, text string) {
	c.w.WriteString("-ERR ")
	if code != "" {
		c.w.WriteString("[" + code + "] ")
	}
	c.w.WriteString(text)
	c.w.WriteString("\r\n")
}

// fail queues the reply to an error; what is no Error is our trouble.
func (c *conn) fail(err error) {
	var e Error
	if !errors.As(err, &e) {
		e = Error{Code: "SYS/TEMP", Text: "Trouble on our side, please try again later"}
	}
	c.err(e.Code, e.Text)
	if e.End {
		c.closing, c.fault = true, true
	}
}

// wrong queues the reply to a command that is wrong; too many end the connection.
func (c *conn) wrong(text string) {
	if c.bad++; c.bad > MaxBadCommands {
		c.fatal(CauseBadCommands, "Too many wrong commands, closing")
		return
	}
	c.err("", text)
}

// fatal queues a last reply and closes the connection.
func (c *conn) fatal(k Cause, text string) {
	c.cause(k)
	c.err("", text)
	c.closing, c.fault = true, true
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

// handshake makes the connection a TLS one; if it fails the connection is over.
func (c *conn) handshake() bool {
	t := tls.Server(c.nc, c.s.o.TLS)
	ctx, cancel := context.WithTimeout(c.ctx, HandshakeTimeout)
	defer cancel()
	c.mu.Lock()
	c.reader.SetDeadline(time.Time{})
	c.mu.Unlock()
	if err := t.HandshakeContext(ctx); err != nil {
		c.cause(Cause(netx.TLSFaultOf(t, err)))
		c.s.o.Log.Debug("TLS handshake failed", "err", err)
		c.closing = true
		return false
	}
	state := t.ConnectionState()
	c.client.TLS = &state
	c.secured = c.commands
	c.use(t)
	return true
}
