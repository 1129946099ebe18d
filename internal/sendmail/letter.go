package sendmail

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/addr"
	"github.com/eidermail/eider/internal/message"
)

// Limit: bytes of the header of a message given to sendmail.
const MaxHeader = 1 << 20

// Limit: bytes of one line that sendmail looks at for the dot that ends a message.
const lineBuffer = 4 << 10

// Letter is a message on its way: who it is from and for, and its bytes with
// LF or CRLF line ends as they came.
type Letter struct {
	From string // "" is the null sender
	To   []string
	body io.Reader
}

// Read takes the message; the rest of it is read as the Letter is.
func (l *Letter) Read(b []byte) (int, error) { return l.body.Read(b) }

// Self is who runs the command.
type Self struct{ User, Host string }

func (s Self) address() string { return s.User + "@" + s.Host }

// The ways a message can be refused before any server sees it.
var (
	ErrNoRecipients = errors.New("no recipients: name them as arguments, or use -t and have a To, Cc or Bcc field")
	ErrHeader       = errors.New("the header of the message is over 1 MB")
	ErrAddress      = errors.New("not a mail address")
)

// Open reads the header of a message, fills in what it lacks, and finds the
// envelope.
func (c Command) Open(in io.Reader, self Self, now time.Time) (*Letter, error) {
	if !c.KeepDots {
		in = &dotEnd{r: bufio.NewReaderSize(in, lineBuffer), start: true}
	}
	r := bufio.NewReaderSize(in, lineBuffer)
	header, sep, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	l := &Letter{From: self.address(), To: c.Recipients}
	if c.SenderGiven {
		l.From = c.Sender
	}
	if l.From != "" {
		if l.From, err = bare(l.From, self.Host); err != nil {
			return nil, fmt.Errorf("sender %q: %w", l.From, err)
		}
	}
	header, found := c.rewrite(header)
	if c.FromHeader {
		l.To = append(append([]string{}, c.Recipients...), found.recipients...)
	}
	if err := l.check(self.Host); err != nil {
		return nil, err
	}
	added := c.missing(found, l.From, self, now)
	l.body = io.MultiReader(bytes.NewReader(added), bytes.NewReader(header), bytes.NewReader(sep), r)
	return l, nil
}

// check makes every recipient an address, each once.
func (l *Letter) check(host string) error {
	seen := make(map[string]bool, len(l.To))
	out := make([]string, 0, len(l.To))
	for _, t := range l.To {
		a, err := bare(t, host)
		if err != nil {
			return fmt.Errorf("recipient %q: %w", t, err)
		}
		if !seen[a] {
			seen[a] = true
			out = append(out, a)
		}
	}
	if l.To = out; len(out) == 0 {
		return ErrNoRecipients
	}
	if len(out) > MaxRecipients {
		return fmt.Errorf("%d recipients, at most %d are taken", len(out), MaxRecipients)
	}
	return nil
}

// bare reads "Ada <ada@example.com>" or "ada", which is an address of this machine.
func bare(s, host string) (string, error) {
	for _, a := range message.ParseAddresses(s) {
		if a.Group || a.Mailbox == "" {
			continue
		}
		v := addr.Addr{Local: a.Mailbox, Domain: a.Host}
		if v.Domain == "" {
			v.Domain = host
		}
		if p, err := addr.Parse(v.String()); err == nil {
			return p.String(), nil
		}
	}
	return s, ErrAddress
}

// readHeader reads to the first empty line. What does not begin like a header
// is a body without one. sep is what stands between header and body.
func readHeader(r *bufio.Reader) (header, sep []byte, err error) {
	for {
		line, err := readLine(r)
		if err != nil && err != io.EOF {
			return nil, nil, err
		}
		trimmed := bytes.TrimRight(line, "\r\n")
		switch {
		case len(header) == 0 && bytes.HasPrefix(line, []byte("From ")):
			continue // the first line of an mbox file
		case len(line) == 0:
			return header, nil, nil
		case len(trimmed) == 0:
			return header, line, nil
		case !isField(trimmed, len(header) > 0):
			return header, append(lineEnd(line), line...), nil
		}
		if header = append(header, line...); len(header) > MaxHeader {
			return nil, nil, ErrHeader
		}
		if err == io.EOF {
			return append(header, '\n'), nil, nil
		}
	}
}

