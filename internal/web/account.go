package web

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/web/ui"
)

// placeholder stands in snippets for a password that is not known.
const placeholder = "YOUR-PASSWORD"

func (s *Site) account(c *call) error {
	a, err := s.o.Store.Account(c.ctx, c.id.Acct)
	if err != nil {
		return err
	}
	e := s.endpoints(c)
	password, err := s.password(c, a)
	if err != nil {
		return err
	}
	shown := password
	if shown == "" {
		shown = placeholder
	}
	_, fresh := c.r.URL.Query()["new"]
	v := ui.Account{Shell: s.shell(c, "Account", "account"), Address: a.Address, Name: a.Name, Password: password,
		Fresh: fresh && password != "", Services: services(own(e)), Snippets: snippets(e, a.Address, shown),
		EnvFile: envFile(e, a.Address, shown), Messages: a.Messages, Used: a.Bytes, Quota: a.Limits.Bytes,
		Keep: a.Limits.Retention, Expires: a.ExpiresAt, CatchAll: a.CatchAll,
		LinksOff: a.LinksOff}
	v.Connections, v.Others = s.ownConnections(a.Address), s.o.Stories != nil && s.trusted(c)
	if len(s.o.CA) > 0 {
		v.CAPath = "/ca.crt"
	}
	box, err := s.o.Store.Mailbox(c.ctx, a.ID, inbox)
	if err != nil {
		return err
	}
	v.Stream = streamPath(a.ID, box, a.Epoch)
	if v.First, err = s.newest(c, a.ID, box.ID); err != nil {
		return err
	}
	s.show(c, http.StatusOK, v)
	return nil
}

// own leaves out what is for other servers.
func own(e advert.Endpoints) advert.Endpoints {
	e.MX = advert.Service{}
	return e
}

// password is what can be shown: a new one, or the catch-all's to a trusted visitor.
func (s *Site) password(c *call, a mailstore.Account) (string, error) {
	if p := s.keptPassword(c); p != "" {
		return p, nil
	}
	if !a.CatchAll || s.o.Provision == nil || !s.trusted(c) {
		return "", nil
	}
	ca, err := s.o.Provision.CatchAll(c.ctx)
	if err != nil || ca.Acct != a.ID {
		return "", err
	}
	return ca.Password, nil
}

// newest is the address of the newest message that an application sent.
func (s *Site) newest(c *call, id mailstore.AcctID, box mailstore.MailboxID) (string, error) {
	es, err := s.o.Store.Entries(c.ctx, id, box, mailstore.Rows{Reverse: true, Limit: 1})
	if err != nil || len(es) == 0 {
		return "", err
	}
	infos, err := s.o.Store.Infos(c.ctx, id, es[0].Msg)
	if err != nil || len(infos) == 0 || infos[0].Envelope.Protocol == "internal" {
		return "", err // the welcome message is not what they wait for
	}
	return messagePath(es[0].Msg), nil
}

// credentials is the CSV of the account, in the shape that Ethereal's has.
func (s *Site) credentials(c *call) error {
	a, err := s.o.Store.Account(c.ctx, c.id.Acct)
	if err != nil {
		return err
	}
	password, err := s.password(c, a)
	if err != nil {
		return err
	}
	if password == "" {
		http.Redirect(c.w, c.r, "/account?done=unknown", http.StatusSeeOther)
		return nil
	}
	c.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	c.w.Header().Set("Content-Disposition", `attachment; filename="credentials.csv"`)
	_, err = c.w.Write([]byte(credentialsCSV(s.endpoints(c), a, password)))
	return ignore(err)
}

// credentialsCSV quotes each value, and leaves no value that a spreadsheet
// would take for a formula.
func credentialsCSV(e advert.Endpoints, a mailstore.Account, password string) string {
	var b strings.Builder
	line := func(cells ...string) {
		for i, v := range cells {
			if i > 0 {
				b.WriteByte(',')
			}
			if v != "" && strings.ContainsRune("=+-@\t\r", rune(v[0])) {
				v = "'" + v
			}
			b.WriteString(`"` + strings.ReplaceAll(v, `"`, `""`) + `"`)
		}
		b.WriteString("\n")
	}
	line("Service", "Name", "Username", "Password", "Hostname", "Port", "Security")
	for _, v := range services(own(e)) {
		line(v.Name, a.Name, a.Address, password, v.Host, strconv.Itoa(v.Port), v.Security)
	}
	return b.String()
}

// newPassword gives the account another password and shows it.
func (s *Site) newPassword(c *call) error {
	a, err := s.o.Store.Account(c.ctx, c.id.Acct)
	if err != nil {
		return err
	}
	if a.CatchAll || s.o.Provision == nil {
		return &mailstore.Error{Op: "new password", Kind: mailstore.Permission}
	}
	password, err := s.o.Provision.NewPassword(c.ctx, a.ID)
	if err != nil {
		return err
	}
	if a, err = s.o.Store.Account(c.ctx, a.ID); err != nil {
		return fmt.Errorf("web: after a new password: %w", err)
	}
	id := auth.Identity{Acct: a.ID, Address: a.Address, Generated: a.Generated, CredEpoch: a.CredEpoch,
		LinkEpoch: a.LinkEpoch}
	s.logIn(c, id, true)
	s.keepPassword(c, id, password)
	http.Redirect(c.w, c.r, "/account?done=password", http.StatusSeeOther)
	return nil
}

// endLinks ends the links there are, or switches all links off or on.
func (s *Site) endLinks(c *call) error {
	var err error
	switch c.r.PostFormValue("do") {
	case "", "end":
		err = s.o.Store.EndLinks(c.ctx, c.id.Acct)
	case "off":
		err = s.o.Store.SetLinks(c.ctx, c.id.Acct, false)
	case "on":
		err = s.o.Store.SetLinks(c.ctx, c.id.Acct, true)
	default:
		return errForm
	}
	if err != nil {
		return err
	}
	http.Redirect(c.w, c.r, "/account?done=links", http.StatusSeeOther)
	return nil
}

func (s *Site) deleteAccount(c *call) error {
	a, err := s.o.Store.Account(c.ctx, c.id.Acct)
	if err != nil {
		return err
	}
	if a.CatchAll {
		return &mailstore.Error{Op: "delete account", Kind: mailstore.Permission}
	}
	if err := s.o.Store.DeleteAccount(c.ctx, a.ID); err != nil {
		return err
	}
	s.logOut(c)
	s.forget(c)
	http.Redirect(c.w, c.r, "/?done=gone", http.StatusSeeOther)
	return nil
}
