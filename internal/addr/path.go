package addr

import "strings"

// Limit: bytes of one path with its brackets and source route; over it the
// command is wrong (RFC 5321 §4.5.3.1.3 says 256, senders exceed it).
const MaxPath = 1024

// ParsePath reads the path after "MAIL FROM:" or "RCPT TO:" (RFC 5321
// §4.1.1.2 and §4.1.1.3) and returns it with what follows: the parameters,
// without the space before them. The null path "<>" gives the zero Addr.
// A source route is read and dropped, as RFC 5321 appendix C asks. Spaces
// before the path and a path without brackets are tolerated.
func ParsePath(s string) (a Addr, rest string, err error) {
	s = strings.TrimLeft(s, " ")
	if s == "" {
		return Addr{}, "", ErrEmpty
	}
	if s[0] != '<' {
		return barePath(s)
	}
	in, rest, err := bracketed(s)
	if err != nil {
		return Addr{}, "", err
	}
	if rest != "" && rest[0] != ' ' {
		return Addr{}, "", ErrSyntax
	}
	rest = strings.TrimLeft(rest, " ")
	if in = strings.Trim(in, " "); in == "" {
		return Addr{}, rest, nil
	}
	if in, err = dropRoute(in); err != nil {
		return Addr{}, "", err
	}
	a, err = Parse(in)
	return a, rest, err
}

// bracketed splits "<in>rest" at the first '>' outside of quotes.
func bracketed(s string) (in, rest string, err error) {
	inQuotes := false
	for i := 1; i < len(s) && i < MaxPath; i++ {
		switch c := s[i]; {
		case c == '\\' && inQuotes:
			i++
		case c == '"':
			inQuotes = !inQuotes
		case c == '>' && !inQuotes:
			return s[1:i], s[i+1:], nil
		}
	}
	if len(s) > MaxPath {
		return "", "", ErrTooLong
	}
	return "", "", ErrSyntax
}

// barePath reads a path whose sender forgot the brackets.
func barePath(s string) (Addr, string, error) {
	n := min(len(s), MaxLen+1)
	a, rest, err := mailbox(s[:n])
	if err != nil {
		return Addr{}, "", err
	}
	used := n - len(rest)
	if used > MaxLen {
		return Addr{}, "", ErrTooLong
	}
	if !clean(s[:used]) || used < len(s) && s[used] != ' ' {
		return Addr{}, "", ErrSyntax
	}
	return a, strings.TrimLeft(s[used:], " "), nil
}

// dropRoute takes "@a,@b:" away from "@a,@b:c@d" (RFC 5321 §4.1.2 A-d-l).
func dropRoute(s string) (string, error) {
	if s[0] != '@' {
		return s, nil
	}
	for {
		if s == "" || s[0] != '@' {
			return "", ErrSyntax
		}
		_, rest, err := domain(s[1:])
		switch {
		case err != nil || rest == "":
			return "", ErrSyntax
		case rest[0] == ':':
			return rest[1:], nil
		case rest[0] != ',':
			return "", ErrSyntax
		}
		s = rest[1:]
	}
}
