package eidertest_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eidermail/eider/eidertest"
)

func send(t *testing.T, srv *eidertest.Server, a *eidertest.Account, to, subject string) {
	t.Helper()
	var auth smtp.Auth
	if a != nil {
		auth = smtp.PlainAuth("", a.User, a.Pass, "127.0.0.1")
	}
	msg := fmt.Sprintf("From: app@example.com\r\nTo: %s\r\nSubject: %s\r\n\r\nYour code is 428193\r\nhttps://app.test/c\r\n",
		to, subject)
	if err := smtp.SendMail(srv.SMTPAddr(), auth, "app@example.com", []string{to}, []byte(msg)); err != nil {
		t.Fatal(err)
	}
}

func TestWait(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Run("server", func(t *testing.T) {
		srv := eidertest.New(t)
		inbox := srv.Account(t)
		send(t, srv, inbox, "ada@example.com", "Welcome")
		send(t, srv, inbox, "bob@example.com", "Other")
		go func() {
			send(t, srv, inbox, "ada@example.com", "Second")
		}()
		m := inbox.Wait(t, eidertest.Match{To: "bob@example.com"})
		if m.Subject != "Other" {
			t.Errorf("subject %q", m.Subject)
		}
		m = inbox.Wait(t, eidertest.Match{To: "ada@example.com"})
		if m.Subject != "Welcome" || len(m.Codes) != 1 || m.Codes[0] != "428193" || len(m.Links) != 1 ||
			m.Header.Get("Subject") != "Welcome" || m.RcptTo[0] != "ada@example.com" || m.MailFrom != "app@example.com" {
			t.Errorf("message %+v", m)
		}
		if !bytes.HasSuffix(m.Raw, []byte("https://app.test/c\r\n")) {
			t.Errorf("raw %q", m.Raw)
		}
		if m = inbox.Wait(t, eidertest.Match{To: "ada@example.com"}); m.Subject != "Second" {
			t.Errorf("the next one is %q", m.Subject)
		}
		if all := inbox.Messages(t); len(all) != 3 || all[0].Subject != "Welcome" {
			t.Errorf("%d messages", len(all))
		}
		_, err := inbox.Next(t.Context(), eidertest.Match{Subject: "never", Timeout: 50 * time.Millisecond})
		if !errors.Is(err, eidertest.ErrTimeout) {
			t.Errorf("error %v", err)
		}
	})
}

func TestWithoutPassword(t *testing.T) {
	t.Parallel()
	srv := eidertest.New(t, eidertest.Setting("message-limit", "100KB"))
	inbox := srv.Account(t)
	send(t, srv, nil, "stranger@example.com", "For nobody")
	send(t, srv, nil, inbox.User, "For the account")
	if m := srv.Wait(t, eidertest.Match{}); m.Subject != "For nobody" {
		t.Errorf("catch-all got %q", m.Subject)
	}
	if m := inbox.Wait(t, eidertest.Match{}); m.Subject != "For the account" {
		t.Errorf("account got %q", m.Subject)
	}
	big := strings.Repeat("x", 200_000)
	err := smtp.SendMail(srv.SMTPAddr(), nil, "a@b.test", []string{"c@d.test"}, []byte("Subject: x\r\n\r\n"+big))
	if err == nil || !strings.HasPrefix(err.Error(), "552") {
		t.Errorf("over the limit: %v", err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	srv := eidertest.New(t)
	for _, a := range []string{srv.SMTPSAddr(), srv.IMAPSAddr(), srv.POP3SAddr()} {
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", a, srv.TLS())
		if err != nil {
			t.Errorf("%s: %v", a, err)
			continue
		}
		c.Close()
	}
}

// TestLinksNoDriver: who tests with this package does not get a database.
func TestLinksNoDriver(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		for _, bad := range []string{"cockroachdb", "internal/boot", "pebblekv", "mongo", "pgx", "redis", "kong"} {
			if strings.Contains(dep, bad) {
				t.Errorf("links %s", dep)
			}
		}
	}
}
