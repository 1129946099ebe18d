package sendmail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestParse: the lines by which programs really call sendmail.
func TestParse(t *testing.T) {
	for line, want := range map[string]Command{
		"-t -i":                               {FromHeader: true, KeepDots: true},
		"-ti":                                 {FromHeader: true, KeepDots: true},
		"-t -i -f ada@example.com":            {FromHeader: true, KeepDots: true, Sender: "ada@example.com", SenderGiven: true},
		"-oi -fada@example.com -- a@b c@d":    {KeepDots: true, Sender: "ada@example.com", SenderGiven: true, Recipients: []string{"a@b", "c@d"}},
		"-FCronDaemon -i -B8BITMIME -oem x":   {FullName: "CronDaemon", KeepDots: true, Recipients: []string{"x"}},
		"-i -f <> root":                       {KeepDots: true, SenderGiven: true, Recipients: []string{"root"}},
		"-bs":                                 {Mode: Talk},
		"-bp":                                 {Mode: Queue},
		"-bi":                                 {Mode: Aliases},
		"-q":                                  {},
		"-oi -oeq -N never -V id -r a@b -v c": {KeepDots: true, Sender: "a@b", SenderGiven: true, Verbose: true, Recipients: []string{"c"}},
		"a@b -t":                              {Recipients: []string{"a@b", "-t"}},
	} {
		got, err := Parse(strings.Fields(line))
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %+v, %v", line, got, err)
		}
	}
	for _, line := range []string{"-f", "-bd", "-Z", "-tZ"} {
		if _, err := Parse(strings.Fields(line)); err == nil {
			t.Errorf("%s was taken", line)
		}
	}
}

func open(t *testing.T, line, text string) (*Letter, string, error) {
	t.Helper()
	c, err := Parse(strings.Fields(line))
	if err != nil {
		t.Fatal(err)
	}
	l, err := c.Open(strings.NewReader(text), Self{"www-data", "web.test"}, time.Unix(1e9, 0).UTC())
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(l)
	if err != nil {
		t.Fatal(err)
	}
	return l, string(b), nil
}

func TestHeaderRecipients(t *testing.T) {
	l, text, err := open(t, "-t -i", "To: Ada <ada@example.com>, bob@example.com\nCc: team: c@example.com, \"odd name\"@example.com;\n"+
		"Bcc: secret@example.com,\n ada@example.com\nSubject: x\nMessage-ID: <1@x>\nDate: now\nFrom: f@x\n\nbody\n.\nmore\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ada@example.com", "bob@example.com", "c@example.com", `"odd name"@example.com`, "secret@example.com"}
	if !slices.Equal(l.To, want) || l.From != "www-data@web.test" {
		t.Errorf("from %q to %q", l.From, l.To)
	}
	if strings.Contains(text, "secret") || !strings.HasSuffix(text, "From: f@x\n\nbody\n.\nmore\n") ||
		!strings.HasPrefix(text, "To: Ada") {
		t.Errorf("became %q", text)
	}
}

// TestFillIn: what cron sends has no From, Date or Message-ID.
func TestFillIn(t *testing.T) {
	_, text, err := open(t, "-FCron.Daemon -i root", "Subject: hi\n\nx\n")
	if err != nil {
		t.Fatal(err)
	}
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	from, err := m.Header.AddressList("From")
	if err != nil || from[0].Name != "Cron.Daemon" || from[0].Address != "www-data@web.test" {
		t.Errorf("From %v %v", from, err)
	}
	if d, err := m.Header.Date(); err != nil || d.Unix() != 1e9 {
		t.Errorf("Date %v %v", d, err)
	}
	if id := m.Header.Get("Message-ID"); !strings.HasSuffix(id, "@web.test>") {
		t.Errorf("Message-ID %q", id)
	}
	for name, want := range map[string]string{"Jürgen": "=?utf-8?q?J=C3=BCrgen?=", `a "b"`: `"a \"b\""`, "Ada": "Ada"} {
		if got := displayName(name); got != want {
			t.Errorf("%q became %q", name, got)
		}
	}
}

