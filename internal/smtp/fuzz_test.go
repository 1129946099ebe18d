package smtp_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/smtp"
)

// scripted is a connection whose client says what it says, in pieces, and
// then is gone.
type scripted struct {
	in    []byte
	piece int
	out   bytes.Buffer
	wrote int
}

func (s *scripted) Read(b []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := len(b)
	if s.piece > 0 {
		n = min(n, s.piece)
	}
	n = copy(b[:n], s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *scripted) Write(b []byte) (int, error)      { s.wrote++; return s.out.Write(b) }
func (s *scripted) Close() error                     { return nil }
func (s *scripted) LocalAddr() net.Addr              { return nil }
func (s *scripted) RemoteAddr() net.Addr             { return nil }
func (s *scripted) SetDeadline(time.Time) error      { return nil }
func (s *scripted) SetReadDeadline(time.Time) error  { return nil }
func (s *scripted) SetWriteDeadline(time.Time) error { return nil }

// unstuff is a plain reading of RFC 5321 §4.5.2: it cuts data into lines at
// CRLF, ends at the line ".", and takes one dot off the others. The rest is
// what follows the end.
func unstuff(data string) (msg, rest string, ok bool) {
	var b strings.Builder
	for {
		i := strings.Index(data, "\r\n")
		if i < 0 {
			return "", "", false
		}
		line := data[:i]
		data = data[i+2:]
		if line == "." {
			return b.String(), data, true
		}
		b.WriteString(strings.TrimPrefix(line, "."))
		b.WriteString("\r\n")
	}
}

// The reader of DATA gives what a plain reading gives, however the bytes come.
func FuzzData(f *testing.F) {
	for _, s := range []string{
		"a\r\n.\r\n", ".\r\n", "..\r\n.\r\n", "\r\r\n.\r\n", ".\rX\r\n.\r\n", "a\n.\nb\r.\r\n\r\n.\r\n", "x\r\n.\r\n.\r\n",
		"a\r\n.\r\r\n.\r\n", ".\r.\r\n.\r\n", strings.Repeat("\r\n..", 50) + "\r\n.\r\n",
	} {
		f.Add([]byte(s), 0)
		f.Add([]byte(s), 1)
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		if len(data) > 4000 {
			return
		}
		b := &backend{}
		o := b.options()
		o.MaxSize = 1 << 20
		nc := &scripted{in: append([]byte(toData), data...), piece: piece % 8}
		smtp.New(o).ServeConn(context.Background(), nc)
		want, _, ok := unstuff(string(data))
		switch {
		case !ok && len(b.messages) > 0:
			t.Fatalf("%q has no end, stored %q", data, b.messages)
		case ok && (len(b.messages) == 0 || b.messages[0] != want):
			t.Fatalf("%q: stored %q, want %q", data, b.messages, want)
		}
	})
}

// states are what a client says to come into each state of the protocol.
var states = []string{
	"", "EHLO x\r\n", "EHLO x\r\nAUTH PLAIN AHUAcA==\r\n", "EHLO x\r\nAUTH LOGIN\r\n", "EHLO x\r\nMAIL FROM:<a@b>\r\n",
	"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", toData, "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 2\r\nab",
	"LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<full@d>\r\nDATA\r\n",
}