func lineEnd(line []byte) []byte {
	if bytes.HasSuffix(line, []byte("\r\n")) {
		return []byte("\r\n")
	}
	return []byte("\n")
}

// readLine reads a line with its end, at most MaxHeader bytes of it.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if err != bufio.ErrBufferFull {
			return line, err
		}
		if len(line) > MaxHeader {
			return nil, ErrHeader
		}
	}
}

// isField tells whether a line belongs to a header: a field, or the rest of one.
func isField(line []byte, inside bool) bool {
	if line[0] == ' ' || line[0] == '\t' {
		return inside
	}
	name, _, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	return ok && len(name) > 0 && !bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// fields is what a header has.
type fields struct {
	from, date, id bool
	recipients     []string
}

// rewrite finds the recipients and takes Bcc out, where they are asked for.
func (c Command) rewrite(header []byte) ([]byte, fields) {
	var out []byte
	var has fields
	for f := range message.HeaderFields(header) {
		has.from = has.from || f.Is("From")
		has.date = has.date || f.Is("Date")
		has.id = has.id || f.Is("Message-ID")
		bcc := f.Is("Bcc")
		if c.FromHeader && (bcc || f.Is("To") || f.Is("Cc")) {
			for _, a := range message.ParseAddresses(string(message.Unfold(f.Value))) {
				if !a.Group && a.Mailbox != "" && len(has.recipients) <= MaxRecipients {
					has.recipients = append(has.recipients, addr.Addr{Local: a.Mailbox, Domain: a.Host}.String())
				}
			}
		}
		if !c.FromHeader || !bcc {
			out = append(out, f.Raw...)
		}
	}
	return out, has
}

// missing are the fields that a message must have (RFC 5322 §3.6, RFC 6409 §8).
func (c Command) missing(has fields, sender string, self Self, now time.Time) []byte {
	var b bytes.Buffer
	if !has.date {
		fmt.Fprintf(&b, "Date: %s\r\n", now.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	}
	if !has.from {
		if sender == "" {
			sender = self.address()
		}
		if name := strings.Map(printable, c.FullName); name != "" {
			sender = displayName(name) + " <" + sender + ">"
		}
		fmt.Fprintf(&b, "From: %s\r\n", sender)
	}
	if !has.id {
		fmt.Fprintf(&b, "Message-ID: <%s@%s>\r\n", rand.Text(), self.Host)
	}
	return b.Bytes()
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

// displayName quotes or encodes what would not be read as a name (RFC 5322
// §3.4, RFC 2047).
func displayName(s string) string {
	if e := mime.QEncoding.Encode("utf-8", s); e != s {
		return e
	}
	if strings.ContainsAny(s, `()<>[]:;@\,."`) {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	return s
}

// dotEnd ends at a line that is a single dot.
type dotEnd struct {
	r     *bufio.Reader
	start bool // at the start of a line
	done  bool
}

// Read passes on a line, or as much of it as has come.
func (d *dotEnd) Read(b []byte) (int, error) {
	if d.done || d.start && d.atDot() {
		d.done = true
		return 0, io.EOF
	}
	if _, err := d.r.Peek(1); err != nil {
		return 0, err
	}
	part, err := d.r.Peek(min(d.r.Buffered(), len(b)))
	if i := bytes.IndexByte(part, '\n'); i >= 0 {
		part = part[:i+1]
	}
	n := copy(b, part)
	d.start = n > 0 && b[n-1] == '\n'
	if err == nil {
		_, err = d.r.Discard(n)
	}
	return n, err
}

// atDot looks no further than it must: a person may be typing.
func (d *dotEnd) atDot() bool {
	for _, end := range []string{".", ".\r", ".\r\n"} {
		b, err := d.r.Peek(len(end))
		if err != nil {
			return string(b) == "." || string(b) == ".\r" // the input ends there
		}
		if string(b) == ".\n" || string(b) == ".\r\n" {
			return true
		}
		if string(b) != end {
			return false
		}
	}
	return false
}
