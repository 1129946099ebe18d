package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"syscall"

	"github.com/eidermail/eider/internal/addr"
	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/policy"
	"github.com/eidermail/eider/internal/sasl"
	"github.com/eidermail/eider/internal/smtp"
	"github.com/eidermail/eider/internal/spool"
)

// session is one connection.
type session struct {
	b  *Backend
	c  *smtp.Client
	id auth.Identity // zero: nobody logged in

	mail     smtp.Mail
	to       []string           // the first recipients
	count    int                // of recipients
	accounts []mailstore.AcctID // each once, as they came
	byRcpt   []mailstore.AcctID // LMTP: the account of each recipient
}

// Mechanisms is nothing where a password would go in clear over a network.
func (s *session) Mechanisms() []string {
	if s.c.Mode != smtp.Submission {
		return nil
	}
	if s.c.TLS == nil && !s.b.o.Policy.AuthInClear(s.c.Addr.Addr(), s.c.Proxied) {
		return nil
	}
	return sasl.Mechanisms()
}

// Auth checks a login. In dev mode a login that names no account is let in as
// nobody: its mail is routed as mail without AUTH.
func (s *session) Auth(ctx context.Context, _ string, c sasl.Credentials) error {
	ctx, cancel := context.WithTimeout(ctx, CommandBudget)
	defer cancel()
	peer := s.c.Addr.Addr()
	id, err := s.b.o.Auth.Password(ctx, peer, c.User, c.Password)
	switch {
	case err == nil:
		s.id = id
		return nil
	case errors.Is(err, auth.ErrNoAccount) && s.b.o.Policy.Trusted(peer, s.c.Proxied):
		s.c.Nobody = true
		return nil
	case errors.Is(err, auth.ErrBadCredentials), errors.Is(err, auth.ErrNoAccount):
		return replyAuthFailed
	case errors.Is(err, auth.ErrThrottled):
		return replyAuthWait
	case errors.Is(err, auth.ErrDisabled):
		return replyDisabled
	}
	s.b.o.Log.Warn("login could not be checked", "err", err)
	return replyAuthLater
}

func (s *session) from() policy.From {
	return policy.From{Door: door(s.c.Mode), Peer: s.c.Addr.Addr(), ViaProxy: s.c.Proxied, Acct: s.id.Acct}
}

// Mail begins a transaction.
func (s *session) Mail(ctx context.Context, m smtp.Mail) error {
	if s.b.o.Policy.NeedAuth(s.from()) {
		return replyAuthRequired
	}
	ctx, cancel := context.WithTimeout(ctx, CommandBudget)
	defer cancel()
	if err := s.b.o.Policy.Space(ctx); err != nil {
		return s.b.refuse("MAIL", err)
	}
	if s.c.Mode == smtp.Submission {
		if err := s.b.o.Policy.Send(ctx, s.id.Acct); err != nil {
			return s.b.refuse("MAIL", err)
		}
	}
	s.mail = m
	return nil
}

// Rcpt finds the account that gets a copy for a recipient.
func (s *session) Rcpt(ctx context.Context, to addr.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, CommandBudget)
	defer cancel()
	id, err := s.find(ctx, to)
	if err != nil {
		return s.b.refuse("RCPT", err)
	}
	if !slices.Contains(s.accounts, id) {
		if len(s.accounts) >= policy.MaxAccounts {
			return replyAccounts
		}
		if err := s.room(ctx, id); err != nil {
			return s.b.refuse("RCPT", err)
		}
		s.accounts = append(s.accounts, id)
	}
	if s.c.Mode == smtp.LMTP {
		s.byRcpt = append(s.byRcpt, id)
	}
	if s.count++; len(s.to) < mailstore.MaxStoredRecipients {
		s.to = append(s.to, to.String())
	}
	return nil
}

// find is the account of a recipient. At the MX it does not help who asks for
// many names, nor let an account be flooded.
func (s *session) find(ctx context.Context, to addr.Addr) (mailstore.AcctID, error) {
	if s.c.Mode != smtp.MX {
		return s.b.o.Policy.Rcpt(ctx, s.from(), to)
	}
	found, err := s.b.o.Policy.Probe(ctx, s.c.Addr.Addr())
	if err != nil {
		return 0, err
	}
	id, err := s.b.o.Policy.Rcpt(ctx, s.from(), to)
	if mailstore.KindOf(err) != mailstore.NotExist || err == nil {
		found()
	}
	if err != nil {
		return 0, err
	}
	return id, s.b.o.Policy.Inbound(ctx, id)
}

