// Package imapd gives IMAP its meaning: it is the imap.Session over the mail
// store, with authentication and policy. One file per command, by the names
// of package imap.
//
// It promises that what a command reports was committed, that store trouble is
// waited for within the budget of the command and then NO [UNAVAILABLE], and
// that memory does not grow with the size of a message. It reads the store in
// batches: no command makes a round trip per message, but for the shared parts
// of messages whose bytes it reads.
//
// RFC 9051, RFC 3501, and those that package imap names.
package imapd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/imap/memo"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/policy"
	"github.com/eidermail/eider/internal/spool"
)

// Limit: time one store call of an IMAP command may take, failover included.
const CommandBudget = 25 * time.Second

// Limit: time the commit of an IMAP APPEND may take, failover included.
const AppendBudget = 60 * time.Second

// Pace: mailbox rows that an IMAP command reads at once.
const rowBatch = 2000

// Pace: message indexes that an IMAP command holds at once.
const infoBatch = 100

// Options configure the server.
type Options struct {
	Store  *mailstore.Store
	Auth   *auth.Auth
	Policy *policy.Policy
	Spool  *spool.Pool
	Log    *slog.Logger
	// TLS is the certificate for STARTTLS, and StartTLS offers it.
	TLS      *tls.Config
	StartTLS bool
	// Bearer offers OAUTHBEARER; nil: it is not offered.
	Bearer Bearer
	// Version is told by ID.
	Version string
	Now     func() time.Time // time.Now if nil
	// ProgressEvery is imap.ProgressEvery if 0.
	ProgressEvery time.Duration
	// CommandBudget and AppendBudget are those of this package if 0.
	CommandBudget, AppendBudget time.Duration
}

// New returns an IMAP server over the store.
func New(o Options) *imap.Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.CommandBudget <= 0 {
		o.CommandBudget = CommandBudget
	}
	if o.AppendBudget <= 0 {
		o.AppendBudget = AppendBudget
	}
	b := &backend{o: o, summaries: memo.New[summary](maxSummaries)}
	return imap.New(imap.Options{
		NewSession: b.newSession, TLS: o.TLS, StartTLS: o.StartTLS,
		ProgressEvery: o.ProgressEvery, Bearer: o.Bearer != nil, MessageLimit: o.Policy.MessageLimit(),
		Version: o.Version, Log: o.Log,
	})
}

// backend makes the sessions.
type backend struct {
	o         Options
	lists     listings
	summaries *memo.Cache[summary]
}

func (b *backend) newSession(info imap.ConnInfo, p imap.Progress) imap.Session {
	return &session{b: b, info: info, store: b.o.Store, progress: p}
}

// session is one connection's access to the store.
type session struct {
	b     *backend
	info  imap.ConnInfo
	store *mailstore.Store
	// progress is told how far a long command is.
	progress imap.Progress

	login   string // the last that was tried
	who     auth.Identity
	ended   error       // why the login holds no more; see still
	proving *auth.Scram // a login by SCRAM under way
	sel     selection
}

// selection is the selected mailbox.
type selection struct {
	id       mailstore.MailboxID
	readOnly bool
	epoch    uint64
	modseq   mailstore.ModSeq // what the client's view is at
	next     mailstore.UID    // UIDs below were told
	grown    bool             // messages came that are \Recent in this session only
	hints    *hints
	cancel   func()
	dirty    bool // something was changed that Poll has not read
	large    bool // its rows are not kept in memory
}

func (s *session) acct() mailstore.AcctID { return s.who.Acct }

// budget bounds one store call.
func (s *session) budget(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.b.o.CommandBudget)
}

// Close ends the session.
func (s *session) Close() {
	if s.sel.cancel != nil {
		s.sel.cancel()
		s.sel.cancel = nil
	}
}
