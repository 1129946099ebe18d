package faces

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/eidermail/eider/internal/message"
)

// outBuffer is what an answer gathers before it goes out, and what is read of a
// message at once.
const outBuffer = 32 << 10

// out writes a JSON answer piece by piece, so that no message is ever in memory
// as a whole, nor as JSON, in which some bytes take six.
type out struct {
	to   io.Writer
	b    *bufio.Writer
	n    int64   // bytes of JSON so far
	sent bool    // some of it went out
	lost bool    // the client is gone
	err  error   // of what is read
	one  [6]byte // a character as appendEscaped makes it
}

// begin starts an answer.
func (c *call) begin() *out {
	c.w.Header().Set("Content-Type", "application/json")
	o := &out{to: c.w}
	o.b = bufio.NewWriterSize(sending{o}, outBuffer)
	return o
}

// sending is the way out: who has left is no error of ours.
type sending struct{ o *out }

func (s sending) Write(b []byte) (int, error) {
	s.o.sent = true
	n, err := s.o.to.Write(b)
	s.o.lost = s.o.lost || err != nil
	return n, err
}

// over tells that nothing more needs to be read.
func (o *out) over() bool { return o.err != nil || o.lost }

func (o *out) Write(b []byte) (int, error) {
	o.n += int64(len(b))
	return o.b.Write(b)
}

func (o *out) raw(s string) {
	o.n += int64(len(s))
	_, _ = o.b.WriteString(s) // an error shows when it is flushed
}

// value writes what is small. The line end behind it is white space to JSON.
func (o *out) value(v any) {
	if o.over() {
		return
	}
	e := json.NewEncoder(o)
	e.SetEscapeHTML(false) // the answer is JSON to everybody: the type says it, and nosniff
	if err := e.Encode(v); err != nil && !o.lost {
		o.err = err
	}
}

// span writes a piece of a message as a string, cut at about most bytes of JSON.
func (o *out) span(c io.ReaderAt, s message.Span, most int64) {
	o.text(io.NewSectionReader(c, s.Start, s.Len()), most)
}

// text writes what r has as a string, cut at about most bytes of JSON. Bytes
// that are no UTF-8 become U+FFFD.
func (o *out) text(r io.Reader, most int64) {
	o.raw(`"`)
	buf, have := make([]byte, outBuffer), 0
	for end := o.n + most; o.n < end && !o.over(); {
		n, err := r.Read(buf[have:])
		have += n
		done := o.escape(buf[:have], end, err != nil)
		have = copy(buf, buf[done:have])
		if err == io.EOF {
			break
		}
		if err != nil {
			o.err = err
		}
	}
	o.raw(`"`)
}

// escape writes b until end is reached (RFC 8259 §7), and returns how much of it
// was written: a character that is not whole waits, but for the last.
func (o *out) escape(b []byte, end int64, last bool) (done int) {
	for done < len(b) && o.n < end && !o.lost {
		i := done
		for i < len(b) && plain(b[i]) {
			i++
		}
		if i > done {
			i = done + int(min(int64(i-done), end-o.n))
			_, _ = o.Write(b[done:i])
			done = i
			continue
		}
		if !last && !utf8.FullRune(b[done:]) {
			break
		}
		r, n := utf8.DecodeRune(b[done:])
		_, _ = o.Write(appendEscaped(o.one[:0], r))
		done += n
	}
	return done
}

// plain bytes stand for themselves in JSON.
func plain(c byte) bool { return c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' }

// appendEscaped appends a character as JSON has it. Line separators are escaped,
// since older JavaScript has them in no string.
func appendEscaped(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch {
	case r == '"', r == '\\':
		return append(b, '\\', byte(r))
	case r == '\n':
		return append(b, `\n`...)
	case r == '\r':
		return append(b, `\r`...)
	case r == '\t':
		return append(b, `\t`...)
	case r < ' ':
		return append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
	case r == '\u2028', r == '\u2029':
		return append(b, '\\', 'u', '2', '0', '2', hex[r&15])
	}
	return utf8.AppendRune(b, r)
}

// close ends the answer. What could not be read is an error that can be told as
// long as nothing went out; later the answer can only be broken off.
func (o *out) close(f *Faces, r *http.Request) error {
	if o.err != nil && !o.sent {
		return o.err
	}
	if o.err != nil {
		if r.Context().Err() == nil {
			f.o.Log.Error("answer of a compatible API broke off", "route", r.Pattern, "err", o.err)
		}
		panic(http.ErrAbortHandler) // the documented way to cut an answer short
	}
	o.raw("\n")
	_ = o.b.Flush() // who has left reads nothing
	return nil
}

// members writes an object but for its end: more members may follow.
func (o *out) members(v any) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		o.err = err
		return
	}
	o.raw(strings.TrimSuffix(b.String(), "}\n"))
}
