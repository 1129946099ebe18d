package message

import (
	"strings"
	"time"
)

// ParseDate reads a Date as senders write it: RFC 5322 §3.3 with the obsolete
// forms of §4.3, without weekday, comma, seconds or zone, with a numeric or
// ISO 8601 date, or as ctime writes it. ok is false where no day can be told.
func ParseDate(s string) (t time.Time, ok bool) {
	if len(s) > 256 {
		s = s[:256]
	}
	d := dateParser{year: -1, hour: -1}
	sc := scanner{b: joinClock(s)}
	for {
		sc.space()
		if sc.done() {
			break
		}
		if c := sc.b[sc.i]; c == ',' || c == '(' || c == '"' || c == '\'' {
			sc.i++
			continue
		}
		d.token(string(sc.until(`,("'`)))
	}
	return d.time()
}

// joinClock drops comments, and the space that RFC 5322 §4.3 allows around the
// colons of a time.
func joinClock(s string) []byte {
	out := make([]byte, 0, len(s))
	sc := scanner{b: []byte(s)}
	for !sc.done() {
		at := sc.i
		sc.space()
		if sc.i > at && !sc.done() && sc.b[sc.i] != ':' && len(out) > 0 && out[len(out)-1] != ':' {
			out = append(out, ' ')
		}
		if !sc.done() {
			out = append(out, sc.b[sc.i])
			sc.i++
		}
	}
	return out
}

type dateParser struct {
	year, month, day int
	hour, min, sec   int
	nano             int
	pm, am           bool
	zone             int // seconds east
	hasZone          bool
}

