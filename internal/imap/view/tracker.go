// Package view keeps a client's view of the selected mailbox: which UID stands
// behind which message sequence number (RFC 9051 §2.3.1.2). A view changes only
// by what the client is told.
package view

import (
	"sort"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// Change is a message that is new, or whose flags are.
type Change struct {
	UID    uint32
	Flags  imapwire.Flags
	ModSeq uint64
}

// Update is what happened to the selected mailbox.
type Update struct {
	Changed  []Change     // by UID
	Vanished imapwire.Set // messages that are gone
	// Resync says that the history is lost: Present are all messages there
	// are, Changed all that may have changed.
	Resync  bool
	Present imapwire.Set
	Gone    bool   // the mailbox was deleted
	ModSeq  uint64 // the mailbox's, with this update; 0: nothing was looked at
	Partial bool   // more of the same look follows
}

// Take takes the new messages from next up to a UID out of an update: whatever
// else happened to them meanwhile, for a view cannot take one below those it has.
func (u *Update) Take(next, last uint32) *Update {
	out := &Update{Partial: true}
	if last < next || u.Resync || u.Gone {
		return out
	}
	rest := u.Changed[:0:0]
	for _, m := range u.Changed {
		if next <= m.UID && m.UID <= last {
			out.Changed = append(out.Changed, m)
		} else {
			rest = append(rest, m)
		}
	}
	u.Changed = rest
	return out
}

// Tracker is the view. It keeps UIDs as runs, so its size is that of the gaps
// between them.
type Tracker struct {
	uids   imapwire.Set // told to the client
	before []uint32     // before[i]: how many UIDs stand before uids[i]
	count  uint32
	next   uint32       // UIDs from here on were not told
	recent imapwire.Set // \Recent in this session (RFC 3501 §2.3.2)
	gone   imapwire.Set // expunged, and the client was not told yet
	// told are the MODSEQs that the client got in answers to its own commands,
	// so that it is not told again what it did.
	told map[uint32]uint64
}

// Reset starts a view: all of uids are told.
func (t *Tracker) Reset(uids imapwire.Set, next, recentFrom uint32) {
	*t = Tracker{next: max(next, 1)}
	if m := uids.Max(); m >= t.next {
		t.next = m + 1
	}
	t.set(uids)
	if recentFrom > 0 {
		t.recent = uids.Intersect(imapwire.Set{{Start: recentFrom, Stop: 1<<32 - 1}})
	}
}

// UIDs are the messages that the client knows.
func (t *Tracker) UIDs() imapwire.Set { return t.uids }

// Count is how many those are.
func (t *Tracker) Count() uint32 { return t.count }

// Next is the UID from which on nothing was told.
func (t *Tracker) Next() uint32 { return t.next }

// Recent are the messages that are \Recent in this session (RFC 3501 §2.3.2).
func (t *Tracker) Recent() imapwire.Set { return t.recent }

func (t *Tracker) set(uids imapwire.Set) {
	t.uids = uids
	t.before = t.before[:0]
	t.count = 0
	for _, r := range uids {
		t.before = append(t.before, t.count)
		t.count += r.Stop - r.Start + 1
	}
}

// Seq is the sequence number of a UID, 0 if the client does not know it.
func (t *Tracker) Seq(uid uint32) uint32 {
	i := sort.Search(len(t.uids), func(i int) bool { return t.uids[i].Stop >= uid })
	if i == len(t.uids) || t.uids[i].Start > uid {
		return 0
	}
	return t.before[i] + uid - t.uids[i].Start + 1
}

// run is the index of the run that holds a sequence number.
func (t *Tracker) run(seq uint32) int {
	return sort.Search(len(t.before), func(i int) bool { return t.before[i] >= seq }) - 1
}

// BySeq turns sequence numbers into UIDs. It is not ok to name a number that
// is not in use; "*" in an empty mailbox is nobody.
func (t *Tracker) BySeq(q imapwire.SeqSet) (uids imapwire.Set, ok bool) {
	largest, star := q.Max()
	if t.count == 0 && star && largest <= 1 {
		return nil, true
	}
	if largest > t.count {
		return nil, false
	}
	var out imapwire.Set
	for _, r := range q.Resolve(t.count) {
		for i := t.run(r.Start); i < len(t.uids) && t.before[i] < r.Stop; i++ {
			start, stop := t.uids[i].Start, t.uids[i].Stop
			if first := t.before[i] + 1; r.Start > first {
				start += r.Start - first
			}
			if last := t.before[i] + (t.uids[i].Stop - t.uids[i].Start + 1); r.Stop < last {
				stop -= last - r.Stop
			}
			out = append(out, imapwire.Run{Start: start, Stop: stop})
		}
	}
	return out, true
}

// ByUID keeps of a client's UID set what the client knows (RFC 9051 §6.4.9:
// UIDs that are not there are ignored).
func (t *Tracker) ByUID(q imapwire.SeqSet) imapwire.Set {
	return t.uids.Intersect(q.Resolve(t.uids.Max()))
}

// Resolve is what a UID set of a client names, whether those messages are
// there or not; "*" is the last message.
func (t *Tracker) Resolve(q imapwire.SeqSet) imapwire.Set {
	last := max(t.next, 2) - 1
	return q.Resolve(last).Intersect(imapwire.Set{{Start: 1, Stop: last}})
}

// Seqs turns UIDs into sequence numbers.
func (t *Tracker) Seqs(uids imapwire.Set) imapwire.Set {
	var b imapwire.Builder
	for _, r := range uids.Intersect(t.uids) {
		first := t.Seq(r.Start)
		b.AddRun(first, first+r.Stop-r.Start)
	}
	return b.Set()
}

// Apply takes an update in. It returns the changes of messages that the client
// knows, to be told, and whether there are new messages, which are in the view
// from now on: EXISTS must be told. Expunges wait for TakeExpunged. It is not
// ok if a message turned up below those that were told: no view can show that.
func (t *Tracker) Apply(u *Update) (changed []Change, grown, ok bool) {
	var added imapwire.Builder
	if u.Resync {
		t.gone = t.gone.Union(t.uids.Subtract(u.Present))
		if !u.Present.Intersect(imapwire.Set{{Start: 1, Stop: t.next - 1}}).Subtract(t.uids).Empty() && t.next > 1 {
			return nil, false, false
		}
		for _, r := range u.Present {
			if r.Stop >= t.next {
				added.AddRun(max(r.Start, t.next), r.Stop)
			}
		}
	}
	for _, c := range u.Changed {
		if c.UID >= t.next {
			if !u.Resync {
				added.Add(c.UID)
			}
			continue
		}
		if t.Seq(c.UID) != 0 && c.ModSeq > t.told[c.UID] {
			changed = append(changed, c)
		}
	}
	t.gone = t.gone.Union(t.uids.Intersect(u.Vanished))
	if !u.Partial {
		clear(t.told)
	}
	fresh := added.Set().Subtract(u.Vanished)
	if fresh.Empty() {
		return changed, false, true
	}
	t.set(t.uids.Union(fresh))
	t.recent = t.recent.Union(fresh)
	t.next = fresh.Max() + 1
	return changed, true, true
}

// Tell notes that the client knows a message's flags as of a MODSEQ.
func (t *Tracker) Tell(uid uint32, modseq uint64) {
	if t.told == nil {
		t.told = make(map[uint32]uint64)
	}
	t.told[uid] = max(t.told[uid], modseq)
}

// TakeExpunged takes the messages that are gone out of the view and returns
// them, with their sequence numbers: telling runs of those from the last to
// the first, each number is still what the client knows.
func (t *Tracker) TakeExpunged() (uids, seqs imapwire.Set) {
	if t.gone.Empty() {
		return nil, nil
	}
	uids, seqs = t.gone, t.Seqs(t.gone)
	t.set(t.uids.Subtract(t.gone))
	t.recent = t.recent.Subtract(t.gone)
	t.gone = nil
	return uids, seqs
}
