package mailstore

import (
	"context"
	"slices"
	"time"

	"github.com/eidermail/eider/internal/mailstore/row"
)

// Copy copies messages to another (or the same) mailbox; new UIDs ascend in
// the order of uids. A message keeps its id, its deadline and its flags. If a
// later group of rows fails, those copied before are taken out again: a COPY
// copies all or nothing (RFC 9051 §6.4.7).
func (s *Store) Copy(ctx context.Context, id AcctID, m MailboxID, uids []UID, to string) (Copied, error) {
	done, err := s.transfer(ctx, "copy", id, transfer{from: m, uids: uids, to: to})
	if err != nil && len(done.Dest) > 0 {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
		defer cancel()
		if _, _, err := s.Expunge(undo, id, done.Mailbox, done.Dest, false); err != nil {
			s.log.Warn("copies of a failed COPY could not be removed", "kind", KindOf(err).String())
		}
		return Copied{}, err
	}
	return done, err
}

// Pace: time for taking out the copies of a COPY that failed.
const undoWithin = 30 * time.Second

// Move moves messages; each message is moved wholly or not at all (RFC 6851).
func (s *Store) Move(ctx context.Context, id AcctID, m MailboxID, uids []UID, to string) (Copied, error) {
	return s.transfer(ctx, "move", id, transfer{from: m, uids: uids, to: to, move: true})
}

// transfer is a COPY or MOVE.
type transfer struct {
	from MailboxID
	uids []UID
	to   string
	move bool
}

func (s *Store) transfer(ctx context.Context, name string, id AcctID, t transfer) (all Copied, err error) {
	uids := distinct(t.uids)
	for first := true; len(uids) > 0 || first; first = false {
		group := uids[:min(len(uids), changeGroup)]
		var c Copied
		var n int
		err := s.update(ctx, name, id, func(o *op) (err error) {
			c, n, err = o.transfer(group, &t)
			return err
		})
		if err != nil {
			return all, err
		}
		all.Mailbox, all.UIDValidity = c.Mailbox, c.UIDValidity
		all.Source = append(all.Source, c.Source...)
		all.Dest = append(all.Dest, c.Dest...)
		uids = uids[n:]
	}
	return all, nil
}

// distinct leaves out UIDs that were named before.
func distinct(uids []UID) []uint32 {
	out := make([]uint32, 0, len(uids))
	seen := make(map[UID]bool, len(uids))
	for _, u := range uids {
		if !seen[u] {
			seen[u] = true
			out = append(out, uint32(u))
		}
	}
	return out
}

// transfer copies or moves a group of rows, or its beginning where the
// messages' rows are large; n is how many UIDs it has dealt with.
func (o *op) transfer(uids []uint32, t *transfer) (c Copied, n int, err error) {
	dst, err := o.named(t.to)
	if err != nil {
		return c, 0, err
	}
	if err := o.load(uint32(t.from)); err != nil {
		return c, 0, err
	}
	src := o.box(uint32(t.from))
	c.Mailbox, c.UIDValidity = MailboxID(dst.id), dst.row.UIDValidity
	rows, err := o.entries(src, uids)
	if err != nil {
		return c, 0, err
	}
	n, err = o.each(rows, func(p *placed, x *row.InfoRow) error {
		uid, err := o.place(p, dst, x, t.move)
		if err != nil {
			return err
		}
		c.Source = append(c.Source, UID(p.uid))
		c.Dest = append(c.Dest, UID(uid))
		return nil
	})
	if err != nil {
		return c, 0, err
	}
	if n < len(rows) {
		return c, slices.Index(uids, rows[n].uid), nil
	}
	return c, len(uids), nil
}

// place makes a row in dst for the message of p; with move, in place of p.
func (o *op) place(p *placed, dst *box, x *row.InfoRow, move bool) (uint32, error) {
	if !move && o.s.limits(&o.head).Over(&o.head, p.entry.Size, 1) {
		return 0, fail(Quota, "account is full")
	}
	if !move && len(x.Places) >= MaxPlaces {
		return 0, fail(Limit, "message has %d copies", len(x.Places))
	}
	e := p.entry
	e.Saved = 0
	uid, err := o.add(dst, &e)
	if err != nil {
		return 0, err
	}
	if move {
		o.detach(p)
		x.Leave(row.Place{Mbox: p.box.id, UID: p.uid})
	}
	x.Places = append(x.Places, row.Place{Mbox: dst.id, UID: uid})
	return uid, nil
}
