package imapd

import (
	"errors"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/mailstore"
)

// reply is what a client is told of a kind of error (RFC 5530).
type reply struct{ code, text string }

// replies has every kind of error. Internal has no reply of its own: it is
// logged, and the client gets [SERVERBUG] from package imap.
var replies = map[mailstore.Kind]reply{
	mailstore.NotExist:   {"NONEXISTENT", "there is no such mailbox"},
	mailstore.Exist:      {"ALREADYEXISTS", "the mailbox exists already"},
	mailstore.Invalid:    {"CANNOT", "that cannot be"},
	mailstore.Permission: {"NOPERM", "that is not allowed"},
	mailstore.Quota:      {"OVERQUOTA", "the account is full"},
	mailstore.TooLarge:   {"TOOBIG", "the message is too large"},
	mailstore.Limit:      {"LIMIT", "that is more than the server allows"},
	mailstore.Transient:  {"UNAVAILABLE", "the mail store is away, try again"},
	mailstore.NoSpace:    {"OVERQUOTA", "the server's disk is full"},
	mailstore.Corrupt:    {"CORRUPTION", "stored data is damaged"},
}

// refusal turns an error of the store into what the client is told.
func (s *session) refusal(err error) error {
	if err == nil {
		return nil
	}
	kind := mailstore.KindOf(err)
	r, ok := replies[kind]
	if !ok {
		return err
	}
	if kind == mailstore.Corrupt {
		s.b.o.Log.Error("stored mail is damaged", "account", uint64(s.acct()), "err", err)
	}
	return &imap.Error{Code: r.code, Text: r.text}
}

// target is refusal for a command whose destination may be missing: the client
// may create it and try again (RFC 9051 §7.1 TRYCREATE).
func (s *session) target(err error) error {
	if err != nil && mailstore.KindOf(err) == mailstore.NotExist {
		return &imap.Error{Code: "TRYCREATE", Text: "create the mailbox first"}
	}
	return s.refusal(err)
}

// gone tells that a message or mailbox went away meanwhile.
func gone(err error) bool {
	var e *mailstore.Error
	return errors.As(err, &e) && e.Kind == mailstore.NotExist
}
