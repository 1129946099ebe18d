package mailfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/transfer/archive"
)

// openMbox begins a file, unless it is there already.
func (s *Sink) openMbox() error {
	if _, err := s.root.Lstat(s.folder); err == nil {
		return nil
	}
	part := s.folder + ".part"
	if err := s.root.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	s.file, s.out = f, bufio.NewWriterSize(f, 256<<10)
	return nil
}

// mbox appends a message: its From line, its flags, its bytes with a ">" more
// before what looks like a From line, and an empty line.
func (s *Sink) mbox(m *archive.Message, body io.Reader) error {
	if s.file == nil {
		s.Present++
		_, err := io.Copy(io.Discard, body)
		return err
	}
	msg, local, err := s.local(body)
	if err != nil {
		return err
	}
	defer msg.Close()
	sender := "MAILER-DAEMON"
	if m.Envelope != nil && m.Envelope.From != "" {
		sender = strings.Map(func(r rune) rune {
			if r <= ' ' || r == 0x7f {
				return '_'
			}
			return r
		}, string(m.Envelope.From))
	}
	status, x := mboxStatus(m.Flags)
	fmt.Fprintf(s.out, "From %s %s\n%s%s\n%s%s\n%s%s\n", sender, m.InternalDate.UTC().Format(time.ANSIC),
		statusLine, status, xStatusLine, x, keywordsLine, strings.Join(m.Keywords, " "))
	return quote(s.out, local)
}

// mboxStatus are flags as the letters of Status and X-Status.
func mboxStatus(flags []string) (status, x string) {
	if slices.Contains(flags, `\Seen`) {
		status = "R"
	}
	for _, c := range []byte(statusFlags[1:]) {
		if slices.Contains(flags, flagOf(c)) {
			x += string(c)
		}
	}
	return status + "O", x
}

// quote copies a message into an mbox.
func quote(w *bufio.Writer, r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	last := byte(0)
	for start := true; ; {
		piece, err := in.ReadSlice('\n')
		if len(piece) > 0 {
			if rest := bytes.TrimLeft(piece, ">"); start && bytes.HasPrefix(rest, []byte("From ")) {
				_ = w.WriteByte('>')
			}
			_, _ = w.Write(piece)
			last = piece[len(piece)-1]
			start = last == '\n'
		}
		if err == io.EOF {
			break
		}
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
	}
	if last != '\n' {
		_ = w.WriteByte('\n')
	}
	return w.WriteByte('\n')
}
