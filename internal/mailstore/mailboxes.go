package mailstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/boxname"
	"github.com/eidermail/eider/internal/mailstore/row"
)

const (
	inboxName = boxname.Inbox
	inboxID   = 1
	separator = boxname.Separator
	// MaxMailboxName is how many bytes a mailbox name may have.
	MaxMailboxName = boxname.MaxBytes
)

// cleanName checks a mailbox name; see package boxname.
func cleanName(name string) (shown, key string, err error) {
	if shown, key, err = boxname.Clean(name); err != nil {
		return "", "", &Error{Kind: Invalid, Err: err}
	}
	return shown, key, nil
}

// newMailbox is the row of a mailbox that has nothing yet.
func newMailbox(name string, validity uint32, modseq uint64, now time.Time) row.MailboxRow {
	return row.MailboxRow{
		Name: name, UIDValidity: validity, UIDNext: 1, RecentFloor: 1, ObjectID: random(), Created: now.Unix(),
		Highest: modseq, LogFloor: modseq, LogStart: modseq,
	}
}

func mailbox(id uint32, m *row.MailboxRow, subscribed bool) Mailbox {
	return Mailbox{
		ID: MailboxID(id), Name: m.Name, UIDValidity: m.UIDValidity, UIDNext: UID(m.UIDNext),
		Exists: m.Exists, Unseen: m.Unseen, Deleted: m.Deleted, Bytes: m.Bytes,
		HighestModSeq: ModSeq(m.Highest), LogFloor: ModSeq(m.LogFloor), SpecialUse: m.SpecialUse,
		Subscribed: subscribed, ObjectID: fmt.Sprintf("F%016x", m.ObjectID), RecentFloor: UID(m.RecentFloor),
	}
}

