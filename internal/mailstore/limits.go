package mailstore

import (
	"time"

	"github.com/eidermail/eider/internal/mailstore/watch"
)

// Limit: accounts of one deposit: one transaction over all their heads.
const MaxTxAccounts = 100

// Limit: bytes of a message that goes into one commit with others of an import.
const MaxInline = 256 << 10

// Limit: bytes of message rows in a deposit to several accounts together.
const MaxInlineAll = 4 << 20

// Limit: bytes of a message's index kept in its row; a larger one is made again when asked for.
const MaxIndex = 480 << 10

// Limit: bytes of message indexes in a deposit to several accounts together.
const MaxIndexAll = 1 << 20

// Limit: mailboxes of one account.
const MaxMailboxes = 1500

// Limit: subscriptions of one account.
const MaxSubscriptions = 3000

// Limit: keywords of one message.
const MaxKeywords = 64

// Limit: bytes of one keyword.
const MaxKeyword = 128

// Limit: rows of one account that may name the same message.
const MaxPlaces = 4096

// Limit: recipients kept in a stored envelope; their number is kept as well.
const MaxStoredRecipients = 100

// Limit: bytes of each text of a stored envelope.
const MaxEnvelopeText = 1000

// Limit: bytes of header lines put before a message.
const MaxPrepend = 64 << 10

// Limit: bytes of an account's address, name or label.
const MaxAccountText = 320

// Limit: change-log records of a mailbox kept beyond LogYoung.
const MaxLog = 10_000

const (
	// LogYoung: records younger than this stay however many there are.
	LogYoung = 10 * time.Minute
	// LogOld: records older than this go however few there are.
	LogOld = 30 * 24 * time.Hour
	// trimAtOnce records are trimmed in one commit: rarely, so that most
	// commits do not read the log at all.
	trimAtOnce = 32

	// PollEvery is how long a watcher waits at most where no hint comes.
	PollEvery = watch.PollEvery
	// UnusedLife is how long an account lives that expires when idle and was never used.
	UnusedLife = 24 * time.Hour

	// epochJump is added to every sequence at the first write of a new store
	// epoch: more than a group commit can have shown before a power cut.
	epochJump = 1024

	changeGroup = 500  // rows of one commit that changes flags or copies
	removeGroup = 200  // rows of one commit that removes
	readGroup   = 500  // rows of one GetMulti
	infoGroup   = 64   // Info rows read at once: they can be large
	lookGroup   = 1000 // messages looked at by one commit that makes room

	// What one commit that removes or copies writes for its messages, unless one alone
	// writes more; the store's limits are 10,000 keys and 8 MiB.
	txKeys  = 4_000
	txBytes = 2 << 20

	roomGroup = 100 // messages dropped within the deposit that needs the room

	maxThreadHashes = 8

	// staleTries is how often shared parts are looked up again because their
	// commit came too late.
	staleTries = 3
)
