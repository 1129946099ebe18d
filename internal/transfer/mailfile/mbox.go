package mailfile

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/transfer/archive"
)

// Limit: bytes of a line in an mbox file that may begin a message.
const MaxFromLine = 1000

// fromLine is the line that begins a message in an mbox file.
type fromLine struct {
	sender string
	date   time.Time
}

// mboxReader takes an mbox file apart (RFC 4155; quoted as "mboxrd": a ">" more
// before each line of the message that begins with From, after any number of
// ">"). A message begins with a line "From sender date" at the start of the file
// or after an empty line. It holds one buffer, however long the lines are.
type mboxReader struct {
	r     *bufio.Reader
	out   []byte // of the message, ready to be given
	blank []byte // an empty line that may be the one before the next From line
	start bool   // at the start of a line
	first bool   // nothing was read yet
	ended bool   // the message has ended
	err   error
}

func newMboxReader(r io.Reader) *mboxReader {
	return &mboxReader{r: bufio.NewReaderSize(r, 2*maxHeader), first: true, ended: true}
}

// next begins the next message; what is left of the last one is passed over.
func (b *mboxReader) next() (fromLine, error) {
	if !b.ended {
		if _, err := io.Copy(io.Discard, b); err != nil {
			return fromLine{}, err
		}
	}
	if b.first {
		if err := b.leading(); err != nil {
			return fromLine{}, err
		}
	}
	line, err := b.r.ReadSlice('\n')
	if len(line) == 0 {
		return fromLine{}, err
	}
	if !bytes.HasPrefix(line, []byte("From ")) {
		return fromLine{}, fmt.Errorf("no mbox file: it begins with %.40q", line)
	}
	from, _ := parseFrom(line)
	for err == bufio.ErrBufferFull {
		_, err = b.r.ReadSlice('\n')
	}
	if err != nil && err != io.EOF {
		return fromLine{}, err
	}
	b.first, b.ended, b.start, b.blank, b.out = false, false, true, nil, nil
	return from, nil
}

// leading passes over empty lines at the start of the file.
func (b *mboxReader) leading() error {
	for {
		c, err := b.r.ReadByte()
		if err != nil {
			return err
		}
		if c != '\r' && c != '\n' {
			return b.r.UnreadByte()
		}
	}
}

// Read gives the bytes of the message that next has begun.
func (b *mboxReader) Read(p []byte) (int, error) {
	for len(b.out) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		if b.ended {
			return 0, io.EOF
		}
		b.err = b.fill()
	}
	n := copy(p, b.out)
	b.out = b.out[n:]
	return n, nil
}

// fill reads a line, or a piece of one.
func (b *mboxReader) fill() error {
	if b.start && b.blank != nil && b.atFrom() {
		b.ended, b.blank = true, nil
		return nil
	}
	piece, err := b.r.ReadSlice('\n')
	if len(piece) == 0 && err == io.EOF {
		b.ended, b.blank = true, nil
		return nil
	}
	if err != nil && err != bufio.ErrBufferFull && err != io.EOF {
		return err
	}
	start := b.start
	b.start = piece[len(piece)-1] == '\n'
	held := b.blank
	b.blank = nil
	if start && b.start && len(bytes.TrimRight(piece, "\r\n")) == 0 {
		b.blank = bytes.Clone(piece)
		piece = nil
	}
	if start && quoted(piece) {
		piece = piece[1:]
	}
	if held != nil {
		piece = append(held, piece...)
	}
	b.out = piece
	return nil
}

// atFrom tells whether a From line comes next.
func (b *mboxReader) atFrom() bool {
	head, _ := b.r.Peek(5)
	if string(head) != "From " {
		return false
	}
	line, _ := b.r.Peek(MaxFromLine)
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i+1]
	} else if len(line) == MaxFromLine {
		return false
	}
	_, ok := parseFrom(line)
	return ok
}

