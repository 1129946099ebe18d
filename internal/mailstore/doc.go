// Package mailstore keeps accounts, mailboxes and messages on a kv.Store. The
// meaning of mail is written here, once, for all protocols and all engines.
//
// Unit of concurrency is the account: every mutation holds the guard of the
// account's head row, takes its own MODSEQ, and writes one change-log record
// per mailbox it touched. UID allocation and insert are one commit.
package mailstore
