package imapd

import (
	"context"
	"slices"

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

// Store changes flags (RFC 9051 §6.4.6). What was changed before an error is told.
func (s *session) Store(ctx context.Context, uids imapwire.Set, c imap.StoreChange) (imap.Stored, error) {
	s.sel.dirty = true
	list := uidList(uids)
	var out imap.Stored
	for group := range slices.Chunk(list, storeGroup) {
		if err := s.storeGroup(ctx, group, &c, &out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// Limit: messages that one store call of an IMAP STORE changes.
const storeGroup = 2000

func (s *session) storeGroup(ctx context.Context, uids []mailstore.UID, c *imap.StoreChange, out *imap.Stored) error {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	done, err := s.store.SetFlags(ctx, s.acct(), s.sel.id, uids, mailstore.FlagChange{
		Op: flagOps[c.Op], Flags: stored(c.Flags.System), Keywords: c.Flags.Keywords,
		UnchangedSince: mailstore.ModSeq(c.UnchangedSince), HasUnchangedSince: c.HasUnchangedSince,
	})
	changed := changes(done.Changed)
	out.Modified = out.Modified.Union(uidSet(done.Modified))
	out.Missing = out.Missing.Union(uidSet(done.Missing))
	if !c.Silent || c.HasUnchangedSince {
		// RFC 9051 §6.4.6: the new value of all, also of those that had it before.
		told := make(map[mailstore.UID]bool, len(done.Changed))
		for i := range done.Changed {
			told[done.Changed[i].UID] = true
		}
		rest := slices.DeleteFunc(slices.Clone(uids), func(u mailstore.UID) bool { return told[u] })
		rest = without(without(rest, done.Missing), done.Modified)
		if len(rest) > 0 && err == nil {
			same, err := s.store.EntriesByUID(ctx, s.acct(), s.sel.id, rest)
			if err == nil {
				changed = append(changed, changes(same)...)
				slices.SortFunc(changed, func(a, b imap.Change) int { return int(int64(a.UID) - int64(b.UID)) })
			}
		}
	}
	out.Messages = append(out.Messages, changed...)
	return s.refusal(err)
}

// without takes the UIDs of b out of a; both ascend.
func without(a, b []mailstore.UID) []mailstore.UID {
	if len(b) == 0 {
		return a
	}
	return slices.DeleteFunc(a, func(u mailstore.UID) bool {
		_, found := slices.BinarySearch(b, u)
		return found
	})
}
