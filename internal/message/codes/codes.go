// Package codes finds the one-time codes of sign-up and login mail, in many
// languages, so that a test or a reader need not search for them.
package codes

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/eidermail/eider/internal/message"
)

// stem is a word that stands near a one-time code.
type stem struct {
	text    string // in lower case
	inside  bool   // also at the end of a longer word: "Sicherheitscode"
	endings bool   // takes the letters that follow: "kodunuz"
}

// stems are such words in many languages; longer ones before their beginnings.
var stems = []stem{
	{"code", true, false}, {"otp", false, false}, {"pin", false, false},
	{"one-time pass", false, true}, {"one time pass", false, true},
	{"one-time pin", false, false}, {"one time pin", false, false},
	{"verification", false, false}, {"verify", false, true},
	{"2fa", false, false}, {"token", false, false}, {"tan", false, false},
	{"einmal", false, true}, {"bestätigungs", false, true}, {"sicherheits", false, true}, {"prüf", false, true},
	{"código", false, false}, {"codigo", false, false}, {"clave", false, false}, {"codice", false, false},
	{"contraseña", false, false}, {"vérification", false, false}, {"kod", false, true}, {"kód", false, true},
	{"koodi", false, true}, {"şifre", false, true}, {"код", false, true}, {"пароль", false, false}, {"κωδικ", false, true},
	{"رمز", false, false}, {"كود", false, false}, {"קוד", false, false}, {"कोड", false, false}, {"รหัส", false, false},
	{"mã", false, false}, {"验证码", false, false}, {"驗證碼", false, false}, {"校验码", false, false}, {"动态码", false, false},
	{"認証", false, false}, {"コード", false, false}, {"暗証", false, false}, {"ワンタイム", false, false},
	{"인증", false, false}, {"코드", false, false},
}

// otherUse are words before "code" that make it no one-time code.
var otherUse = regexp.MustCompile(`(?i)(zip|post|postal|promo|promotion|promotional|discount|coupon|voucher|gift|` +
	`area|country|error|status|source|exit|tracking|referral|invite|order|product|item|bar|qr|dress|swift|sort|` +
	`tax|rabatt|gutschein|réduction)[- ]?$`)

// shape is what a code looks like: 4 to 8 digits, in one or in groups, or
// capital letters with digits.
var shape = regexp.MustCompile(`[A-Z]{1,3}-\d{4,8}|\d{3}[- ]\d{3}|\d{4}[- ]\d{4}|\d{2}[- ]\d{2}[- ]\d{2}|\d{4,8}|` +
	`[A-Z0-9]{3,6}(?:-[A-Z0-9]{3,6}){1,3}|[A-Z0-9]{4,10}`)

// Limit: bytes of one text that are searched for one-time codes.
const MaxText = 64 << 10

// Limit: one-time codes taken out of one message.
const MaxFound = 10

const (
	reachBefore = 80 // bytes between a word and the code after it
	reachAfter  = 50 // bytes between a code and the word after it
	maxWords    = 1000
	maxShapes   = 1000
)

