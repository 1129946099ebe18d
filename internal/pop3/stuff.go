package pop3

import (
	"bytes"
	"errors"
	"io"
)

// A message is read in blocks of its own size within these bounds.
const (
	minBlock = 512
	maxBlock = 32 << 10
)

// errWrite wraps what went wrong on the client's side.
var errWrite = errors.New("pop3: cannot write")

// stuffer sends a message with its dots stuffed (RFC 1939 §3), a last CRLF if
// it has none, and the final dot. A dot behind a bare LF is stuffed as well:
// many clients take that for a line's end, and whoever sent the mail could end
// it there for them and speak on in the server's name. A client that goes by
// CRLF alone sees one dot more in such mail.
type stuffer struct {
	w      io.Writer
	top    int  // lines of the body still to be sent; below 0: all
	header bool // for TOP: still in the header
	empty  bool // for TOP: the line so far is empty, or CR alone

	last [2]byte // the last two bytes sent
	sent bool    // anything was
}

var (
	lfDot = []byte("\n.")
	dot   = []byte(".")
)

func (t *stuffer) copy(r io.Reader, size int64) error {
	t.empty = true
	buf := make([]byte, min(max(size, minBlock), maxBlock))
	for done := false; !done; {
		n, err := r.Read(buf)
		b := buf[:n]
		if t.top >= 0 {
			b, done = t.cut(b)
		}
		if werr := t.write(b); werr != nil {
			return errors.Join(errWrite, werr)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	end := []byte("\r\n.\r\n")
	if !t.sent || t.last == [2]byte{'\r', '\n'} {
		end = end[2:]
	}
	if _, err := t.w.Write(end); err != nil {
		return errors.Join(errWrite, err)
	}
	return nil
}

// write sends b with its dots stuffed.
func (t *stuffer) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	from := 0
	if b[0] == '.' && (!t.sent || t.last[1] == '\n') {
		if _, err := t.w.Write(dot); err != nil {
			return err
		}
	}
	for {
		k := bytes.Index(b[from:], lfDot)
		if k < 0 {
			t.note(b)
			_, err := t.w.Write(b[from:])
			return err
		}
		// The dot itself begins what is sent next, and is not found again.
		end := from + k + 1
		if _, err := t.w.Write(b[from:end]); err != nil {
			return err
		}
		if _, err := t.w.Write(dot); err != nil {
			return err
		}
		from = end
	}
}

func (t *stuffer) note(b []byte) {
	if len(b) >= 2 {
		t.last = [2]byte(b[len(b)-2:])
	} else {
		t.last = [2]byte{t.last[1], b[0]}
	}
	t.sent = true
}

// cut returns the part of b that TOP still sends. Lines end with LF here, so
// that mail with bare LF has a header, too.
func (t *stuffer) cut(b []byte) (part []byte, done bool) {
	n := 0
	for n < len(b) {
		if !t.header && t.top == 0 {
			return b[:n], true
		}
		i := bytes.IndexByte(b[n:], '\n')
		if i < 0 {
			t.empty = t.empty && len(bytes.Trim(b[n:], "\r")) == 0
			return b, false
		}
		line := b[n : n+i]
		n += i + 1
		switch {
		case !t.header:
			t.top--
		case t.empty && (len(line) == 0 || len(line) == 1 && line[0] == '\r'):
			t.header = false
		}
		t.empty = true
	}
	return b, !t.header && t.top == 0
}
