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

// Append stores a message (RFC 9051 §6.3.12).
func (s *session) Append(ctx context.Context, name string, a imap.AppendMessage) (imap.Appended, error) {
	m, ok := a.Draft.(*spool.Message)
	if !ok {
		return imap.Appended{}, errors.New("imapd: not a draft of ours")
	}
	if m.Size() == 0 {
		return imap.Appended{}, &imap.Error{Code: "CANNOT", Text: "the message is empty"}
	}
	ctx, cancel := context.WithTimeout(ctx, s.b.o.AppendBudget)
	defer cancel()
	s.sel.dirty = true
	done, err := s.store.Deposit(ctx, []mailstore.AcctID{s.acct()}, mailstore.Deposit{
		Mailbox: name, Flags: stored(a.Flags.System), Keywords: a.Flags.Keywords, InternalDate: a.Date,
		Envelope: mailstore.Envelope{
			Protocol: "IMAP", Client: s.info.Remote.String(), User: s.who.Address, Received: s.b.o.Now(),
		},
		MakeRoom: s.b.o.Policy.MakeRoom(),
	}, m)
	if err != nil {
		return imap.Appended{}, s.appendRefusal(err)
	}
	return imap.Appended{UIDValidity: done[0].UIDValidity, UID: uint32(done[0].UID)}, nil
}

// appendRefusal: a keyword that the store does not take is no fault of the mailbox.
func (s *session) appendRefusal(err error) error {
	if mailstore.KindOf(err) == mailstore.Invalid && strings.Contains(err.Error(), "keyword") {
		return &imap.Error{Code: "CANNOT", Text: "a keyword cannot be stored"}
	}
	return s.target(err)
}
