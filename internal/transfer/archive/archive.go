// Package archive is mail outside of a store: a sequence of items (accounts,
// their mailboxes, messages in these), and the own format that carries all of
// it. The format is a tar; a message is a file with its exact bytes, and before
// it a file with one line of JSON that says the rest:
//
//	eider/archive.json             what the archive is
//	eider/0001/account.json        an account
//	eider/0001/0002/mailbox.json   one of its mailboxes
//	eider/0001/0002/7.json         a message: flags, keywords, dates, folder, envelope
//	eider/0001/0002/7.eml          its bytes; a hard link where the message lies in two mailboxes
//	eider/end.json                 how many there are: the archive is whole
//
// An archive that was cut goes on behind its last whole item (Scan, Continue): an
// account that it had begun comes again then, under a new number.
//
// No name of an account or mailbox is part of a path, so unpacking it is safe.
// Reading bounds every part, takes nothing from a path but numbers, and goes on
// after what it cannot read.
package archive

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"time"
	"unicode/utf8"
)

// Version is the version of the format that Write writes; Read reads it and
// those before.
const Version = 1

// Limit: bytes of one line of JSON in an archive.
const MaxLine = 1 << 20

// Item is one step of a sequence: exactly one of the pointers is set. Accounts
// come before their mailboxes, mailboxes before their messages.
type Item struct {
	Head    *Head
	Account *Account
	Mailbox *Mailbox
	Message *Message
	// Body is a message's bytes, Message.Size of them; it is read before the next
	// item is asked for. Nil if Message.Error says why, or Message.SameAs where.
	Body io.Reader
}

// Head is what an archive holds: the figures are those at its beginning.
type Head struct {
	Format   string    `json:"format"` // "eider"
	Version  int       `json:"version"`
	Created  time.Time `json:"created"`
	Store    string    `json:"store,omitempty"` // the id of the store that it is of
	Accounts int       `json:"accounts"`
	Messages int64     `json:"messages"`
	Bytes    int64     `json:"bytes"`
}

// Account is one account. Passwords are in no archive. The same may come again
// later, with more of its mail.
type Account struct {
	Address       Text      `json:"address"`
	Name          Text      `json:"name,omitempty"`
	Label         Text      `json:"label,omitempty"`
	Created       time.Time `json:"created,omitzero"`
	CatchAll      bool      `json:"catchAll,omitempty"`
	Subscriptions []Text    `json:"subscriptions,omitempty"` // to names that are no mailbox, too
}

// Mailbox is one mailbox of the account before it.
type Mailbox struct {
	Name        Text   `json:"name"` // '/' between levels
	SpecialUse  string `json:"specialUse,omitempty"`
	Subscribed  bool   `json:"subscribed,omitempty"`
	UIDValidity uint32 `json:"uidValidity,omitempty"`
	UIDNext     uint32 `json:"uidNext,omitempty"`
}

// Message is all of a message but its bytes.
type Message struct {
	Folder       Text      `json:"folder"` // the mailbox it stands in
	UID          uint32    `json:"uid,omitempty"`
	Flags        []string  `json:"flags"` // "\\Seen" and so on
	Keywords     []string  `json:"keywords"`
	InternalDate time.Time `json:"internalDate,omitzero"`
	SaveDate     time.Time `json:"saveDate,omitzero"`
	Size         int64     `json:"size"`
	SHA256       string    `json:"sha256,omitempty"` // of the bytes, in hexadecimal
	Envelope     *Envelope `json:"envelope,omitempty"`
	// Copies is in how many mailboxes the message lies, if in more than one.
	Copies uint32 `json:"copies,omitempty"`
	// Msg is the message's number in its store, if it lies in more than one mailbox.
	Msg uint64 `json:"msg,omitempty"`
	// Path is the message's name in the archive, without its ending; SameAs the
	// Path of an earlier item that is the same message in another mailbox.
	Path   string `json:"-"`
	SameAs string `json:"sameAs,omitempty"`
	// Source says where the message was found, for people.
	Source Text `json:"source,omitempty"`
	// Error says why the bytes are not there.
	Error string `json:"error,omitempty"`
}

// Envelope is how a message came in; see mailstore.Envelope.
type Envelope struct {
	From     Text      `json:"from"`
	To       []Text    `json:"to,omitempty"`
	ToCount  int       `json:"toCount,omitempty"`
	Helo     Text      `json:"helo,omitempty"`
	Protocol Text      `json:"protocol,omitempty"`
	Client   Text      `json:"client,omitempty"`
	TLS      Text      `json:"tls,omitempty"`
	User     Text      `json:"user,omitempty"`
	Received time.Time `json:"received,omitzero"`
	Body     Text      `json:"body,omitempty"`
}

// end closes an archive.
type end struct {
	Messages int64 `json:"messages"`
	Bytes    int64 `json:"bytes"`
}

// Text is a string that may hold any bytes. JSON cannot: what is not UTF-8 is
// written as {"base64":"…"}.
type Text string

type encoded struct {
	Base64 string `json:"base64"`
}

// MarshalJSON writes a string, or an object if that would lose bytes.
func (t Text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal(encoded{base64.StdEncoding.EncodeToString([]byte(t))})
}

// UnmarshalJSON reads both forms.
func (t *Text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var e encoded
		if err := json.Unmarshal(b, &e); err != nil {
			return err
		}
		raw, err := base64.StdEncoding.DecodeString(e.Base64)
		*t = Text(raw)
		return err
	}
	var s string
	err := json.Unmarshal(b, &s)
	*t = Text(s)
	return err
}

// Skipped is an error after which a sequence goes on: one part of it could not
// be read.
type Skipped struct {
	Source string // where, for people
	Err    error
}

func (s *Skipped) Error() string { return s.Source + ": " + s.Err.Error() }

func (s *Skipped) Unwrap() error { return s.Err }

// The errors of reading.
var (
	ErrNotArchive = errors.New("this is not an Eider archive")
	ErrCut        = errors.New("the archive ends early: it is not whole")
	ErrVersion    = errors.New("the archive was written by a newer version")
)
