// Package provision is the one way to make an account, for a person or a
// program: POST /user, the button on the page, the command line, the tests.
//
// It promises that the answer of Create works at once and unchanged: the
// address and password log in everywhere, the ports named are open. It never
// decides who may have an account; it asks Options.Allow.
package provision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/secret"
	"github.com/eidermail/eider/internal/spool"
)

// Limit: names tried for one account before giving up.
const MaxTries = 12

// Limit: bytes of an account's label that are kept.
const MaxLabel = 100

// Options configure a Provisioner.
type Options struct {
	Store  *mailstore.Store
	Auth   *auth.Auth
	Rings  *secret.Rings
	Advert *advert.Advert
	Spool  *spool.Pool // for the welcome message
	// Domain is the part after the @ of new addresses.
	Domain string
	// Product is the name in the welcome message; "Eider" if empty.
	Product string
	// Retention is told in the welcome message; 0: mail is kept for ever.
	Retention time.Duration
	// ExpireIdle is how long an unused account lives; 0: for ever.
	ExpireIdle time.Duration
	// MXEnabled tells that mail from other servers reaches new accounts.
	MXEnabled bool
	// CatchAllPassword, if set, is the catch-all's password instead of a derived one.
	CatchAllPassword string
	// Allow is asked before an account is made for somebody; nil allows.
	Allow func(ctx context.Context, peer netip.Addr, viaProxy bool) error
	// Cursor tells the API's cursor for "everything after now" of a new account.
	Cursor func(mailstore.Account) string
	Log    *slog.Logger
	Now    func() time.Time
}

// Provisioner makes accounts.
type Provisioner struct{ o Options }

// New returns a Provisioner.
func New(o Options) *Provisioner {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Product == "" {
		o.Product = "Eider"
	}
	return &Provisioner{o: o}
}

// Request asks for an account.
type Request struct {
	// Requestor is what the client says it is ("nodemailer"); only for the label.
	Requestor string
	// Label is what the maker writes on the account.
	Label string
	// Friendly gives a name that people can say, and a welcome message.
	Friendly bool
	// Host is the Host header, already found to be allowed, and TLS whether
	// the request came over it; both for the addresses in the answer.
	Host string
	TLS  bool
	// Peer is who asks; zero for the operator's own commands.
	Peer     netip.Addr
	ViaProxy bool
	// Limits of the account; zero fields: the server's.
	Limits mailstore.AccountLimits
}

// Created is the answer to POST /user. Nodemailer's createTestAccount wants
// status, user, pass, smtp, imap, pop3, web as they are here, and hands the
// whole object on to the application.
type Created struct {
	Status    string         `json:"status"` // "success"
	User      string         `json:"user"`
	Pass      string         `json:"pass"`
	SMTP      advert.Service `json:"smtp"`
	IMAP      advert.Service `json:"imap"`
	POP3      advert.Service `json:"pop3"`
	Web       string         `json:"web"`
	MXEnabled bool           `json:"mxEnabled"`
	API       string         `json:"api"`
	Token     string         `json:"token"`
	Cursor    string         `json:"cursor"`
	Expires   *time.Time     `json:"expires,omitempty"` // when an account that stays unused goes
	Name      string         `json:"name,omitempty"`    // display name of a friendly account

	Identity  auth.Identity    `json:"-"`
	Endpoints advert.Endpoints `json:"-"`
}

// String hides the secrets.
func (c Created) String() string { return "account " + c.User }

// GoString hides the secrets.
func (c Created) GoString() string { return c.String() }

// LogValue hides the secrets.
func (c Created) LogValue() slog.Value { return slog.StringValue(c.User) }

// Create makes an account with a generated password and an INBOX. Errors are
// those of Options.Allow, and mailstore errors: Kind Transient, NoSpace, Limit.
func (p *Provisioner) Create(ctx context.Context, r Request) (Created, error) {
	if p.o.Allow != nil {
		if err := p.o.Allow(ctx, r.Peer, r.ViaProxy); err != nil {
			return Created{}, err
		}
	}
	password := account.GeneratePassword()
	cred, err := p.o.Auth.Seal(ctx, password, account.Generated)
	if err != nil {
		return Created{}, fmt.Errorf("provision: %w", err)
	}
	acct, err := p.make(ctx, r, cred)
	if err != nil {
		return Created{}, err
	}
	if r.Friendly {
		if err := p.welcome(ctx, acct); err != nil {
			// The account is made and good; only its first message is missing.
			p.o.Log.Warn("welcome message not stored", "err", err)
		}
	}
	return p.created(acct, password, r), nil
}

// make finds a free name and makes the account.
func (p *Provisioner) make(ctx context.Context, r Request, cred account.Credential) (mailstore.Account, error) {
	for try := range MaxTries {
		n := mailstore.NewAccount{
			Label: label(r.Label, r.Requestor), Credential: cred, Limits: r.Limits, ExpireIdle: p.o.ExpireIdle,
		}
		local := account.NewName()
		if r.Friendly {
			f := account.FriendlyName(try)
			local, n.Name = f.Local, f.Display
		}
		n.Address = local + "@" + p.o.Domain
		acct, err := p.o.Store.CreateAccount(ctx, n)
		if err == nil {
			return acct, nil
		}
		if mailstore.KindOf(err) != mailstore.Exist {
			return mailstore.Account{}, err
		}
	}
	return mailstore.Account{}, &mailstore.Error{Op: "provision", Kind: mailstore.Transient,
		Err: errors.New("no free name found")}
}

// created fills in the answer.
func (p *Provisioner) created(acct mailstore.Account, password string, r Request) Created {
	id := auth.Identity{Acct: acct.ID, Address: acct.Address, Generated: true,
		CredEpoch: acct.CredEpoch, LinkEpoch: acct.LinkEpoch}
	e := p.o.Advert.For(r.Host, r.TLS)
	c := Created{
		Status: "success", User: acct.Address, Pass: password,
		SMTP: e.SMTP, IMAP: e.IMAP, POP3: e.POP3, Web: e.Web, MXEnabled: p.o.MXEnabled,
		API: e.API, Token: p.o.Auth.Token(id), Name: acct.Name,
		Identity: id, Endpoints: e,
	}
	if p.o.Cursor != nil {
		c.Cursor = p.o.Cursor(acct)
	}
	if !acct.ExpiresAt.IsZero() {
		t := acct.ExpiresAt.UTC()
		c.Expires = &t
	}
	return c
}

// label is the maker's own words, or else what made the account, cut and
// without control characters.
func label(label, requestor string) string {
	s := strings.TrimSpace(label)
	if s == "" {
		s = strings.TrimSpace(requestor)
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
	for len(s) > MaxLabel {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

// SetPassword gives an account a password that a person chose: all its
// sessions and tokens end. account.ErrPassword says that it cannot be used.
func (p *Provisioner) SetPassword(ctx context.Context, id mailstore.AcctID, password string) error {
	cred, err := p.o.Auth.Seal(ctx, password, account.Chosen)
	if err != nil {
		return err
	}
	return p.o.Store.SetCredential(ctx, id, cred)
}

// NewPassword gives an account a fresh generated password: all its sessions
// and tokens end.
func (p *Provisioner) NewPassword(ctx context.Context, id mailstore.AcctID) (string, error) {
	password := account.GeneratePassword()
	cred, err := p.o.Auth.Seal(ctx, password, account.Generated)
	if err != nil {
		return "", err
	}
	return password, p.o.Store.SetCredential(ctx, id, cred)
}
