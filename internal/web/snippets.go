package web

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/web/ui"
)

// sender is what a snippet is made of.
type sender struct {
	host, user, pass string
	port             int
	tls, starttls    bool
}

// secure tells that the connection is encrypted in one way or the other.
func (v sender) secure() bool { return v.tls || v.starttls }

// choose picks the word for the security of the connection.
func (v sender) choose(tls, starttls, none string) string {
	switch {
	case v.tls:
		return tls
	case v.starttls:
		return starttls
	}
	return none
}

// url writes scheme://user:pass@host:port, percent-encoded (RFC 3986 §3.2.1).
func (v sender) url(scheme string) string {
	esc := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	return fmt.Sprintf("%s://%s:%s@%s:%d", scheme, esc(v.user), esc(v.pass), v.urlHost(), v.port)
}

func (v sender) urlHost() string {
	if strings.Contains(v.host, ":") {
		return "[" + v.host + "]"
	}
	return v.host
}

// Quoting. Generated values need none of it; chosen ones might.
func single(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'" }
func double(s string) string { return strconv.Quote(s) }
func shell(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
func truth(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

// snippets are ready texts for the usual stacks, true for this server's mode
// and addresses.
func snippets(e advert.Endpoints, user, pass string) []ui.Snippet {
	if e.SMTP.IsZero() {
		return nil
	}
	v := sender{host: e.SMTP.Host, port: e.SMTP.Port, user: user, pass: pass,
		tls: e.SMTP.Security == advert.TLS, starttls: e.SMTP.Security == advert.StartTLS}
	out := []ui.Snippet{nodemailer(v, e)}
	out = append(out, python(v)...)
	out = append(out, php(v)...)
	out = append(out, ruby(v)...)
	out = append(out, spring(v), golang(v), dotnet(v), curl(v), swaks(v), msmtp(v), mutt(v, e), gitSend(v),
		ui.Snippet{ID: "env", Name: ".env", File: ".env", Text: envFile(e, user, pass)})
	return out
}

func nodemailer(v sender, e advert.Endpoints) ui.Snippet {
	return ui.Snippet{ID: "node", Name: "Nodemailer", File: "mailer.js", Text: fmt.Sprintf(
		`const nodemailer = require('nodemailer')

const transport = nodemailer.createTransport({
  host: %s,
  port: %d,
  secure: %t,
  auth: { user: %s, pass: %s }
})

transport.sendMail({
  from: 'app@example.com',
  to: 'ada@example.com',
  subject: 'Hello',
  text: 'Caught by Eider.'
}).then(info => console.log(info.response))`, single(v.host), v.port, v.tls, single(v.user), single(v.pass)),
		Hint: "Or let Nodemailer make its own account: run with ETHEREAL_API=" + e.Web +
			" and call createTestAccount()."}
}

func python(v sender) []ui.Snippet {
	start := truth(v.starttls, "    smtp.starttls()\n", "")
	return []ui.Snippet{
		{ID: "python", Name: "Python", File: "send.py", Text: fmt.Sprintf(`import smtplib
from email.message import EmailMessage

msg = EmailMessage()
msg["From"] = "app@example.com"
msg["To"] = "ada@example.com"
msg["Subject"] = "Hello"
msg.set_content("Caught by Eider.")

with smtplib.%s(%s, %d) as smtp:
%s    smtp.login(%s, %s)
    smtp.send_message(msg)`, truth(v.tls, "SMTP_SSL", "SMTP"), double(v.host), v.port, start,
			double(v.user), double(v.pass))},
		{ID: "django", Name: "Django", File: "settings.py", Text: fmt.Sprintf(
			`EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST = %s
EMAIL_PORT = %d
EMAIL_HOST_USER = %s
EMAIL_HOST_PASSWORD = %s
EMAIL_USE_TLS = %s
EMAIL_USE_SSL = %s`, double(v.host), v.port, double(v.user), double(v.pass), truth(v.starttls, "True", "False"),
			truth(v.tls, "True", "False")),
			Hint: "Django's TLS means STARTTLS and its SSL means TLS from the start; never set both."},
	}
}

func php(v sender) []ui.Snippet {
	scheme := v.choose("smtps", "smtp", "smtp")
	dsn := v.url(scheme)
	return []ui.Snippet{
		{ID: "laravel", Name: "Laravel", File: ".env", Text: fmt.Sprintf(`MAIL_MAILER=smtp
MAIL_SCHEME=%s
MAIL_HOST=%s
MAIL_PORT=%d
MAIL_USERNAME=%s
MAIL_PASSWORD=%s
MAIL_ENCRYPTION=%s`, scheme, v.host, v.port, double(v.user), double(v.pass), v.choose("ssl", "tls", "null")),
			Hint: "MAIL_SCHEME is read by Laravel 11 and later, MAIL_ENCRYPTION by older ones."},
		{ID: "symfony", Name: "Symfony", File: ".env", Text: "MAILER_DSN=" + dsn,
			Hint: "In a DSN the @ of the user name is written %40."},
		{ID: "phpmailer", Name: "PHPMailer", File: "mail.php", Text: fmt.Sprintf(`<?php
use PHPMailer\PHPMailer\PHPMailer;

require 'vendor/autoload.php';

$mail = new PHPMailer(true);
$mail->isSMTP();
$mail->Host = %s;
$mail->Port = %d;
$mail->SMTPAuth = true;
$mail->Username = %s;
$mail->Password = %s;
$mail->SMTPSecure = %s;
$mail->SMTPAutoTLS = %s;

$mail->setFrom('app@example.com');
$mail->addAddress('ada@example.com');
$mail->Subject = 'Hello';
$mail->Body = 'Caught by Eider.';
$mail->send();`, single(v.host), v.port, single(v.user), single(v.pass),
			v.choose("PHPMailer::ENCRYPTION_SMTPS", "PHPMailer::ENCRYPTION_STARTTLS", "''"),
			truth(v.secure(), "true", "false"))},
		phpMail(v),
	}
}

func ruby(v sender) []ui.Snippet {
	return []ui.Snippet{rails(v), {ID: "ruby", Name: "Ruby", File: "send.rb", Text: fmt.Sprintf(`require "mail"

Mail.defaults do
  delivery_method :smtp,
    address: %s,
    port: %d,
    user_name: %s,
    password: %s,
    authentication: :plain,
    %s
end

Mail.deliver do
  from "app@example.com"
  to "ada@example.com"
  subject "Hello"
  body "Caught by Eider."
end`, single(v.host), v.port, single(v.user), single(v.pass),
		v.choose("tls: true", "enable_starttls_auto: true", "enable_starttls_auto: false")),
		Hint: "With the mail gem."}}
}

func rails(v sender) ui.Snippet {
	return ui.Snippet{ID: "rails", Name: "Rails", File: "config/environments/development.rb", Text: fmt.Sprintf(
		`config.action_mailer.delivery_method = :smtp
config.action_mailer.smtp_settings = {
  address: %s,
  port: %d,
  user_name: %s,
  password: %s,
  authentication: :plain,
  %s
}`, single(v.host), v.port, single(v.user), single(v.pass),
		v.choose("tls: true", "enable_starttls: true", "enable_starttls_auto: false"))}
}

func spring(v sender) ui.Snippet {
	return ui.Snippet{ID: "spring", Name: "Spring Boot", File: "application.properties", Text: fmt.Sprintf(
		`spring.mail.host=%s
spring.mail.port=%d
spring.mail.username=%s
spring.mail.password=%s
spring.mail.properties.mail.smtp.auth=true
spring.mail.properties.mail.smtp.starttls.enable=%t
spring.mail.properties.mail.smtp.ssl.enable=%t`, v.host, v.port, property(v.user), property(v.pass),
		v.starttls, v.tls)}
}

// property escapes a value of a Java properties file.
func property(s string) string { return strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(s) }

// golang is net/smtp as this server needs it: SendMail upgrades by STARTTLS
// where that is offered, refuses a password in clear to other machines, and
// speaks no TLS from the first byte.
func golang(v sender) ui.Snippet {
	addr := double(fmt.Sprintf("%s:%d", v.urlHost(), v.port))
	auth := fmt.Sprintf(`smtp.PlainAuth("", %s, %s, %s)`, double(v.user), double(v.pass), double(v.host))
	const letter = `[]byte("From: app@example.com\r\nTo: ada@example.com\r\nSubject: Hello\r\n\r\nCaught by Eider.\r\n")`
	text := fmt.Sprintf(goPlain, auth, letter, addr)
	switch {
	case v.tls:
		text = fmt.Sprintf(goTLS, addr, double(v.host), auth, letter)
	case !v.starttls && !loopback(v.host):
		text = fmt.Sprintf(goPlain, "clear{"+auth+"}", letter, addr) + goClear
	}
	return ui.Snippet{ID: "go", Name: "Go", File: "main.go", Text: text}
}

const goPlain = `package main

import (
	"log"
	"net/smtp"
)

func main() {
	auth := %s
	msg := %s
	err := smtp.SendMail(%s, auth, "app@example.com", []string{"ada@example.com"}, msg)
	if err != nil {
		log.Fatal(err)
	}
}`

const goClear = `

// clear sends the password without TLS, which net/smtp does to localhost only.
type clear struct{ smtp.Auth }

func (c clear) Start(s *smtp.ServerInfo) (string, []byte, error) {
	near := *s
	near.TLS = true
	return c.Auth.Start(&near)
}`

const goTLS = `package main

import (
	"crypto/tls"
	"errors"
	"log"
	"net/smtp"
)

func main() {
	if err := send(); err != nil {
		log.Fatal(err)
	}
}

func send() error {
	// This port speaks TLS from the first byte, which SendMail does not.
	conn, err := tls.Dial("tcp", %s, nil)
	if err != nil {
		return err
	}
	c, err := smtp.NewClient(conn, %s)
	if err != nil {
		return err
	}
	defer c.Close()
	auth := %s
	err = errors.Join(c.Auth(auth), c.Mail("app@example.com"), c.Rcpt("ada@example.com"))
	if err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	msg := %s
	if _, err := w.Write(msg); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}`

func loopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

func dotnet(v sender) ui.Snippet {
	return ui.Snippet{ID: "dotnet", Name: ".NET", File: "Program.cs", Text: fmt.Sprintf(`using MailKit.Net.Smtp;
using MailKit.Security;
using MimeKit;

var message = new MimeMessage();
message.From.Add(MailboxAddress.Parse("app@example.com"));
message.To.Add(MailboxAddress.Parse("ada@example.com"));
message.Subject = "Hello";
message.Body = new TextPart("plain") { Text = "Caught by Eider." };

using var client = new SmtpClient();
client.Connect(%s, %d, SecureSocketOptions.%s);
client.Authenticate(%s, %s);
client.Send(message);
client.Disconnect(true);`, double(v.host), v.port, v.choose("SslOnConnect", "StartTls", "None"),
		double(v.user), double(v.pass)), Hint: "With the MailKit package."}
}
