package web

import (
	"fmt"
	"strings"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/web/ui"
)

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

// mutt sends and reads.
func mutt(v sender, e advert.Endpoints) ui.Snippet {
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(s) + `"`
	}
	text := fmt.Sprintf(`set from = "app@example.com"
set smtp_url = %s
set smtp_pass = %s
set smtp_authenticators = "plain"
set ssl_starttls = %s
set ssl_force_tls = %s`, quote(v.withoutPass(v.choose("smtps", "smtp", "smtp"))), quote(v.pass),
		truth(v.starttls, "yes", "no"), truth(v.secure(), "yes", "no"))
	if e.IMAP.IsZero() {
		return ui.Snippet{ID: "mutt", Name: "mutt", File: "~/.muttrc", Text: text}
	}
	in := sender{host: e.IMAP.Host, port: e.IMAP.Port, user: v.user}
	text += fmt.Sprintf(`

set folder = %s
set spoolfile = "+INBOX"
set imap_pass = %s`, quote(in.withoutPass(truth(e.IMAP.Secure, "imaps", "imap"))+"/"), quote(v.pass))
	return ui.Snippet{ID: "mutt", Name: "mutt", File: "~/.muttrc", Text: text}
}

// withoutPass is url without the password.
func (v sender) withoutPass(scheme string) string {
	whole := v.url(scheme)
	at := strings.LastIndexByte(whole, '@')
	return whole[:strings.LastIndexByte(whole[:at], ':')] + whole[at:]
}

func gitSend(v sender) ui.Snippet {
	return ui.Snippet{ID: "git", Name: "git send-email", File: "shell", Text: fmt.Sprintf(
		`git config sendemail.smtpServer %s
git config sendemail.smtpServerPort %d
git config sendemail.smtpEncryption %s
git config sendemail.smtpUser %s
git config sendemail.smtpPass %s
git send-email --from app@example.com --to ada@example.com --confirm never -1`,
		shell(v.host), v.port, v.choose("ssl", "tls", "none"), shell(v.user), shell(v.pass))}
}

// phpMail is PHP's own function, which calls a sendmail.
func phpMail(v sender) ui.Snippet {
	at := fmt.Sprintf("%s%s:%d", truth(v.tls, "smtps://", ""), v.urlHost(), v.port)
	command := fmt.Sprintf("env EIDER_SMTP=%s EIDER_USER=%s EIDER_PASS=%s eider sendmail -t -i", shell(at), shell(v.user),
		shell(v.pass))
	return ui.Snippet{ID: "phpmail", Name: "PHP mail()", File: "php.ini",
		Text: `sendmail_path = "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(command) + `"`,
		Hint: "With the eider program on the machine where PHP runs."}
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
