// Package pop3 is the wire side of POP3 (RFC 1939) with CAPA and response
// codes (RFC 2449, RFC 3206), STLS (RFC 2595), AUTH (RFC 5034) and pipelining.
//
// It owns grammar, states, limits and time-outs, and asks a Session whose mail
// this is and what it holds.
//
// It promises: a message is sent byte for byte, with nothing added but the
// dots of byte-stuffing after CRLF, and a last CRLF where the message has
// none; a message number means the same message for the whole session; DELE
// takes effect at QUIT and only then, so a connection that breaks deletes
// nothing; memory per connection is bounded. It never sees the store.
//
// Lines are what CRLF ends, as RFC 1939 has it, so a bare LF in a message is a
// byte like any other; sizes are those of the message as it is stored.
package pop3
