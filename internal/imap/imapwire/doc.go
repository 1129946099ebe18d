// Package imapwire reads and writes the grammar of IMAP: RFC 3501 and RFC 9051
// §9, with the grammar of LITERAL+ (RFC 7888), CONDSTORE (RFC 7162), ESEARCH
// (RFC 4731), LIST-EXTENDED (RFC 5258), BINARY (RFC 3516), WITHIN (RFC 5032),
// OBJECTID (RFC 8474) and SAVEDATE (RFC 8514).
//
// A Decoder reads one command at a time. Its methods named after a grammar
// element try: they return false and read nothing if something else stands
// there. The methods that start with Expect set a sticky error, so that a
// command's parser is one chain of calls with one check at its end. Every
// length and depth has a named limit; what is over one is an error to the
// client and never memory.
//
// An Encoder collects responses. It sends them when the Reader is about to
// wait for the client, or when enough is held: one write for a batch of lines.
//
// The package knows no mailbox, no account and no state of a session.
package imapwire
