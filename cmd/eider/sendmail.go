package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/sendmail"
)

type sendmailCmd struct {
	Args []string `arg:"" optional:""`
}

const sendmailHelp = `Usage: eider sendmail [-t] [-i] [-f SENDER] [-F NAME] [RECIPIENT…] < MESSAGE

Takes the place of sendmail for PHP's mail(), cron, git send-email and others.

  -t          take the recipients of the fields To, Cc and Bcc, too
  -i, -oi     a line that is a single dot does not end the message
  -f SENDER   the envelope's sender
  -F NAME     the name for a From field that is missing
  -bs         speak SMTP on standard input and output

Sendmail's other options are taken and have no effect.

  EIDER_SMTP              HOST:PORT of the server, smtps:// before it for TLS (localhost:1025)
  EIDER_USER, EIDER_PASS  the account that gets the mail; without them the catch-all does
  EIDER_CA                file with the certificate to trust for TLS
`

// Run is sendmail. Its errors have the exit codes of sysexits.h.
func (c *sendmailCmd) Run(p *process) error {
	cmd, err := sendmail.Parse(c.Args)
	if err != nil {
		return p.sendmailFailed(sendmail.ExitUsage, err)
	}
	switch cmd.Mode {
	case sendmail.Help:
		_, err := io.WriteString(p.stdout, sendmailHelp)
		return err
	case sendmail.Queue:
		_, err := fmt.Fprintln(p.stdout, "Mail queue is empty")
		return err
	case sendmail.Aliases:
		return nil
	}
	server, err := p.sendmailServer()
	if err != nil {
		return p.sendmailFailed(sendmail.ExitUsage, err)
	}
	if cmd.Mode == sendmail.Talk {
		err = server.Talk(p.ctx, os.Stdin, p.stdout)
		return p.sendmailFailed(sendmail.ExitCode(err), err)
	}
	self := p.self()
	letter, err := cmd.Open(os.Stdin, self, time.Now())
	if err == nil {
		err = server.Send(p.ctx, letter, self.Host)
	}
	return p.sendmailFailed(sendmail.ExitCode(err), err)
}

func (p *process) sendmailFailed(code int, err error) error {
	if err == nil {
		return nil
	}
	fmt.Fprintf(p.stderr, "eider sendmail: %v\n", err)
	return exitError(code)
}

// sendmailServer is where the environment says.
func (p *process) sendmailServer() (sendmail.Server, error) {
	get := func(k string) string { v, _ := p.env(k); return v }
	v, err := sendmail.ParseServer(get("EIDER_SMTP"))
	if err != nil {
		return v, fmt.Errorf("EIDER_SMTP: %w", err)
	}
	v.User, v.Pass = get("EIDER_USER"), get("EIDER_PASS")
	if file := get("EIDER_CA"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return v, fmt.Errorf("EIDER_CA: %w", err)
		}
		v.CA = x509.NewCertPool()
		if !v.CA.AppendCertsFromPEM(pem) {
			return v, errors.New("EIDER_CA: there is no certificate in " + file)
		}
	}
	return v, nil
}

// self is who runs the command, as other sendmails put it.
func (p *process) self() sendmail.Self {
	s := sendmail.Self{User: "nobody", Host: "localhost"}
	if u, err := user.Current(); err == nil && u.Username != "" {
		s.User = u.Username[strings.LastIndexByte(u.Username, '\\')+1:] // DOMAIN\name
	} else if v, _ := p.env("USER"); v != "" {
		s.User = v
	}
	if h, err := os.Hostname(); err == nil && h != "" {
		s.Host = h
	}
	return s
}

// calledAs makes a command of the name that the program was called by, so
// that a link named sendmail is a sendmail.
func calledAs(args []string) []string {
	name := strings.TrimSuffix(filepath.Base(args[0]), ".exe")
	switch name {
	case "sendmail":
		return append([]string{"sendmail"}, args[1:]...)
	case "mailq":
		return []string{"sendmail", "-bp"}
	case "newaliases":
		return []string{"sendmail", "-bi"}
	}
	return args[1:]
}
