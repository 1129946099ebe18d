package web

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/provision"
	"github.com/eidermail/eider/internal/web/ui"
)

// endpoints are the addresses to tell this visitor.
func (s *Site) endpoints(c *call) advert.Endpoints { return s.o.Advert.For(c.r.Host, c.r.TLS != nil) }

// trusted tells whether the visitor has dev trust.
func (s *Site) trusted(c *call) bool { return s.o.Policy.Trusted(c.peer, c.proxy) }

func services(e advert.Endpoints) []ui.Service {
	var out []ui.Service
	add := func(name, what string, v advert.Service) {
		if v.IsZero() {
			return
		}
		out = append(out, ui.Service{Name: name, What: what, Host: v.Host, Port: v.Port, Security: v.Security})
	}
	add("SMTP", "sending", e.SMTP)
	add("IMAP", "reading", e.IMAP)
	add("POP3", "reading", e.POP3)
	add("MX", "from other servers", e.MX)
	return out
}

func (s *Site) home(c *call) error {
	e := s.endpoints(c)
	v := ui.Home{Shell: s.shell(c, "Catch every mail your application sends", ""), Base: e.Web, SMTP: e.SMTP.Addr(),
		Dev: s.trusted(c), Keep: s.o.Policy.Retention(), Quota: s.o.Limits.Bytes, MaxSize: s.o.Policy.MessageLimit(),
		CanCreate: s.o.Provision != nil && s.o.Policy.CreateMode() == "open"}
	v.CatchAll = v.Dev && s.o.Policy.CatchAll() != 0
	s.show(c, http.StatusOK, v)
	return nil
}

func (s *Site) createPage(c *call) error {
	s.show(c, http.StatusOK, ui.Create{Shell: s.shell(c, "Create an account", ""), Keep: s.o.Policy.Retention(),
		Mode: s.o.Policy.CreateMode()})
	return nil
}

// create makes an account, logs the visitor in and shows the password once.
func (s *Site) create(c *call) error {
	if s.o.Provision == nil {
		return errNoPage
	}
	made, err := s.o.Provision.Create(c.ctx, provision.Request{Requestor: "web", Friendly: true, Host: c.r.Host,
		TLS: c.r.TLS != nil, Peer: c.peer, ViaProxy: c.proxy, Token: strings.TrimSpace(c.r.PostFormValue("token"))})
	if err != nil {
		return err
	}
	s.logIn(c, made.Identity, true)
	s.keepPassword(c, made.Identity, made.Pass)
	http.Redirect(c.w, c.r, "/account?new", http.StatusSeeOther)
	return nil
}

// openCatchAll logs a trusted visitor into the catch-all (dev mode only).
func (s *Site) openCatchAll(c *call) error {
	id := s.o.Policy.CatchAll()
	if id == 0 || !s.trusted(c) {
		return &mailstore.Error{Op: "catch-all", Kind: mailstore.Permission}
	}
	a, err := s.o.Store.Account(c.ctx, id)
	if err != nil {
		return err
	}
	s.logIn(c, auth.Identity{Acct: a.ID, Address: a.Address, Generated: a.Generated, CredEpoch: a.CredEpoch,
		LinkEpoch: a.LinkEpoch}, true)
	http.Redirect(c.w, c.r, "/messages", http.StatusSeeOther)
	return nil
}

func (s *Site) help(c *call) error {
	e := s.endpoints(c)
	_, domain, _ := cutLast(s.exampleAddress(c))
	s.show(c, http.StatusOK, ui.Help{Shell: s.shell(c, "Help", "help"), Base: e.Web, Domain: domain,
		Services: services(e), Snippets: snippets(e, "you@"+domain, placeholder), Keep: s.o.Policy.Retention(),
		Quota: s.o.Limits.Bytes, MaxSize: s.o.Policy.MessageLimit(), Dev: s.trusted(c), API: s.o.API != nil})
	return nil
}

// exampleAddress is an address as this server makes them.
func (s *Site) exampleAddress(c *call) string {
	if c.id != nil {
		return c.id.Address
	}
	return "ada.k@" + s.o.Domain
}

// cutLast splits an address at its last @.
func cutLast(a string) (local, domain string, ok bool) {
	i := strings.LastIndexByte(a, '@')
	if i < 0 {
		return a, "", false
	}
	return a[:i], a[i+1:], true
}

// status asks the store now, so that what it says is true.
func (s *Site) status(c *call) error {
	start := s.o.Now()
	err := s.ping(c.ctx)
	took := s.o.Now().Sub(start)
	e := s.endpoints(c)
	v := ui.Status{Shell: s.shell(c, "Status", "status"), OK: true, Version: s.o.Version, Started: s.started,
		Now: start, Services: services(e), Keep: s.o.Policy.Retention(), Quota: s.o.Limits.Bytes,
		MaxSize: s.o.Policy.MessageLimit(), Mode: "development: this machine is trusted"}
	if s.o.Policy.Public() {
		v.Mode = "public: a login is needed"
	}
	v.Connections = s.everyConnection(c)
	add := func(name, good, bad string, ok bool) {
		if !ok {
			v.OK, good = false, bad
		}
		v.Checks = append(v.Checks, ui.Check{Name: name, Text: good, OK: ok})
	}
	add("Pages", "you are reading one", "", true)
	add("Mail store", "answered in "+milliseconds(took), "does not answer; mail waits or is refused for a while",
		err == nil)
	add("New mail", "is accepted", "is refused: the disk is nearly full", s.o.Policy.Space(c.ctx) == nil)
	code := http.StatusOK
	if !v.OK {
		code = http.StatusServiceUnavailable
		c.w.Header().Set("Retry-After", "10")
	}
	s.show(c, code, v)
	return nil
}

func milliseconds(d time.Duration) string {
	return (max(d, 10*time.Microsecond) / (10 * time.Microsecond) * (10 * time.Microsecond)).String()
}

// ping asks whether the store answers.
func (s *Site) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if s.o.Ping != nil {
		return s.o.Ping(ctx)
	}
	_, err := s.o.Store.Lookup(ctx, "postmaster@"+s.o.Domain)
	if mailstore.KindOf(err) == mailstore.NotExist {
		return nil
	}
	return err
}

func (s *Site) static(c *call) error {
	s.ui.Static(c.w, c.r)
	return nil
}

// robots keeps crawlers from mail. The pages say so themselves, too.
func (s *Site) robots(c *call) error {
	_, err := c.w.Write([]byte("User-agent: *\nDisallow: /message\nDisallow: /attachment\nDisallow: /f/\n" +
		"Disallow: /account\n"))
	return ignore(err)
}

func (s *Site) noFavicon(c *call) error {
	c.w.Header().Set("Cache-Control", "public, max-age=86400")
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// ca hands out the certificate that signed the TLS ports' own.
func (s *Site) ca(c *call) error {
	if len(s.o.CA) == 0 {
		return errNoPage
	}
	c.w.Header().Set("Content-Type", "application/x-pem-file")
	c.w.Header().Set("Content-Disposition", `attachment; filename="eider-ca.pem"`)
	_, err := c.w.Write(s.o.CA)
	return ignore(err)
}

// ignore is for writes to a client that went away: no fault of ours, and
// nothing can be said to it any more.
func ignore(error) error { return nil }
