package server

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteBanner tells a person at a terminal where everything is. It shows the
// catch-all's password, so it must never go into a log.
func (s *Server) WriteBanner(w io.Writer) {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	addrs := s.Addrs()
	line := func(what, where string) { fmt.Fprintf(t, "  %s\t%s\n", what, where) }
	both := func(what, plain, tls string) {
		a := addrs[plain]
		if c := addrs[tls]; c != "" {
			if a != "" {
				a += "\t"
			} else {
				a = "-\t"
			}
			a += c + " (TLS)"
		}
		if a != "" {
			line(what, a)
		}
	}
	fmt.Fprintf(&b, "\nEider %s is ready.\n\n", s.o.Version)
	line("Web", s.WebURL())
	both("SMTP", "smtp", "smtps")
	both("IMAP", "imap", "imaps")
	both("POP3", "pop3", "pop3s")
	for _, l := range [][2]string{{"MX", "mx"}, {"LMTP", "lmtp"}, {"Admin", "admin"}} {
		if a := addrs[l[1]]; a != "" {
			line(l[0], a)
		}
	}
	if ca := s.certs.CAFile(); ca != "" {
		line("CA", ca)
	}
	if s.catch.Acct != 0 {
		pass := s.catch.Password
		if pass == "" {
			pass = "(the one that was set)"
		}
		line("Catch-all", s.catch.Address+"\t"+pass)
	}
	line("Nodemailer", "ETHEREAL_API="+s.WebURL())
	_ = t.Flush() // a strings.Builder never fails
	fmt.Fprintln(&b)
	_, _ = io.WriteString(w, b.String())
}
