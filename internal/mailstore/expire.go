package mailstore

import (
	"context"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/census"
	"github.com/eidermail/eider/internal/mailstore/crowd"
	"github.com/eidermail/eider/internal/mailstore/erase"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Due is a deadline that has come: of a message's row, of a deleted mailbox
// (UID 0), or of the account (Mailbox and UID 0).
type Due struct {
	At      uint32
	Acct    AcctID
	Mailbox MailboxID
	UID     UID
}

func (d Due) key() []byte {
	return row.Deadline(d.At, uint64(d.Acct), uint32(d.Mailbox), uint32(d.UID))
}

// Expired is what Expire did.
type Expired struct{ Messages, Mailboxes, Accounts int }

// ExpireUnused ends those accounts that nobody ever used, many in one commit.
// What is left is for Expire, account by account.
func (s *Store) ExpireUnused(ctx context.Context, due []Due) (ended int, left []Due, err error) {
	var accounts []crowd.Due
	for _, d := range due {
		if d.Mailbox == 0 {
			accounts = append(accounts, crowd.Due{At: d.At, Acct: uint64(d.Acct)})
		} else {
			left = append(left, d)
		}
	}
	e := crowd.Ender{KV: s.kv, Now: s.now, Unused: UnusedLife, Rows: unusedRows}
	ended, rest, err := e.End(ctx, accounts)
	if err != nil {
		return ended, nil, wrap("expire accounts", err)
	}
	for _, d := range rest {
		left = append(left, Due{At: d.At, Acct: AcctID(d.Acct)})
	}
	return ended, left, nil
}

// Expire does what the deadlines of one account are for. It can be called for
// the same deadlines again, by several janitors at once.
func (s *Store) Expire(ctx context.Context, id AcctID, due []Due) (done Expired, err error) {
	var rows []Due
	for _, d := range due {
		switch {
		case d.Mailbox == 0:
			gone, err := s.expireAccount(ctx, d)
			if err != nil {
				return done, err
			}
			if gone {
				done.Accounts++
				return done, nil
			}
		case d.UID == 0:
			gone, err := s.emptyMailbox(ctx, d, 0)
			if err != nil {
				return done, err
			}
			if gone {
				done.Mailboxes++
			}
		default:
			rows = append(rows, d)
		}
	}
	for len(rows) > 0 {
		n, used, err := s.expireRows(ctx, id, rows[:min(len(rows), removeGroup)])
		if err != nil {
			return done, err
		}
		done.Messages += n
		rows = rows[used:]
	}
	return done, nil
}

// expireRows removes rows whose deadline has come, and deadlines without a row,
// until a commit is full: so many of due were used, and so many rows removed.
func (s *Store) expireRows(ctx context.Context, id AcctID, due []Due) (removed, used int, err error) {
	const name = "expire"
	removed, used, err = s.tryExpire(ctx, name, id, due)
	if KindOf(err) != NotExist {
		return removed, used, err
	}
	return 0, len(due), s.forget(ctx, id, due)
}

// forget deletes deadlines of an account that is no more; while it is being
// deleted they stay, for its walker takes what they are for.
func (s *Store) forget(ctx context.Context, id AcctID, due []Due) error {
	return s.try(ctx, "expire", func() error {
		return s.kv.Update(ctx, [][]byte{row.Head(uint64(id))}, func(tx kv.Tx) error {
			if tx.Guard(0).Rev == 0 {
				for _, d := range due {
					tx.Delete(d.key())
				}
			}
			return nil
		}, kv.Reclaim(), kv.Background())
	})
}

func (s *Store) tryExpire(ctx context.Context, name string, id AcctID, due []Due) (removed, used int, err error) {
	err = s.update(ctx, name, id, func(o *op) error {
		removed, used = 0, len(due)
		keys := make([][]byte, len(due))
		for i, d := range due {
			keys[i] = row.Entry(o.acct, uint32(d.Mailbox), uint32(d.UID))
		}
		items, err := o.GetMulti(o.ctx, keys...)
		if err != nil {
			return err
		}
		var rows []placed
		var at []int // in due
		for i, it := range items {
			d := due[i]
			if it.Rev == 0 {
				o.Delete(d.key())
				continue
			}
			e, err := row.DecodeEntry(it.Value)
			if err != nil {
				return err
			}
			if e.Expire != d.At {
				o.Delete(d.key())
				continue
			}
			if err := o.load(uint32(d.Mailbox)); KindOf(err) == NotExist {
				continue // its mailbox is being deleted, and takes it along
			} else if err != nil {
				return err
			}
			rows, at = append(rows, placed{o.box(uint32(d.Mailbox)), uint32(d.UID), e}), append(at, i)
		}
		if len(rows) == 0 {
			return nil
		}
		if removed, err = o.remove(rows); removed < len(rows) {
			used = at[removed]
		}
		return err
	}, kv.Reclaim(), kv.Background())
	return removed, used, err
}

// emptyMailbox removes what is left of a deleted mailbox, in groups; at most so
// many groups (0: all). done says that nothing is left.
func (s *Store) emptyMailbox(ctx context.Context, d Due, groups int) (done bool, err error) {
	const name = "delete mailbox"
	acct, mbox := uint64(d.Acct), uint32(d.Mailbox)
	for n := 0; groups == 0 || n < groups; n++ {
		left := true
		err := s.update(ctx, name, d.Acct, func(o *op) (err error) {
			left, err = o.emptyGroup(mbox)
			return err
		}, kv.Reclaim(), kv.Background())
		if err != nil {
			if KindOf(err) == NotExist {
				err = s.forget(ctx, d.Acct, []Due{d})
			}
			return false, err
		}
		if left {
			continue
		}
		// Nobody reads or writes the log of a mailbox that is being deleted.
		err = s.try(ctx, name, func() error { return s.kv.DeletePrefix(ctx, row.Logs(acct, mbox)) })
		if err != nil {
			return false, err
		}
		return true, s.update(ctx, name, d.Acct, func(o *op) error {
			o.Delete(row.Mailbox(acct, mbox))
			o.Delete(d.key())
			return nil
		}, kv.Reclaim(), kv.Background())
	}
	return false, nil
}

// emptyGroup removes one group of a deleted mailbox's rows.
func (o *op) emptyGroup(mbox uint32) (left bool, err error) {
	items, err := o.GetMulti(o.ctx, row.Mailbox(o.acct, mbox))
	if err != nil || items[0].Rev == 0 {
		return false, err
	}
	m, err := row.DecodeMailbox(items[0].Value)
	if err != nil {
		return false, err
	}
	if m.State != row.Deleting {
		return false, fail(Corrupt, "deadline of a mailbox that lives")
	}
	b := &box{id: mbox, row: m, dirty: true}
	r := kv.Prefix(row.Entries(o.acct, mbox))
	r.Limit = removeGroup
	var rows []placed
	for it, err := range o.Scan(o.ctx, r) {
		if err != nil {
			return false, err
		}
		k, _ := row.ParseKey(it.Key)
		e, err := row.DecodeEntry(it.Value)
		if err != nil {
			return false, err
		}
		rows = append(rows, placed{b, k.UID, e})
	}
	if len(rows) == 0 {
		return false, nil
	}
	if _, err := o.remove(rows); err != nil {
		return false, err
	}
	// No log: nobody can be watching any more. So the mailbox is written here.
	o.Put(row.Mailbox(o.acct, mbox), b.row.Append(nil))
	return true, nil
}

// expireAccount ends an account whose deadline has come: if it was used since,
// the deadline moves; else it is deleted, in groups.
func (s *Store) expireAccount(ctx context.Context, d Due) (gone bool, err error) {
	const name = "expire account"
	head := row.Head(uint64(d.Acct))
	items, err := s.get(ctx, name, head)
	if err != nil {
		return false, err
	}
	guards := [][]byte{head}
	h, err := row.DecodeHead(items[0].Value)
	if items[0].Rev == 0 {
		h, err = row.HeadRow{}, nil
	}
	if err != nil {
		return false, wrap(name, err)
	}
	for _, n := range h.Names {
		guards = append(guards, row.Name(n))
	}
	guards = append(guards, census.Guard(uint64(d.Acct)))
	err = s.try(ctx, name, func() error {
		return s.kv.Update(ctx, guards, func(tx kv.Tx) error {
			return s.accountDue(ctx, tx, d, h.Names)
		}, kv.Reclaim(), kv.Background())
	})
	if KindOf(err) == NotExist {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	e := erase.Eraser{KV: s.kv, Now: s.now, Try: func(ctx context.Context, f func() error) error {
		return s.try(ctx, "erase account", f)
	}}
	return e.Erase(ctx, uint64(d.Acct))
}

// accountDue decides about an account whose deadline has come.
func (s *Store) accountDue(ctx context.Context, tx kv.Tx, d Due, names []string) error {
	if tx.Guard(0).Rev == 0 {
		tx.Delete(d.key())
		return nil
	}
	o, err := s.beginAny(ctx, tx, 0, d.Acct)
	if err != nil {
		return err
	}
	switch ends := o.head.Ends(UnusedLife); {
	case o.head.State == row.Deleting:
		return nil
	case o.head.Deadline != d.At:
		o.Delete(d.key())
	case ends > uint32(o.now.Unix()):
		o.Delete(d.key())
		o.head.Deadline, o.dirty = ends, true
		o.Put(row.Deadline(ends, o.acct, 0, 0), []byte{})
	default:
		if err := o.condemn(tx, names); err != nil {
			return err
		}
	}
	return o.finish()
}

// Now is the store's time as deadlines count it.
func (s *Store) Now() time.Time { return s.now() }
