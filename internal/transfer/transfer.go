// Package transfer moves mail between a store and archives: Export yields the
// items of accounts, Import stores items. Both stream: memory does not grow with
// the number of messages or their sizes, but for a few bytes a message that is
// in several mailboxes, or that stood in the mailbox before an import.
//
// It promises: exact bytes, flags, keywords, dates, folders and envelopes; a
// message that cannot be read or stored is told and never ends the whole; an
// import that is run again stores only what is missing.
package transfer

import (
	"fmt"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/transfer/archive"
)

// Limit: problems of one import that are reported; the rest are only counted.
const MaxProblems = 10_000

// Problem is one part that was not carried over.
type Problem struct {
	Where string `json:"where"` // for people; from outside: escape it before printing
	What  string `json:"what"`
}

// Result is what an import did.
type Result struct {
	Accounts  int       `json:"accounts"`
	Mailboxes int       `json:"mailboxes"`
	Messages  int64     `json:"messages"` // stored
	Bytes     int64     `json:"bytes"`    // of these
	Present   int64     `json:"present"`  // were there already
	Failed    int64     `json:"failed"`
	Problems  []Problem `json:"problems,omitempty"`
	Made      []Made    `json:"made,omitempty"`
	Broken    string    `json:"broken,omitempty"` // why the import ended early
}

// Made is an account that an import has made.
type Made struct {
	Address  string `json:"address"`
	Password string `json:"password"`
}

// String hides the password.
func (m Made) String() string { return m.Address }

// GoString hides the password.
func (m Made) GoString() string { return m.Address }

func (r *Result) problem(where, format string, args ...any) {
	if len(r.Problems) < MaxProblems {
		r.Problems = append(r.Problems, Problem{where, fmt.Sprintf(format, args...)})
	}
}

// systemFlags are the names of the system flags (RFC 9051 §2.3.2).
var systemFlags = []struct {
	flag mailstore.Flags
	name string
}{
	{mailstore.Seen, `\Seen`}, {mailstore.Answered, `\Answered`}, {mailstore.Flagged, `\Flagged`},
	{mailstore.Deleted, `\Deleted`}, {mailstore.Draft, `\Draft`},
}

func flagNames(f mailstore.Flags) []string {
	out := []string{}
	for _, s := range systemFlags {
		if f&s.flag != 0 {
			out = append(out, s.name)
		}
	}
	return out
}

func flagsOf(names []string) (f mailstore.Flags) {
	for _, n := range names {
		for _, s := range systemFlags {
			if n == s.name {
				f |= s.flag
			}
		}
	}
	return f
}

func texts(in []string) (out []archive.Text) {
	for _, s := range in {
		out = append(out, archive.Text(s))
	}
	return out
}

func stringsOf(in []archive.Text) (out []string) {
	for _, s := range in {
		out = append(out, string(s))
	}
	return out
}

func toArchive(e mailstore.Envelope) *archive.Envelope {
	return &archive.Envelope{From: archive.Text(e.From), To: texts(e.To), ToCount: e.ToCount,
		Helo: archive.Text(e.Helo), Protocol: archive.Text(e.Protocol), Client: archive.Text(e.Client),
		TLS: archive.Text(e.TLS), User: archive.Text(e.User), Received: e.Received, Body: archive.Text(e.Body)}
}

func fromArchive(e *archive.Envelope) mailstore.Envelope {
	if e == nil {
		return mailstore.Envelope{}
	}
	return mailstore.Envelope{From: string(e.From), To: stringsOf(e.To), ToCount: e.ToCount,
		Helo: string(e.Helo), Protocol: string(e.Protocol), Client: string(e.Client), TLS: string(e.TLS),
		User: string(e.User), Received: e.Received, Body: string(e.Body)}
}

// date makes a time one that JSON can write (RFC 3339 has years of four digits).
func date(t time.Time) time.Time {
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return time.Unix(0, 0).UTC()
	}
	return t.UTC()
}
