package mailstore

// Signatures only, until each is written in its own file.

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/spool"
)

// Options configure a Store.
type Options struct {
	KV       kv.Store
	Bus      bus.Bus
	Log      *slog.Logger
	Now      func() time.Time // time.Now if nil
	Defaults AccountLimits    // what accounts without limits of their own have
	// MessageLimit is the largest message, in bytes.
	MessageLimit int64
}

// Store keeps all accounts and their mail.
type Store struct{}

// Open reads the store's format row (writing it on the first start) and its secrets.
func Open(ctx context.Context, o Options) (*Store, error) { panic("stub") }

// ---- accounts

// NewAccount is an account to be made.
type NewAccount struct {
	Address    string // full address; its addr.Key must be free
	Name       string
	Label      string
	Credential account.Credential
	Limits     AccountLimits // zero fields: the server's defaults
	CatchAll   bool
	ExpireIdle time.Duration // the account goes when unused so long; 0: never
}

// CreateAccount makes an account with an INBOX. Kind Exist if the address is taken.
func (s *Store) CreateAccount(ctx context.Context, n NewAccount) (Account, error) { panic("stub") }

// Lookup finds the account that an address or login names (case, dots and
// +label ignored). Kind NotExist if there is none.
func (s *Store) Lookup(ctx context.Context, address string) (AcctID, error) { panic("stub") }

// Account reads one account.
func (s *Store) Account(ctx context.Context, id AcctID) (Account, error) { panic("stub") }

// Credential reads the account and what verifies its password, in one round trip.
func (s *Store) Credential(ctx context.Context, id AcctID) (Account, account.Credential, error) {
	panic("stub")
}

// SetCredential changes the password: CredEpoch rises.
func (s *Store) SetCredential(ctx context.Context, id AcctID, c account.Credential) error {
	panic("stub")
}

// EndLinks ends all permalinks of the account that exist: LinkEpoch rises.
func (s *Store) EndLinks(ctx context.Context, id AcctID) error { panic("stub") }

// SetLimits sets the account's own limits; zero fields go back to the defaults.
func (s *Store) SetLimits(ctx context.Context, id AcctID, l AccountLimits) error { panic("stub") }

// MarkUsed notes that the account was used today; it writes at most once a day.
func (s *Store) MarkUsed(ctx context.Context, id AcctID) error { panic("stub") }

// DeleteAccount removes the account: its address is free at once, its mail goes in the background.
func (s *Store) DeleteAccount(ctx context.Context, id AcctID) error { panic("stub") }

// Accounts calls f for every account, in no order that means anything, until f returns false.
func (s *Store) Accounts(ctx context.Context, f func(Account) bool) error { panic("stub") }

// ---- mailboxes. Names are UTF-8 with '/' between levels; INBOX in any case is INBOX.

// Mailboxes lists all mailboxes by name, INBOX first.
func (s *Store) Mailboxes(ctx context.Context, id AcctID) ([]Mailbox, error) { panic("stub") }

// Mailbox finds one by name. Kind NotExist.
func (s *Store) Mailbox(ctx context.Context, id AcctID, name string) (Mailbox, error) { panic("stub") }

// MailboxByID reads one. Kind NotExist.
func (s *Store) MailboxByID(ctx context.Context, id AcctID, m MailboxID) (Mailbox, error) {
	panic("stub")
}

// CreateMailbox makes a mailbox and the levels above it. Kind Exist, Invalid, Limit.
func (s *Store) CreateMailbox(ctx context.Context, id AcctID, name, specialUse string) (Mailbox, error) {
	panic("stub")
}

// EnsureDefaults makes Drafts, Sent, Junk and Trash (with their special use) if
// the account never had them; called at the first login of a mail client.
func (s *Store) EnsureDefaults(ctx context.Context, id AcctID) error { panic("stub") }

// RenameMailbox renames a mailbox and those below it; of INBOX it moves the mail (RFC 9051 §6.3.6).
func (s *Store) RenameMailbox(ctx context.Context, id AcctID, from, to string) error { panic("stub") }

// DeleteMailbox deletes a mailbox and its mail. Kind Permission for INBOX, Invalid if it has children (kept as \Noselect is not done: it says so).
func (s *Store) DeleteMailbox(ctx context.Context, id AcctID, name string) error { panic("stub") }

