// Package backend is what an IMAP connection stands on: one client's access to
// mailboxes. Package imap uses it, package imapd implements it.
package backend

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/imap/order"
	"github.com/eidermail/eider/internal/imap/view"
	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/sasl"
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
	// StartScram finds what a password is proved against; EndScram follows.
	StartScram(ctx context.Context, user string) (sasl.Verifier, error)
	// EndScram logs in who has proved to know the password, or counts a failure.
	EndScram(ctx context.Context, proved bool) error
	// Bearer checks a token; user is who the client wants to be, or "".
	Bearer(ctx context.Context, user, token string) error

	// Authenticated state

	// Mailboxes lists all mailboxes by name, INBOX first.
	Mailboxes(ctx context.Context) ([]Mailbox, error)
	// Subscriptions lists the subscribed names, whether they exist or not.
	Subscriptions(ctx context.Context) ([]string, error)
	// Status reads one mailbox.
	Status(ctx context.Context, name string, needs StatusNeeds) (Mailbox, error)
	// Quota reads what the account has.
	Quota(ctx context.Context) (Quota, error)
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
	// OpenMessage opens a message for CATENATE until shut; nil without an error
	// if there is no such message.
	OpenMessage(ctx context.Context, u *imapwire.MessageURL) (m *Message, shut func(), err error)
	// Do does one or several tasks in this order, each as if it were the only
	// one, and tells in each how it ended. What can be is committed together.
	Do(ctx context.Context, tasks []Task)

	// Selected state

	// Unselect leaves the selected mailbox.
	Unselect(ctx context.Context)
	// Poll tells what happened to the selected mailbox since Select or the
	// last Poll. Without force it may say nothing when nothing is known to have happened.
	Poll(ctx context.Context, force bool) (Update, error)
	// Watch has wake called soon after something changed in the selected
	// mailbox, or elsewhere, until Watch(nil). It must not wait for anything.
	Watch(wake func())
	// WatchAll is Watch for all mailboxes, in any state, until cancel has returned.
	WatchAll(wake func()) (cancel func())
	// Fetch calls yield for each message of uids that is there, by UID. The
	// Message is valid during the call.
	Fetch(ctx context.Context, uids imapwire.Set, o FetchOptions, yield func(*Message) error) error
	// Search finds messages among uids. Keys of sequence numbers and of
	// recency have been turned into UIDs.
	Search(ctx context.Context, uids imapwire.Set, key *imapwire.SearchKey) (Found, error)
	// Order is Search for SORT and THREAD: the messages found, by UID, with
	// what their order depends on.
	Order(ctx context.Context, uids imapwire.Set, key *imapwire.SearchKey) ([]order.Message, error)
	// Move moves messages.
	Move(ctx context.Context, uids imapwire.Set, to string) (Copied, error)
	// Replace stores a message and removes one of the selected mailbox.
	Replace(ctx context.Context, uid uint32, name string, m AppendMessage) (Appended, error)
	// Expunge removes those of uids that have \Deleted; a nil set means all.
	// It says how many were removed.
	Expunge(ctx context.Context, uids imapwire.Set) (int, error)
	// Vanished are the UIDs that were expunged after a MODSEQ; not complete if
	// the history does not reach back so far.
	Vanished(ctx context.Context, since uint64) (gone imapwire.Set, complete bool, err error)
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
	DeletedSize   int64 // of messages with \Deleted, if StatusNeeds said so
	HighestModSeq uint64
	SpecialUse    string // "\\Sent" and so on, or "" (RFC 6154)
	Subscribed    bool
	ObjectID      string // RFC 8474
}

// Key is what a mailbox is known by, whatever its name is; its name, if it does not exist.
func (m *Mailbox) Key() string {
	if m.UIDValidity == 0 {
		return "/" + m.Name
	}
	return m.ObjectID
}