func (d *dateParser) token(tok string) {
	switch c := tok[0]; {
	case strings.IndexByte(tok, ':') > 0 && isDigit(c):
		d.mixed(tok)
	case (c == '+' || c == '-') && len(tok) > 1 && isDigit(tok[1]) && d.hour >= 0:
		d.offset(tok)
	case isDigit(c) && strings.ContainsAny(tok, "-/."):
		d.composite(tok)
	case isDigit(c):
		d.number(tok)
	default:
		d.name(tok)
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// mixed is a time, perhaps with a date before and a zone behind it.
func (d *dateParser) mixed(tok string) {
	if i := strings.IndexAny(tok, "Tt"); i > 0 && strings.Count(tok[:i], "-") == 2 {
		d.composite(tok[:i])
		tok = tok[i+1:]
	}
	end := 0
	for end < len(tok) && (isDigit(tok[end]) || tok[end] == ':' || tok[end] == '.') {
		end++
	}
	zone := tok[end:]
	clock, frac, _ := strings.Cut(tok[:end], ".")
	part := strings.Split(clock, ":")
	if len(part) > 3 || d.hour >= 0 {
		return
	}
	var v [3]int
	for i, p := range part {
		n, ok := atoi(p)
		if !ok {
			return
		}
		v[i] = n
	}
	d.hour, d.min, d.sec = v[0], v[1], v[2]
	if n, ok := atoi((frac + "000000000")[:9]); ok && len(frac) <= 9 {
		d.nano = n
	}
	if zone != "" {
		d.token(zone)
	}
}

// composite is 2006-01-02, 02-Jan-2006, 01/02/2006 or 02.01.2006.
func (d *dateParser) composite(tok string) {
	f := strings.FieldsFunc(tok, func(r rune) bool { return r == '-' || r == '/' || r == '.' })
	if len(f) != 3 || d.day != 0 {
		return
	}
	a, okA := atoi(f[0])
	b, okB := atoi(f[1])
	c, okC := atoi(f[2])
	switch m := monthOf(f[1]); {
	case m > 0 && okA && okC:
		d.day, d.month = a, m
		d.setYear(c, len(f[2]))
	case !okA || !okB || !okC:
	case len(f[0]) == 4:
		d.year, d.month, d.day = a, b, c
	case strings.Contains(tok, "/"): // month first, as only Americans write slashes
		if a > 12 {
			a, b = b, a
		}
		d.month, d.day = a, b
		d.setYear(c, len(f[2]))
	default:
		d.day, d.month = a, b
		d.setYear(c, len(f[2]))
	}
}

func (d *dateParser) number(tok string) {
	digits := 0
	for digits < len(tok) && isDigit(tok[digits]) {
		digits++
	}
	n, ok := atoi(tok[:digits])
	switch {
	case !ok:
	case digits <= 2 && d.day == 0:
		d.day = n
	case digits >= 2 && digits <= 4 && d.year < 0 && (d.month > 0 || digits == 4):
		d.setYear(n, digits)
	}
}

// setYear adds the century to short years (RFC 5322 §4.3).
func (d *dateParser) setYear(n, digits int) {
	switch {
	case digits == 2 && n < 50:
		n += 2000
	case digits <= 3:
		n += 1900
	}
	d.year = n
}

func (d *dateParser) name(tok string) {
	up := strings.ToUpper(strings.Trim(tok, "."))
	if m := monthOf(up); m > 0 && d.month == 0 {
		d.month = m
		return
	}
	switch {
	case up == "PM":
		d.pm = true
	case up == "AM":
		d.am = true
	case d.hour < 0 || d.hasZone:
	default:
		if h, ok := zoneHours[up]; ok {
			d.zone, d.hasZone = h*3600, true
		} else if base, rest, ok := cutAny(up, "+-"); ok && (base == "GMT" || base == "UTC") {
			d.offset(rest)
		}
	}
}

func cutAny(s, chars string) (before, from string, ok bool) {
	i := strings.IndexAny(s, chars)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i:], true
}

// zoneHours are the named zones of RFC 5322 §4.3 and frequent others. The
// single letters mean nothing reliable (§4.3), so they are UTC.
var zoneHours = map[string]int{
	"UT": 0, "UTC": 0, "GMT": 0, "Z": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6,
	"PST": -8, "PDT": -7, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "MET": 1, "CEST": 2, "MEST": 2, "EET": 2,
	"EEST": 3, "MSK": 3, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13, "HST": -10,
	"AKST": -9, "AKDT": -8,
}

func (d *dateParser) offset(tok string) {
	if d.hasZone {
		return
	}
	digits := strings.ReplaceAll(tok[1:], ":", "")
	if len(digits) > 4 {
		digits = digits[:4]
	}
	n, ok := atoi(digits)
	if !ok {
		return
	}
	if len(digits) <= 2 {
		n *= 100
	}
	sec := (n/100)*3600 + (n%100)*60
	if sec > 24*3600 {
		return
	}
	if tok[0] == '-' {
		sec = -sec
	}
	d.zone, d.hasZone = sec, true
}

func (d *dateParser) time() (time.Time, bool) {
	if d.day < 1 || d.day > 31 || d.month < 1 || d.month > 12 || d.year < 1 || d.year > 9999 {
		return time.Time{}, false
	}
	if d.hour < 0 {
		d.hour = 0
	}
	if d.pm && d.hour < 12 {
		d.hour += 12
	} else if d.am && d.hour == 12 {
		d.hour = 0
	}
	if d.hour > 24 || d.min > 59 || d.sec > 60 {
		return time.Time{}, false
	}
	loc := time.UTC
	if d.zone != 0 {
		loc = time.FixedZone("", d.zone)
	}
	t := time.Date(d.year, time.Month(d.month), d.day, d.hour, d.min, d.sec, d.nano, loc)
	return t, t.Day() == d.day || d.hour == 24 || d.sec == 60
}

// monthOf knows months by their first three letters.
func monthOf(s string) int {
	if len(s) < 3 || len(s) > 10 {
		return 0
	}
	const names = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"
	if i := strings.Index(names, strings.ToUpper(s[:3])); i >= 0 && i%3 == 0 {
		return i/3 + 1
	}
	return 0
}

func atoi(s string) (int, bool) {
	if s == "" || len(s) > 9 {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}