// Subscribe sets or ends the subscription to a name, whether or not it exists.
func (s *Store) Subscribe(ctx context.Context, id AcctID, name string, on bool) error { panic("stub") }

// Subscriptions lists the subscribed names, sorted.
func (s *Store) Subscriptions(ctx context.Context, id AcctID) ([]string, error) { panic("stub") }

// ---- messages

// Deposit stores one message in every account, all or none, in one commit:
// len(ids) <= MaxTxAccounts. The spooled message is read, not consumed.
// Kinds: NotExist, Quota, TooLarge, Transient, NoSpace.
func (s *Store) Deposit(ctx context.Context, ids []AcctID, d Deposit, m *spool.Message) ([]Deposited, error) {
	panic("stub")
}

// CheckQuota says whether the account could take size more bytes now: nil, Kind Quota or NotExist.
func (s *Store) CheckQuota(ctx context.Context, id AcctID, size int64) error { panic("stub") }

// Entries reads rows of a mailbox: UIDs from..to (to 0: to the end), ascending
// or, with reverse, from the highest down; at most limit (0: all).
func (s *Store) Entries(ctx context.Context, id AcctID, m MailboxID, from, to UID, reverse bool, limit int) ([]Entry, error) {
	panic("stub")
}

// EntriesByUID reads the rows of these UIDs; missing ones are left out.
func (s *Store) EntriesByUID(ctx context.Context, id AcctID, m MailboxID, uids []UID) ([]Entry, error) {
	panic("stub")
}

// Infos reads what belongs to messages. A missing one has Msg 0.
func (s *Store) Infos(ctx context.Context, id AcctID, msgs ...MsgID) ([]Info, error) { panic("stub") }

// Place finds a row that names a message: its mailbox and entry. Kind NotExist.
func (s *Store) Place(ctx context.Context, id AcctID, msg MsgID) (Mailbox, Entry, error) {
	panic("stub")
}

// Content is a stored message's bytes, exactly as they were stored. ReadAt may
// be called from several goroutines. Memory stays bounded for any size.
type Content interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Content opens a message. Kind NotExist, Corrupt.
func (s *Store) Content(ctx context.Context, id AcctID, msg MsgID) (Content, error) { panic("stub") }

// SetFlags changes flags of messages. UIDs that are not there are reported, not an error.
func (s *Store) SetFlags(ctx context.Context, id AcctID, m MailboxID, uids []UID, c FlagChange) (FlagResult, error) {
	panic("stub")
}

// Copy copies messages to another (or the same) mailbox; new UIDs ascend in the order of uids.
func (s *Store) Copy(ctx context.Context, id AcctID, m MailboxID, uids []UID, to string) (Copied, error) {
	panic("stub")
}

// Move moves messages; each message is moved wholly or not at all.
func (s *Store) Move(ctx context.Context, id AcctID, m MailboxID, uids []UID, to string) (Copied, error) {
	panic("stub")
}

// Expunge removes rows. onlyDeleted takes just those that have \Deleted; uids nil means all.
func (s *Store) Expunge(ctx context.Context, id AcctID, m MailboxID, uids []UID, onlyDeleted bool) ([]UID, ModSeq, error) {
	panic("stub")
}

// MarkNotRecent raises RecentFloor to UIDNext and returns the floor before (RFC 3501 §2.3.2 \Recent).
func (s *Store) MarkNotRecent(ctx context.Context, id AcctID, m MailboxID) (UID, error) {
	panic("stub")
}

// ---- changes

// Snapshot reads a mailbox whole.
func (s *Store) Snapshot(ctx context.Context, id AcctID, m MailboxID) (Snapshot, error) {
	panic("stub")
}

// Changes says what happened to a mailbox after since, seen in epoch.
func (s *Store) Changes(ctx context.Context, id AcctID, m MailboxID, epoch uint64, since ModSeq) (Changes, error) {
	panic("stub")
}

// Watch returns a channel that gets a value soon after the account changed,
// and at least every PollEvery; readers then call Changes. A slow reader
// misses values but never the last one.
func (s *Store) Watch(id AcctID) (changed <-chan struct{}, cancel func()) { panic("stub") }
