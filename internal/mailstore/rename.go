package mailstore

import (
	"context"
	"strings"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/boxname"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// RenameMailbox renames a mailbox and those below it; of INBOX it moves the
// mail and INBOX stays, empty (RFC 9051 §6.3.6).
func (s *Store) RenameMailbox(ctx context.Context, id AcctID, from, to string) error {
	const name = "rename mailbox"
	_, fromKey, err := cleanName(from)
	if err != nil {
		return wrap(name, err)
	}
	toShown, toKey, err := cleanName(to)
	if err != nil {
		return wrap(name, err)
	}
	switch {
	case toKey == fromKey, toKey == inboxName:
		return wrap(name, fail(Exist, "mailbox exists"))
	case strings.HasPrefix(toKey, fromKey+separator) && fromKey != inboxName:
		return wrap(name, fail(Invalid, "mailbox cannot be moved into itself"))
	case fromKey == inboxName:
		return s.renameInbox(ctx, id, toShown)
	}
	return s.update(ctx, name, id, func(o *op) error { return o.rename(fromKey, toShown) })
}

// rename renames a mailbox and all below it in one commit.
func (o *op) rename(fromKey, toShown string) error {
	if _, err := o.named(fromKey); err != nil {
		return err
	}
	_, toKey, _ := cleanName(toShown)
	if _, err := o.named(toKey); KindOf(err) != NotExist {
		if err == nil {
			err = fail(Exist, "mailbox exists")
		}
		return err
	}
	for _, above := range boxname.Parents(toShown) {
		if _, _, err := o.ensureOne(above, ""); err != nil {
			return err
		}
	}
	below, err := o.below(fromKey)
	if err != nil {
		return err
	}
	levels := strings.Count(fromKey, separator) + 1
	for _, m := range below {
		b := m.box
		shown := toShown
		if m.key != fromKey {
			shown += separator + strings.Join(strings.Split(b.row.Name, separator)[levels:], separator)
		}
		clean, key, err := cleanName(shown)
		if err != nil {
			return err
		}
		if m.key != fromKey {
			if _, err := o.named(key); KindOf(err) != NotExist {
				return fail(Exist, "a mailbox below it exists: %w", err)
			}
		}
		o.Delete(row.MailboxName(o.acct, m.key))
		o.Put(row.MailboxName(o.acct, key), row.AppendMbox(nil, b.id))
		b.row.Name, b.dirty = clean, true
	}
	o.take()
	return nil
}

// namedBox is a mailbox under its key.
type namedBox struct {
	key string
	box *box
}

// below loads a mailbox and all below it.
func (o *op) below(key string) ([]namedBox, error) {
	var all []namedBox
	for it, err := range o.Scan(o.ctx, kv.Prefix(row.OfAccount(row.TagMailbox, o.acct))) {
		if err != nil {
			return nil, err
		}
		m, err := row.DecodeMailbox(it.Value)
		if err != nil {
			return nil, err
		}
		k, _ := row.ParseKey(it.Key)
		_, own, err := cleanName(m.Name)
		if err != nil || m.State != row.Live || own != key && !strings.HasPrefix(own, key+separator) {
			continue
		}
		b, err := o.addBox(k.Mbox, it)
		if err != nil {
			return nil, err
		}
		all = append(all, namedBox{own, b})
	}
	return all, nil
}

// renameInbox makes the new mailbox and moves INBOX's mail there. It can take
// several commits; called again after a failure it says that the mailbox
// exists, and the rest can be moved.
func (s *Store) renameInbox(ctx context.Context, id AcctID, to string) error {
	if _, err := s.CreateMailbox(ctx, id, to, ""); err != nil {
		return err
	}
	uids, err := s.candidates(ctx, id, inboxID, false)
	if err != nil {
		return err
	}
	all := make([]UID, len(uids))
	for i, u := range uids {
		all[i] = UID(u)
	}
	_, err = s.Move(ctx, id, inboxID, all, to)
	return err
}

// DeleteMailbox deletes a mailbox and its mail. Kind Permission for INBOX,
// Invalid if there are mailboxes below it. Its name is free at once; of a
// large one the mail goes in the background.
func (s *Store) DeleteMailbox(ctx context.Context, id AcctID, name string) error {
	const opName = "delete mailbox"
	_, key, err := cleanName(name)
	if err != nil {
		return wrap(opName, err)
	}
	if key == inboxName {
		return wrap(opName, fail(Permission, "INBOX stays"))
	}
	var due Due
	err = s.update(ctx, opName, id, func(o *op) error {
		b, err := o.named(key)
		if err != nil {
			return err
		}
		below, err := o.below(key)
		if err != nil {
			return err
		}
		if len(below) > 1 {
			return fail(Invalid, "there are mailboxes below it")
		}
		o.take()
		o.Delete(row.MailboxName(o.acct, key))
		due = Due{At: uint32(o.now.Unix()), Acct: id, Mailbox: MailboxID(b.id)}
		b.row.State, b.row.Due, b.dirty = row.Deleting, due.At, true
		o.head.Mailboxes--
		o.Put(due.key(), []byte{})
		return nil
	}, kv.Reclaim())
	if err != nil {
		return err
	}
	// The mailbox is deleted; what is left is cleaning up, which the janitor
	// does too. A small one is done here, so that its room is free at once.
	if _, err := s.emptyMailbox(ctx, due, emptyAtOnce); err != nil {
		s.log.Info("a deleted mailbox is left to the janitor", "kind", KindOf(err).String())
	}
	return nil
}

// emptyAtOnce is how many groups of rows DeleteMailbox removes itself.
const emptyAtOnce = 5
