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
	// counted are those that Policy.Inbound has counted for a message that has not come.
	counted []mailstore.AcctID
	// alone: the first account may lack the room for what comes, so no other joins it.
	alone bool
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
	if err := s.still(ctx); err != nil {
		return err
	}
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

// still ends the session of a login that holds no more: its password was
// changed since, or its account disabled.
func (s *session) still(ctx context.Context) error {
	if s.id.Acct == 0 {
		return nil
	}
	err := s.b.o.Auth.Still(ctx, s.id)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, auth.ErrDisabled):
		return replyStopped
	case auth.Stale(err):
		return replyStale
	}
	return s.b.refuse("MAIL", err)
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
		if err := s.join(ctx, id); err != nil {
			return s.b.refuse("RCPT", err)
		}
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
// many names.
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
	return id, err
}

// join makes an account one of the transaction's, if it can have the message.
// All that can be known is said here, where it concerns one recipient: after
// the message there is one reply for all. At the MX no account is flooded; it
// is counted once, and given back by Reset if no message comes.
func (s *session) join(ctx context.Context, id mailstore.AcctID) error {
	if len(s.accounts) >= policy.MaxAccounts {
		return replyAccounts
	}
	if id != s.id.Acct { // who logged in was looked at by MAIL
		if err := s.room(ctx, id); err != nil {
			return err
		}
	}
	if s.c.Mode == smtp.MX {
		if err := s.b.o.Policy.Inbound(ctx, id); err != nil {
			return err
		}
		s.counted = append(s.counted, id)
	}
	s.accounts = append(s.accounts, id)
	return nil
}

// room refuses an account that is disabled, or too full for what was declared;
// unless its oldest mail makes room, then one that could never hold it. One read.
func (s *session) room(ctx context.Context, id mailstore.AcctID) error {
	a, err := s.b.o.Store.Account(ctx, id)
	if err != nil {
		return err
	}
	size := s.mail.Size + int64(len(s.prepend(s.b.o.Now())))
	switch {
	case a.Disabled:
		return replyClosed
	case a.Limits.Bytes > 0 && size > a.Limits.Bytes:
		return replyOverQuota
	case s.b.o.Policy.MakeRoom():
		return nil
	case full(&a, size):
		return replyFull
	}
	return s.apart(&a, size)
}

// apart keeps an account from holding back others at the MX, whose senders
// repeat a message for all if one has no room for it: without SIZE, one that
// cannot take any message that may come is sent to by itself (RFC 5321 §4.5.3.1.10).
func (s *session) apart(a *mailstore.Account, prepended int64) error {
	if s.c.Mode != smtp.MX || s.mail.Size > 0 {
		return nil
	}
	tight := full(a, s.b.o.Policy.MessageLimit()+prepended)
	if len(s.accounts) == 0 {
		s.alone = tight
	} else if tight || s.alone {
		return replyApart
	}
	return nil
}

// full tells whether one more message of so many bytes is more than an account may hold.
func full(a *mailstore.Account, size int64) bool {
	return a.Limits.Exceeded(a.Bytes+size, a.Messages+1)
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
		return nil, s.refuseData(ctx, err, accts, m)
	}
	s.counted = nil
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

// refuseData is the reply to a message that could not be stored. What concerns
// one of several accounts is for all of them a reason to try again: RCPT then
// tells which it was.
func (s *session) refuseData(
	ctx context.Context, err error, accts []mailstore.AcctID, m *spool.Message,
) smtp.Reply {
	several := len(accts) > 1
	switch k := mailstore.KindOf(err); {
	case several && (k == mailstore.NotExist || k == mailstore.Permission):
		return replyTrouble
	case k == mailstore.Permission:
		return replyClosed // disabled since RCPT
	case k == mailstore.Quota && (s.never(ctx, accts, m) || s.b.o.Policy.MakeRoom() && !several):
		return replyOverQuota // not even alone does it fit
	}
	return s.b.refuse("DATA", err)
}

// never tells whether a message is more than any of the accounts may hold, so
// that trying again is no use.
func (s *session) never(ctx context.Context, accts []mailstore.AcctID, m *spool.Message) bool {
	size := m.Size() + int64(len(s.prepend(s.b.o.Now())))
	for _, id := range accts {
		a, err := s.b.o.Store.Account(ctx, id)
		if err != nil || a.Limits.Bytes <= 0 || size <= a.Limits.Bytes {
			return false
		}
	}
	return true
}

// deliverEach stores the message for LMTP: in one commit if that works, else
// account by account, since each recipient has its own reply (RFC 2033 §4.2).
func (s *session) deliverEach(ctx context.Context, m *spool.Message) []smtp.Reply {
	replies := map[mailstore.AcctID]smtp.Reply{}
	_, err := s.deposit(ctx, s.accounts, m)
	each := false
	switch mailstore.KindOf(err) {
	case mailstore.Quota, mailstore.NotExist, mailstore.Permission, mailstore.Corrupt:
		each = err != nil && len(s.accounts) > 1
	}
	for _, id := range s.accounts {
		if each {
			_, err = s.deposit(ctx, []mailstore.AcctID{id}, m)
		}
		replies[id] = replyAccepted
		if err != nil {
			replies[id] = s.refuseData(ctx, err, []mailstore.AcctID{id}, m)
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
	if len(s.counted) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), CommandBudget)
		defer cancel()
		s.b.o.Policy.NotInbound(ctx, s.counted...)
	}
	s.mail, s.count, s.alone = smtp.Mail{}, 0, false
	s.to, s.accounts, s.byRcpt, s.counted = nil, nil, nil, nil
}

// Close ends the session, and the transaction that is open.
func (s *session) Close() { s.Reset() }

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
