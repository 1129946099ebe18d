// Package smtp is the wire side of mail coming in: message submission (RFC
// 6409), SMTP as an MX (RFC 5321) and LMTP (RFC 2033), with the extensions
// PIPELINING (RFC 2920), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), SIZE (RFC
// 1870), CHUNKING (RFC 3030), STARTTLS (RFC 3207), AUTH (RFC 4954) and, on MX
// and LMTP only, ENHANCEDSTATUSCODES (RFC 2034).
//
// It owns grammar, states, limits and time-outs, and asks a Session what they
// mean: who may log in, whose mail this is, where it goes.
//
// It promises: only CRLF "." CRLF ends DATA, whatever bare CR or LF stand
// around a dot, so no message can be split in two; what the Session reads is
// what was sent, byte for byte, with the dots of transparency (RFC 5321
// §4.5.2) taken out and nothing else; replies are in the order of commands and
// leave when the client has nothing more in flight; memory per connection is
// bounded whatever is sent; a browser that speaks HTTP to the port is cut off
// at its first line. It never sees the store, never invents a reply to DATA,
// and never sends an inner error's text to a client.
package smtp