func TestShapes(t *testing.T) {
	head := "Date: d\nFrom: f\nMessage-ID: i\n"
	for name, c := range map[string]struct{ args, in, want string }{
		"dot ends":          {"a@b", head + "\nx\n.\ny\n", head + "\nx\n"},
		"dot ends, CRLF":    {"a@b", head + "\nx\r\n.\r\ny\n", head + "\nx\r\n"},
		"dot at the end":    {"a@b", head + "\nx\n.", head + "\nx\n"},
		"a dot in a line":   {"a@b", head + "\n..\n.x\nx.\n", head + "\n..\n.x\nx.\n"},
		"dot kept":          {"-i a@b", head + "\nx\n.\ny\n", head + "\nx\n.\ny\n"},
		"mbox line":         {"-i a@b", "From x Mon\n" + head + "\nx", head + "\nx"},
		"no body":           {"-i a@b", head, head},
		"no body, cut":      {"-i a@b", strings.TrimSuffix(head, "\n"), head},
		"body without head": {"-i a@b", head + "this is no field\n", head + "\nthis is no field\n"},
		"long line":         {"a@b", head + "\n" + strings.Repeat("x", 3*lineBuffer) + "\n.\n", head + "\n" + strings.Repeat("x", 3*lineBuffer) + "\n"},
	} {
		_, got, err := open(t, c.args, c.in)
		if err != nil || got != c.want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]error{
		"Subject: x\n\n":     ErrNoRecipients,
		"To: \n\n":           ErrNoRecipients,
		"To: <a\x01b@c>\n\n": ErrAddress,
		"X: " + strings.Repeat("x", MaxHeader+1) + "\n\n": ErrHeader,
	} {
		if _, _, err := open(t, "-t", text); !errors.Is(err, want) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func TestParseServer(t *testing.T) {
	for in, want := range map[string]string{
		"": "localhost:1025", "2525": "localhost:2525", ":25": "localhost:25", "0.0.0.0:1025": "localhost:1025",
		"[::]:1": "localhost:1", "mail:25": "mail:25", "smtps://[::1]:465/": "[::1]:465", "smtp://h:1": "h:1",
	} {
		v, err := ParseServer(in)
		if err != nil || v.Addr() != want || v.TLS != strings.HasPrefix(in, "smtps") {
			t.Errorf("%q: %+v %v", in, v, err)
		}
	}
	for _, in := range []string{"off", "host", "http://x:1", "h:0", "h:x", "h:99999"} {
		if v, err := ParseServer(in); err == nil {
			t.Errorf("%q became %+v", in, v)
		}
	}
}

func TestExitCode(t *testing.T) {
	for want, err := range map[int]error{0: nil, ExitUsage: ErrNoRecipients, ExitTempFail: io.EOF,
		ExitUnavailable: fmt.Errorf("x: %w", &textproto.Error{Code: 552}), ExitNoPerm: &textproto.Error{Code: 535}} {
		if got := ExitCode(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
	if got := ExitCode(&textproto.Error{Code: 451}); got != ExitTempFail {
		t.Errorf("451: %d", got)
	}
}

// FuzzOpen: no input panics, and every recipient is an address that can be
// written into a command.
func FuzzOpen(f *testing.F) {
	f.Add("To: a@b\nBcc: c@d\n\nbody\n.\nx", true, false)
	f.Add("From x\n.\n", true, true)
	f.Fuzz(func(t *testing.T, text string, header, dots bool) {
		c := Command{FromHeader: header, KeepDots: dots, Recipients: []string{"a@b"}}
		l, err := c.Open(strings.NewReader(text), Self{"u", "h"}, time.Unix(0, 0))
		if err != nil {
			return
		}
		for _, to := range l.To {
			if strings.ContainsAny(to, "\r\n\x00") {
				t.Errorf("recipient %q", to)
			}
		}
		if _, err := io.Copy(io.Discard, l); err != nil {
			t.Error(err)
		}
	})
}

// FuzzParse: no command line panics.
func FuzzParse(f *testing.F) {
	f.Add("-t -i -f x")
	f.Fuzz(func(_ *testing.T, line string) { _, _ = Parse(strings.Fields(line)) })
}

// TestManyRecipients: of the command line and of the header.
func TestManyRecipients(t *testing.T) {
	for n, ok := range map[int]bool{MaxRecipients: true, MaxRecipients + 1: false} {
		if _, err := Parse(slices.Repeat([]string{"a@b"}, n)); (err == nil) != ok {
			t.Errorf("%d arguments: %v", n, err)
		}
		var to strings.Builder
		for i := range n {
			fmt.Fprintf(&to, "To: a%d@b\n", i)
		}
		if l, _, err := open(t, "-t", to.String()+"\n"); (err == nil) != ok || ok && len(l.To) != n {
			t.Errorf("%d in the header: %v", n, err)
		}
	}
}

// TestTimes: a server that does not answer is waited for as long as the limits say.
func TestTimes(t *testing.T) {
	for name, c := range map[string]struct {
		dial func(ctx context.Context, network, addr string) (net.Conn, error)
		want time.Duration
	}{
		"DialTime": {func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }, DialTime},
		"SendTime": {func(context.Context, string, string) (net.Conn, error) { nc, _ := net.Pipe(); return nc, nil }, SendTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				err := Server{Host: "mail.test", Port: "25", dialer: c.dial}.Send(t.Context(), &Letter{}, "me.test")
				if err == nil || time.Since(start) != c.want {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
			})
		})
	}
}
