// Package addr parses and compares mail addresses: RFC 5321 §4.1.2 with
// internationalised addresses (RFC 6531), tolerant of what senders do.
//
// It promises that nothing with a control character or broken UTF-8 becomes
// an Addr, that Parse reads back what String writes, and that Key is the same
// for all spellings of one mailbox. It never resolves names.
package addr

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Limit: bytes of one mail address (64 + 1 + 255, RFC 5321 §4.5.3.1).
const MaxLen = 320

// The ways an address can be wrong.
var (
	ErrEmpty   = errors.New("addr: empty address")
	ErrTooLong = errors.New("addr: address too long")
	ErrSyntax  = errors.New("addr: not an address")
)

// Addr is one address: the local part without its quoting, and the domain as
// it was written ("" if it was left out).
type Addr struct{ Local, Domain string }

// IsZero tells whether a is no address: the null sender.
func (a Addr) IsZero() bool { return a.Local == "" && a.Domain == "" }

// Parse reads a bare addr-spec ("a@b", "\"a b\"@c", "postmaster", "a@[127.0.0.1]").
// A domain may be missing. It rejects control characters, over 320 bytes, and invalid UTF-8.
func Parse(s string) (Addr, error) {
	if err := check(s); err != nil {
		return Addr{}, err
	}
	a, rest, err := mailbox(s)
	if err != nil {
		return Addr{}, err
	}
	if rest != "" {
		return Addr{}, ErrSyntax
	}
	return a, nil
}

// check refuses what no part of an address may contain.
func check(s string) error {
	switch {
	case s == "":
		return ErrEmpty
	case len(s) > MaxLen:
		return ErrTooLong
	case !clean(s):
		return ErrSyntax
	}
	return nil
}

// clean tells whether s is UTF-8 without control characters.
func clean(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == 0x7f {
			return false
		} else if c >= utf8.RuneSelf {
			return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
		}
	}
	return true
}

// mailbox reads "local[@domain]" from the front of s and returns what is left.
func mailbox(s string) (a Addr, rest string, err error) {
	if a.Local, rest, err = local(s); err != nil {
		return Addr{}, "", err
	}
	if rest == "" || rest[0] != '@' {
		return a, rest, nil
	}
	if a.Domain, rest, err = domain(rest[1:]); err != nil {
		return Addr{}, "", err
	}
	return a, rest, nil
}

// local reads a quoted string or a run of atom characters and dots. Dots may
// stand anywhere: senders do write "a..b" and "a.", and a catcher must catch it.
func local(s string) (string, string, error) {
	if s != "" && s[0] == '"' {
		return quoted(s)
	}
	n := 0
	for n < len(s) && isLocal(s[n]) {
		n++
	}
	if n == 0 {
		return "", "", ErrSyntax
	}
	return s[:n], s[n:], nil
}

// quoted reads a Quoted-string (RFC 5321 §4.1.2). An empty one is refused: it
// could not be told from the null sender.
func quoted(s string) (string, string, error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			if b.Len() == 0 {
				return "", "", ErrSyntax
			}
			return b.String(), s[i+1:], nil
		case '\\':
			if i++; i == len(s) {
				return "", "", ErrSyntax
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", ErrSyntax
}

// domain reads a name or an address literal. One dot at the end is dropped.
func domain(s string) (string, string, error) {
	if s != "" && s[0] == '[' {
		n := strings.IndexByte(s, ']')
		if n < 2 || strings.ContainsAny(s[1:n], "[\\<> ") {
			return "", "", ErrSyntax
		}
		return s[:n+1], s[n+1:], nil
	}
	n := 0
	for n < len(s) && isDomain(s[n]) {
		n++
	}
	name, rest := strings.TrimSuffix(s[:n], "."), s[n:]
	if name == "" || name[0] == '.' || name[len(name)-1] == '.' || strings.Contains(name, "..") {
		return "", "", ErrSyntax
	}
	return name, rest, nil
}

// isLocal tells whether c may stand in an unquoted local part: atext of RFC
// 5322 §3.2.3, the dot, and UTF-8 (RFC 6531 §3.3).
func isLocal(c byte) bool {
	return c >= utf8.RuneSelf || c == '.' || c > ' ' && c < 0x7f && strings.IndexByte(`()<>[]:;@\,"`, c) < 0
}

// isDomain tells whether c may stand in a domain name. The underscore is no
// host name character, but people use it.
func isDomain(c byte) bool {
	return c >= utf8.RuneSelf || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '-' || c == '.' || c == '_'
}

// String writes the address, quoting the local part where it must be.
func (a Addr) String() string { return join(quote(a.Local), a.Domain) }

func join(local, domain string) string {
	if domain == "" {
		return local
	}
	return local + "@" + domain
}

// quote writes a local part as Parse reads it.
func quote(s string) string {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = isLocal(s[i])
	}
	if plain {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// Key is the form under which an address is looked up: lower case, domain in
// ASCII (IDNA) or as it is, the local part without dots and without +label.
// A local part that would vanish is left as it is. Parse(Key).Key is Key again.
func (a Addr) Key() string { return join(quote(localKey(a.Local)), DomainKey(a.Domain)) }

func localKey(s string) string {
	s = fold(s)
	short := s
	if i := strings.IndexByte(s, '+'); i > 0 {
		short = s[:i]
	}
	if k := undot(short); k != "" {
		return k
	}
	// "." + label: cutting both would leave nothing, so only the dots go.
	if k := undot(s); k != "" {
		return k
	}
	return s
}

// undot takes the dots out. A dot may have stood between a letter and a
// combining mark, so the rest is composed anew.
func undot(s string) string { return fold(strings.ReplaceAll(s, ".", "")) }

// DomainKey is the form under which domains are compared.
func DomainKey(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	f := fold(s)
	if !plainDomain(f) { // composing can make a sign of ASCII: U+037E becomes ";"
		f = strings.ToLower(s)
	}
	// Some letters have a name in ASCII only once they are small.
	for _, form := range []string{s, f} {
		if a, err := idna.Lookup.ToASCII(form); err == nil && plainDomain(a) {
			return strings.ToLower(a)
		}
	}
	return f
}

// plainDomain tells whether IDNA mapping left a name that Parse would read back.
func plainDomain(s string) bool {
	name, rest, err := domain(s)
	return err == nil && rest == "" && name == s
}

// fold is lower case in Unicode's composed form.
func fold(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return norm.NFC.String(strings.ToLower(norm.NFC.String(s)))
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
