// Package smtpd gives the commands of package smtp their meaning: who may
// send, which accounts get a copy, what is stored with it.
//
// Submission (RFC 6409): whoever logged in may name any sender and any
// recipients; nothing is ever delivered to them, one copy goes to the INBOX of
// the account, with the envelope, and the reply names its permalink. A trusted
// peer of dev mode needs no login; see package policy for who gets its mail.
// The message gets a Return-Path line (RFC 5321 §4.4), and nothing else.
//
// MX (RFC 5321) and LMTP (RFC 2033): only addresses that exist are taken. The
// message gets a Return-Path and a Received line.
//
// It promises that 250 is said only after the message is durable in every
// account that the reply speaks for, that trouble of the store is waited for
// and then answered with 4xx, never with 5xx or 535, and that a transaction is
// stored in all of its accounts or in none, except that LMTP answers for each
// recipient. It never dials out and never sends a bounce.
package smtpd

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/policy"
	"github.com/eidermail/eider/internal/smtp"
	"github.com/eidermail/eider/internal/spool"
)

// Limit: wait for the store to take a message: longer than a failover.
const DepositBudget = 60 * time.Second

// Limit: wait for the store in commands before the message.
const CommandBudget = 25 * time.Second

// Options configure a Backend.
type Options struct {
	Store    *mailstore.Store
	Auth     *auth.Auth
	Policy   *policy.Policy
	Spool    *spool.Pool
	Hostname string // in Received lines
	Log      *slog.Logger
	Now      func() time.Time // time.Now if nil
	// Accepted is told of each message that got 250: its bytes and in how many
	// accounts it lies. It may be nil and must not block.
	Accepted func(m smtp.Mode, size int64, copies int)
}

// Backend makes the sessions of any number of smtp.Servers.
type Backend struct{ o Options }

// New returns a Backend.
func New(o Options) *Backend {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Hostname == "" {
		o.Hostname = "localhost"
	}
	return &Backend{o: o}
}

// NewSession begins a session; it is the NewSession of smtp.Options.
func (b *Backend) NewSession(_ context.Context, c *smtp.Client) (smtp.Session, error) {
	return &session{b: b, c: c}, nil
}

// door is the policy's name of a mode.
func door(m smtp.Mode) policy.Door {
	switch m {
	case smtp.MX:
		return policy.MX
	case smtp.LMTP:
		return policy.LMTP
	}
	return policy.Submission
}

// refuse is the reply to an error; what is our trouble is logged.
func (b *Backend) refuse(doing string, err error) smtp.Reply {
	var r smtp.Reply
	if errors.As(err, &r) {
		return r
	}
	var no *policy.Refusal
	if errors.As(err, &no) && no.Kind == mailstore.Limit {
		return smtp.Reply{Code: 450, Enhanced: "4.7.1", Text: no.Reason}
	}
	k := mailstore.KindOf(err)
	switch k {
	case mailstore.Internal, mailstore.Invalid, mailstore.Exist, mailstore.Corrupt:
		b.o.Log.Error("mail refused for trouble of ours", "doing", doing, "err", err)
	case mailstore.Transient, mailstore.NoSpace:
		b.o.Log.Warn("mail refused for now", "doing", doing, "err", err)
	}
	return replyFor(k)
}