// room refuses a recipient whose account is full, unless its oldest mail makes room.
func (s *session) room(ctx context.Context, id mailstore.AcctID) error {
	if s.b.o.Policy.MakeRoom() || s.c.Mode == smtp.Submission {
		return nil
	}
	return s.b.o.Store.CheckQuota(ctx, id, s.mail.Size)
}

// Data stores the message.
func (s *session) Data(ctx context.Context, r io.Reader) ([]smtp.Reply, error) {
	m := s.b.o.Spool.Message()
	defer m.Close()
	if _, err := io.Copy(m, r); err != nil {
		// An error of r is known to the wire, and what is said here not sent.
		if errors.Is(err, syscall.ENOSPC) {
			return nil, replyNoSpace
		}
		return nil, replyTrouble
	}
	ctx, cancel := context.WithTimeout(ctx, DepositBudget)
	defer cancel()
	if s.c.Mode == smtp.LMTP {
		return s.deliverEach(ctx, m), nil
	}
	accts := s.b.o.Policy.Route(s.accounts)
	done, err := s.deposit(ctx, accts, m)
	if err != nil {
		return nil, s.refuseData(err, len(accts))
	}
	if s.c.Mode == smtp.MX {
		return []smtp.Reply{replyAccepted}, nil
	}
	first := done[0]
	link := s.b.o.Auth.Permalink(first.Acct, first.LinkEpoch, first.Msg)
	// This text is a contract: clients take the preview's address from it.
	return []smtp.Reply{{Code: 250, Text: "Accepted [STATUS=new MSGID=" + link + "]"}}, nil
}

func (s *session) deposit(
	ctx context.Context, accts []mailstore.AcctID, m *spool.Message,
) ([]mailstore.Deposited, error) {
	now := s.b.o.Now()
	d := mailstore.Deposit{
		InternalDate: now,
		Envelope: mailstore.Envelope{
			From: s.mail.From.String(), To: s.to, ToCount: s.count,
			Helo: s.c.Helo, Protocol: s.c.Protocol(), Client: client(s.c), TLS: tlsName(s.c.TLS),
			User: s.c.User, Received: now, Body: s.mail.Body,
		},
		Prepend:  s.prepend(now),
		MakeRoom: s.b.o.Policy.MakeRoom(),
	}
	if s.c.Mode == smtp.Submission {
		d.Keywords = []string{mailstore.DeliveryKeyword}
	}
	done, err := s.b.o.Store.Deposit(ctx, accts, d, m)
	if err == nil && s.b.o.Accepted != nil {
		s.b.o.Accepted(s.c.Mode, m.Size(), len(accts))
	}
	return done, err
}

// refuseData is the reply to a message that could not be stored.
func (s *session) refuseData(err error, accounts int) smtp.Reply {
	switch k := mailstore.KindOf(err); {
	case k == mailstore.NotExist && accounts > 1:
		// One of them went since RCPT; tried again, RCPT tells which.
		return replyTrouble
	case k == mailstore.Permission:
		return replyClosed // disabled since RCPT
	case k == mailstore.Quota && s.b.o.Policy.MakeRoom():
		return replyOverQuota // not even alone does it fit
	}
	return s.b.refuse("DATA", err)
}

// deliverEach stores the message for LMTP: in one commit if that works, else
// account by account, since each recipient has its own reply (RFC 2033 §4.2).
func (s *session) deliverEach(ctx context.Context, m *spool.Message) []smtp.Reply {
	replies := map[mailstore.AcctID]smtp.Reply{}
	_, err := s.deposit(ctx, s.accounts, m)
	each := false
	switch mailstore.KindOf(err) {
	case mailstore.Quota, mailstore.NotExist:
		each = err != nil && len(s.accounts) > 1
	}
	for _, id := range s.accounts {
		if each {
			_, err = s.deposit(ctx, []mailstore.AcctID{id}, m)
		}
		replies[id] = replyAccepted
		if err != nil {
			replies[id] = s.refuseData(err, 1)
		}
	}
	out := make([]smtp.Reply, len(s.byRcpt))
	for i, id := range s.byRcpt {
		out[i] = replies[id]
	}
	return out
}

// Reset ends the transaction.
func (s *session) Reset() {
	s.mail, s.count = smtp.Mail{}, 0
	s.to, s.accounts, s.byRcpt = nil, nil, nil
}

// Close ends the session.
func (s *session) Close() {}

// client is the address of the client without its port.
func client(c *smtp.Client) string {
	if !c.Addr.IsValid() {
		return ""
	}
	return c.Addr.Addr().String()
}

// tlsName is "TLS 1.3 TLS_AES_128_GCM_SHA256".
func tlsName(t *tls.ConnectionState) string {
	if t == nil {
		return ""
	}
	return tls.VersionName(t.Version) + " " + tls.CipherSuiteName(t.CipherSuite)
}
