// Package boxname checks the names of mailboxes, and brings them to the form in
// which they are compared. It never looks whether there is such a mailbox.
package boxname

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	Inbox     = "INBOX"
	Separator = "/"
)

// Limit: bytes of a mailbox name in UTF-8.
const MaxBytes = 512

// Limit: levels of a mailbox name.
const MaxLevels = 128

// Clean checks a mailbox name. shown is the name as it is kept, key the
// form in which names are compared: Unicode's NFC, so that a name typed on
// another system finds the same mailbox. INBOX is INBOX in any case, also as
// the first level of a longer name (RFC 9051 §5.1).
func Clean(name string) (shown, key string, err error) {
	name = strings.TrimSuffix(name, Separator)
	switch {
	case len(name) <= len(Inbox) && strings.EqualFold(name, Inbox):
		return Inbox, Inbox, nil
	case name == "":
		return "", "", errors.New("empty mailbox name")
	case len(name) > MaxBytes:
		return "", "", fmt.Errorf("mailbox name of %d bytes", len(name))
	case !utf8.ValidString(name):
		return "", "", errors.New("mailbox name is not UTF-8")
	case strings.ContainsFunc(name, badRune):
		return "", "", errors.New("control character in a mailbox name")
	case strings.HasPrefix(name, Separator) || strings.Contains(name, Separator+Separator):
		return "", "", errors.New("empty level in a mailbox name")
	case strings.Count(name, Separator) >= MaxLevels:
		return "", "", errors.New("too many levels in a mailbox name")
	}
	if first, rest, ok := strings.Cut(name, Separator); ok && strings.EqualFold(first, Inbox) {
		name = Inbox + Separator + rest
	}
	return name, norm.NFC.String(name), nil
}

// badRune: controls, and what Net-Unicode forbids (RFC 5198 §2).
func badRune(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
}

// Parents yields the names of the levels above a name, the highest first.
func Parents(name string) []string {
	var above []string
	for i := range len(name) {
		if name[i] == '/' {
			above = append(above, name[:i])
		}
	}
	return above
}
