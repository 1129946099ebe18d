package imapd

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/mailstore"
)

// Limit: rows of mailboxes that IMAP keeps in memory for all accounts, about 150 bytes each.
const maxListed = 200_000

// Limit: rows of one mailbox that IMAP keeps in memory; a larger one is read from the store each time.
const maxListing = 100_000

// listings are the rows of mailboxes that were used last, each as of a MODSEQ.
// Whoever uses one asks the store first what has changed since: nothing
// depends on hints.
type listings struct {
	mu    sync.Mutex
	m     map[listingKey]*listing
	clock uint64
	rows  int
}

type listingKey struct {
	acct mailstore.AcctID
	mbox mailstore.MailboxID
}

// listing is one mailbox.
type listing struct {
	used  uint64 // by the clock; guarded by listings.mu
	count int    // of rows, as last counted in listings.rows

	mu     sync.RWMutex
	loaded bool
	epoch  uint64
	modseq mailstore.ModSeq
	rows   []mailstore.Entry // by UID
}

// of returns a mailbox's listing, loaded or not.
func (ls *listings) of(k listingKey) *listing {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.m[k]
	if l == nil {
		if ls.m == nil {
			ls.m = make(map[listingKey]*listing)
		}
		l = &listing{}
		ls.m[k] = l
	}
	ls.clock++
	l.used = ls.clock
	return l
}

// weigh counts a listing anew and forgets those that were used longest ago.
func (ls *listings) weigh(k listingKey, l *listing, n int) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.m[k] != l {
		return // forgotten meanwhile
	}
	ls.rows += n - l.count
	l.count = n
	if n > maxListing {
		ls.forget(k)
	}
	for ls.rows > maxListed && len(ls.m) > 1 {
		var oldest listingKey
		least := ls.clock + 1
		for k, l := range ls.m {
			if l.used < least {
				oldest, least = k, l.used
			}
		}
		ls.forget(oldest)
	}
}

func (ls *listings) forget(k listingKey) {
	if l := ls.m[k]; l != nil {
		ls.rows -= l.count
		delete(ls.m, k)
	}
}

// listing brings a mailbox's listing up to date: one round trip if nothing has
// changed. One that is too large to be kept is read whole.
func (s *session) listing(ctx context.Context, m mailstore.MailboxID) (*listing, error) {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	k := listingKey{s.acct(), m}
	l := s.b.lists.of(k)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loaded {
		ch, err := s.store.Changes(ctx, k.acct, k.mbox, l.epoch, l.modseq)
		switch {
		case err != nil:
			return nil, s.refusal(err)
		case ch.Gone:
			s.b.lists.weigh(k, l, 0)
			l.loaded, l.rows = false, nil
		case ch.Resync:
			l.loaded = false
		default:
			if l.apply(&ch) {
				s.b.lists.weigh(k, l, len(l.rows))
			}
			return l, nil
		}
	}
	snap, err := s.store.Snapshot(ctx, k.acct, k.mbox)
	if err != nil {
		return nil, s.refusal(err)
	}
	l.loaded, l.epoch, l.modseq, l.rows = true, snap.Epoch, snap.Mailbox.HighestModSeq, snap.Entries
	s.b.lists.weigh(k, l, len(l.rows))
	return l, nil
}

// apply takes changes in; it tells whether the number of rows is another.
func (l *listing) apply(ch *mailstore.Changes) bool {
	before := len(l.rows)
	l.modseq = ch.ModSeq
	for i := range ch.Changed {
		e := &ch.Changed[i]
		j, found := l.find(e.UID)
		if found {
			l.rows[j] = *e
		} else {
			l.rows = slices.Insert(l.rows, j, *e)
		}
	}
	if len(ch.Vanished) > 0 {
		gone := ch.Vanished
		l.rows = slices.DeleteFunc(l.rows, func(e mailstore.Entry) bool {
			for len(gone) > 0 && gone[0] < e.UID {
				gone = gone[1:]
			}
			return len(gone) > 0 && gone[0] == e.UID
		})
	}
	return len(l.rows) != before
}

func (l *listing) find(uid mailstore.UID) (int, bool) {
	if n := len(l.rows); n > 0 && l.rows[n-1].UID < uid {
		return n, false
	}
	return slices.BinarySearchFunc(l.rows, uid, func(e mailstore.Entry, uid mailstore.UID) int {
		return cmp.Compare(e.UID, uid)
	})
}

// copyRows appends the rows of uids from a UID on, up to limit.
func (l *listing) copyRows(dst []mailstore.Entry, uids imapwire.Set, from mailstore.UID, limit int) []mailstore.Entry {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, r := range uids {
		if mailstore.UID(r.Stop) < from {
			continue
		}
		start := max(mailstore.UID(r.Start), from)
		for i, _ := l.find(start); i < len(l.rows) && l.rows[i].UID <= mailstore.UID(r.Stop); i++ {
			if len(dst) == limit {
				return dst
			}
			dst = append(dst, l.rows[i])
		}
	}
	return dst
}

// each calls f with the rows of uids in batches, which are the caller's.
func (l *listing) each(uids imapwire.Set, f func([]mailstore.Entry) error) error {
	batch := make([]mailstore.Entry, 0, min(rowBatch, uids.Len()))
	for from := mailstore.UID(1); from != 0; {
		batch = l.copyRows(batch[:0], uids, from, rowBatch)
		if len(batch) == 0 {
			return nil
		}
		last, full := batch[len(batch)-1].UID, len(batch) == rowBatch
		if err := f(batch); err != nil || !full {
			return err
		}
		from = last + 1
	}
	return nil
}