// quoted tells whether a line has a ">" too many.
func quoted(line []byte) bool {
	rest := bytes.TrimLeft(line, ">")
	return len(rest) < len(line) && bytes.HasPrefix(rest, []byte("From "))
}

// fromLayouts are the forms of the date in a From line.
var fromLayouts = []string{
	"Mon Jan _2 15:04:05 2006", "Mon Jan _2 15:04:05 -0700 2006", "Mon Jan _2 15:04:05 MST 2006",
	"Mon Jan _2 15:04:05 2006 -0700", "Mon Jan _2 15:04 2006", "Mon Jan _2 15:04:05 MST -0700 2006",
	"Mon, _2 Jan 2006 15:04:05 -0700",
}

// parseFrom takes a From line apart; ok is false if it has no date.
func parseFrom(line []byte) (f fromLine, ok bool) {
	fields := strings.Fields(string(line[len("From "):]))
	for i := range fields {
		if len(fields)-i > 7 || len(fields[i]) < 3 {
			continue
		}
		for _, l := range fromLayouts {
			if t, err := time.Parse(l, strings.Join(fields[i:], " ")); err == nil {
				return fromLine{cleanSender(strings.Join(fields[:i], " ")), t.UTC()}, true
			}
		}
	}
	return fromLine{sender: ""}, false
}

func cleanSender(s string) string {
	if s == "MAILER-DAEMON" || s == "-" || strings.ContainsAny(s, " \t") || !strings.Contains(s, "@") {
		return ""
	}
	return s
}

// The header lines in which mbox files keep flags.
const (
	statusLine   = "Status: "
	xStatusLine  = "X-Status: "
	keywordsLine = "X-Keywords: "
)

// ownFlags takes off the three lines that our own mbox files put before each
// message; nil if there are others.
func (b *mboxReader) ownFlags() []byte {
	top, _ := b.r.Peek(4 * MaxFromLine)
	n := 0
	for _, name := range []string{statusLine, xStatusLine, keywordsLine} {
		if !bytes.HasPrefix(top[n:], []byte(name)) {
			return nil
		}
		i := bytes.IndexByte(top[n:], '\n')
		if i < 0 {
			return nil
		}
		n += i + 1
	}
	own := bytes.Clone(top[:n])
	_, _ = b.r.Discard(n)
	return own
}

// peek shows the beginning of the message.
func (b *mboxReader) peek(n int) ([]byte, error) {
	top, err := b.r.Peek(n)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if i := bytes.Index(top, []byte("\n\n")); i >= 0 {
		top = top[:i+1]
	} else if i := bytes.Index(top, []byte("\n\r\n")); i >= 0 {
		top = top[:i+1]
	}
	return bytes.Clone(top), nil
}

// statusFlags are the letters of Status and X-Status.
const statusFlags = "RAFDT"

// flagOf are the flags of the letters that mbox and maildir use.
func flagOf(letter byte) string {
	switch letter {
	case 'R': // read, in an mbox; a maildir's R is handled by its reader
		return `\Seen`
	case 'A':
		return `\Answered`
	case 'F':
		return `\Flagged`
	case 'D':
		return `\Deleted`
	case 'T':
		return `\Draft`
	}
	return ""
}

// parseStatus reads flags in a header.
func parseStatus(m *archive.Message, header []byte) {
	for line := range bytes.Lines(header) {
		name, value, ok := strings.Cut(strings.TrimRight(string(line), "\r\n"), ": ")
		if !ok {
			continue
		}
		switch strings.ToLower(name) {
		case "status", "x-status":
			for i := range min(len(value), 16) {
				if f := flagOf(value[i]); f != "" {
					m.Flags = append(m.Flags, f)
				}
			}
		case "x-keywords":
			m.Keywords = append(m.Keywords, strings.Fields(value)...)
		case "x-mozilla-status":
			bits, err := strconv.ParseUint(strings.TrimSpace(value), 16, 32)
			for i, f := range []string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`} {
				if err == nil && bits&(1<<i) != 0 {
					m.Flags = append(m.Flags, f)
				}
			}
		}
	}
}
