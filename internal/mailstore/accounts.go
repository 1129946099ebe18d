package mailstore

import (
	"context"
	"errors"
	"time"

	"github.com/eidermail/eider/internal/addr"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/mailstore/census"
	"github.com/eidermail/eider/internal/mailstore/crowd"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// NewAccount is an account to be made.
type NewAccount struct {
	Address    string // full address; its addr.Key must be free
	Name       string
	Label      string
	Credential account.Credential
	Limits     AccountLimits // zero fields: the server's defaults
	CatchAll   bool
	ExpireIdle time.Duration // the account goes when unused so long; 0: never
	TTL        time.Duration // the account goes after so long, used or not; 0: never
}

// CreateAccount makes an account with an INBOX. Kind Exist if the address is taken.
func (s *Store) CreateAccount(ctx context.Context, n NewAccount) (Account, error) {
	const name = "create account"
	for _, t := range []string{n.Address, n.Name, n.Label} {
		if len(t) > MaxAccountText {
			return Account{}, wrap(name, fail(Invalid, "text of %d bytes", len(t)))
		}
	}
	key, err := nameOf(n.Address)
	if err != nil {
		return Account{}, wrap(name, err)
	}
	var id uint64
	var head row.HeadRow
	err = s.try(ctx, name, func() (err error) {
		id, err = s.maker.Make(ctx, row.Name(key), func(tx kv.Tx, acct uint64) { head = s.putAccount(tx, acct, key, n) })
		return err
	})
	if errors.Is(err, crowd.ErrTaken) {
		return Account{}, wrap(name, fail(Exist, "the address is taken"))
	}
	if err != nil {
		return Account{}, err
	}
	return s.account(AcctID(id), &head), nil
}

// putAccount writes the rows of a new account with its INBOX.
func (s *Store) putAccount(tx kv.Tx, acct uint64, key string, n NewAccount) row.HeadRow {
	now := s.now()
	h := row.HeadRow{
		ModSeq: 1, NextMsg: 1, FirstMsg: 1, NextMbox: inboxID + 1, Epoch: tx.Epoch(), Mailboxes: 1,
		// By the clock, so that an account that is made again under the same
		// address does not repeat the old one's UIDVALIDITY.
		NextValidity: uint32(now.Unix()) + 1,
		Address:      n.Address, Names: []string{key}, Name: n.Name, Label: n.Label,
		Created: now.Unix(), Idle: int64(n.ExpireIdle / time.Second),
		Generated: generated(n.Credential), CatchAll: n.CatchAll,
	}
	if n.TTL > 0 {
		h.Until = now.Add(n.TTL).Unix()
	}
	n.Limits.Set(&h)
	h.Deadline = h.Ends(UnusedLife)
	if h.Deadline != 0 {
		tx.Put(row.Deadline(h.Deadline, acct, 0, 0), []byte{})
	}
	tx.Put(row.Name(key), row.AppendAcct(nil, acct))
	tx.Put(row.Credential(acct), append([]byte(nil), n.Credential...))
	m := newMailbox(inboxName, uint32(now.Unix()), h.ModSeq, now)
	tx.Put(row.Mailbox(acct, inboxID), m.Append(nil))
	tx.Put(row.MailboxName(acct, inboxName), row.AppendMbox(nil, inboxID))
	tx.Put(row.Subscription(acct, inboxName), row.AppendSubscription(nil, inboxName))
	tx.Put(row.Head(acct), h.Append(nil))
	return h
}

// unusedRows are the rows of an account that nobody used, but for its head,
// name and deadline.
func unusedRows(acct uint64) [][]byte {
	return [][]byte{row.Credential(acct), row.Mailbox(acct, inboxID), row.MailboxName(acct, inboxName),
		row.Subscription(acct, inboxName)}
}

// generated tells whether a password was made by us.
func generated(c account.Credential) bool {
	r, err := c.Decode()
	return err == nil && r.Class == account.Generated
}

// nameOf is the key under which an address or login is found.
func nameOf(address string) (string, error) {
	a, err := addr.Parse(address)
	if err != nil {
		return "", &Error{Kind: Invalid, Err: err}
	}
	key := a.Key()
	if key == "" || len(key) > kv.MaxKey-1 {
		return "", fail(Invalid, "no usable address")
	}
	return key, nil
}

// Lookup finds the account that an address or login names (case, dots and
// +label ignored). Kind NotExist if there is none.
func (s *Store) Lookup(ctx context.Context, address string) (AcctID, error) {
	const name = "lookup"
	key, err := nameOf(address)
	if err != nil {
		return 0, wrap(name, fail(NotExist, "not an address"))
	}
	items, err := s.get(ctx, name, row.Name(key))
	if err != nil {
		return 0, err
	}
	if items[0].Rev == 0 {
		return 0, wrap(name, fail(NotExist, "no such address"))
	}
	id, err := row.DecodeAcct(items[0].Value)
	if err != nil {
		return 0, wrap(name, err)
	}
	return AcctID(id), nil
}

// head reads an account's head.
func (s *Store) head(ctx context.Context, name string, id AcctID) (row.HeadRow, error) {
	items, err := s.get(ctx, name, row.Head(uint64(id)))
	if err != nil {
		return row.HeadRow{}, err
	}
	return liveHead(name, items[0])
}

func liveHead(name string, it kv.Item) (row.HeadRow, error) {
	if it.Rev == 0 {
		return row.HeadRow{}, wrap(name, fail(NotExist, "no such account"))
	}
	h, err := row.DecodeHead(it.Value)
	if err != nil {
		return h, wrap(name, err)
	}
	if h.State != row.Live {
		return h, wrap(name, fail(NotExist, "account is being deleted"))
	}
	return h, nil
}

// Account reads one account.
func (s *Store) Account(ctx context.Context, id AcctID) (Account, error) {
	h, err := s.head(ctx, "account", id)
	if err != nil {
		return Account{}, err
	}
	return s.account(id, &h), nil
}

// Credential reads the account and what verifies its password, in one round trip.
func (s *Store) Credential(ctx context.Context, id AcctID) (Account, account.Credential, error) {
	const name = "credential"
	items, err := s.get(ctx, name, row.Head(uint64(id)), row.Credential(uint64(id)))
	if err != nil {
		return Account{}, nil, err
	}
	h, err := liveHead(name, items[0])
	if err != nil {
		return Account{}, nil, err
	}
	if items[1].Rev == 0 {
		return Account{}, nil, wrap(name, fail(Corrupt, "account without a credential"))
	}
	return s.account(id, &h), append(account.Credential(nil), items[1].Value...), nil
}

// account is what others see of a head.
func (s *Store) account(id AcctID, h *row.HeadRow) Account {
	a := Account{
		ID: id, Address: h.Address, Name: h.Name, Label: h.Label,
		Created: time.Unix(h.Created, 0).UTC(), Generated: h.Generated, CatchAll: h.CatchAll,
		Disabled: h.Disabled, LinksOff: h.LinksOff, CredEpoch: h.CredEpoch, LinkEpoch: h.LinkEpoch,
		Limits: s.limits(h), ModSeq: ModSeq(h.ModSeq), Epoch: h.Epoch, Bytes: h.Bytes, Messages: h.Messages,
	}
	if h.LastUsed != 0 {
		a.LastUsed = time.Unix(h.LastUsed, 0).UTC()
	}
	if at := h.Ends(UnusedLife); at != 0 {
		a.ExpiresAt = time.Unix(int64(at), 0).UTC()
	}
	return a
}

// SetCredential changes the password: CredEpoch rises, so cookies and tokens end.
func (s *Store) SetCredential(ctx context.Context, id AcctID, c account.Credential) error {
	return s.update(ctx, "set credential", id, func(o *op) error {
		o.Put(row.Credential(o.acct), append([]byte(nil), c...))
		o.head.CredEpoch++
		o.head.Generated = generated(c)
		o.take() // so that those who watch look again who they are
		return nil
	})
}

// EndLinks ends all permalinks of the account that exist: LinkEpoch rises.
func (s *Store) EndLinks(ctx context.Context, id AcctID) error {
	return s.update(ctx, "end links", id, func(o *op) error {
		o.head.LinkEpoch++
		o.dirty = true
		return nil
	})
}

// SetLinks lets the account's permalinks open its messages, or stops them all
// for as long as it is so.
func (s *Store) SetLinks(ctx context.Context, id AcctID, on bool) error {
	return s.update(ctx, "set links", id, func(o *op) error {
		o.dirty = o.dirty || o.head.LinksOff == on
		o.head.LinksOff = !on
		return nil
	})
}

// SetDisabled stops an account from being logged in to, or lets it again.
func (s *Store) SetDisabled(ctx context.Context, id AcctID, disabled bool) error {
	return s.update(ctx, "set disabled", id, func(o *op) error {
		if o.head.Disabled != disabled {
			o.take() // as for a new password
		}
		o.head.Disabled = disabled
		return nil
	})
}

// MarkUsed notes that the account was used today; it writes at most once a day.
func (s *Store) MarkUsed(ctx context.Context, id AcctID) error {
	const name = "mark used"
	h, err := s.head(ctx, name, id)
	if err != nil || h.LastUsed >= day(s.now()) {
		return err
	}
	return s.update(ctx, name, id, func(o *op) error {
		o.used()
		return nil
	}, kv.Background())
}

// used notes that the account was used today.
func (o *op) used() {
	if today := day(o.now); o.head.LastUsed < today {
		o.head.LastUsed, o.dirty = today, true
	}
}

// day is the start of a time's day.
func day(t time.Time) int64 { return t.UTC().Truncate(24 * time.Hour).Unix() }

// DeleteAccount removes the account: its address is free at once, its mail
// goes in the background, when the janitor comes to the deadline written here.
func (s *Store) DeleteAccount(ctx context.Context, id AcctID) error {
	const name = "delete account"
	h, err := s.head(ctx, name, id)
	if err != nil {
		return err
	}
	guards := [][]byte{row.Head(uint64(id))}
	for _, n := range h.Names {
		guards = append(guards, row.Name(n))
	}
	guards = append(guards, census.Guard(uint64(id)))
	var modseq uint64
	err = s.try(ctx, name, func() error {
		return s.kv.Update(ctx, guards, func(tx kv.Tx) error {
			o, err := s.begin(ctx, tx, 0, id)
			if err != nil {
				return err
			}
			modseq = o.take()
			if err := o.condemn(tx, h.Names); err != nil {
				return err
			}
			return o.finish()
		}, kv.Reclaim())
	})
	if err == nil {
		s.publish(ctx, uint64(id), modseq)
	}
	return err
}

// condemn turns an account to deleting: names freed, a deadline of now, and one
// account less. Its guards are the head, the names, and the count.
func (o *op) condemn(tx kv.Tx, names []string) error {
	for i, n := range names {
		if acct, err := row.DecodeAcct(tx.Guard(i + 1).Value); err == nil && acct == o.acct {
			o.Delete(row.Name(n))
		}
	}
	if o.head.Deadline != 0 {
		o.Delete(row.Deadline(o.head.Deadline, o.acct, 0, 0))
	}
	o.head.Deadline = uint32(o.now.Unix())
	o.Put(row.Deadline(o.head.Deadline, o.acct, 0, 0), []byte{})
	o.head.State = row.Deleting
	o.dirty = true
	return census.Add(tx, len(names)+1, o.acct, -1)
}

// Accounts calls f for every account, in no order that means anything, until f
// returns false. It reads every head: for operators only.
func (s *Store) Accounts(ctx context.Context, f func(Account) bool) error {
	const name = "accounts"
	return s.scan(ctx, name, kv.Prefix([]byte{row.TagHead}), func(it kv.Item) (bool, error) {
		k, ok := row.ParseKey(it.Key)
		h, err := row.DecodeHead(it.Value)
		if !ok || err != nil {
			return false, fail(Corrupt, "head of account: %w", err)
		}
		return h.State != row.Live || f(s.account(AcctID(k.Acct), &h)), nil
	})
}
