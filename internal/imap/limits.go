package imap

import "time"

// Limit: time an IMAP client has to send a command or end its IDLE (RFC 9051 §5.4).
const AutoLogout = 30 * time.Minute

// Limit: time an IMAP client has for each command before it has logged in.
const LoginTime = time.Minute

// Limit: pause within an IMAP literal after which the client is taken for gone.
const LiteralTime = 2 * time.Minute

// Limit: time a write to an IMAP client may take; one write is at most some tens of KiB.
const WriteTime = 2 * time.Minute

// Limit: time for the TLS handshake of an IMAP client.
const HandshakeTime = 30 * time.Second

// Limit: BAD commands in a row, after which an IMAP client is cut off.
const MaxBadCommands = 25

// Limit: failed logins of one IMAP connection, after which it is cut off.
const MaxLoginFailures = 5

// Limit: bytes of a header that HEADER.FIELDS looks at.
const MaxHeader = 1 << 20

// Limit: keywords of a mailbox that an IMAP session is told of in FLAGS.
const MaxKnownKeywords = 1000

// Limit: fields of one IMAP ID command (RFC 2971 §3.3).
const MaxIDFields = 30

// ProgressEvery is how often a client is told that its command goes on (RFC 9585 §4).
const ProgressEvery = 10 * time.Second

// IdleKeepAlive is how often an idling client is told that we are there, so
// that no middlebox forgets the connection.
const IdleKeepAlive = 2 * time.Minute
