package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/eidermail/eider/internal/mailstore"
)

// FlagSet is a change of flags; what is absent stays as it is.
type FlagSet struct {
	Seen     *bool    `json:"seen,omitempty"`
	Answered *bool    `json:"answered,omitempty"`
	Flagged  *bool    `json:"flagged,omitempty"`
	Deleted  *bool    `json:"deleted,omitempty"`
	Draft    *bool    `json:"draft,omitempty"`
	Add      []string `json:"add,omitempty" maxItems:"50" doc:"Keywords to set"`
	Remove   []string `json:"remove,omitempty" maxItems:"50" doc:"Keywords to take away"`
}

// changes makes at most one adding and one removing change of s.
func (s *FlagSet) changes() []mailstore.FlagChange {
	add := mailstore.FlagChange{Op: mailstore.FlagsAdd, Keywords: s.Add}
	del := mailstore.FlagChange{Op: mailstore.FlagsRemove, Keywords: s.Remove}
	for _, f := range []struct {
		set  *bool
		flag mailstore.Flags
	}{{s.Seen, mailstore.Seen}, {s.Answered, mailstore.Answered}, {s.Flagged, mailstore.Flagged},
		{s.Deleted, mailstore.Deleted}, {s.Draft, mailstore.Draft}} {
		switch {
		case f.set == nil:
		case *f.set:
			add.Flags |= f.flag
		default:
			del.Flags |= f.flag
		}
	}
	var out []mailstore.FlagChange
	for _, c := range []mailstore.FlagChange{add, del} {
		if c.Flags != 0 || len(c.Keywords) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// keyword tells whether s can be an IMAP keyword (RFC 9051 §9, an atom).
func keyword(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r)
	})
}

type flagInput struct {
	ID   string `path:"id" maxLength:"64"`
	Body FlagSet
}

type flagManyInput struct {
	Body struct {
		IDs   []string `json:"ids" minItems:"1" maxItems:"1000" doc:"Messages to change"`
		Flags FlagSet  `json:"flags"`
	}
}

// Changed says how many messages were changed or deleted.
type Changed struct {
	Count int `json:"count" doc:"Messages that were there and are changed or deleted now"`
}

type changedOutput struct{ Body Changed }

// setFlags is PATCH /v1/messages/{id}.
func (a *API) setFlags(ctx context.Context, in *flagInput) (*changedOutput, error) {
	n, err := a.flag(ctx, []string{in.ID}, &in.Body)
	if err == nil && n == 0 {
		return nil, problem(http.StatusNotFound, replies[mailstore.NotExist].text)
	}
	return &changedOutput{Changed{n}}, err
}

// setFlagsMany is PATCH /v1/messages.
func (a *API) setFlagsMany(ctx context.Context, in *flagManyInput) (*changedOutput, error) {
	n, err := a.flag(ctx, in.Body.IDs, &in.Body.Flags)
	return &changedOutput{Changed{n}}, err
}

func (a *API) flag(ctx context.Context, ids []string, set *FlagSet) (int, error) {
	for _, k := range slices.Concat(set.Add, set.Remove) {
		if !keyword(k) {
			return 0, problem(http.StatusUnprocessableEntity,
				`A keyword has 1 to 128 characters of ASCII without blanks and none of ( ) { % * " \ ].`)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, StoreBudget)
	defer cancel()
	c := callerOf(ctx)
	places, err := a.places(ctx, c, ids)
	if err != nil {
		return 0, a.fail("flags", err)
	}
	for m, uids := range places.uids {
		for _, change := range set.changes() {
			if _, err := a.o.Store.SetFlags(ctx, c.Acct, m, uids, change); err != nil {
				return 0, a.fail("flags", err)
			}
		}
	}
	return places.messages, nil
}

// placed are the rows of messages, by mailbox.
type placed struct {
	uids     map[mailstore.MailboxID][]mailstore.UID
	messages int
}

// places finds messages by their ids; those that are not there are left out.
func (a *API) places(ctx context.Context, c caller, ids []string) (placed, error) {
	out := placed{uids: map[mailstore.MailboxID][]mailstore.UID{}}
	for _, id := range ids {
		msg, ok := a.messageID(c, id)
		if !ok {
			continue
		}
		m, e, err := a.o.Store.Place(ctx, c.Acct, msg)
		if mailstore.KindOf(err) == mailstore.NotExist && err != nil {
			continue
		}
		if err != nil {
			return out, err
		}
		if !slices.Contains(out.uids[m.ID], e.UID) {
			out.uids[m.ID] = append(out.uids[m.ID], e.UID)
			out.messages++
		}
	}
	for _, uids := range out.uids {
		slices.Sort(uids)
	}
	return out, nil
}

type deleteInput struct {
	ID string `path:"id" maxLength:"64"`
}

type deleteManyInput struct {
	IDs     []string `query:"id,explode" maxItems:"1000" doc:"Messages to delete; may be repeated"`
	All     bool     `query:"all" doc:"Delete all messages of the mailbox"`
	Mailbox string   `query:"mailbox" default:"INBOX" maxLength:"1000" doc:"With all: which one"`
}

// remove is DELETE /v1/messages/{id}.
func (a *API) remove(ctx context.Context, in *deleteInput) (*changedOutput, error) {
	n, err := a.expunge(ctx, []string{in.ID})
	if err == nil && n == 0 {
		return nil, problem(http.StatusNotFound, replies[mailstore.NotExist].text)
	}
	return &changedOutput{Changed{n}}, err
}

// removeMany is DELETE /v1/messages. Deleting everything must be asked for in
// words: a forgotten id must not empty a mailbox.
func (a *API) removeMany(ctx context.Context, in *deleteManyInput) (*changedOutput, error) {
	if in.All == (len(in.IDs) > 0) {
		return nil, problem(http.StatusUnprocessableEntity, "Name messages by id=…, or all of them by all=true.")
	}
	if !in.All {
		n, err := a.expunge(ctx, in.IDs)
		return &changedOutput{Changed{n}}, err
	}
	ctx, cancel := context.WithTimeout(ctx, StoreBudget)
	defer cancel()
	c := callerOf(ctx)
	m, err := a.o.Store.Mailbox(ctx, c.Acct, in.Mailbox)
	if err != nil {
		return nil, a.fail("delete", err)
	}
	gone, _, err := a.o.Store.Expunge(ctx, c.Acct, m.ID, nil, false)
	if err != nil {
		return nil, a.fail("delete", err)
	}
	return &changedOutput{Changed{len(gone)}}, nil
}

// maxCopies bounds how often one message is looked for in further mailboxes.
const maxCopies = 100

// expunge deletes messages wherever they lie.
func (a *API) expunge(ctx context.Context, ids []string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, StoreBudget)
	defer cancel()
	c := callerOf(ctx)
	count := 0
	for pass := range maxCopies {
		places, err := a.places(ctx, c, ids)
		if err != nil {
			return count, a.fail("delete", err)
		}
		if len(places.uids) == 0 {
			break
		}
		if pass == 0 {
			count = places.messages
		}
		for m, uids := range places.uids {
			if _, _, err := a.o.Store.Expunge(ctx, c.Acct, m, uids, false); err != nil {
				return count, a.fail("delete", err)
			}
		}
	}
	return count, nil
}
