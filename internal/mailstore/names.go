package mailstore

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	inboxName = "INBOX"
	inboxID   = 1
	separator = "/"
)

// cleanName checks a mailbox name. shown is the name as it is kept, key the
// form in which names are compared: Unicode's NFC, so that a name typed on
// another system finds the same mailbox. INBOX is INBOX in any case, also as
// the first level of a longer name (RFC 9051 §5.1).
func cleanName(name string) (shown, key string, err error) {
	name = strings.TrimSuffix(name, separator)
	switch {
	case len(name) <= len(inboxName) && strings.EqualFold(name, inboxName):
		return inboxName, inboxName, nil
	case name == "":
		return "", "", fail(Invalid, "empty mailbox name")
	case len(name) > MaxMailboxName:
		return "", "", fail(Invalid, "mailbox name of %d bytes", len(name))
	case !utf8.ValidString(name):
		return "", "", fail(Invalid, "mailbox name is not UTF-8")
	case strings.ContainsFunc(name, badRune):
		return "", "", fail(Invalid, "control character in a mailbox name")
	case strings.HasPrefix(name, separator) || strings.Contains(name, separator+separator):
		return "", "", fail(Invalid, "empty level in a mailbox name")
	case strings.Count(name, separator) >= MaxMailboxLevels:
		return "", "", fail(Invalid, "too many levels in a mailbox name")
	}
	if first, rest, ok := strings.Cut(name, separator); ok && strings.EqualFold(first, inboxName) {
		name = inboxName + separator + rest
	}
	return name, norm.NFC.String(name), nil
}

// badRune: controls, and what Net-Unicode forbids (RFC 5198 §2).
func badRune(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
}

// parents yields the names of the levels above a name, the highest first.
func parents(name string) []string {
	var above []string
	for i := range len(name) {
		if name[i] == '/' {
			above = append(above, name[:i])
		}
	}
	return above
}
