// Package eidertest starts a whole mail server inside a Go test: SMTP to send
// to, web pages, IMAP, POP3 and a JSON API to read from, on free loopback
// ports, in memory, gone when the test ends.
//
//	func TestSignup(t *testing.T) {
//		srv := eidertest.New(t)
//		inbox := srv.Account(t)
//		app := startMyApp(srv.SMTPAddr(), inbox.User, inbox.Pass)
//
//		app.SignUp("ada@example.com")
//
//		msg := inbox.Wait(t, eidertest.Match{To: "ada@example.com", Subject: "Confirm"})
//		app.Confirm(msg.Codes[0])
//	}
//
// A program that cannot log in may send without a password: such mail is found
// in the account of its recipient, or in CatchAll. Nothing is ever delivered
// to anybody.
//
// It promises that New returns when all listeners serve, that mail is readable
// as soon as the server has said 250, that nothing is left running after the
// test, and that no database driver is linked into the test's program. Its
// exported names use types of the standard library only.
package eidertest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/obs"
	"github.com/eidermail/eider/internal/server"
)

// Pace: time that the server may take to start or to stop.
const startTime = 30 * time.Second

// Server is a running server.
type Server struct {
	addrs  map[string]string
	url    string
	ca     []byte
	catch  *Account
	client *http.Client
}

// Option changes the server that New starts.
type Option func(map[string]string)

// Setting sets what `eider serve` takes as a flag: Setting("retention", "5s"),
// Setting("account-quota", "1MB"), Setting("message-limit", "64KB").
func Setting(flag, value string) Option {
	return func(m map[string]string) { m[flag] = value }
}

// New starts a server and ends it with the test.
func New(t testing.TB, opts ...Option) *Server {
	t.Helper()
	settings := map[string]string{"store": "memory", "data": t.TempDir()}
	for l := range strings.FieldsSeq("http https smtp smtps mx lmtp imap imaps pop3 pop3s admin") {
		settings[l] = "127.0.0.1:0"
	}
	for _, o := range opts {
		o(settings)
	}
	noEnv := func(string) (string, bool) { return "", false }
	cfg, err := config.Load(config.Sources{Env: noEnv, Flags: settings})
	if err != nil {
		t.Fatalf("eidertest: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	srv, err := server.New(ctx, server.Options{Config: cfg, KV: memkv.New(), Bus: membus.New(),
		Limiter: membus.NewLimits(nil),
		Log:     obs.NewLogger(&testLog{t}, obs.LogOptions{Level: 4})})
	if err != nil {
		stop()
		t.Fatalf("eidertest: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	s := &Server{addrs: srv.Addrs(), url: srv.WebURL(), ca: srv.CAPEM(),
		client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		stop()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("eidertest: %v", err)
			}
		case <-time.After(startTime):
			t.Error("eidertest: the server did not stop")
		}
	})
	select {
	case <-srv.Ready():
	case err := <-done:
		done <- err
		t.Fatalf("eidertest: the server did not start: %v", err)
	case <-time.After(startTime):
		t.Fatal("eidertest: the server did not start")
	}
	user, pass := srv.CatchAll()
	s.catch = s.account(user, pass)
	return s
}

// testLog shows the server's warnings with the test.
type testLog struct{ t testing.TB }

func (l *testLog) Write(b []byte) (int, error) {
	l.t.Logf("eider: %s", bytes.TrimSpace(b))
	return len(b), nil
}

// URL is the address of the web pages and the API without a slash at the end:
// what Nodemailer takes as ETHEREAL_API.
func (s *Server) URL() string { return s.url }

// SMTPAddr is host:port of SMTP submission.
func (s *Server) SMTPAddr() string { return s.addrs["smtp"] }

// SMTPSAddr is host:port of SMTP submission with TLS from the first byte.
func (s *Server) SMTPSAddr() string { return s.addrs["smtps"] }

// MXAddr is host:port where other mail servers would deliver.
func (s *Server) MXAddr() string { return s.addrs["mx"] }

// LMTPAddr is host:port of LMTP.
func (s *Server) LMTPAddr() string { return s.addrs["lmtp"] }

// IMAPAddr is host:port of IMAP.
func (s *Server) IMAPAddr() string { return s.addrs["imap"] }

// IMAPSAddr is host:port of IMAP with TLS from the first byte.
func (s *Server) IMAPSAddr() string { return s.addrs["imaps"] }

// POP3Addr is host:port of POP3.
func (s *Server) POP3Addr() string { return s.addrs["pop3"] }

// POP3SAddr is host:port of POP3 with TLS from the first byte.
func (s *Server) POP3SAddr() string { return s.addrs["pop3s"] }

// TLS is a client's configuration that trusts the server's certificate.
func (s *Server) TLS() *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.ca)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// CatchAll is the account that gets mail sent without a password to addresses
// that no account has.
func (s *Server) CatchAll() *Account { return s.catch }

// Wait waits in CatchAll; see Account.Wait.
func (s *Server) Wait(t testing.TB, m Match) *Message {
	t.Helper()
	return s.catch.Wait(t, m)
}

// Account makes a fresh account.
func (s *Server) Account(t testing.TB) *Account {
	t.Helper()
	resp, err := s.client.Post(s.url+"/user", "application/json", strings.NewReader(`{"requestor":"eidertest"}`))
	if err != nil {
		t.Fatalf("eidertest: %v", err)
	}
	defer resp.Body.Close()
	var a struct{ Status, Error, User, Pass string }
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || a.Status != "success" {
		t.Fatalf("eidertest: no account: %v %s", err, a.Error)
	}
	return s.account(a.User, a.Pass)
}

func (s *Server) account(user, pass string) *Account {
	return &Account{User: user, Pass: pass, s: s, seen: map[string]bool{}}
}

// Error is an answer of the server that was not expected.
type Error struct {
	Status int // of HTTP
	Text   string
}

func (e *Error) Error() string { return fmt.Sprintf("eidertest: status %d: %s", e.Status, e.Text) }
