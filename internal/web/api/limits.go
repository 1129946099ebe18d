package api

import "time"

// Limit: bytes of a request's body.
const MaxBody = 256 << 10

// Limit: time for the store to answer a request; waiting for mail has its own.
const StoreBudget = 5 * time.Second

// Limit: longest wait for a message.
const MaxWait = 300 * time.Second

// DefaultWait is how long is waited when nothing is asked for.
const DefaultWait = 30 * time.Second

// Limit: requests that may wait for a message at once, per account.
const MaxWaits = 20

// Limit: event streams open at once, per account.
const MaxStreams = 20

// Limit: searches in texts under way at once, per account.
const MaxSearches = 4

// Limit: messages on one page of a list.
const MaxPage = 250

// Limit: messages that one request looks at to find those that match; where it
// ends, the answer's next says how to go on.
const MaxScan = 5_000

// Limit: time that one request searches before it answers with what it has.
const MaxSearchTime = 3 * time.Second

// Limit: messages that one request changes or deletes by id.
const MaxIDs = 1_000

// Limit: characters of one search term.
const MaxTerm = 500

// Limit: decoded bytes of a message's text, and of its HTML, in an answer; the
// parts themselves can be downloaded whole.
const MaxText = 2 << 20

// Limit: decoded bytes of a text part that a search looks into.
const MaxSearchText = 256 << 10

// Limit: header fields of a message in an answer.
const MaxHeaders = 1_000

// Limit: keywords in one change of flags.
const MaxKeywords = 50

// batch is how many rows are read at once when a mailbox is scanned.
const batch = 64

// heartbeat is how often an idle event stream says that it lives.
const heartbeat = 15 * time.Second

// writeTime is how long one write to a stream may take.
const writeTime = 30 * time.Second
