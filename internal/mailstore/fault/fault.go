// Package fault classes the errors of the mail store, so that each protocol
// can give each kind its reply.
package fault

import (
	"context"
	"errors"
	"fmt"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Kind classes an error; each protocol maps kinds to its reply codes in one table.
type Kind int

// The kinds of error.
const (
	Internal   Kind = iota // a defect of ours
	NotExist               // no such account, mailbox, message
	Exist                  // already there
	Invalid                // the request makes no sense
	Permission             // not allowed
	Quota                  // the account is full
	TooLarge               // the message is over the limit
	Limit                  // a limit on numbers: mailboxes, recipients
	Transient              // the store is away or busy; try again
	NoSpace                // the server's disk is full
	Corrupt                // stored data is damaged
)

// Error is an error of the mail store.
type Error struct {
	Op   string // what was tried: "deposit"
	Kind Kind
	Err  error // the cause; never shown to clients
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("mailstore: %s: %s", e.Op, e.Kind)
	}
	return fmt.Sprintf("mailstore: %s: %s: %v", e.Op, e.Kind, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf tells the kind of err; Internal for what is none of ours.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// String names the kind.
func (k Kind) String() string {
	names := [...]string{"internal", "not exist", "exist", "invalid", "permission", "quota",
		"too large", "limit", "transient", "no space", "corrupt"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return names[k]
}

// New makes an error of a kind; its text never reaches clients.
func New(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// Wrap names the operation of an error and gives it a kind.
func Wrap(op string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		if e.Op != "" {
			return err
		}
		return &Error{Op: op, Kind: e.Kind, Err: e.Err}
	}
	return &Error{Op: op, Kind: classify(err), Err: err}
}

func classify(err error) Kind {
	switch {
	case errors.Is(err, kv.ErrNoSpace):
		return NoSpace
	case errors.Is(err, kv.ErrCorrupt), errors.Is(err, row.ErrCorrupt), errors.Is(err, blob.ErrCorrupt):
		return Corrupt
	case errors.Is(err, kv.ErrUnavailable), errors.Is(err, kv.ErrConflict), errors.Is(err, kv.ErrUnknown),
		errors.Is(err, kv.ErrClosed), errors.Is(err, blob.ErrStale),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Transient
	default:
		return Internal
	}
}
