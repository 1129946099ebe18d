package smtp_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/smtp"
)

// A line without end is not read for ever.
func TestLimits_EndlessLine(t *testing.T) {
	t.Parallel()
	b := &backend{}
	c := pipe(t, b.options())
	c.reply()
	go func() {
		chunk := strings.Repeat("x", 64<<10)
		for {
			if _, err := io.WriteString(c.nc, chunk); err != nil {
				return
			}
		}
	}()
	c.play([][2]string{{"", "500 Line too long"}, {"", "EOF"}})
}

// A message that drips in is given up in the end.
func TestLimits_DrippingMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		o := b.options()
		o.MaxSize = 1 << 20
		c := pipe(t, o)
		c.play([][2]string{{"", "220 "}, {hello, "250-"}, {"MAIL FROM:<a@b>\r\n", "250 "}, {"RCPT TO:<c@d>\r\n", "250 "},
			{"DATA\r\n", "354 "}})
		start := time.Now()
		c.nc.SetDeadline(time.Time{})
		dripped := make(chan struct{})
		go func() {
			defer close(dripped)
			for {
				if _, err := io.WriteString(c.nc, "x"); err != nil {
					return
				}
				time.Sleep(smtp.DataTimeout / 2)
			}
		}()
		line, _ := c.r.ReadString('\n')
		if d := time.Since(start); !strings.HasPrefix(line, "421 ") || d != smtp.MessageTimeout {
			t.Errorf("%q after %v", line, d)
		}
		c.nc.Close()
		<-c.done
		<-dripped
		if len(b.messages) != 0 {
			t.Error("half a message was stored")
		}
	})
}

// A handshake that does not go on is given up.
func TestLimits_Handshake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		o := b.options()
		o.TLS, o.ImplicitTLS = certificate(t), true
		start := time.Now()
		c := pipe(t, o)
		<-c.done
		if d := time.Since(start); d != smtp.HandshakeTimeout {
			t.Errorf("after %v", d)
		}
		if e := b.record.Events; len(e) != 1 || e[0].Cause != smtp.CauseHandshake {
			t.Errorf("events %+v", e)
		}
	})
}

// One connection too many is told so; the last word reaches a client over TCP
// although it is still sending.
func TestServe_Refusals(t *testing.T) {
	t.Parallel()
	b := &backend{}
	o := b.options()
	o.Mode = smtp.MX
	o.Conns.MaxConns = 1
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- smtp.New(o).Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done })
	dial := func() *client {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		return &client{t: t, nc: nc, r: bufio.NewReader(nc)}
	}
	first := dial()
	first.play([][2]string{{"", "220 "}})
	dial().play([][2]string{{"", "421 4.3.2 Too many connections"}, {"", "EOF"}})
	go io.WriteString(first.nc, "POST / HTTP/1.1\r\nHost: x\r\n\r\n"+strings.Repeat(toData+"x\r\n.\r\n", 2000))
	first.play([][2]string{{"", "554 5.5.1 This is an SMTP port"}, {"", "EOF"}})
	if len(b.messages) != 0 {
		t.Error("a browser had a message stored")
	}
}
