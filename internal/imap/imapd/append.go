package imapd

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/spool"
)

// CheckAppend refuses a message before it is sent (RFC 9051 §6.3.12).
func (s *session) CheckAppend(ctx context.Context, name string, size int64) error {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	if err := s.b.o.Policy.Space(ctx); err != nil {
		return s.refusal(err)
	}
	if _, err := s.store.Mailbox(ctx, s.acct(), name); err != nil {
		return s.target(err)
	}
	if s.b.o.Policy.MakeRoom() {
		return nil // the oldest mail goes
	}
	return s.refusal(s.store.CheckQuota(ctx, s.acct(), size))
}

// errSpool is trouble with the temporary file, not with the client.
var errSpool = &imap.Error{Code: "UNAVAILABLE", Text: "there is no room to take the message, try again"}

// Receive spools a message.
func (s *session) Receive(_ context.Context, r io.Reader) (imap.Draft, error) {
	m := s.b.o.Spool.Message()
	src := &source{r: r}
	_, err := io.Copy(m, src)
	if err == nil {
		return m, nil
	}
	m.Close()
	if src.err != nil {
		return nil, src.err
	}
	s.b.o.Log.Error("a message could not be spooled", "err", err)
	return nil, errSpool
}

// source remembers whether reading failed, as against writing.
type source struct {
	r   io.Reader
	err error
}

// Read reads from the client.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// Replace stores a message and removes another, in one commit (RFC 8508).
func (s *session) Replace(ctx context.Context, uid uint32, name string, m imap.AppendMessage) (imap.Appended, error) {
	ctx, cancel := context.WithTimeout(ctx, s.b.o.AppendBudget)
	defer cancel()
	if err := s.still(ctx); err != nil {
		return imap.Appended{}, err
	}
	old := &mailstore.Replaced{Mailbox: s.sel.id, UID: mailstore.UID(uid)}
	return s.deposit(ctx, name, old, []imap.AppendMessage{m})
}

func (s *session) deposit(ctx context.Context, name string, old *mailstore.Replaced, ms []imap.AppendMessage,
) (imap.Appended, error) {
	ctx, cancel := context.WithTimeout(ctx, s.b.o.AppendBudget)
	defer cancel()
	list, err := s.incoming(ctx, name, ms)
	if err != nil {
		return imap.Appended{}, err
	}
	s.sel.dirty = true
	done, err := s.store.Append(ctx, s.acct(), list, old)
	if err != nil {
		return imap.Appended{}, s.appendRefusal(err)
	}
	return appended(done), nil
}

func appended(done []mailstore.Deposited) imap.Appended {
	out := imap.Appended{UIDs: make([]uint32, len(done))}
	for i := range done {
		out.UIDValidity, out.UIDs[i] = done[i].UIDValidity, uint32(done[i].UID)
	}
	return out
}

// incoming is messages as the store takes them.
func (s *session) incoming(ctx context.Context, name string, ms []imap.AppendMessage) ([]mailstore.Incoming, error) {
	if name == "" { // which the store takes for INBOX
		return nil, &imap.Error{Code: "CANNOT", Text: "a mailbox has a name"}
	}
	if err := s.b.o.Policy.Space(ctx); err != nil {
		return nil, s.refusal(err)
	}
	list := make([]mailstore.Incoming, len(ms))
	for i := range ms {
		a := &ms[i]
		m, ok := a.Draft.(*spool.Message)
		if !ok {
			return nil, errors.New("imapd: not a draft of ours")
		}
		if m.Size() == 0 { // RFC 3502 §6.3.11: so a client cancels
			return nil, &imap.Error{Code: "CANNOT", Text: "the message is empty"}
		}
		list[i].Message = m
		list[i].Deposit = mailstore.Deposit{
			Mailbox: name, Flags: stored(a.Flags.System), Keywords: a.Flags.Keywords, InternalDate: a.Date,
			Envelope: mailstore.Envelope{
				Protocol: "IMAP", Client: s.info.Remote.String(), User: s.who.Address, Received: s.b.o.Now(),
			},
			MakeRoom: s.b.o.Policy.MakeRoom(),
		}
	}
	return list, nil
}

// appendRefusal: a keyword that the store does not take is no fault of the mailbox.
func (s *session) appendRefusal(err error) error {
	if mailstore.KindOf(err) == mailstore.Invalid && strings.Contains(err.Error(), "keyword") {
		return &imap.Error{Code: "CANNOT", Text: "a keyword cannot be stored"}
	}
	return s.target(err)
}
