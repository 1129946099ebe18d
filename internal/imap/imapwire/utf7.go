package imapwire

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// modified base64 of RFC 3501 §5.1.3: "," for "/", no padding.
var utf7Encoding = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
	WithPadding(base64.NoPadding).Strict()

var errUTF7 = errors.New("imapwire: bad modified UTF-7")

// EncodeMailbox writes a mailbox name in modified UTF-7 (RFC 3501 §5.1.3).
func EncodeMailbox(s string) string {
	if plainMailbox(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 8)
	var run []uint16
	flush := func() {
		if len(run) == 0 {
			return
		}
		raw := make([]byte, 0, 2*len(run))
		for _, u := range run {
			raw = append(raw, byte(u>>8), byte(u))
		}
		b.WriteByte('&')
		b.WriteString(utf7Encoding.EncodeToString(raw))
		b.WriteByte('-')
		run = run[:0]
	}
	for _, r := range s {
		if r < 0x20 || r > 0x7e {
			run = utf16.AppendRune(run, r)
			continue
		}
		flush()
		b.WriteByte(byte(r))
		if r == '&' {
			b.WriteByte('-')
		}
	}
	flush()
	return b.String()
}

func plainMailbox(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '&' {
			return false
		}
	}
	return true
}

// DecodeMailbox reads a mailbox name in modified UTF-7. Only the one encoding
// of a name that EncodeMailbox writes is read, so that no two names on the
// wire mean the same mailbox; but characters in plain UTF-8 stand for themselves.
func DecodeMailbox(s string) (string, error) {
	if plainMailbox(s) {
		return s, nil
	}
	if !utf8.ValidString(s) {
		return "", errUTF7
	}
	var b strings.Builder
	b.Grow(len(s))
	shifted := false // a base64 run ended just here
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < 0x20 || c == 0x7f {
			return "", errUTF7
		}
		if c != '&' {
			b.WriteByte(c)
			shifted = false
			continue
		}
		end := strings.IndexByte(s[i:], '-')
		if end < 0 {
			return "", errUTF7
		}
		if end == 1 {
			b.WriteByte('&')
			shifted = false
		} else if shifted || !decodeRun(&b, s[i+1:i+end]) {
			return "", errUTF7
		} else {
			shifted = true
		}
		i += end
	}
	return b.String(), nil
}

func decodeRun(b *strings.Builder, enc string) bool {
	raw, err := utf7Encoding.DecodeString(enc)
	if err != nil || len(raw)%2 != 0 || len(raw) == 0 {
		return false
	}
	for i := 0; i < len(raw); i += 2 {
		r := rune(raw[i])<<8 | rune(raw[i+1])
		if utf16.IsSurrogate(r) {
			if i+3 >= len(raw) {
				return false
			}
			r = utf16.DecodeRune(r, rune(raw[i+2])<<8|rune(raw[i+3]))
			if r == utf8.RuneError {
				return false
			}
			i += 2
		}
		if 0x20 <= r && r <= 0x7e || r < 0x20 || r == 0x7f {
			return false // printable ASCII stands for itself; controls are in no name
		}
		b.WriteRune(r)
	}
	return true
}
