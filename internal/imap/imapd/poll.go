package imapd

import (
	"context"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/mailstore"
)

// Watch returns the channel of hints about the account.
func (s *session) Watch() <-chan struct{} { return s.sel.changed }

// Poll reads what has happened to the selected mailbox. Unless forced it costs
// nothing when there was no hint and no change of our own.
func (s *session) Poll(ctx context.Context, force bool) (imap.Update, error) {
	select {
	case <-s.sel.changed:
		s.sel.dirty = true
	default:
	}
	if !force && !s.sel.dirty {
		return imap.Update{}, nil
	}
	ctx, cancel := s.budget(ctx)
	defer cancel()
	ch, err := s.store.Changes(ctx, s.acct(), s.sel.id, s.sel.epoch, s.sel.modseq)
	if err != nil {
		return imap.Update{}, s.refusal(err)
	}
	var u imap.Update
	switch {
	case ch.Gone:
		u.Gone = true
	case ch.Resync:
		if u, err = s.resync(ctx); err != nil {
			return imap.Update{}, err
		}
	default:
		u.Changed = changes(ch.Changed)
		var gone imapwire.Builder
		for _, uid := range ch.Vanished {
			gone.Add(uint32(uid))
		}
		u.Vanished = gone.Set()
		s.sel.modseq = ch.ModSeq
	}
	s.sel.dirty = false
	for i := range u.Changed {
		if next := mailstore.UID(u.Changed[i].UID) + 1; next > s.sel.next {
			s.sel.next, s.sel.grown = next, true
		}
	}
	return u, nil
}

// resync reads the mailbox anew: the log does not reach back to what the
// client knows, or the store has lost its last moments (a new epoch).
func (s *session) resync(ctx context.Context) (imap.Update, error) {
	snap, err := s.store.Snapshot(ctx, s.acct(), s.sel.id)
	if gone(err) {
		return imap.Update{Gone: true}, nil
	}
	if err != nil {
		return imap.Update{}, s.refusal(err)
	}
	u := imap.Update{Resync: true}
	var present imapwire.Builder
	for i := range snap.Entries {
		e := &snap.Entries[i]
		present.Add(uint32(e.UID))
		if snap.Epoch != s.sel.epoch || e.ModSeq > s.sel.modseq {
			u.Changed = append(u.Changed, change(e))
		}
	}
	u.Present = present.Set()
	s.sel.epoch, s.sel.modseq = snap.Epoch, snap.Mailbox.HighestModSeq
	return u, nil
}

func change(e *mailstore.Entry) imap.Change {
	return imap.Change{UID: uint32(e.UID), Flags: flags(e), ModSeq: uint64(e.ModSeq)}
}

func changes(es []mailstore.Entry) []imap.Change {
	out := make([]imap.Change, len(es))
	for i := range es {
		out[i] = change(&es[i])
	}
	return out
}
