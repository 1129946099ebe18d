package mailstore

import (
	"time"
)

// Deposit is one message to be stored: delivered by SMTP or LMTP, appended by
// IMAP, imported.
type Deposit struct {
	Mailbox      string // "INBOX" if empty
	Flags        Flags
	Keywords     []string
	InternalDate time.Time // now if zero
	SaveDate     time.Time // now if zero; else when it came into the mailbox it is imported from (RFC 8514)
	Envelope     Envelope
	// Prepend is put before the message: complete header lines with CRLF.
	Prepend []byte
	// MakeRoom drops the oldest mail of a full account instead of refusing (dev mode).
	MakeRoom bool
}

// Deposited is where a message went.
type Deposited struct {
	Acct        AcctID
	Mailbox     MailboxID
	UIDValidity uint32
	UID         UID
	Msg         MsgID
	ModSeq      ModSeq
	LinkEpoch   uint32
}

// FlagOp says how StoreFlags combines.
type FlagOp int

// The ways of STORE (RFC 9051 §6.4.6).
const (
	FlagsReplace FlagOp = iota
	FlagsAdd
	FlagsRemove
)

// FlagChange is one STORE.
type FlagChange struct {
	Op       FlagOp
	Flags    Flags
	Keywords []string
	// UnchangedSince skips rows with a higher MODSEQ (RFC 7162 §3.1.3) when
	// HasUnchangedSince is set.
	UnchangedSince    ModSeq
	HasUnchangedSince bool
}

// FlagResult is what StoreFlags did.
type FlagResult struct {
	ModSeq   ModSeq  // of the last commit, 0 if nothing changed
	Changed  []Entry // rows as they are now, those that changed
	Same     []Entry // rows that were so already
	Modified []UID   // skipped by UnchangedSince
	Missing  []UID   // no such row
}

// Copied is what Copy or Move did: Source[i] became Dest[i].
type Copied struct {
	Mailbox     MailboxID
	UIDValidity uint32
	Source      []UID
	Dest        []UID
}

// Changes is what happened to a mailbox after a MODSEQ.
type Changes struct {
	// Resync: the log does not reach back; read the mailbox again.
	Resync   bool
	Epoch    uint64
	ModSeq   ModSeq  // the mailbox is now at this
	Changed  []Entry // added rows and rows with new flags, as they are now, by UID
	Vanished []UID   // ascending
	Gone     bool    // the mailbox was deleted
}

// Snapshot is a mailbox with all its rows, exact at Mailbox.HighestModSeq.
type Snapshot struct {
	Mailbox Mailbox
	Epoch   uint64
	Entries []Entry // ascending by UID
}
