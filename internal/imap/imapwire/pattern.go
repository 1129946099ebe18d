package imapwire

import "strings"

// MatchPattern matches a name with a pattern in which "*" is anything and "%"
// anything without a separator (RFC 9051 §6.3.9). INBOX matches in any case.
// It needs time proportional to the product of the lengths, whatever the pattern.
func MatchPattern(pattern, name string) bool {
	if len(pattern) >= 5 && strings.EqualFold(pattern[:5], "INBOX") &&
		(len(pattern) == 5 || strings.IndexByte("/*%", pattern[5]) >= 0) {
		pattern = "INBOX" + pattern[5:]
	}
	// reach[j]: the pattern so far matches name[:j].
	reach := make([]bool, len(name)+1)
	reach[0] = true
	for i := range len(pattern) {
		switch p := pattern[i]; p {
		case '*', '%':
			for j := 1; j <= len(name); j++ {
				reach[j] = reach[j] || reach[j-1] && (p == '*' || name[j-1] != '/')
			}
		default:
			for j := len(name); j > 0; j-- {
				reach[j] = reach[j-1] && name[j-1] == p
			}
			reach[0] = false
		}
	}
	return reach[len(name)]
}
