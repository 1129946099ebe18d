package message

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// codeWord are words that stand near a one-time code, in many languages.
var codeWord = regexp.MustCompile(`(?i)(` + strings.Join([]string{
	`codes?`, `\w*code`, `otp`, `pin`, `passcode`, `one[- ]time (?:pass\w*|pin)`, `verification`, `verify`,
	`verifying`, `2fa`, `token`, `tan`, `einmal\w*`, `bestätigungs\w*`, `sicherheits\w*`, `prüf\w*`, `código`,
	`codigo`, `clave`, `codice`, `contraseña`, `vérification`, `kode`, `kod\w*`, `kód\w*`, `koodi\w*`, `şifre\w*`,
	`код\p{Cyrillic}*`, `пароль`, `κωδικ\p{Greek}*`,
	`رمز`, `كود`, `קוד`, `कोड`, `รหัส`, `mã`, `验证码`, `驗證碼`,
	`校验码`, `动态码`, `認証`, `コード`, `暗証`, `ワンタイム`, `인증`, `코드`,
}, `|`) + `)`)

// otherCode are words before "code" that make it no one-time code.
var otherCode = regexp.MustCompile(`(?i)(zip|post|postal|promo|promotion|promotional|discount|coupon|voucher|gift|` +
	`area|country|error|status|source|exit|tracking|referral|invite|order|product|item|bar|qr|dress|swift|sort|` +
	`tax|rabatt|gutschein|réduction)[- ]?$`)

// codeShape is what a code looks like: 4 to 8 digits, in one or in groups, or
// capital letters with digits.
var codeShape = regexp.MustCompile(`[A-Z]{1,3}-\d{4,8}|\d{3}[- ]\d{3}|\d{4}[- ]\d{4}|\d{2}[- ]\d{2}[- ]\d{2}|\d{4,8}|` +
	`[A-Z0-9]{3,6}(?:-[A-Z0-9]{3,6}){1,3}|[A-Z0-9]{4,10}`)

const (
	codeReachBefore = 80 // bytes between a word and the code after it
	codeReachAfter  = 50 // bytes between a code and the word after it
)

// Codes finds one-time codes in a subject and a plain text (HTMLText of a
// message that has only HTML): 4 to 8 digits or groups of capitals and digits,
// near a word like code, OTP, PIN or their translations. The likeliest comes
// first; digits in groups are joined. At most MaxCodes.
func Codes(subject, text string) []string {
	text = subject + "\n" + text[:min(len(text), MaxCodeText)]
	text = blankLinks(strings.ToValidUTF8(text, " "))
	words := codeWords(text)
	if len(words) == 0 {
		return nil
	}
	type found struct {
		code string
		far  int
	}
	var all []found
	w := 0
	for _, m := range codeShape.FindAllStringIndex(text, 1000) {
		for w < len(words) && words[w][1] <= m[0] {
			w++ // words[w-1] is the last one before the candidate
		}
		far := 1 << 30
		if w > 0 && m[0]-words[w-1][1] <= codeReachBefore {
			far = m[0] - words[w-1][1]
		}
		if w < len(words) && words[w][0]-m[1] >= 0 && words[w][0]-m[1] <= codeReachAfter {
			far = min(far, words[w][0]-m[1]+20)
		}
		if code := text[m[0]:m[1]]; far < 1<<30 && plausible(text, m[0], m[1], far) {
			all = append(all, found{normalCode(code), far})
		}
	}
	slices.SortStableFunc(all, func(a, b found) int { return a.far - b.far })
	var out []string
	for _, f := range all {
		if len(out) < MaxCodes && !slices.Contains(out, f.code) {
			out = append(out, f.code)
		}
	}
	return out
}

// blankLinks writes spaces over links, whose digits are no codes.
func blankLinks(text string) string {
	links := FindLinks(text)
	if len(links) == 0 {
		return text
	}
	b := []byte(text)
	for _, l := range links {
		for i := l.Start; i < l.End; i++ {
			b[i] = ' '
		}
	}
	return string(b)
}

// codeWords finds the words, without the codes that are for something else.
func codeWords(text string) [][]int {
	var out [][]int
	for _, m := range codeWord.FindAllStringIndex(text, 1000) {
		before := text[max(0, m[0]-16):m[0]]
		if otherCode.MatchString(before) || otherCode.MatchString(leftPart(text[m[0]:m[1]])) {
			continue
		}
		if r, _ := utf8.DecodeRuneInString(text[m[0]:]); r < 0x3000 { // scripts with spaces
			if p, _ := utf8.DecodeLastRuneInString(before); unicode.IsLetter(p) {
				continue
			}
		}
		out = append(out, m)
	}
	return out
}

// leftPart is what stands before "code" in one word: "promo" of "promocode".
func leftPart(word string) string {
	word = strings.ToLower(word)
	return strings.TrimSuffix(strings.TrimSuffix(word, "s"), "code")
}

// plausible refuses what only looks like a code: parts of longer words or
// numbers, amounts, dates, years, words in capitals.
func plausible(text string, start, end, far int) bool {
	code := text[start:end]
	before, _ := utf8.DecodeLastRuneInString(text[:start])
	after, _ := utf8.DecodeRuneInString(text[end:])
	if wordRune(before) || wordRune(after) ||
		start > 0 && strings.ContainsRune("$€£¥#@/.,:+%&=", before) && glued(text, start) {
		return false
	}
	if end < len(text) {
		next := ' '
		if end+1 < len(text) {
			next = rune(text[end+1])
		}
		if strings.ContainsRune("/%@€", after) || strings.ContainsRune(".,:-", after) && wordRune(next) {
			return false
		}
	}
	digits, letters := 0, 0
	for _, r := range code {
		if r >= '0' && r <= '9' {
			digits++
		} else if r >= 'A' && r <= 'Z' {
			letters++
		}
	}
	switch {
	case digits == 0: // a word in capitals: only right behind the colon
		return letters >= 5 && far <= 2 && !strings.Contains(code, "-") &&
			strings.HasSuffix(strings.TrimRight(text[max(0, start-10):start], " \n"), ":")
	case letters > 0:
		return digits+letters >= 4
	case len(code) == 4 && (strings.HasPrefix(code, "19") || strings.HasPrefix(code, "20")):
		return far <= 5 // more often a year
	}
	return digits >= 4
}

// glued: a sign right before a number makes it something else, but ":" and "#"
// also stand before codes.
func glued(text string, start int) bool {
	c := text[start-1]
	if c == ':' || c == '#' || c == '=' {
		return start > 1 && isDigit(text[start-2])
	}
	return true
}

func wordRune(r rune) bool {
	return r < 0x3000 && (unicode.IsLetter(r) || unicode.IsDigit(r)) || r == '_'
}

// normalCode is the code as it is typed.
func normalCode(code string) string {
	joined := strings.NewReplacer("-", "", " ", "").Replace(code)
	for i := range len(joined) {
		if !isDigit(joined[i]) {
			if head, tail, ok := strings.Cut(code, "-"); ok && len(head) <= 3 && allDigits(tail) && !hasDigit(head) {
				return tail // "G-123456"
			}
			return code
		}
	}
	return joined
}

func allDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

func hasDigit(s string) bool { return strings.ContainsAny(s, "0123456789") }
