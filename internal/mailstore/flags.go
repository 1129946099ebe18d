package mailstore

import (
	"context"
	"slices"
	"strings"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// allFlags are the system flags that there are.
const allFlags = Seen | Answered | Flagged | Deleted | Draft

// cleanKeywords checks keywords (atoms, RFC 9051 §9 flag-keyword), drops those
// that differ only in case, and sorts them.
func cleanKeywords(ks []string) ([]string, error) {
	if len(ks) == 0 {
		return nil, nil
	}
	out := make([]string, 0, len(ks))
	for _, k := range ks {
		if k == "" || len(k) > MaxKeyword || strings.ContainsFunc(k, notAtom) {
			return nil, fail(Invalid, "bad keyword")
		}
		if !slices.ContainsFunc(out, func(o string) bool { return strings.EqualFold(o, k) }) {
			out = append(out, k)
		}
	}
	if len(out) > MaxKeywords {
		return nil, fail(Limit, "%d keywords", len(out))
	}
	slices.Sort(out)
	return out, nil
}

func notAtom(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r) }

// apply changes a row's flags, or returns false if it is so already.
func (c *FlagChange) apply(e *row.EntryRow) (changed bool, err error) {
	flags, kws := Flags(e.Flags), e.Keywords
	has := func(list []string, k string) bool {
		return slices.ContainsFunc(list, func(o string) bool { return strings.EqualFold(o, k) })
	}
	switch c.Op {
	case FlagsAdd, FlagsReplace:
		if c.Op == FlagsAdd {
			flags |= c.Flags
		} else {
			flags = c.Flags
			// What stays keeps the spelling it was first written with.
			kws = slices.DeleteFunc(slices.Clone(kws), func(k string) bool { return !has(c.Keywords, k) })
		}
		for _, k := range c.Keywords {
			if !has(kws, k) {
				kws = append(slices.Clip(kws), k)
			}
		}
	case FlagsRemove:
		flags &^= c.Flags
		kws = slices.DeleteFunc(slices.Clone(kws), func(k string) bool { return has(c.Keywords, k) })
	default:
		return false, fail(Invalid, "unknown way to change flags")
	}
	if len(kws) > MaxKeywords {
		return false, fail(Limit, "%d keywords", len(kws))
	}
	slices.Sort(kws)
	if flags == Flags(e.Flags) && slices.Equal(kws, e.Keywords) {
		return false, nil
	}
	e.Flags, e.Keywords = uint8(flags), kws
	return true, nil
}

// SetFlags changes flags of messages. UIDs that are not there are reported, not
// an error. More than a group of rows are several commits.
func (s *Store) SetFlags(ctx context.Context, id AcctID, m MailboxID, uids []UID, c FlagChange) (FlagResult, error) {
	const name = "set flags"
	var err error
	c.Flags &= allFlags
	if c.Keywords, err = cleanKeywords(c.Keywords); err != nil {
		return FlagResult{}, wrap(name, err)
	}
	var all FlagResult
	for group := range slices.Chunk(sortedUIDs(uids), changeGroup) {
		var r FlagResult
		err := s.update(ctx, name, id, func(o *op) error {
			r = FlagResult{}
			if err := o.load(uint32(m)); err != nil {
				return err
			}
			return o.setFlags(o.box(uint32(m)), group, &c, &r)
		}, kv.Reclaim())
		if err != nil {
			return all, err
		}
		if r.ModSeq != 0 {
			all.ModSeq = r.ModSeq
		}
		all.Changed = append(all.Changed, r.Changed...)
		all.Same = append(all.Same, r.Same...)
		all.Modified = append(all.Modified, r.Modified...)
		all.Missing = append(all.Missing, r.Missing...)
	}
	return all, nil
}

func (o *op) setFlags(b *box, uids []uint32, c *FlagChange, r *FlagResult) error {
	rows, err := o.entries(b, uids)
	if err != nil {
		return err
	}
	next := 0
	for i := range rows {
		p := &rows[i]
		for ; uids[next] != p.uid; next++ {
			r.Missing = append(r.Missing, UID(uids[next]))
		}
		next++
		if c.HasUnchangedSince && ModSeq(p.entry.ModSeq) > c.UnchangedSince {
			r.Modified = append(r.Modified, UID(p.uid))
			continue
		}
		before := Flags(p.entry.Flags)
		changed, err := c.apply(&p.entry)
		if err != nil {
			return err
		}
		if !changed {
			r.Same = append(r.Same, entry(p.uid, &p.entry))
			continue
		}
		p.entry.ModSeq = o.take()
		r.ModSeq = ModSeq(o.modseq)
		o.Put(row.Entry(o.acct, b.id, p.uid), p.entry.Append(make([]byte, 0, 48)))
		b.log.Changed = b.log.Changed.Add(p.uid)
		b.recount(before, Flags(p.entry.Flags))
		r.Changed = append(r.Changed, entry(p.uid, &p.entry))
	}
	for ; next < len(uids); next++ {
		r.Missing = append(r.Missing, UID(uids[next]))
	}
	return nil
}

// recount takes a change of flags into the mailbox's counts.
func (b *box) recount(before, after Flags) {
	if before&Seen != after&Seen {
		if after&Seen == 0 {
			b.row.Unseen++
		} else {
			b.row.Unseen--
		}
	}
	if before&Deleted != after&Deleted {
		if after&Deleted != 0 {
			b.row.Deleted++
		} else {
			b.row.Deleted--
		}
	}
	b.dirty = true
}

// sortedUIDs is the set of UIDs, ascending.
func sortedUIDs(uids []UID) []uint32 {
	out := make([]uint32, len(uids))
	for i, u := range uids {
		out[i] = uint32(u)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
