package transfer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/transfer/archive"
)

// exportGroup is how many messages are looked up at once.
const exportGroup = 64

// Exported is what an export did.
type Exported struct {
	Accounts, Mailboxes int
	Messages, Bytes     int64
	Failed              int64 // messages that could not be read; the items say why
}

// ExportOptions say what is exported.
type ExportOptions struct {
	Store    *mailstore.Store
	Accounts []mailstore.AcctID // nil: all
	// Copies: a message in several mailboxes comes with its bytes each time, not
	// only once.
	Copies bool
	// Have is what an archive has that was cut, and goes on; nil: it is a new one.
	Have *archive.Have
	Now  time.Time
}

// The errors of going on with a cut archive.
var (
	ErrOtherStore   = errors.New("the archive that was cut is not of this store: remove it, or name another file")
	ErrOtherAccount = errors.New("the archive that was cut has mail of another account: remove it, or name another file")
)

type exporter struct {
	ExportOptions
	ctx  context.Context
	sink func(archive.Item) error
	done Exported
	acct mailstore.AcctID
	seen map[mailstore.MsgID]string // path of the first copy of what is in several mailboxes
	have *archive.Begun             // what the archive has of the account; nil: nothing
	wait []archive.Item             // an account and a mailbox that come again, if a message does
}

// Export hands all items of accounts to sink, in order. Mail that comes or goes
// meanwhile may be in it or not. What a cut archive has is left out, also where
// it has gone meanwhile; what came meanwhile is not.
func Export(ctx context.Context, o ExportOptions, sink func(archive.Item) error) (Exported, error) {
	e := &exporter{ExportOptions: o, ctx: ctx, sink: sink}
	var accounts []mailstore.Account
	head := &archive.Head{Created: date(o.Now), Store: hex.EncodeToString(o.Store.Installation())}
	err := o.Store.Accounts(ctx, func(a mailstore.Account) bool {
		if o.Accounts == nil || slices.Contains(o.Accounts, a.ID) {
			accounts = append(accounts, a)
			head.Accounts++
			head.Messages += a.Messages
			head.Bytes += a.Bytes
		}
		return true
	})
	if err != nil {
		return e.done, err
	}
	slices.SortFunc(accounts, func(a, b mailstore.Account) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Address, b.Address))
	})
	if err := e.begin(head, accounts); err != nil {
		return e.done, err
	}
	for _, a := range accounts {
		if err := e.account(a); err != nil && mailstore.KindOf(err) != mailstore.NotExist {
			return e.done, fmt.Errorf("account %s: %w", a.Address, err)
		}
	}
	return e.done, nil
}

// begin hands on the head of a new archive, or looks whether one that was cut is
// of this store and of no other accounts than these.
func (e *exporter) begin(head *archive.Head, accounts []mailstore.Account) error {
	if e.Have == nil {
		return e.put(archive.Item{Head: head})
	}
	if e.Have.Head.Store != head.Store {
		return ErrOtherStore
	}
	if e.Accounts == nil {
		return nil // some may have gone
	}
	known := 0
	for _, a := range accounts {
		if e.Have.Accounts[archive.AccountKey(toAccount(a, nil))] != nil {
			known++
		}
	}
	if known < len(e.Have.Accounts) {
		return ErrOtherAccount
	}
	return nil
}

// put hands an item on, and before it those that wait for one.
func (e *exporter) put(it archive.Item) error {
	for _, w := range e.wait {
		if err := e.sink(w); err != nil {
			return err
		}
	}
	e.wait = nil
	return e.sink(it)
}

func toAccount(a mailstore.Account, subs []string) *archive.Account {
	return &archive.Account{Address: archive.Text(a.Address), Name: archive.Text(a.Name),
		Label: archive.Text(a.Label), Created: date(a.Created), CatchAll: a.CatchAll, Subscriptions: texts(subs)}
}