// WithSubscribed adds subscribed names that do not exist, and the levels above
// them, which RECURSIVEMATCH tells; their UIDValidity is 0.
func WithSubscribed(boxes []Mailbox, names []string) []Mailbox {
	have := make(map[string]bool, len(boxes))
	for i := range boxes {
		have[boxes[i].Name] = true
	}
	known := len(boxes)
	for _, n := range names {
		if !have[n] {
			have[n] = true
			boxes = append(boxes, Mailbox{Name: n, Subscribed: true})
		}
	}
	for _, m := range boxes[known:] {
		for i := range len(m.Name) {
			if m.Name[i] == '/' && !have[m.Name[:i]] {
				have[m.Name[:i]] = true
				boxes = append(boxes, Mailbox{Name: m.Name[:i]})
			}
		}
	}
	return boxes
}

// Since are the events (RFC 5465) that lie between two looks at a mailbox.
func (m *Mailbox) Since(old *Mailbox) (e imapwire.Event) {
	if old.HighestModSeq == m.HighestModSeq {
		return 0
	}
	arrived := m.UIDNext - old.UIDNext
	if arrived > 0 {
		e |= imapwire.MessageNew
	}
	if m.Messages < old.Messages+arrived {
		e |= imapwire.MessageExpunge
	}
	if e == 0 {
		e = imapwire.FlagChange
	}
	return e
}

// StatusNeeds are what of a Mailbox must be counted, and so costs more.
type StatusNeeds struct{ Recent, DeletedSize bool }

// Selected is a mailbox that was opened.
type Selected struct {
	Mailbox
	ReadOnly    bool
	UIDs        imapwire.Set // of all messages
	RecentFrom  uint32       // messages from this UID on are \Recent in this session
	FirstUnseen uint32       // UID of the first message without \Seen, 0 if none
	Keywords    []string     // in use
}

// What a Session tells of the selected mailbox.
type (
	Change = view.Change
	Update = view.Update
)

// FetchOptions say what of a message is wanted, so that no more is read.
type FetchOptions struct {
	Index    bool // Message.Index: structure, envelope, preview, thread
	Content  bool // Message.Content
	EmailID  bool // Message.EmailID
	MarkSeen bool // set \Seen first
	// Prepare, if not nil, looks at each Message before its index and content
	// are read, and may say that they are not needed.
	Prepare func(*Message)
	// ChangedSince leaves out messages whose MODSEQ is not higher, if HasChangedSince.
	ChangedSince    uint64
	HasChangedSince bool
}

// MessageKey names a message for good: what is worked out of its bytes can be
// kept by it.
type MessageKey struct{ Account, Message uint64 }

// Message is a message that is being fetched.
type Message struct {
	Key          MessageKey
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
	// What Prepare said: neither is read.
	SkipIndex, SkipContent bool
	// Ready is Prepare's to keep what it has found.
	Ready []string
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

// Task is a STORE, COPY or APPEND: whichever is there. What it did stands in its
// Done, and in Err why not, or not wholly.
type Task struct {
	Store  *StoreTask
	Copy   *CopyTask
	Append *AppendTask
	Err    error
}

// Close lets go of the messages of a task.
func (t *Task) Close() {
	if t.Append != nil {
		for i := range t.Append.Messages {
			t.Append.Messages[i].Draft.Close()
		}
	}
}

// StoreTask changes flags of the selected mailbox.
type StoreTask struct {
	UIDs   imapwire.Set
	Change StoreChange
	Done   Stored
}

// CopyTask copies messages of the selected mailbox, all or none.
type CopyTask struct {
	UIDs imapwire.Set
	To   string
	Done Copied
}

// AppendTask stores messages that were received, all or none.
type AppendTask struct {
	To       string
	Messages []AppendMessage
	Done     Appended
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

// Appended is where messages went.
type Appended struct {
	UIDValidity uint32
	UIDs        []uint32
}

// Quota is what an account has and may have.
type Quota struct {
	Bytes, MaxBytes       int64 // 0: no limit
	Messages, MaxMessages int64
}
