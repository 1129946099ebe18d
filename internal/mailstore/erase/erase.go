// Package erase removes the rows of an account that is being deleted, in groups. It
// can be stopped anywhere and begun again, also by several at once.
package erase

import (
	"context"
	"time"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Rows of one commit: of mailboxes, and of messages, each of which unlinks up to
// recipe.MaxBlobs parts.
const (
	entryGroup = 500
	infoGroup  = 64
)

// Eraser takes accounts apart.
type Eraser struct {
	KV  kv.Store
	Now func() time.Time
	// Try runs a step again while the store is away.
	Try func(context.Context, func() error) error
}

// Erase removes what is left of an account, and at last its head; gone is false where
// there is none, or it is not being deleted.
func (e *Eraser) Erase(ctx context.Context, acct uint64) (gone bool, err error) {
	if there, err := e.deleting(ctx, acct); err != nil || !there {
		return false, err
	}
	if err := e.groups(ctx, acct, entries); err != nil {
		return false, err
	}
	if err := e.groups(ctx, acct, infos); err != nil {
		return false, err
	}
	for _, tag := range []byte{row.TagLog, row.TagThread, row.TagMailbox, row.TagMailboxName,
		row.TagSubscription, row.TagCredential} {
		err := e.Try(ctx, func() error { return e.KV.DeletePrefix(ctx, row.OfAccount(tag, acct)) })
		if err != nil {
			return false, err
		}
	}
	return true, e.groups(ctx, acct, head)
}

// deleting tells whether an account is there and being deleted.
func (e *Eraser) deleting(ctx context.Context, acct uint64) (there bool, err error) {
	err = e.Try(ctx, func() error {
		items, err := e.KV.GetMulti(ctx, row.Head(acct))
		if err != nil || items[0].Rev == 0 {
			return err
		}
		h, err := row.DecodeHead(items[0].Value)
		there = err == nil && h.State == row.Deleting
		return err
	})
	return there, err
}

// group is one commit of an account's removal.
type group struct {
	kv.Tx
	ctx  context.Context
	acct uint64
	head row.HeadRow
	now  time.Time
}

// groups commits steps until one says that nothing is left.
func (e *Eraser) groups(ctx context.Context, acct uint64, step func(*group) (left bool, err error)) error {
	for left := true; left; {
		err := e.Try(ctx, func() error {
			return e.KV.Update(ctx, [][]byte{row.Head(acct)}, func(tx kv.Tx) error {
				left = false
				if tx.Guard(0).Rev == 0 {
					return nil
				}
				h, err := row.DecodeHead(tx.Guard(0).Value)
				if err != nil || h.State != row.Deleting {
					return err
				}
				left, err = step(&group{tx, ctx, acct, h, e.Now()})
				return err
			}, kv.Reclaim(), kv.Background())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// entries deletes a group of rows with their deadlines, and the deadlines of mailboxes
// that were being deleted.
func entries(g *group) (left bool, err error) {
	r := kv.Prefix(row.OfAccount(row.TagEntry, g.acct))
	r.Limit = entryGroup
	for it, err := range g.Scan(g.ctx, r) {
		if err != nil {
			return false, err
		}
		k, _ := row.ParseKey(it.Key)
		e, err := row.DecodeEntry(it.Value)
		if err != nil {
			return false, err
		}
		left = true
		g.Delete(it.Key)
		if e.Expire != 0 {
			g.Delete(row.Deadline(e.Expire, g.acct, k.Mbox, k.UID))
		}
	}
	return left, nil
}

// infos deletes a group of messages.
func infos(g *group) (left bool, err error) {
	r := kv.Prefix(row.OfAccount(row.TagInfo, g.acct))
	r.Limit = infoGroup
	for it, err := range g.Scan(g.ctx, r) {
		if err != nil {
			return false, err
		}
		k, _ := row.ParseKey(it.Key)
		x, err := row.DecodeInfo(it.Value)
		if err != nil {
			return false, err
		}
		left = true
		g.Delete(it.Key)
		g.Delete(row.Body(g.acct, k.Msg))
		for _, id := range x.Blobs {
			blob.Unlink(g, id, g.acct, k.Msg, g.now)
		}
	}
	return left, nil
}

// head deletes the account's head with its deadline.
func head(g *group) (left bool, err error) {
	g.Delete(row.Head(g.acct))
	if g.head.Deadline != 0 {
		g.Delete(row.Deadline(g.head.Deadline, g.acct, 0, 0))
	}
	return false, nil
}
