// Package pop3d gives the commands of package pop3 their meaning: the
// maildrop is the account's INBOX, all of it, as it was at the login.
//
// Unlike a maildrop of RFC 1939 §4 it is not locked: other sessions, and
// expiry, go on. A message that went meanwhile is an error when it is asked
// for, and deleting it again none. A message's unique id hangs on the message
// and not on its place: it lives through moves out of INBOX and back. Of two
// copies in INBOX the older has it, and the other one of its own; when the older
// goes, the other has it, as it would after a move.
//
// A session whose password was changed, or whose account was disabled or
// deleted, ends with [AUTH] at its next RETR, TOP or QUIT, and changes nothing.
//
// It promises that only QUIT changes anything: messages that were retrieved
// are marked \Seen, deleted ones are gone for good, and trouble of the store
// is waited for and then answered [SYS/TEMP], never [AUTH].
package pop3d

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/policy"
	"github.com/eidermail/eider/internal/pop3"
	"github.com/eidermail/eider/internal/sasl"
)

// Limit: wait for the store in a POP3 command: longer than a failover.
const CommandBudget = 25 * time.Second

// Limit: wait for the store at QUIT of POP3, which may delete a whole mailbox.
const QuitBudget = 2 * time.Minute

// Limit: time for a POP3 client to take one whole message.
const MessageBudget = time.Hour

// Options configure a Backend.
type Options struct {
	Store  *mailstore.Store
	Auth   *auth.Auth
	Policy *policy.Policy
	Log    *slog.Logger
}

// Backend makes the sessions of any number of pop3.Servers.
type Backend struct{ o Options }

// New returns a Backend.
func New(o Options) *Backend {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Backend{o: o}
}

// NewSession begins a session; it is the NewSession of pop3.Options.
func (b *Backend) NewSession(_ context.Context, c *pop3.Client) (pop3.Session, error) {
	return &session{b: b, c: c}, nil
}

// place is a message in INBOX.
type place struct {
	msg mailstore.MsgID
	uid mailstore.UID
	// again: a row before this one names the same message.
	again bool
}

// session is one connection.
type session struct {
	b     *Backend
	c     *pop3.Client
	who   auth.Identity
	inbox mailstore.MailboxID
	salt  string
	list  []place
	sizes []int64
}

// Mechanisms is nothing where a password would go in clear over a network.
func (s *session) Mechanisms() []string {
	if s.c.TLS == nil && !s.b.o.Policy.AuthInClear(s.c.Addr.Addr(), s.c.Proxied) {
		return nil
	}
	return sasl.Mechanisms()
}

// Login checks a login and reads INBOX.
func (s *session) Login(ctx context.Context, _ string, c sasl.Credentials) error {
	ctx, cancel := context.WithTimeout(ctx, CommandBudget)
	defer cancel()
	id, err := s.b.o.Auth.Password(ctx, s.c.Addr.Addr(), c.User, c.Password)
	switch {
	case errors.Is(err, auth.ErrBadCredentials), errors.Is(err, auth.ErrNoAccount):
		return replyAuthFailed
	case errors.Is(err, auth.ErrThrottled):
		return replyAuthWait
	case errors.Is(err, auth.ErrDisabled):
		return replyDisabled
	case err != nil:
		return s.b.refuse("login", err)
	}
	s.who, s.salt = id, salt(id.Acct)
	if err := s.read(ctx); err != nil {
		return s.b.refuse("login", err)
	}
	return nil
}

// still ends the session of a login that holds no more: its password was
// changed since, or its account disabled. One read.
func (s *session) still(ctx context.Context, doing string) error {
	err := s.b.o.Auth.Still(ctx, s.who)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, auth.ErrDisabled):
		return replyStopped
	case auth.Stale(err):
		return replyStale
	}
	return s.b.refuse(doing, err)
}

func (s *session) read(ctx context.Context) error {
	box, err := s.b.o.Store.Mailbox(ctx, s.who.Acct, "INBOX")
	if err != nil {
		return err
	}
	rows, err := s.b.o.Store.Entries(ctx, s.who.Acct, box.ID, mailstore.Rows{})
	if err != nil {
		return err
	}
	s.inbox = box.ID
	s.list, s.sizes = make([]place, len(rows)), make([]int64, len(rows))
	seen := make(map[mailstore.MsgID]struct{}, len(rows))
	for i, e := range rows {
		_, again := seen[e.Msg]
		seen[e.Msg] = struct{}{}
		s.list[i] = place{msg: e.Msg, uid: e.UID, again: again}
		s.sizes[i] = e.Size
	}
	return nil
}

// Sizes are the bytes of each message.
func (s *session) Sizes() []int64 { return s.sizes }

// UID is made of the account and the message; a second copy of a message in
// INBOX adds its UID.
func (s *session) UID(i int) string {
	p := s.list[i]
	id := s.salt + "-" + strconv.FormatUint(uint64(p.msg), 36)
	if p.again {
		id += "-" + strconv.FormatUint(uint64(p.uid), 36)
	}
	return id
}

// salt tells an account's unique ids from those of another that had its name before.
func salt(id mailstore.AcctID) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(id))
	sum := sha256.Sum256(append([]byte("pop3 uidl\x00"), b[:]...))
	return hex.EncodeToString(sum[:6])
}

// Open reads a message.
func (s *session) Open(ctx context.Context, i int) (io.ReadCloser, error) {
	// The context is for all of the reading, but waiting for the store to
	// begin has the time of a command.
	ctx, cancel := context.WithTimeout(ctx, MessageBudget)
	begin := time.AfterFunc(CommandBudget, cancel)
	c, err := s.content(ctx, s.list[i].msg)
	begin.Stop()
	if err != nil {
		cancel()
		return nil, err
	}
	return &content{io.NewSectionReader(c, 0, c.Size()), c, cancel}, nil
}

func (s *session) content(ctx context.Context, msg mailstore.MsgID) (mailstore.Content, error) {
	if err := s.still(ctx, "RETR"); err != nil {
		return nil, err
	}
	c, err := s.b.o.Store.Content(ctx, s.who.Acct, msg)
	if err != nil {
		return nil, s.b.refuse("RETR", err)
	}
	return c, nil
}

// content is a message being read.
type content struct {
	*io.SectionReader
	c      io.Closer
	cancel context.CancelFunc
}

// Close frees what reading holds.
func (c *content) Close() error {
	c.cancel()
	return c.c.Close()
}

// Update marks and deletes, at QUIT. Messages that others deleted first are no error.
func (s *session) Update(ctx context.Context, retrieved, deleted []int) error {
	ctx, cancel := context.WithTimeout(ctx, QuitBudget)
	defer cancel()
	if err := s.still(ctx, "QUIT"); err != nil {
		return err
	}
	if len(deleted) > 0 {
		if _, _, err := s.b.o.Store.Expunge(ctx, s.who.Acct, s.inbox, s.uids(deleted), false); err != nil {
			return s.b.refuse("QUIT", err)
		}
	}
	if len(retrieved) > 0 {
		seen := mailstore.FlagChange{Op: mailstore.FlagsAdd, Flags: mailstore.Seen}
		if _, err := s.b.o.Store.SetFlags(ctx, s.who.Acct, s.inbox, s.uids(retrieved), seen); err != nil {
			return s.b.refuse("QUIT", err)
		}
	}
	return nil
}

func (s *session) uids(numbers []int) []mailstore.UID {
	out := make([]mailstore.UID, len(numbers))
	for i, n := range numbers {
		out[i] = s.list[n].uid
	}
	return out
}

// Close ends the session.
func (s *session) Close() { s.list, s.sizes = nil, nil }
