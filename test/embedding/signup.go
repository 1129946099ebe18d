// Package signup is an example of somebody else's module: it mails a code to
// who signs up, and its test reads that mail with eidertest.
package signup

import (
	"fmt"
	"net/smtp"
)

// Mailer sends through one SMTP server.
type Mailer struct{ Addr, User, Pass string }

// Confirm mails a code.
func (m Mailer) Confirm(to, code string) error {
	text := fmt.Sprintf("From: Shop <shop@example.com>\r\nTo: %s\r\nSubject: Confirm your address\r\n\r\n"+
		"Your code is %s\r\nor open https://shop.example.com/confirm?code=%s\r\n", to, code, code)
	host := "127.0.0.1"
	return smtp.SendMail(m.Addr, smtp.PlainAuth("", m.User, m.Pass, host), "shop@example.com", []string{to}, []byte(text))
}
