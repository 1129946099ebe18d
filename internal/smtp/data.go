package smtp

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"

	"github.com/eidermail/eider/internal/netx"
)

var (
	errTooLarge = errors.New("smtp: message is over the limit")
	errAborted  = errors.New("smtp: the client gave the message up")
	errBadChunk = errors.New("smtp: bad chunk")
)

// RFC 5321 §4.1.1.4, RFC 2033 §4.2.
func (c *conn) data(arg string) {
	switch {
	case arg != "":
		c.wrong(replyNoParams)
		return
	case !c.mail:
		c.noMail()
		return
	case c.rcpts == 0:
		c.reply(c.noRcpts())
		return
	}
	c.reply(replyGoAhead)
	c.receive(&dots{c: c, lineStart: true})
}

func (c *conn) noRcpts() Reply {
	r := replyNoRcpts
	if c.s.o.Mode != LMTP {
		r.Code = 554
	}
	return r
}

// source gives a message piece by piece. A piece is valid until the next call;
// io.EOF comes after the last one.
type source interface{ next() ([]byte, error) }

// receive hands a message to the session and sends its replies.
func (c *conn) receive(src source) {
	m := &message{src: src, max: c.s.o.MaxSize}
	c.setInMessage(true)
	c.messageEnd = time.Now().Add(MessageTimeout)
	c.in.resize(firstBuffer)
	replies, err := c.session.Data(netx.Work(c.ctx), m)
	m.discard()
	c.setInMessage(false)
	c.finish(m, replies, err)
	c.reset()
	c.refused = !m.whole() // its other chunks may be on their way
}

// finish answers a message that was read to its end, or could not be.
func (c *conn) finish(m *message, replies []Reply, err error) {
	switch {
	case errors.Is(m.end, errAborted):
		return // the command that ended it is answered for itself
	case errors.Is(m.end, errBadChunk):
		c.fatal(CauseDataRefused, replyBadChunk)
		return
	case m.far:
		c.event(CauseTooLarge, replyTooLargeClosed, m.size)
		c.reply(replyTooLargeClosed)
		c.closing, c.fault = true, true
		return
	case m.end != io.EOF && m.end != nil:
		if !errors.Is(m.end, os.ErrDeadlineExceeded) {
			c.event(CauseDropped, Reply{}, m.size)
		}
		c.broken(m.end)
		return
	case m.over:
		c.event(CauseTooLarge, replyTooLarge, m.size)
		err = replyTooLarge
	}
	want := 1
	if c.s.o.Mode == LMTP && m.whole() {
		want = c.rcpts
	}
	good := false
	for i := range want {
		r := replyOf(err)
		if err == nil && i < len(replies) && (m.err == io.EOF || replies[i].Code >= 400) {
			r = replies[i]
		}
		if r.Code < 300 {
			good = true
		} else if !m.over {
			c.event(CauseDataRefused, r, m.size)
		}
		c.reply(r)
	}
	if good {
		c.record.Messages++
	}
}

// whole tells whether a message was sent to its end, after which LMTP answers
// for each recipient (RFC 2033 §4.2); a chunk before has one reply (RFC 3030 §2).
func (m *message) whole() bool {
	ch, ok := m.src.(*chunks)
	return !ok || ch.last
}

// fillMessage reads more of a message.
func (c *conn) fillMessage() error {
	if c.in.full && c.in.r == c.in.w {
		c.in.resize(bigBuffer)
	}
	d := time.Now().Add(DataTimeout)
	if c.messageEnd.Before(d) {
		d = c.messageEnd
	}
	return c.fill(d, false)
}

// message is what a Session reads: a source with a limit.
type message struct {
	src  source
	max  int64
	size int64 // read of the source
	rest []byte
	err  error // what the session was told last
	end  error // of the source: io.EOF if it was read to its end
	over bool  // the limit was passed
	far  bool  // by so much that the rest was not read
}

// piece returns the next bytes for the session.
func (m *message) piece() ([]byte, error) {
	if m.err != nil {
		return nil, m.err
	}
	b, err := m.src.next()
	m.size += int64(len(b))
	switch {
	case err != nil:
		m.end, m.err = err, err
	case m.size > m.max:
		m.over, m.err = true, errTooLarge
	default:
		return b, nil
	}
	return nil, m.err
}

// Read is for sessions that do not use WriteTo.
func (m *message) Read(p []byte) (int, error) {
	for len(m.rest) == 0 {
		b, err := m.piece()
		if err != nil {
			return 0, err
		}
		m.rest = b
	}
	n := copy(p, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

// WriteTo hands the message on without copying it.
func (m *message) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		b := m.rest
		if m.rest = nil; len(b) == 0 {
			var err error
			if b, err = m.piece(); err == io.EOF {
				return total, nil
			} else if err != nil {
				return total, err
			}
		}
		n, err := w.Write(b)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// discard reads what the session left, so that the next command is found.
func (m *message) discard() {
	if ch, ok := m.src.(*chunks); ok {
		ch.cut = true
	}
	for m.end == nil {
		b, err := m.src.next()
		m.size += int64(len(b))
		m.end = err
		if m.over = m.over || m.size > m.max; m.size/DiscardFactor > m.max {
			m.far = true
			return
		}
	}
}

// dots is the source of DATA: it finds the end, and takes the dots of
// transparency out (RFC 5321 §4.5.2). A line begins after CRLF and after
// nothing else, so a bare CR or LF beside a dot neither ends the message nor
// loses a byte.
type dots struct {
	c         *conn
	lineStart bool // the next byte is the first of a line
}

var crlfDot = []byte("\r\n.")

func (d *dots) next() ([]byte, error) {
	for {
		b := d.c.in.buffered()
		if d.lineStart && len(b) > 0 {
			done, more := d.atLineStart(b)
			switch {
			case done:
				return nil, io.EOF
			case more:
				if err := d.fill(); err != nil {
					return nil, err
				}
				continue
			}
			b = d.c.in.buffered()
		}
		if n := d.content(b); n > 0 {
			d.c.in.r += n
			return b[:n], nil
		}
		if err := d.fill(); err != nil {
			return nil, err
		}
	}
}

// atLineStart looks at the first bytes of a line: is this the end, must more
// be read to know, or did the line begin (its dot, if any, taken off)?
func (d *dots) atLineStart(b []byte) (done, more bool) {
	switch {
	case b[0] != '.':
	case len(b) == 1 || len(b) == 2 && b[1] == '\r':
		return false, true
	case b[1] == '\r' && b[2] == '\n':
		d.c.in.r += 3
		return true, false
	default:
		d.c.in.r++
	}
	d.lineStart = false
	return false, false
}

// content is how many bytes of b are certainly content that needs no look at
// its dots; it notes whether a line starts behind them.
func (d *dots) content(b []byte) int {
	if i := bytes.Index(b, crlfDot); i >= 0 {
		d.lineStart = true
		return i + 2
	}
	n := len(b)
	switch {
	case bytes.HasSuffix(b, crlfDot[:2]):
		d.lineStart = true
	case n > 0 && b[n-1] == '\r':
		return n - 1 // CRLF may come, and must be seen whole
	}
	return n
}

func (d *dots) fill() error {
	err := d.c.fillMessage()
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
