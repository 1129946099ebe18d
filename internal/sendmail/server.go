package sendmail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/smtp"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// Limit: time for sendmail to reach the SMTP server.
const DialTime = 10 * time.Second

// Limit: time for sendmail to hand one message over.
const SendTime = 10 * time.Minute

// DefaultServer is where a server with its defaults takes mail on this machine.
const DefaultServer = "localhost:1025"

// Server is where mail is handed to.
type Server struct {
	Host, Port string
	TLS        bool // from the first byte
	User, Pass string
	CA         *x509.CertPool // nil: the system's

	// dialer opens the connection, in tests; nil: a net.Dialer.
	dialer func(ctx context.Context, network, addr string) (net.Conn, error)
}

// ParseServer reads HOST:PORT, PORT, smtp://HOST:PORT or smtps://HOST:PORT, and
// the forms in which a server's own setting is written (":1025", "0.0.0.0:1025").
// "" is DefaultServer.
func ParseServer(s string) (Server, error) {
	var v Server
	text := strings.TrimSpace(s)
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		if scheme != "smtp" && scheme != "smtps" {
			return v, fmt.Errorf("%q is no address of an SMTP server: write HOST:PORT", s)
		}
		v.TLS, text = scheme == "smtps", strings.TrimRight(rest, "/")
	}
	switch {
	case text == "":
		text = DefaultServer
	case strings.EqualFold(text, "off"):
		return v, errors.New("SMTP is off: name a server as HOST:PORT")
	}
	if _, err := strconv.ParseUint(text, 10, 16); err == nil {
		text = ":" + text
	}
	var err error
	if v.Host, v.Port, err = net.SplitHostPort(text); err != nil {
		return v, fmt.Errorf("%q is no address of an SMTP server: write HOST:PORT", s)
	}
	if n, err := strconv.ParseUint(v.Port, 10, 16); err != nil || n == 0 {
		return v, fmt.Errorf("%q has no usable port", s)
	}
	if ip, err := netip.ParseAddr(v.Host); v.Host == "" || err == nil && ip.IsUnspecified() {
		v.Host = "localhost"
	}
	return v, nil
}

// Addr is host:port.
func (v Server) Addr() string { return net.JoinHostPort(v.Host, v.Port) }

func (v Server) tls() *tls.Config {
	return &tls.Config{ServerName: v.Host, RootCAs: v.CA, MinVersion: tls.VersionTLS12}
}

// dial opens a connection whose time is bounded.
func (v Server) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, DialTime)
	defer cancel()
	open := v.dialer
	if open == nil {
		open = new(net.Dialer).DialContext
	}
	nc, err := open(ctx, "tcp", v.Addr())
	if err != nil {
		return nil, fmt.Errorf("no SMTP server answers at %s (%w): start eider, or set EIDER_SMTP=HOST:PORT", v.Addr(), err)
	}
	if v.TLS {
		t := tls.Client(nc, v.tls())
		if err := t.HandshakeContext(ctx); err != nil {
			nc.Close()
			return nil, fmt.Errorf("%s: %w", v.Addr(), err)
		}
		nc = t
	}
	return nc, nc.SetDeadline(time.Now().Add(SendTime))
}

// Send hands a letter over.
func (v Server) Send(ctx context.Context, l *Letter, hello string) error {
	nc, err := v.dial(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	c, err := smtp.NewClient(nc, v.Host)
	if err != nil {
		return v.said(err)
	}
	if err := c.Hello(hello); err != nil {
		return v.said(err)
	}
	if ok, _ := c.Extension("STARTTLS"); ok && !v.TLS {
		if err := c.StartTLS(v.tls()); err != nil {
			return v.said(err)
		}
	}
	if v.User != "" {
		if err := c.Auth(&plain{v.User, v.Pass, nc.RemoteAddr()}); err != nil {
			return v.said(err)
		}
	}
	if err := c.Mail(l.From); err != nil {
		return v.said(err)
	}
	for _, to := range l.To {
		if err := c.Rcpt(to); err != nil {
			return v.said(fmt.Errorf("%s: %w", to, err))
		}
	}
	w, err := c.Data()
	if err != nil {
		return v.said(err)
	}
	if _, err = io.Copy(w, l); err != nil {
		return v.said(err) // the connection ends without the dot: nothing is sent
	}
	if err := w.Close(); err != nil {
		return v.said(err)
	}
	_ = c.Quit() // the message is there; how the goodbye goes changes nothing
	return nil
}

func (v Server) said(err error) error { return fmt.Errorf("%s: %w", v.Addr(), err) }

// Talk passes SMTP between a program and the server until either ends.
func (v Server) Talk(ctx context.Context, in io.Reader, out io.Writer) error {
	nc, err := v.dial(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	go func() {
		_, _ = io.Copy(nc, in)
		// The program is done: what the server still says is passed on.
		if h, ok := nc.(interface{ CloseWrite() error }); ok {
			_ = h.CloseWrite()
		}
	}()
	_, err = io.Copy(out, nc)
	return err
}

// plain is AUTH PLAIN (RFC 4616). A password goes in clear only to this
// machine or its private networks, and only where the server asks for it so.
type plain struct {
	user, pass string
	peer       net.Addr
}

func (p *plain) Start(s *smtp.ServerInfo) (string, []byte, error) {
	if !s.TLS && !p.near() {
		return "", nil, errors.New("the password would go in clear: use smtps://HOST:PORT")
	}
	return "PLAIN", []byte("\x00" + p.user + "\x00" + p.pass), nil
}

func (p *plain) near() bool {
	t, ok := p.peer.(*net.TCPAddr)
	if !ok {
		return false
	}
	a := t.AddrPort().Addr().Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
}

func (p *plain) Next(_ []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	return nil, errors.New("the server asks for more than PLAIN")
}

// The exit codes of sysexits.h that callers of sendmail know.
const (
	ExitUsage       = 64
	ExitDataErr     = 65
	ExitUnavailable = 69
	ExitTempFail    = 75
	ExitNoPerm      = 77
)

// ExitCode is what the caller is told: whether to try again.
func ExitCode(err error) int {
	var reply *textproto.Error
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrNoRecipients), errors.Is(err, ErrAddress):
		return ExitUsage
	case errors.Is(err, ErrHeader):
		return ExitDataErr
	case errors.As(err, &reply) && (reply.Code == 530 || reply.Code == 535):
		return ExitNoPerm
	case errors.As(err, &reply) && reply.Code >= 500:
		return ExitUnavailable
	}
	return ExitTempFail
}
