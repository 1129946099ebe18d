package imapwire

// Classes of characters (RFC 9051 §9).
const (
	isAtom     = 1 << iota // ATOM-CHAR
	isAstring              // ASTRING-CHAR: ATOM-CHAR and ]
	isListChar             // list-char: ATOM-CHAR, wildcards and ]
	isTag                  // ASTRING-CHAR without +
	isName                 // letters, digits, dot and dash: the names of FETCH and SEARCH
)

func charClass(c byte) uint8 {
	switch c {
	case '(', ')', '{', '"', '\\', ' ', 0x7f:
		return 0
	case '%', '*':
		return isListChar
	case ']':
		return isAstring | isListChar | isTag
	case '+':
		return isAtom | isAstring | isListChar
	}
	switch {
	case c < ' ':
		return 0
	case c >= 0x80:
		// Names in UTF-8: RFC 6855 clients quote them, others do not.
		return isAstring | isListChar
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-':
		return isAtom | isAstring | isListChar | isTag | isName
	}
	return isAtom | isAstring | isListChar | isTag
}
