package imapwire

import (
	"slices"
	"strings"
)

// System is the set of a message's system flags (RFC 9051 §2.3.2).
type System uint8

// The system flags. Recent is the session's, never stored (RFC 3501 §2.3.2).
const (
	Seen System = 1 << iota
	Answered
	Flagged
	Deleted
	Draft
	Recent
)

// systemNames are in the order of the bits.
var systemNames = [...]string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`, `\Recent`}

// Flags are a message's flags and keywords.
type Flags struct {
	System   System
	Keywords []string
}

// AppendFlags writes a flag list with its brackets.
func AppendFlags(b []byte, sys System, keywords []string) []byte {
	b = append(b, '(')
	first := len(b)
	for i, name := range systemNames {
		if sys&(1<<i) == 0 {
			continue
		}
		if len(b) > first {
			b = append(b, ' ')
		}
		b = append(b, name...)
	}
	for _, k := range keywords {
		if len(b) > first {
			b = append(b, ' ')
		}
		b = append(b, k...)
	}
	return append(b, ')')
}

// flag reads one flag into f. \Recent can be read but not be set, so it is an
// error, as is any other unknown system flag.
func (d *Decoder) flag(f *Flags) bool {
	if d.Byte('\\') {
		name := d.Atom()
		for i, s := range systemNames[:5] {
			if len(name) == len(s)-1 && strings.EqualFold(name, s[1:]) {
				f.System |= 1 << i
				return true
			}
		}
		if name == "" {
			return d.Fail("bad flag")
		}
		return d.Fail("unknown or read-only system flag")
	}
	b := d.class(isAtom)
	if len(b) == 0 {
		return d.Fail("bad flag")
	}
	if len(b) > MaxKeyword {
		return d.failCode("LIMIT", "keyword too long")
	}
	if len(f.Keywords) >= MaxFlags {
		return d.failCode("LIMIT", "too many flags")
	}
	k := string(b)
	if !slices.ContainsFunc(f.Keywords, func(o string) bool { return strings.EqualFold(o, k) }) {
		f.Keywords = append(f.Keywords, k)
	}
	return true
}

// FlagList reads a flag list in brackets.
func (d *Decoder) FlagList(f *Flags) bool {
	return d.List(func() bool { return d.flag(f) })
}

// ExpectFlags reads flags with or without brackets, as STORE has them.
func (d *Decoder) ExpectFlags(f *Flags) bool {
	if d.FlagList(f) {
		return true
	}
	for d.flag(f) {
		if !d.SP() {
			return true
		}
	}
	return d.Fail("expected flags")
}
