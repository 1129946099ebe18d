package imapd

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/mailstore"
)

// flagOps say which way of STORE is which in the store.
var flagOps = [...]mailstore.FlagOp{
	imap.StoreReplace: mailstore.FlagsReplace,
	imap.StoreAdd:     mailstore.FlagsAdd,
	imap.StoreRemove:  mailstore.FlagsRemove,
}

// doStore changes flags (RFC 9051 §6.4.6). What was changed before an error is told.
func (s *session) doStore(ctx context.Context, uids imapwire.Set, c imap.StoreChange) (imap.Stored, error) {
	s.sel.dirty = true
	var out imap.Stored
	list, err := s.toChange(ctx, uids, &c, &out)
	if err != nil {
		return out, err
	}
	for group := range slices.Chunk(list, storeGroup) {
		if err := s.storeGroup(ctx, group, &c, &out); err != nil {
			return out, err
		}
		s.progress(len(out.Messages), len(list))
	}
	slices.SortFunc(out.Messages, func(a, b imap.Change) int { return cmp.Compare(a.UID, b.UID) })
	return out, nil
}

// toChange leaves out messages that are as the client wants them: they need no
// commit. Their flags are told all the same (RFC 9051 §6.4.6).
func (s *session) toChange(ctx context.Context, uids imapwire.Set, c *imap.StoreChange, out *imap.Stored,
) ([]mailstore.UID, error) {
	if c.HasUnchangedSince || s.sel.large {
		return uidList(uids), nil
	}
	l, err := s.listing(ctx, s.sel.id)
	if err != nil {
		return uidList(uids), nil // the change itself will tell what is wrong
	}
	todo := make([]mailstore.UID, 0, uids.Len())
	var there imapwire.Builder
	err = l.each(uids, func(rows []mailstore.Entry) error {
		for i := range rows {
			e := &rows[i]
			if !asWanted(e, c) {
				todo = append(todo, e.UID)
			} else if !c.Silent {
				out.Messages = append(out.Messages, change(e))
			}
			there.Add(uint32(e.UID))
		}
		return nil
	})
	out.Missing = uids.Subtract(there.Set())
	return todo, err
}

// asWanted tells whether a change would change nothing.
func asWanted(e *mailstore.Entry, c *imap.StoreChange) bool {
	has := func(k string) bool {
		return slices.ContainsFunc(e.Keywords, func(w string) bool { return strings.EqualFold(w, k) })
	}
	flags := stored(c.Flags.System)
	switch c.Op {
	case imap.StoreAdd:
		return e.Flags&flags == flags && !slices.ContainsFunc(c.Flags.Keywords, func(k string) bool { return !has(k) })
	case imap.StoreRemove:
		return e.Flags&flags == 0 && !slices.ContainsFunc(c.Flags.Keywords, has)
	}
	return e.Flags == flags && len(e.Keywords) == len(c.Flags.Keywords) &&
		!slices.ContainsFunc(c.Flags.Keywords, func(k string) bool { return !has(k) })
}

// Pace: messages that one store call of an IMAP STORE changes.
const storeGroup = 2000

func (s *session) storeGroup(ctx context.Context, uids []mailstore.UID, c *imap.StoreChange, out *imap.Stored) error {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	done, err := s.store.SetFlags(ctx, s.acct(), s.sel.id, uids, flagChange(c))
	addStored(out, &done, c)
	return s.refusal(err)
}

func flagChange(c *imap.StoreChange) mailstore.FlagChange {
	return mailstore.FlagChange{
		Op: flagOps[c.Op], Flags: stored(c.Flags.System), Keywords: c.Flags.Keywords,
		UnchangedSince: mailstore.ModSeq(c.UnchangedSince), HasUnchangedSince: c.HasUnchangedSince,
	}
}

// addStored adds what the store did to what the client is told: the new value
// of all, also of those that had it before (RFC 9051 §6.4.6).
func addStored(out *imap.Stored, done *mailstore.FlagResult, c *imap.StoreChange) {
	out.Modified = out.Modified.Union(uidSet(done.Modified))
	out.Missing = out.Missing.Union(uidSet(done.Missing))
	changed := changes(done.Changed)
	if len(done.Same) > 0 && (!c.Silent || c.HasUnchangedSince) {
		changed = append(changed, changes(done.Same)...)
		slices.SortFunc(changed, func(a, b imap.Change) int { return cmp.Compare(a.UID, b.UID) })
	}
	out.Messages = append(out.Messages, changed...)
}
