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
	if err := s.still(ctx); err != nil {
		return imap.Selected{}, err
	}
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
	h := &hints{}
	unwatch := s.store.Watches().Call(uint64(s.acct()), h.come)
	l, err := s.listing(ctx, m.ID)
	if err != nil {
		unwatch()
		return imap.Selected{}, err
	}
	out := imap.Selected{Mailbox: mailbox(&m), ReadOnly: readOnly, RecentFrom: uint32(recent)}
	l.mu.RLock()
	defer l.mu.RUnlock()
	selected(&out, l.rows)
	out.HighestModSeq = uint64(l.modseq)
	out.UIDNext = max(out.UIDNext, out.UIDs.Max()+1) // the rows were read later
	s.sel = selection{
		id: m.ID, readOnly: readOnly, epoch: l.epoch, modseq: l.modseq,
		next: mailstore.UID(out.UIDNext), hints: h, cancel: unwatch, large: len(l.rows) > maxListing,
	}
	return out, nil
}

// selected tells what stands in the rows.
func selected(out *imap.Selected, rows []mailstore.Entry) {
	var uids imapwire.Builder
	words := make(map[string]struct{})
	for i := range rows {
		e := &rows[i]
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
}
