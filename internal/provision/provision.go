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

// Pace: names tried for one account before giving up.
const MaxTries = 12

// Limit: bytes of an account's label that are kept.
const MaxLabel = 100

// Limit: shortest life that the maker of an account can choose.
const MinTTL = time.Minute

// Limit: longest life that the maker of an account can choose.
const MaxTTL = 365 * 24 * time.Hour

// Limit: smallest quota in bytes that the maker of an account can choose.
const MinQuota = 64 << 10

// WishError is a wish that cannot be granted; its text is meant for who wished.
type WishError struct{ Text string }

func (e *WishError) Error() string { return "provision: " + e.Text }

// Unwrap makes it a mailstore error.
func (e *WishError) Unwrap() error { return &mailstore.Error{Op: "provision", Kind: mailstore.Invalid} }

// checkWishes holds what the maker of an account asks for against the limits.
func (p *Provisioner) checkWishes(r Request) error {
	if r.TTL != 0 && (r.TTL < MinTTL || r.TTL > MaxTTL) {
		return &WishError{fmt.Sprintf("ttl must be from %s to %s.", span(MinTTL), span(MaxTTL))}
	}
	if q := r.Limits.Bytes; q != 0 && (q < MinQuota || p.o.Quota > 0 && q > p.o.Quota) {
		most := ""
		if p.o.Quota > 0 {
			most = fmt.Sprintf(" to %d", p.o.Quota)
		}
		return &WishError{fmt.Sprintf("quota must be from %d%s bytes.", MinQuota, most)}
	}
	return nil
}

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
	// Quota is the most that an account may hold, in bytes; 0: any.
	Quota int64
	// ExpireIdle is how long an unused account lives; 0: for ever.
	ExpireIdle time.Duration
	// MXEnabled tells that mail from other servers reaches new accounts.
	MXEnabled bool
	// CatchAllPassword, if set, is the catch-all's password instead of a derived one.
	CatchAllPassword string
	// Allow is asked before an account is made for somebody; nil allows.
	Allow func(context.Context, Request) error
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
	// Peer is who asks, and Token what they have to show.
	Peer     netip.Addr
	ViaProxy bool
	Token    string
	// Operator is for the operator's own commands.
	Operator bool
	// Limits of the account; zero fields: the server's.
	Limits mailstore.AccountLimits
	// TTL is how long the account lives, used or not; 0: as the server decides.
	TTL time.Duration
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
	if err := p.checkWishes(r); err != nil {
		return Created{}, err
	}
	if p.o.Allow != nil {
		if err := p.o.Allow(ctx, r); err != nil {
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

// CreateAs makes an account with the address and texts given and a generated
// password: for the operator, and for mail that comes from elsewhere. Kind
// Exist if the address is taken.
func (p *Provisioner) CreateAs(ctx context.Context, n mailstore.NewAccount) (mailstore.Account, string, error) {
	password := account.GeneratePassword()
	var err error
	if n.Credential, err = p.o.Auth.Seal(ctx, password, account.Generated); err != nil {
		return mailstore.Account{}, "", fmt.Errorf("provision: %w", err)
	}
	n.ExpireIdle = p.o.ExpireIdle
	acct, err := p.o.Store.CreateAccount(ctx, n)
	return acct, password, err
}

// make finds a free name and makes the account.
func (p *Provisioner) make(ctx context.Context, r Request, cred account.Credential) (mailstore.Account, error) {
	for try := range MaxTries {
		n := mailstore.NewAccount{
			Label: label(r.Label, r.Requestor), Credential: cred, Limits: r.Limits, ExpireIdle: p.o.ExpireIdle,
			TTL: r.TTL,
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
