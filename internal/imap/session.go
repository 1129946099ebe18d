package imap

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/message"
)

// Session is what a connection stands on: one client's access to mailboxes.
// It is used by one goroutine at a time. Mailbox names are UTF-8 with '/'
// between levels. Errors meant for the client are *Error; any other is logged
// and hidden.
type Session interface {
	// Close ends the session, in any state.
	Close()

	// Not authenticated state

	// Login checks a password.
	Login(ctx context.Context, user, password string) error

	// Authenticated state

	// Mailboxes lists all mailboxes by name, INBOX first.
	Mailboxes(ctx context.Context) ([]Mailbox, error)
	// Subscriptions lists the subscribed names, whether they exist or not.
	Subscriptions(ctx context.Context) ([]string, error)
	// Status reads one mailbox; recent asks for its count of recent messages too.
	Status(ctx context.Context, name string, recent bool) (Mailbox, error)
	// Select opens a mailbox; it becomes the selected one.
	Select(ctx context.Context, name string, readOnly bool) (Selected, error)
	Create(ctx context.Context, name, specialUse string) (Mailbox, error)
	Delete(ctx context.Context, name string) error
	Rename(ctx context.Context, from, to string) error
	Subscribe(ctx context.Context, name string, on bool) error
	// CheckAppend tells, before a message is sent to us, why it would be refused.
	CheckAppend(ctx context.Context, name string, size int64) error
	// Receive takes the bytes of a message; nothing is stored until Append.
	Receive(ctx context.Context, r io.Reader) (Draft, error)
	// Append stores a message that was received.
	Append(ctx context.Context, name string, m AppendMessage) (Appended, error)

	// Selected state

	// Unselect leaves the selected mailbox.
	Unselect(ctx context.Context)
	// Poll tells what happened to the selected mailbox since Select or the
	// last Poll. Without force it may say nothing when nothing is known to have happened.
	Poll(ctx context.Context, force bool) (Update, error)
	// Watch returns a channel that gets a value soon after something changed.
	Watch() <-chan struct{}
	// Fetch calls yield for each message of uids that is there, by UID. The
	// Message is valid during the call.
	Fetch(ctx context.Context, uids imapwire.Set, o FetchOptions, yield func(*Message) error) error
	// Search finds messages among uids. Keys of sequence numbers and of
	// recency have been turned into UIDs.
	Search(ctx context.Context, uids imapwire.Set, key *imapwire.SearchKey) (Found, error)
	// Store changes flags.
	Store(ctx context.Context, uids imapwire.Set, c StoreChange) (Stored, error)
	// Copy copies messages, Move moves them.
	Copy(ctx context.Context, uids imapwire.Set, to string) (Copied, error)
	Move(ctx context.Context, uids imapwire.Set, to string) (Copied, error)
	// Expunge removes those of uids that have \Deleted; a nil set means all.
	Expunge(ctx context.Context, uids imapwire.Set) error
}

// Error is a refusal that the client is told.
type Error struct {
	Bad  bool   // the command was wrong: BAD instead of NO
	Code string // a response code without brackets (RFC 5530), or ""
	Text string
}

func (e *Error) Error() string {
	if e.Code != "" {
		return fmt.Sprintf("imap: [%s] %s", e.Code, e.Text)
	}
	return "imap: " + e.Text
}

// Mailbox is a mailbox with its counts.
type Mailbox struct {
	Name          string
	UIDValidity   uint32
	UIDNext       uint32
	Messages      uint32
	Unseen        uint32
	Deleted       uint32
	Recent        uint32
	Size          int64
	HighestModSeq uint64
	SpecialUse    string // "\\Sent" and so on, or "" (RFC 6154)
	Subscribed    bool
	ObjectID      string // RFC 8474
}

// Selected is a mailbox that was opened.
type Selected struct {
	Mailbox
	ReadOnly    bool
	UIDs        imapwire.Set // of all messages
	RecentFrom  uint32       // messages from this UID on are \Recent in this session
	FirstUnseen uint32       // UID of the first message without \Seen, 0 if none
	Keywords    []string     // in use
}

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
	Gone    bool // the mailbox was deleted
}

// FetchOptions say what of a message is wanted, so that no more is read.
type FetchOptions struct {
	Index    bool // Message.Index: structure, envelope, preview, thread
	Content  bool // Message.Content
	EmailID  bool // Message.EmailID
	MarkSeen bool // set \Seen first
	// ChangedSince leaves out messages whose MODSEQ is not higher, if HasChangedSince.
	ChangedSince    uint64
	HasChangedSince bool
}

// Message is a message that is being fetched.
type Message struct {
	UID          uint32
	Flags        imapwire.Flags
	ModSeq       uint64
	InternalDate time.Time
	SaveDate     time.Time
	Size         int64
	EmailID      string
	ThreadID     string
	Index        *message.Index
	Content      Content
	MarkedSeen   bool // this FETCH set \Seen
}

// Content is a message's bytes.
type Content interface {
	io.ReaderAt
	Size() int64
}

// Found is the result of a search.
type Found struct {
	UIDs imapwire.Set
	// ModSeqs are their MODSEQs, by UID, if the search had a MODSEQ key.
	ModSeqs []uint64
}

// StoreOp is the way flags are combined.
type StoreOp uint8

// The ways of STORE (RFC 9051 §6.4.6).
const (
	StoreReplace StoreOp = iota
	StoreAdd
	StoreRemove
)

// StoreChange is what STORE changes.
type StoreChange struct {
	Op                StoreOp
	Flags             imapwire.Flags
	UnchangedSince    uint64
	HasUnchangedSince bool
	Silent            bool // Stored.Messages may leave out messages that did not change
}

// Stored is what STORE did.
type Stored struct {
	Messages []Change     // as they are now: those that changed and, unless Silent, the others
	Modified imapwire.Set // left alone for UNCHANGEDSINCE
	Missing  imapwire.Set // not there any more
}

// Copied is what Copy or Move did: the n-th source became the n-th destination.
type Copied struct {
	UIDValidity  uint32
	Source, Dest []uint32
}

// Draft is a message that was received and not stored. Close it.
type Draft interface {
	io.Closer
	Size() int64
}

// AppendMessage is a message for Append.
type AppendMessage struct {
	Draft Draft
	Flags imapwire.Flags
	Date  time.Time // zero: now
}

// Appended is where a message went.
type Appended struct {
	UIDValidity uint32
	UID         uint32
}
