package smtp

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/netx"
)

// RFC 3030 §2. The session reads the message through all chunks; the commands
// between them are answered while it waits for more.
func (c *conn) bdat(arg string) {
	size, last, ok := parseChunk(arg)
	if !ok {
		// What follows may be the chunk: it must not be read as commands.
		c.fatal(CauseDataRefused, replyBadChunk)
		return
	}
	if size/DiscardFactor > c.s.o.MaxSize {
		c.event(CauseTooLarge, replyTooLargeClosed, size)
		c.reply(replyTooLargeClosed)
		c.closing, c.fault = true, true
		return
	}
	if c.mail && c.rcpts > 0 {
		c.receive(&chunks{c: c, size: size, left: size, last: last})
		return
	}
	// A chunk that nobody waits for is skipped, as RFC 3030 §2 asks.
	skip := &chunks{c: c, size: size, left: size, last: true}
	c.messageEnd = time.Now().Add(MessageTimeout)
	for {
		_, err := skip.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			c.broken(err)
			return
		}
	}
	if c.mail {
		c.reply(c.noRcpts())
		return
	}
	c.noMail()
}

// parseChunk reads "SIZE [LAST]".
func parseChunk(arg string) (size int64, last, ok bool) {
	n, end, _ := strings.Cut(arg, " ")
	u, err := strconv.ParseUint(n, 10, 62)
	end = strings.TrimSpace(end)
	if err != nil || n[0] == '+' || end != "" && !strings.EqualFold(end, "LAST") {
		return 0, false, false
	}
	return int64(u), end != "", true
}

// chunks is the source of BDAT.
type chunks struct {
	c          *conn
	size, left int64 // of this chunk
	last       bool
	cut        bool // no more chunks are waited for
}

func (s *chunks) next() ([]byte, error) {
	for s.left == 0 {
		if s.last || s.cut {
			return nil, io.EOF
		}
		s.c.reply(Reply{250, "2.0.0", fmt.Sprintf("%d bytes received", s.size)})
		if err := s.command(); err != nil {
			return nil, err
		}
	}
	if len(s.c.in.buffered()) == 0 {
		if err := s.c.fillMessage(); err == io.EOF {
			return nil, io.ErrUnexpectedEOF
		} else if err != nil {
			return nil, err
		}
	}
	b := s.c.in.buffered()
	b = b[:min(int64(len(b)), s.left)]
	s.c.in.r += len(b)
	s.left -= int64(len(b))
	return b, nil
}

// command reads up to the next BDAT. Commands that end the transaction are
// left for the connection's loop.
func (s *chunks) command() error {
	for {
		line, err := s.c.readLine(CommandTimeout, MaxLine)
		if err == errLineTooLong {
			s.c.wrong(replyLineTooLong)
			if s.c.closing {
				return errAborted
			}
			continue
		}
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		verb, arg, _ := strings.Cut(strings.TrimRight(string(line), " \t"), " ")
		switch strings.ToUpper(verb) {
		case "BDAT":
			return s.begin(strings.TrimLeft(arg, " "))
		case "NOOP":
			s.c.reply(replyOK)
		case "RSET", "QUIT", "EHLO", "HELO", "LHLO":
			s.c.pending = []byte(string(line))
			return errAborted
		default:
			if netx.SpeaksHTTP(line) {
				s.c.pending = []byte(string(line))
				return errAborted
			}
			s.c.wrong(replyNoMixing)
		}
		if s.c.closing {
			return errAborted
		}
	}
}

func (s *chunks) begin(arg string) error {
	size, last, ok := parseChunk(arg)
	if !ok || size/DiscardFactor > s.c.s.o.MaxSize {
		return errBadChunk
	}
	s.size, s.left, s.last = size, size, last
	return nil
}
