// Package imap serves IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051): the states
// of a connection, the commands, and the client's view of a mailbox. What a mailbox holds comes
// from a Session, which the package imapd implements over the mail store; this
// package never sees the store.
//
// The extensions are those of capability.go; docs/imap.md names their RFCs.
//
// # Implementation notes
//
// A command is one file: its handler reads the arguments, calls the Session,
// writes. A handler returns an error or nil; the tagged response is written in
// one place, after the changes that others made meanwhile.
//
// Sequence numbers live in one type, view.Tracker. The client's view changes only
// when a response says so: EXISTS and FETCH may come with any command, EXPUNGE
// never while FETCH, STORE or SEARCH run (RFC 9051 §7.5.1); such expunges are
// kept until a command allows them. A message that was expunged elsewhere and
// not yet told keeps its number; asking for it gives nothing and no error.
//
// Output is held until the client has nothing more to say or much is held;
// commands that have arrived are executed without waiting for the network.
// Memory per connection is bounded: a client that does not read stops its own
// commands, and no queue grows for it, since changes are read from the
// Session when there is room to tell them.
//
// A connection is one goroutine. While it idles, a hint of a change ends its
// read by the deadline; it tells what has changed and reads on. Its buffers
// are given back before it does.
package imap
