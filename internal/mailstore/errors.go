package mailstore

import (
	"errors"
	"fmt"
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
