package message

import "strings"

// BaseSubject takes a decoded subject to the form by which messages are
// threaded and sorted (RFC 5256 §2.1): without "Re:", "Fwd:", "[list]" and
// "(fwd)". reply says whether one of them stood there.
func BaseSubject(subject string) (base string, reply bool) {
	s := strings.Join(strings.Fields(subject), " ")
	for {
		for { // (2) trailers
			t := strings.TrimRight(s, " ")
			if len(t) >= 5 && strings.EqualFold(t[len(t)-5:], "(fwd)") {
				t, reply = t[:len(t)-5], true
			}
			if t == s {
				break
			}
			s = t
		}
		for { // (3)–(5) leaders and blobs
			t, re := cutLeader(s)
			reply = reply || re
			if t == s {
				t = cutBlob(s)
			}
			if t == s {
				break
			}
			s = t
		}
		// (6) "[fwd: … ]"
		if len(s) < 6 || !strings.EqualFold(s[:5], "[fwd:") || s[len(s)-1] != ']' {
			return s, reply
		}
		s, reply = strings.TrimSpace(s[5:len(s)-1]), true
	}
}

// cutLeader removes "re:", "fw:", "fwd:", also with blobs: "Re[2]:", "[x] Re:".
func cutLeader(s string) (rest string, reply bool) {
	t := strings.TrimLeft(s, " ")
	for range 8 { // blobs before it
		t = blob(t)
	}
	n := 0
	for _, w := range [...]string{"fwd", "re", "fw"} {
		if len(t) > len(w) && strings.EqualFold(t[:len(w)], w) {
			n = len(w)
			break
		}
	}
	if n == 0 {
		return strings.TrimLeft(s, " "), false
	}
	t = strings.TrimLeft(t[n:], " ")
	t = blob(t)
	if !strings.HasPrefix(t, ":") {
		return strings.TrimLeft(s, " "), false
	}
	return strings.TrimLeft(t[1:], " "), true
}

// cutBlob removes a leading "[…]" if something is left.
func cutBlob(s string) string {
	if t := blob(s); t != "" {
		return t
	}
	return s
}

// blob skips one "[…]" and the space behind it.
func blob(s string) string {
	if s == "" || s[0] != '[' {
		return s
	}
	i := strings.IndexAny(s[1:], "[]")
	if i < 0 || s[1+i] == '[' {
		return s
	}
	return strings.TrimLeft(s[i+2:], " ")
}