// Find finds one-time codes in a subject and a plain text (HTMLText of a
// message that has only HTML): 4 to 8 digits or groups of capitals and digits,
// near a word like code, OTP, PIN or their translations. The likeliest comes
// first; digits in groups are joined. At most MaxFound.
func Find(subject, text string) []string {
	text = subject + "\n" + text[:min(len(text), MaxText)]
	if !mayHaveCode(text) {
		return nil
	}
	text = blankLinks(strings.ToValidUTF8(text, " "))
	shapes := shape.FindAllStringIndex(text, maxShapes)
	shapes = slices.DeleteFunc(shapes, func(m []int) bool { return !plausible(text, m[0], m[1], 0) })
	if len(shapes) == 0 { // looking for words is the dear part
		return nil
	}
	words := findWords(text)
	type found struct {
		code string
		far  int
	}
	var all []found
	w := 0
	for _, m := range shapes {
		for w < len(words) && words[w][1] <= m[0] {
			w++ // words[w-1] is the last one before the candidate
		}
		far := 1 << 30
		if w > 0 && m[0]-words[w-1][1] <= reachBefore {
			far = m[0] - words[w-1][1]
		}
		if w < len(words) && words[w][0]-m[1] >= 0 && words[w][0]-m[1] <= reachAfter {
			far = min(far, words[w][0]-m[1]+20)
		}
		if code := text[m[0]:m[1]]; far < 1<<30 && plausible(text, m[0], m[1], far) {
			all = append(all, found{normalCode(code), far})
		}
	}
	slices.SortStableFunc(all, func(a, b found) int { return a.far - b.far })
	var out []string
	for _, f := range all {
		if len(out) < MaxFound && !slices.Contains(out, f.code) {
			out = append(out, f.code)
		}
	}
	return out
}

// mayHaveCode is a cheap look that most lists' lines do not pass: a code has four
// digits or capitals with a digit among them, or is a word of five capitals.
func mayHaveCode(text string) bool {
	signs, digits, capitals := 0, 0, 0
	for i := range len(text) {
		switch c := text[i]; {
		case isDigit(c):
			signs, digits, capitals = signs+1, digits+1, 0
		case c >= 'A' && c <= 'Z':
			signs, capitals = signs+1, capitals+1
		case c == ' ' || c == '-':
			capitals = 0
		default:
			signs, digits, capitals = 0, 0, 0
		}
		if signs >= 4 && digits > 0 || capitals >= 5 {
			return true
		}
	}
	return false
}

// blankLinks writes spaces over links, whose digits are no codes.
func blankLinks(text string) string {
	links := message.FindLinks(text)
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

// findWords finds the words in order, as places in text, without the codes that
// are for something else. Words do not overlap.
func findWords(text string) [][]int {
	var all [][]int
	low := lowered(text)
	for _, t := range stems {
		for at := 0; len(all) < maxWords; {
			i := strings.Index(low[at:], t.text)
			if i < 0 {
				break
			}
			m := t.grow(low, at+i)
			at = m[1]
			all = append(all, m)
		}
	}
	slices.SortStableFunc(all, func(a, b []int) int { return a[0] - b[0] })
	out, end := all[:0], 0
	for _, m := range all {
		if m[0] >= end && !forOther(text, m) {
			out, end = append(out, m), m[1]
		}
	}
	return out
}

// grow takes in what belongs to the word whose stem stands at i.
func (c stem) grow(low string, i int) []int {
	start, end := i, i+len(c.text)
	for c.inside && start > 0 && low[start-1] < utf8.RuneSelf && wordRune(rune(low[start-1])) {
		start--
	}
	if c.inside && strings.HasPrefix(low[end:], "s") {
		end++
	}
	for c.endings && end < len(low) {
		r, n := utf8.DecodeRuneInString(low[end:])
		if !wordRune(r) {
			break
		}
		end += n
	}
	return []int{start, end}
}

// forOther: the word is a part of another one, or names a code for something else.
func forOther(text string, m []int) bool {
	before := text[max(0, m[0]-16):m[0]]
	if otherUse.MatchString(before) || otherUse.MatchString(leftPart(text[m[0]:m[1]])) {
		return true
	}
	if r, _ := utf8.DecodeRuneInString(text[m[0]:]); r >= 0x3000 {
		return false // a script without spaces
	}
	p, _ := utf8.DecodeLastRuneInString(before)
	return unicode.IsLetter(p)
}

// lowered is text in lower case with every byte in its place: a letter whose
// small form has another length stays as it is.
func lowered(text string) string {
	return strings.Map(func(r rune) rune {
		if l := unicode.ToLower(r); utf8.RuneLen(l) == utf8.RuneLen(r) {
			return l
		}
		return r
	}, text)
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

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
