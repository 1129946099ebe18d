// Package addr parses and compares mail addresses: RFC 5321 §4.1.2 with
// internationalised addresses (RFC 6531), tolerant of what senders do.
package addr

// Addr is one address.
type Addr struct{ Local, Domain string }

// Parse reads a bare addr-spec ("a@b", "\"a b\"@c", "postmaster", "a@[127.0.0.1]").
// A domain may be missing. It rejects control characters, over 320 bytes, and invalid UTF-8.
func Parse(s string) (Addr, error) { panic("stub") }

// Key is the form under which an address is looked up: lower case, domain in
// ASCII (IDNA) or as it is, the local part without dots and without +label.
func (a Addr) Key() string { panic("stub") }

// String writes the address, quoting the local part where it must be.
func (a Addr) String() string { panic("stub") }