// Mailboxes lists all mailboxes by name, INBOX first.
func (s *Store) Mailboxes(ctx context.Context, id AcctID) ([]Mailbox, error) {
	const name = "mailboxes"
	if _, err := s.head(ctx, name, id); err != nil {
		return nil, err
	}
	names, err := s.Subscriptions(ctx, id)
	if err != nil {
		return nil, err
	}
	subscribed := make(map[string]bool, len(names))
	for _, n := range names {
		if _, key, err := cleanName(n); err == nil {
			subscribed[key] = true
		}
	}
	var all []Mailbox
	err = s.scan(ctx, name, kv.Prefix(row.OfAccount(row.TagMailbox, uint64(id))), func(it kv.Item) (bool, error) {
		m, err := row.DecodeMailbox(it.Value)
		k, ok := row.ParseKey(it.Key)
		if err != nil || !ok {
			return false, fail(Corrupt, "mailbox: %w", err)
		}
		if m.State == row.Live {
			_, key, _ := cleanName(m.Name)
			all = append(all, mailbox(k.Mbox, &m, subscribed[key]))
		}
		return true, nil
	})
	slices.SortFunc(all, func(a, b Mailbox) int {
		if a.ID == inboxID || b.ID == inboxID {
			return int(a.ID) - int(b.ID)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all, err
}

// Mailbox finds one by name. Kind NotExist.
func (s *Store) Mailbox(ctx context.Context, id AcctID, name string) (Mailbox, error) {
	const opName = "mailbox"
	_, key, err := cleanName(name)
	if err != nil {
		return Mailbox{}, wrap(opName, err)
	}
	acct, mbox := uint64(id), uint32(inboxID)
	if key != inboxName {
		items, err := s.get(ctx, opName, row.MailboxName(acct, key))
		if err != nil {
			return Mailbox{}, err
		}
		if items[0].Rev == 0 {
			return Mailbox{}, wrap(opName, fail(NotExist, "no such mailbox"))
		}
		if mbox, err = row.DecodeMbox(items[0].Value); err != nil {
			return Mailbox{}, wrap(opName, err)
		}
	}
	items, err := s.get(ctx, opName, row.Head(acct), row.Mailbox(acct, mbox), row.Subscription(acct, key))
	if err != nil {
		return Mailbox{}, err
	}
	if _, err := liveHead(opName, items[0]); err != nil {
		return Mailbox{}, err
	}
	m, err := liveMailbox(opName, items[1])
	if err != nil {
		return Mailbox{}, err
	}
	return mailbox(mbox, &m, items[2].Rev != 0), nil
}

func liveMailbox(name string, it kv.Item) (row.MailboxRow, error) {
	if it.Rev == 0 {
		return row.MailboxRow{}, wrap(name, fail(NotExist, "no such mailbox"))
	}
	m, err := row.DecodeMailbox(it.Value)
	if err != nil {
		return m, wrap(name, err)
	}
	if m.State != row.Live {
		return m, wrap(name, fail(NotExist, "mailbox is being deleted"))
	}
	return m, nil
}

// MailboxByID reads one. Kind NotExist.
func (s *Store) MailboxByID(ctx context.Context, id AcctID, m MailboxID) (Mailbox, error) {
	const name = "mailbox"
	items, err := s.get(ctx, name, row.Head(uint64(id)), row.Mailbox(uint64(id), uint32(m)))
	if err != nil {
		return Mailbox{}, err
	}
	if _, err := liveHead(name, items[0]); err != nil {
		return Mailbox{}, err
	}
	r, err := liveMailbox(name, items[1])
	if err != nil {
		return Mailbox{}, err
	}
	_, key, err := cleanName(r.Name)
	if err != nil {
		return Mailbox{}, wrap(name, fail(Corrupt, "mailbox name: %w", err))
	}
	sub, err := s.get(ctx, name, row.Subscription(uint64(id), key))
	if err != nil {
		return Mailbox{}, err
	}
	return mailbox(uint32(m), &r, sub[0].Rev != 0), nil
}

// CreateMailbox makes a mailbox and the levels above it. Kind Exist, Invalid, Limit.
func (s *Store) CreateMailbox(ctx context.Context, id AcctID, name, specialUse string) (Mailbox, error) {
	const opName = "create mailbox"
	shown, _, err := cleanName(name)
	if err != nil {
		return Mailbox{}, wrap(opName, err)
	}
	var made Mailbox
	err = s.update(ctx, opName, id, func(o *op) error {
		b, isNew, err := o.ensure(shown, specialUse)
		if err != nil {
			return err
		}
		if !isNew {
			return fail(Exist, "mailbox exists")
		}
		made = mailbox(b.id, &b.row, false)
		return nil
	})
	if err != nil {
		return Mailbox{}, err
	}
	return made, nil
}

// ensure finds a mailbox by its clean name, or makes it with the levels above it.
func (o *op) ensure(shown, specialUse string) (b *box, isNew bool, err error) {
	for _, above := range boxname.Parents(shown) {
		if _, _, err := o.ensureOne(above, ""); err != nil {
			return nil, false, err
		}
	}
	return o.ensureOne(shown, specialUse)
}

func (o *op) ensureOne(name, specialUse string) (b *box, isNew bool, err error) {
	shown, key, err := cleanName(name)
	if err != nil {
		return nil, false, err
	}
	b, err = o.named(key)
	if err == nil || KindOf(err) != NotExist {
		return b, false, err
	}
	h := &o.head
	if h.Mailboxes >= MaxMailboxes {
		return nil, false, fail(Limit, "account has %d mailboxes", h.Mailboxes)
	}
	b = &box{id: h.NextMbox, dirty: true}
	b.row = newMailbox(shown, h.NextValidity, o.take(), o.now)
	b.row.SpecialUse = specialUse
	h.NextMbox++
	h.NextValidity++
	h.Mailboxes++
	o.boxes = append(o.boxes, b)
	o.Put(row.MailboxName(o.acct, key), row.AppendMbox(nil, b.id))
	// Written at once, so that what is read later in this operation finds it.
	o.Put(row.Mailbox(o.acct, b.id), b.row.Append(nil))
	return b, true, nil
}

// EnsureDefaults makes Drafts, Sent, Junk and Trash (RFC 6154), subscribed, if
// the account never had them; called at the first login of a mail client.
func (s *Store) EnsureDefaults(ctx context.Context, id AcctID) error {
	const name = "ensure defaults"
	h, err := s.head(ctx, name, id)
	if err != nil || h.Defaults {
		return err
	}
	return s.update(ctx, name, id, func(o *op) error {
		if o.head.Defaults {
			return nil
		}
		o.head.Defaults = true
		o.dirty = true
		for _, n := range []string{"Drafts", "Sent", "Junk", "Trash"} {
			if _, _, err := o.ensureOne(n, `\`+n); err != nil && KindOf(err) != Limit {
				return err
			}
			o.Put(row.Subscription(o.acct, n), row.AppendSubscription(nil, n))
		}
		return nil
	})
}

// Subscribe sets or ends the subscription to a name, whether or not it exists
// (RFC 9051 §6.3.7).
func (s *Store) Subscribe(ctx context.Context, id AcctID, name string, on bool) error {
	const opName = "subscribe"
	shown, key, err := cleanName(name)
	if err != nil {
		return wrap(opName, err)
	}
	names, err := s.Subscriptions(ctx, id)
	if err != nil {
		return err
	}
	if on && len(names) >= MaxSubscriptions {
		return wrap(opName, fail(Limit, "%d subscriptions", len(names)))
	}
	err = s.update(ctx, opName, id, func(o *op) error {
		o.used() // an account with rows of its own is no unused one
		if on {
			o.Put(row.Subscription(o.acct, key), row.AppendSubscription(nil, shown))
		} else {
			o.Delete(row.Subscription(o.acct, key))
		}
		return nil
	})
	if err == nil {
		s.publish(ctx, uint64(id), 0) // it takes no MODSEQ, but there are watchers of names
	}
	return err
}

// Subscriptions lists the subscribed names, sorted.
func (s *Store) Subscriptions(ctx context.Context, id AcctID) ([]string, error) {
	const name = "subscriptions"
	var names []string
	r := kv.Prefix(row.OfAccount(row.TagSubscription, uint64(id)))
	err := s.scan(ctx, name, r, func(it kv.Item) (bool, error) {
		n, err := row.DecodeSubscription(it.Value)
		names = append(names, n)
		return true, err
	})
	slices.Sort(names)
	return names, err
}

// MarkNotRecent raises RecentFloor to UIDNext and returns the floor before
// (RFC 3501 §2.3.2 \Recent). It is no change that a client must hear of: it
// takes no MODSEQ.
func (s *Store) MarkNotRecent(ctx context.Context, id AcctID, m MailboxID) (UID, error) {
	const name = "mark not recent"
	items, err := s.get(ctx, name, row.Mailbox(uint64(id), uint32(m)))
	if err != nil {
		return 0, err
	}
	r, err := liveMailbox(name, items[0])
	if err != nil || r.RecentFloor == r.UIDNext {
		return UID(r.RecentFloor), err
	}
	var before uint32
	err = s.update(ctx, name, id, func(o *op) error {
		if err := o.load(uint32(m)); err != nil {
			return err
		}
		b := o.box(uint32(m))
		before = b.row.RecentFloor
		b.dirty = b.row.RecentFloor != b.row.UIDNext
		b.row.RecentFloor = b.row.UIDNext
		return nil
	}, kv.Reclaim())
	return UID(before), err
}
