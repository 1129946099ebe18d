package imapd

import (
	"context"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/mailstore"
)

// Select opens a mailbox (RFC 9051 §6.3.2). Whoever opens it for writing takes
// its messages' \Recent (RFC 3501 §2.3.2).
func (s *session) Select(ctx context.Context, name string, readOnly bool) (imap.Selected, error) {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	m, err := s.store.Mailbox(ctx, s.acct(), name)
	if err != nil {
		return imap.Selected{}, s.refusal(err)
	}
	recent := m.RecentFloor
	if !readOnly {
		if floor, err := s.store.MarkNotRecent(ctx, s.acct(), m.ID); err == nil {
			recent = floor
		}
	}
	// Watched before it is read: nothing can happen unseen in between.
	changed, unwatch := s.store.Watch(s.acct())
	snap, err := s.store.Snapshot(ctx, s.acct(), m.ID)
	if err != nil {
		unwatch()
		return imap.Selected{}, s.refusal(err)
	}
	s.sel = selection{
		id: m.ID, readOnly: readOnly, epoch: snap.Epoch, modseq: snap.Mailbox.HighestModSeq,
		next: snap.Mailbox.UIDNext, changed: changed, cancel: unwatch,
	}
	out := selected(&snap)
	out.ReadOnly, out.RecentFrom = readOnly, uint32(recent)
	return out, nil
}

func selected(snap *mailstore.Snapshot) imap.Selected {
	out := imap.Selected{Mailbox: mailbox(&snap.Mailbox)}
	var uids imapwire.Builder
	words := make(map[string]struct{})
	for i := range snap.Entries {
		e := &snap.Entries[i]
		uids.Add(uint32(e.UID))
		if out.FirstUnseen == 0 && e.Flags&mailstore.Seen == 0 {
			out.FirstUnseen = uint32(e.UID)
		}
		for _, k := range e.Keywords {
			if _, ok := words[k]; !ok && len(words) < imap.MaxKnownKeywords {
				words[k] = struct{}{}
				out.Keywords = append(out.Keywords, k)
			}
		}
	}
	out.UIDs = uids.Set()
	return out
}
