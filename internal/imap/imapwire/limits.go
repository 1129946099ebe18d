package imapwire

import "time"

// Limit: bytes of one IMAP command without its literals.
const MaxLine = 64 << 10

// Limit: bytes of one IMAP literal that is not a message.
const MaxLiteral = 64 << 10

// Limit: bytes of all literals of one IMAP command, messages apart.
const MaxLiterals = 256 << 10

// Limit: bytes of a refused IMAP line or literal that are read and dropped to
// stay in step with the client; beyond it the connection is closed.
const MaxDiscard = 256 << 20

// Limit: depth of nested lists in an IMAP command (SEARCH keys).
const MaxDepth = 50

// Limit: keys of one IMAP SEARCH.
const MaxSearchKeys = 4096

// Limit: texts that one IMAP SEARCH looks for.
const MaxSearchTexts = 64

// Limit: field names of one IMAP HEADER.FIELDS.
const MaxHeaderFields = 500

// Limit: ranges of one IMAP sequence set.
const MaxRanges = 32 << 10

// Limit: bytes of an IMAP mailbox name, in UTF-8.
const MaxMailbox = 1024

// Limit: items of one IMAP FETCH.
const MaxFetchItems = 1000

// Limit: numbers in one IMAP section specification (BODY[1.2.3…]).
const MaxSectionParts = 200

// Limit: flags in one IMAP flag list.
const MaxFlags = 200

// Limit: bytes of one IMAP keyword.
const MaxKeyword = 255

// Limit: bytes of IMAP responses held back while the client's input lasts.
const HoldBytes = 32 << 10

// Limit: bytes of input buffer that an idle IMAP connection keeps.
const idleBuffer = 4 << 10

// waitBuffer is what remains of it during IDLE: enough for "DONE".
const waitBuffer = 64

// Limit: longest IMAP string sent as a quoted string; longer ones are literals.
const maxQuoted = 1000

// maxWithin is what the seconds of WITHIN are cut at: a hundred years.
const maxWithin = 100 * 366 * 24 * time.Hour
