package imapwire

import "time"

// The forms of RFC 9051 §9: date and date-time.
const (
	dateForm     = "2-Jan-2006"
	dateTimeForm = "_2-Jan-2006 15:04:05 -0700"
)

// ExpectDate reads a date, quoted or not: "1-Feb-1994", as the start of that day in UTC.
func (d *Decoder) ExpectDate(t *time.Time) bool {
	var s string
	if !d.ExpectAstring(&s) {
		return false
	}
	v, err := time.ParseInLocation(dateForm, s, time.UTC)
	if err != nil {
		return d.Fail("bad date")
	}
	*t = v
	return true
}

// DateTime reads a date-time in quotes: "17-Jul-1996 02:44:25 -0700".
func (d *Decoder) DateTime(t *time.Time) bool {
	var s string
	if !d.Quoted(&s) {
		return false
	}
	v, err := time.Parse(dateTimeForm, s)
	if err != nil || v.Year() < 1 || v.Year() > 9999 {
		return d.Fail("bad date-time")
	}
	*t = v
	return true
}

// AppendDateTime writes a date-time with its quotes.
func AppendDateTime(b []byte, t time.Time) []byte {
	return t.AppendFormat(b, `"02-Jan-2006 15:04:05 -0700"`)
}
