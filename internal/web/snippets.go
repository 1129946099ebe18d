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
	out = append(out, rails(v), spring(v), golang(v), dotnet(v), curl(v), swaks(v), msmtp(v),
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
})`, single(v.host), v.port, v.tls, single(v.user), single(v.pass)),
		Hint: "Or let Nodemailer make its own account: run with ETHEREAL_API=" + e.Web +
			" and call createTestAccount()."}
}

func python(v sender) []ui.Snippet {
	start := truth(v.starttls, "    smtp.starttls()\n", "")
	return []ui.Snippet{
		{ID: "python", Name: "Python", File: "send.py", Text: fmt.Sprintf(`import smtplib
from email.message import EmailMessage

msg = EmailMessage()
msg["From"] = %s
msg["To"] = "ada@example.com"
msg["Subject"] = "Hello"
msg.set_content("Caught by Eider.")

with smtplib.%s(%s, %d) as smtp:
%s    smtp.login(%s, %s)
    smtp.send_message(msg)`, double(v.user), truth(v.tls, "SMTP_SSL", "SMTP"), double(v.host), v.port, start,
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

$mail = new PHPMailer(true);
$mail->isSMTP();
$mail->Host = %s;
$mail->Port = %d;
$mail->SMTPAuth = true;
$mail->Username = %s;
$mail->Password = %s;
$mail->SMTPSecure = %s;
$mail->SMTPAutoTLS = %s;`, single(v.host), v.port, single(v.user), single(v.pass),
			v.choose("PHPMailer::ENCRYPTION_SMTPS", "PHPMailer::ENCRYPTION_STARTTLS", "''"),
			truth(v.secure(), "true", "false"))},
	}
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

func golang(v sender) ui.Snippet {
	hint := ""
	if !v.secure() && !loopback(v.host) {
		hint = "net/smtp sends a password in clear to localhost only: " +
			"leave the auth out (nil) where this server trusts you."
	}
	if v.tls {
		hint = "net/smtp speaks no TLS from the first byte by itself: dial with crypto/tls and use smtp.NewClient."
	}
	return ui.Snippet{ID: "go", Name: "Go", File: "main.go", Hint: hint, Text: fmt.Sprintf(`package main

import (
	"log"
	"net/smtp"
)

func main() {
	auth := smtp.PlainAuth("", %s, %s, %s)
	msg := []byte("From: app@example.com\r\nTo: ada@example.com\r\nSubject: Hello\r\n\r\nCaught by Eider.\r\n")
	err := smtp.SendMail(%s, auth, "app@example.com", []string{"ada@example.com"}, msg)
	if err != nil {
		log.Fatal(err)
	}
}`, double(v.user), double(v.pass), double(v.host), double(fmt.Sprintf("%s:%d", v.urlHost(), v.port)))}
}

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

func curl(v sender) ui.Snippet {
	scheme := v.choose("smtps", "smtp", "smtp")
	return ui.Snippet{ID: "curl", Name: "curl", File: "shell", Text: fmt.Sprintf(
		`printf 'From: app@example.com\nTo: ada@example.com\nSubject: Hello\n\nCaught by Eider.\n' |
  curl %s://%s:%d%s --user %s \
    --mail-from app@example.com --mail-rcpt ada@example.com --upload-file -`,
		scheme, v.urlHost(), v.port, truth(v.starttls, " --ssl-reqd", ""), shell(v.user+":"+v.pass))}
}

func swaks(v sender) ui.Snippet {
	return ui.Snippet{ID: "swaks", Name: "swaks", File: "shell", Text: fmt.Sprintf(
		`swaks --server %s --port %d%s \
  --auth PLAIN --auth-user %s --auth-password %s \
  --from app@example.com --to ada@example.com --header 'Subject: Hello'`,
		v.urlHost(), v.port, v.choose(" --tlsc", " --tls", ""), shell(v.user), shell(v.pass))}
}

func msmtp(v sender) ui.Snippet {
	return ui.Snippet{ID: "msmtp", Name: "msmtp", File: "~/.msmtprc", Text: fmt.Sprintf(`account eider
host %s
port %d
tls %s
tls_starttls %s
auth plain
user %s
password %s
from app@example.com

account default : eider`, v.host, v.port, truth(v.secure(), "on", "off"), truth(v.starttls, "on", "off"),
		v.user, double(v.pass))}
}

// envFile is the account as environment variables.
func envFile(e advert.Endpoints, user, pass string) string {
	var b strings.Builder
	add := func(prefix string, v advert.Service) {
		if v.IsZero() {
			return
		}
		fmt.Fprintf(&b, "%s_HOST=%s\n%s_PORT=%d\n%s_USER=%s\n%s_PASS=%s\n%s_SECURE=%t\n",
			prefix, v.Host, prefix, v.Port, prefix, shell(user), prefix, shell(pass), prefix, v.Secure)
	}
	add("SMTP", e.SMTP)
	add("IMAP", e.IMAP)
	add("POP3", e.POP3)
	return strings.TrimSuffix(b.String(), "\n")
}

// firstStep sends a first message from a shell: no code needed. A trusted
// visitor needs no password either, mail to the account's own address finds it.
func firstStep(e advert.Endpoints, user string, trusted bool) []ui.Snippet {
	if e.SMTP.IsZero() {
		return nil
	}
	v := sender{host: e.SMTP.Host, port: e.SMTP.Port, user: user, pass: placeholder,
		tls: e.SMTP.Security == advert.TLS, starttls: e.SMTP.Security == advert.StartTLS}
	if !trusted || v.secure() {
		return []ui.Snippet{curl(v)}
	}
	return []ui.Snippet{{ID: "curl", Name: "curl", File: "shell", Text: fmt.Sprintf(
		`printf 'From: app@example.com\nSubject: Hello\n\nCaught by Eider.\n' |
  curl smtp://%s:%d --mail-from app@example.com \
    --mail-rcpt %s --upload-file -`, v.urlHost(), v.port, shell(user))}}
}
