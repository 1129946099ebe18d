package provision

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
)

// welcome puts a first, flagged message into the INBOX of an account that a
// person made.
func (p *Provisioner) welcome(ctx context.Context, acct mailstore.Account) error {
	m := p.o.Spool.Message()
	defer m.Close()
	now := p.o.Now()
	if _, err := m.Write([]byte(p.welcomeText(acct, now))); err != nil {
		return err
	}
	_, err := p.o.Store.Deposit(ctx, []mailstore.AcctID{acct.ID}, mailstore.Deposit{
		Flags: mailstore.Flagged,
		Envelope: mailstore.Envelope{
			To: []string{acct.Address}, ToCount: 1, Protocol: "internal", Received: now,
		},
	}, m)
	return err
}

// welcomeText is the message: ASCII, with CRLF (RFC 5322 §2.1).
func (p *Provisioner) welcomeText(acct mailstore.Account, now time.Time) string {
	stay := "Mail stays until you delete it."
	if p.o.Retention > 0 {
		stay = fmt.Sprintf("Each message is deleted %s after it came in.", span(p.o.Retention))
	}
	live := ""
	if !acct.ExpiresAt.IsZero() {
		live = "An account that nobody uses is removed after a while.\n"
	}
	text := fmt.Sprintf(`From: %[1]s <postmaster@%[2]s>
To: %[3]s <%[4]s>
Subject: Welcome to your %[1]s inbox
Date: %[5]s
Message-ID: <welcome.%[6]s@%[2]s>
MIME-Version: 1.0
Content-Type: text/plain; charset=us-ascii
Content-Transfer-Encoding: 7bit
Auto-Submitted: auto-generated

Hello %[3]s,

this inbox is yours: %[4]s

Point your application at the SMTP server shown on your account page. It may
write to any address it likes: nothing leaves this server, and every message
turns up here within a moment. Read it in the browser, with any IMAP or POP3
client, or through the API.

%[7]s
%[8]s
Have fun testing.
`, p.o.Product, p.o.Domain, acct.Name, acct.Address, now.Format(time.RFC1123Z), account.NewName(), stay, live)
	return strings.ReplaceAll(text, "\n", "\r\n")
}

// span says a duration in the largest unit that fits.
func span(d time.Duration) string {
	for _, u := range []struct {
		d    time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := int64(d / u.d); n == 1 {
			return "one " + u.name
		} else if n > 1 {
			return fmt.Sprintf("%d %ss", n, u.name)
		}
	}
	return "at once"
}