func (e *exporter) account(a mailstore.Account) error {
	e.acct, e.seen, e.have, e.wait = a.ID, map[mailstore.MsgID]string{}, nil, nil
	boxes, err := e.Store.Mailboxes(e.ctx, a.ID)
	if err != nil {
		return err
	}
	subs, err := e.Store.Subscriptions(e.ctx, a.ID)
	if err != nil {
		return err
	}
	if err := e.beginAccount(toAccount(a, subs)); err != nil {
		return err
	}
	e.done.Accounts++
	for _, b := range boxes {
		m := &archive.Mailbox{Name: archive.Text(b.Name), SpecialUse: b.SpecialUse, Subscribed: b.Subscribed,
			UIDValidity: b.UIDValidity, UIDNext: uint32(b.UIDNext)}
		last, err := e.beginMailbox(m)
		if err != nil {
			return err
		}
		e.done.Mailboxes++
		if err := e.mailbox(b, last+1); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) beginAccount(a *archive.Account) error {
	if e.Have != nil {
		e.have = e.Have.Accounts[archive.AccountKey(a)]
	}
	if e.have == nil {
		return e.put(archive.Item{Account: a})
	}
	for msg, path := range e.have.Paths {
		e.seen[mailstore.MsgID(msg)] = path
	}
	e.wait = []archive.Item{{Account: a}}
	return nil
}

// beginMailbox gives the last UID that the archive has.
func (e *exporter) beginMailbox(b *archive.Mailbox) (last mailstore.UID, err error) {
	it := archive.Item{Mailbox: b}
	e.wait = slices.DeleteFunc(e.wait, func(w archive.Item) bool { return w.Mailbox != nil })
	if e.have != nil {
		if uid, ok := e.have.UIDs[archive.MailboxKey(b)]; ok {
			e.wait = append(e.wait, it)
			return mailstore.UID(uid), nil
		}
	}
	return 0, e.put(it)
}

// mailbox hands on the messages of a mailbox from a UID on.
func (e *exporter) mailbox(b mailstore.Mailbox, from mailstore.UID) error {
	for from > 0 {
		rows, err := e.Store.Entries(e.ctx, e.acct, b.ID, mailstore.Rows{From: from, Limit: exportGroup})
		if err != nil || len(rows) == 0 {
			return err
		}
		from = rows[len(rows)-1].UID + 1
		infos, err := e.infos(rows)
		if err != nil {
			return err
		}
		for i, r := range rows {
			if err := e.message(b, r, infos[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// infos reads what belongs to messages. Where one is damaged, the others are
// still read.
func (e *exporter) infos(rows []mailstore.Entry) ([]mailstore.Info, error) {
	msgs := make([]mailstore.MsgID, len(rows))
	for i, r := range rows {
		msgs[i] = r.Msg
	}
	infos, err := e.Store.Infos(e.ctx, e.acct, msgs...)
	if mailstore.KindOf(err) != mailstore.Corrupt {
		return infos, err
	}
	infos = make([]mailstore.Info, len(rows))
	for i, m := range msgs {
		one, err := e.Store.Infos(e.ctx, e.acct, m)
		switch {
		case err == nil:
			infos[i] = one[0]
		case mailstore.KindOf(err) == mailstore.Corrupt:
			infos[i].Msg = m
		default:
			return nil, err
		}
	}
	return infos, nil
}

func (e *exporter) message(b mailstore.Mailbox, r mailstore.Entry, x mailstore.Info) error {
	if x.Msg == 0 {
		return nil // gone meanwhile
	}
	m := &archive.Message{Folder: archive.Text(b.Name), UID: uint32(r.UID), Flags: flagNames(r.Flags),
		Keywords: append([]string{}, r.Keywords...), InternalDate: date(r.InternalDate), SaveDate: date(r.SaveDate),
		Size: r.Size, Envelope: toArchive(x.Envelope)}
	m.Envelope.Received = date(m.Envelope.Received)
	if x.Refs > 1 {
		m.Copies, m.Msg = x.Refs, uint64(r.Msg)
	}
	c, err := e.Store.Content(e.ctx, e.acct, r.Msg)
	if mailstore.KindOf(err) == mailstore.NotExist {
		return nil
	}
	if err == nil {
		defer c.Close()
		m.Size = c.Size()
		m.SHA256, err = digest(c)
	}
	if e.ctx.Err() != nil {
		return e.ctx.Err()
	}
	if err != nil { // damaged, or not to be read now: the item says so
		e.done.Failed++
		m.Error = "its stored bytes cannot be read: " + mailstore.KindOf(err).String()
		return e.put(archive.Item{Message: m})
	}
	if m.SameAs = e.seen[r.Msg]; m.SameAs != "" && !e.Copies {
		e.done.Messages++
		return e.put(archive.Item{Message: m})
	}
	m.SameAs = ""
	err = e.put(archive.Item{Message: m, Body: io.NewSectionReader(c, 0, c.Size())})
	if m.Copies > 1 {
		e.seen[r.Msg] = m.Path
	}
	e.done.Messages++
	e.done.Bytes += m.Size
	return err
}

// digest reads all of a message, so that what is damaged shows before a byte of
// it is handed on.
func digest(c mailstore.Content) (string, error) {
	h := sha256.New()
	if b := mailstore.ContentBytes(c); b != nil {
		h.Write(b)
	} else if _, err := io.Copy(h, io.NewSectionReader(c, 0, c.Size())); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
