package mailfile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// maxName is the longest file name written: with an ending it stays under the
// 255 bytes that file systems grant.
const maxName = 200

// encodeName makes a file name of any text: letters and digits of any script
// and a few signs stand for themselves, everything else is %XX, so no name is a
// path, hidden, or a device. What is too long is cut, with a hash for the rest.
func encodeName(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n <= 1, !plain(r), i == 0 && (r == '.' || r == '-'),
			i+n == len(s) && (r == '.' || r == ' '):
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	out := b.String()
	if len(out) > maxName {
		sum := sha256.Sum256([]byte(s))
		cut := maxName - 20
		for !utf8.RuneStart(out[cut]) {
			cut--
		}
		// Half an escape at the cut would be read as text.
		if i := strings.LastIndexByte(out[:cut], '%'); i > cut-3 {
			cut = i
		}
		out = out[:cut] + "~" + hex.EncodeToString(sum[:8])
	}
	if out == "" {
		return "%"
	}
	return out
}

func plain(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune(" .-_@+=", r)
}

// decodeName is the inverse of encodeName, for names that were not cut. A name
// of another program stands for itself.
func decodeName(s string) string {
	if i := strings.LastIndexByte(s, '~'); i > 0 && len(s)-i <= 3 {
		if _, err := strconv.Atoi(s[i+1:]); err == nil {
			s = s[:i]
		}
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(v))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// folderName is the mailbox of a folder below an account's.
func folderName(below string) string {
	if below == "" || below == "." {
		return "INBOX"
	}
	var parts []string
	for p := range strings.SplitSeq(below, "/") {
		parts = append(parts, decodeName(strings.TrimSuffix(p, ".sbd"))) // .sbd: Thunderbird's folders
	}
	return strings.Join(parts, "/")
}

// mboxName is the mailbox of an mbox file.
func mboxName(file string) string {
	name := strings.TrimSuffix(file, ".mbox")
	if base := path.Base(name); strings.EqualFold(base, "inbox") || strings.EqualFold(base, "mbox") {
		return folderName(path.Dir(name))
	}
	return folderName(name)
}

// maildirEscapes are what a level of a Maildir++ name cannot hold as it is.
const maildirEscapes = "./%~"

// encodeMaildir makes the folder of a mailbox in a maildir (Maildir++): a dot
// before each level, modified UTF-7 for what is not ASCII.
func encodeMaildir(name string) string {
	if name == "INBOX" {
		return "."
	}
	var b strings.Builder
	for level := range strings.SplitSeq(name, "/") {
		b.WriteByte('.')
		for _, r := range level {
			if strings.ContainsRune(maildirEscapes, r) || r < ' ' || r == 0x7f {
				fmt.Fprintf(&b, "%%%02X", r)
			} else {
				b.WriteRune(r)
			}
		}
	}
	out := imapwire.EncodeMailbox(b.String())
	if len(out) > maxName {
		sum := sha256.Sum256([]byte(name))
		out = out[:maxName-20] + "~" + hex.EncodeToString(sum[:8])
	}
	return out
}

// maildirName is the mailbox of a maildir below an account's.
func maildirName(below string) string {
	if below == "" || below == "." {
		return "INBOX"
	}
	var levels []string
	for p := range strings.SplitSeq(below, "/") {
		for level := range strings.SplitSeq(strings.TrimPrefix(p, "."), ".") {
			if s, err := imapwire.DecodeMailbox(level); err == nil {
				level = s
			}
			if level = decodeName(level); level != "" {
				levels = append(levels, level)
			}
		}
	}
	return strings.Join(levels, "/")
}

// maildirFlags reads the letters behind ":2," and Dovecot's keywords.
func maildirFlags(name string, keywords [26]string) (flags, words []string) {
	_, info, _ := strings.Cut(name, ":2,")
	for _, c := range []byte(info) {
		switch {
		case c == 'S':
			flags = append(flags, `\Seen`)
		case c == 'R':
			flags = append(flags, `\Answered`)
		case c == 'F':
			flags = append(flags, `\Flagged`)
		case c == 'T':
			flags = append(flags, `\Deleted`)
		case c == 'D':
			flags = append(flags, `\Draft`)
		case c >= 'a' && c <= 'z' && keywords[c-'a'] != "":
			words = append(words, keywords[c-'a'])
		}
	}
	return flags, words
}

// ownMaildir tells the UID in the name of a file that we wrote.
func ownMaildir(name string) (uid uint64, ok bool) {
	_, rest, _ := strings.Cut(name, ".U")
	num, rest, ok := strings.Cut(rest, "V")
	uid, err := strconv.ParseUint(num, 10, 32)
	return uid, ok && err == nil && strings.Contains(rest, ".eider,")
}

// compareMaildir orders files by the time in their names, then by the rest; our
// own as they stood in the mailbox.
func compareMaildir(a, b string) int {
	if ua, ok := ownMaildir(a); ok {
		if ub, ok := ownMaildir(b); ok {
			return int(int64(ua) - int64(ub))
		}
	}
	ta, ra := maildirTime(a)
	tb, rb := maildirTime(b)
	switch {
	case ta != tb:
		return int(min(max(ta-tb, -1), 1))
	case len(ra) != len(rb):
		return len(ra) - len(rb) // numbers without leading zeros
	}
	return strings.Compare(ra, rb)
}

func maildirTime(name string) (int64, string) {
	first, rest, _ := strings.Cut(name, ".")
	t, _ := strconv.ParseInt(first, 10, 64)
	rest, _, _ = strings.Cut(rest, ",")
	return t, rest
}
