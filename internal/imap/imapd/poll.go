package imapd

import (
	"context"
	"sync/atomic"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/mailstore"
)

// hints are what is heard of the account while a mailbox is selected.
type hints struct {
	came  atomic.Bool // and Poll has not looked since
	asked atomic.Bool // it is to be asked whether the login still holds
	wake  atomic.Pointer[func()]
}

func (h *hints) come() {
	h.asked.Store(true)
	h.came.Store(true)
	if wake := h.wake.Load(); wake != nil {
		(*wake)()
	}
}

// Watch has wake called at each hint, and for one that came before.
func (s *session) Watch(wake func()) {
	h := s.sel.hints
	switch {
	case h == nil:
	case wake == nil:
		h.wake.Store(nil)
	default:
		h.wake.Store(&wake)
		if h.came.Load() {
			wake()
		}
	}
}

// WatchAll has wake called at each hint.
func (s *session) WatchAll(wake func()) (cancel func()) {
	return s.store.Watches().Call(uint64(s.acct()), wake)
}

// Poll reads what has happened to the selected mailbox. Unless forced it costs
// nothing when there was no hint and no change of our own. To a login that
// holds no more the mailbox is gone.
func (s *session) Poll(ctx context.Context, force bool) (imap.Update, error) {
	if h := s.sel.hints; h != nil && h.came.Swap(false) {
		s.sel.dirty = true
	}
	if !force && !s.sel.dirty && s.ended == nil {
		return imap.Update{}, nil
	}
	ctx, cancel := s.budget(ctx)
	defer cancel()
	if err := s.stillHere(ctx); s.ended != nil {
		return imap.Update{Gone: true}, nil
	} else if err != nil {
		return imap.Update{}, err
	}
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
	u.ModSeq = uint64(s.sel.modseq)
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