// A whole session of anything, begun in any state, ends, and answers nothing but SMTP.
func FuzzSMTP(f *testing.F) {
	const mail = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
	for _, s := range []string{
		"", "EHLO x\r\n", "EHLO x\r\n" + mail + "DATA\r\nx\r\n.\r\nQUIT\r\n", "EHLO x\r\n" + mail + "BDAT 3\r\nabcBDAT 0 LAST\r\n",
		"EHLO x\r\nAUTH PLAIN AHUAcA==\r\n", "EHLO x\r\nAUTH LOGIN\r\ndQ==\r\ncA==\r\n", "LHLO x\r\n" + mail + mail + "DATA\r\n.\r\n",
		"STARTTLS\r\n", "POST / HTTP/1.1\r\nHost: x\r\n\r\n", "EHLO x\r\n" + mail + "BDAT 3\r\nabcRSET\r\nNOOP\r\n",
		"\x16\x03\x01\x02\x00", "EHLO x\r\nMAIL FROM:<\"a\\\"b\"@[IPv6:::1]> SIZE=1 BODY=8BITMIME SMTPUTF8\r\n",
		"EHLO x\r\n" + mail + "BDAT 99999999999\r\n", strings.Repeat("NOOP\r\n", 100), strings.Repeat("x", 5000),
	} {
		for mode := range byte(3) {
			f.Add([]byte(s), mode, byte(0), byte(0))
			f.Add([]byte(s), mode, byte(1), byte(0))
		}
	}
	for i := range states {
		f.Add([]byte("x\r\n.\r\nQUIT\r\n"), byte(0), byte(0), byte(i))
		f.Add([]byte("\x00\xff\n\r.\r\n"), byte(1), byte(2), byte(i))
	}
	f.Fuzz(func(t *testing.T, in []byte, mode, piece, state byte) {
		b := &backend{clear: true}
		o := b.options()
		o.Mode = smtp.Mode(mode % 3)
		in = append([]byte(states[int(state)%len(states)]), in...)
		nc := &scripted{in: in, piece: int(piece % 16)}
		smtp.New(o).ServeConn(context.Background(), nc)
		out := nc.out.String()
		if !strings.HasPrefix(out, "220 ") || !strings.HasSuffix(out, "\r\n") {
			t.Fatalf("said %q", out)
		}
		for _, line := range strings.Split(strings.TrimSuffix(out, "\r\n"), "\r\n") {
			if len(line) < 4 || line[0] < '2' || line[0] > '5' || line[3] != ' ' && line[3] != '-' ||
				strings.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("said %q", line)
			}
		}
		for _, m := range b.messages {
			if int64(len(m)) > o.MaxSize {
				t.Fatalf("a message of %d bytes is over the limit", len(m))
			}
		}
	})
}

// discarder is a session that looks at nothing.
type discarder struct{ session }

func (d *discarder) Data(_ context.Context, r io.Reader) ([]smtp.Reply, error) {
	_, err := io.Copy(onlyWriter{}, r)
	return []smtp.Reply{{Code: 250, Text: "OK"}}, err
}

type onlyWriter struct{}

func (onlyWriter) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkData is the wire's share of receiving mail.
func BenchmarkData(b *testing.B) {
	line := "The quick brown fox jumps over the lazy dog, and the lazy dog sleeps on.\r\n"
	for name, msg := range map[string]string{
		"8KB":   strings.Repeat(line, 110),
		"1MB":   strings.Repeat(line, 14_000),
		"dots":  strings.Repeat("..\r\n", 2000),
		"bare":  strings.Repeat("\r\r\n", 3000),
		"1line": strings.Repeat("x", 1<<20) + "\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			be := &backend{}
			o := be.options()
			o.MaxSize = 1 << 30
			o.NewSession = func(_ context.Context, c *smtp.Client) (smtp.Session, error) {
				return &discarder{session{b: be, c: c}}, nil
			}
			one := "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n" + msg + ".\r\n"
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			nc := &repeated{one: []byte(one), left: b.N}
			b.ResetTimer()
			smtp.New(o).ServeConn(context.Background(), nc)
			if nc.left > 0 || be.record.Messages != b.N {
				b.Fatalf("%d of %d", be.record.Messages, b.N)
			}
		})
	}
}

// repeated says hello and then the same again and again.
type repeated struct {
	scripted
	one   []byte
	left  int
	begun bool
}

func (r *repeated) Read(b []byte) (int, error) {
	if !r.begun {
		r.begun = true
		return copy(b, hello), nil
	}
	if len(r.in) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		r.left--
		r.in = r.one
	}
	n := copy(b, r.in)
	r.in = r.in[n:]
	return n, nil
}

func (r *repeated) Write(b []byte) (int, error) { return len(b), nil }
