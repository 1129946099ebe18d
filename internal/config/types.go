package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes: "100MB", "64MiB", "4096".
type Size int64

var units = [...]struct {
	name string
	n    int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"K", 1e3}, {"B", 1},
}

// UnmarshalText reads a size; units are in any case.
func (s *Size) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	num, mul := text, int64(1)
	for _, u := range units {
		if n := len(text) - len(u.name); n > 0 && strings.EqualFold(text[n:], u.name) {
			num, mul = strings.TrimSpace(text[:n]), u.n
			break
		}
	}
	f, err := strconv.ParseFloat(num, 64)
	if err != nil || f < 0 || math.IsNaN(f) || f*float64(mul) >= math.MaxInt64 {
		return fmt.Errorf("%q is not a size: write 100MB, 64MiB or a number of bytes", text)
	}
	*s = Size(f * float64(mul))
	return nil
}

// MarshalText writes the shortest form that reads back the same.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String writes a size as the user would.
func (s Size) String() string {
	best := strconv.FormatInt(int64(s), 10)
	for _, u := range units {
		if u.n > 1 && len(u.name) > 1 && s > 0 && int64(s)%u.n == 0 {
			if t := strconv.FormatInt(int64(s)/u.n, 10) + u.name; len(t) <= len(best) {
				best = t
			}
		}
	}
	return best
}

// Duration is a time span with days: "7d", "1d12h", "30s", "0".
type Duration time.Duration

const maxDays = 100 * 365

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	bad := fmt.Errorf("%q is not a time span: write 7d, 12h, 30m or 45s", text)
	if strings.EqualFold(text, "never") {
		*d = 0
		return nil
	}
	var total time.Duration
	rest := text
	if i := strings.IndexByte(rest, 'd'); i >= 0 {
		days, err := strconv.ParseFloat(rest[:i], 64)
		if err != nil || days < 0 || days > maxDays || math.IsNaN(days) {
			return bad
		}
		total, rest = time.Duration(days*24*float64(time.Hour)), rest[i+1:]
	}
	if rest != "" {
		v, err := time.ParseDuration(rest)
		if n, e := strconv.ParseFloat(text, 64); e == nil && n > 0 && n <= maxDays {
			return fmt.Errorf("%q has no unit: write %ss, %sm, %sh or %sd", text, text, text, text, text)
		}
		if err != nil || v < 0 || v > maxDays*24*time.Hour {
			return bad
		}
		total += v
	} else if text == "" {
		return bad
	}
	*d = Duration(total)
	return nil
}

// MarshalText writes the form that people use.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String writes whole days as days.
func (d Duration) String() string {
	const day = 24 * time.Hour
	v := time.Duration(d)
	switch {
	case v == 0:
		return "0"
	case v >= day && v%day == 0:
		return strconv.FormatInt(int64(v/day), 10) + "d"
	}
	s := v.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Std is d for the standard library.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Listen is an address to listen on: host:port, :port, a port alone, or off.
type Listen string

// Off is a listener that is not opened.
const Off Listen = "off"

// UnmarshalText reads an address.
func (l *Listen) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	switch strings.ToLower(text) {
	case "", "off", "none", "false":
		*l = Off
		return nil
	}
	if _, err := strconv.ParseUint(text, 10, 16); err == nil {
		text = "localhost:" + text
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%q is not an address: write localhost:1025, :1025, [::1]:1025 or off", text)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no usable port: 0 to 65535", text)
	}
	if strings.ContainsAny(host, " /\t") {
		return fmt.Errorf("%q has no usable host", text)
	}
	*l = Listen(net.JoinHostPort(host, port))
	return nil
}

// MarshalText writes the address.
func (l Listen) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// String writes the address.
func (l Listen) String() string {
	if l == "" {
		return string(Off)
	}
	return string(l)
}

// On tells whether the listener is wanted.
func (l Listen) On() bool { return l != "" && l != Off }

// Prefixes are networks, in a flag separated by commas. A bare address is a
// network of one.
type Prefixes []netip.Prefix

// UnmarshalText reads a list.
func (p *Prefixes) UnmarshalText(b []byte) error {
	*p = Prefixes{}
	for _, t := range fields(string(b)) {
		if a, err := netip.ParseAddr(t); err == nil && a.Zone() == "" {
			*p = append(*p, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		n, err := netip.ParsePrefix(t)
		if err != nil {
			return fmt.Errorf("%q is not a network: write 192.168.0.0/16 or fd00::/8", t)
		}
		*p = append(*p, n.Masked())
	}
	return nil
}

// MarshalText writes the list.
func (p Prefixes) MarshalText() ([]byte, error) {
	var out []string
	for _, n := range p {
		out = append(out, n.String())
	}
	return []byte(strings.Join(out, ",")), nil
}

// Names are host names, in a flag separated by commas.
type Names []string

// UnmarshalText adds to the list, so that the flag may be repeated.
func (n *Names) UnmarshalText(b []byte) error {
	for _, t := range fields(string(b)) {
		t = strings.ToLower(strings.TrimSuffix(t, "."))
		if strings.ContainsAny(t, "/: \t") || len(t) > 253 {
			return fmt.Errorf("%q is not a host name (without port or path)", t)
		}
		*n = append(*n, t)
	}
	return nil
}

// MarshalText writes the list.
func (n Names) MarshalText() ([]byte, error) { return []byte(strings.Join(n, ",")), nil }

// Pairs are key=value settings, in a flag separated by commas.
type Pairs map[string]string

// UnmarshalText adds pairs.
func (p *Pairs) UnmarshalText(b []byte) error {
	if *p == nil {
		*p = Pairs{}
	}
	for _, t := range fields(string(b)) {
		k, v, ok := strings.Cut(t, "=")
		k, v = strings.ToLower(strings.TrimSpace(k)), strings.TrimSpace(v)
		if !ok || v == "" {
			return fmt.Errorf("%q is not KEY=ADDR", t)
		}
		switch k {
		case "http", "smtp", "imap", "pop3", "mx":
			(*p)[k] = v
		default:
			return fmt.Errorf("%q cannot be advertised: use http, smtp, imap, pop3 or mx", k)
		}
	}
	return nil
}

// MarshalText writes the pairs, sorted.
func (p Pairs) MarshalText() ([]byte, error) {
	var out []string
	for k, v := range p {
		out = append(out, k+"="+v)
	}
	sort.Strings(out)
	return []byte(strings.Join(out, ",")), nil
}

func fields(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
}

// Rate is how much may happen: N at once, refilled evenly over Per.
type Rate struct {
	N   int64
	Per time.Duration
}

// UnmarshalText reads "60/1h", or 0 for no limit.
func (r *Rate) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	*r = Rate{}
	if text == "0" || text == "" || strings.EqualFold(text, "off") {
		return nil
	}
	n, per, ok := strings.Cut(text, "/")
	v, err := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
	if per = strings.TrimSpace(per); per != "" && strings.IndexByte("dhms", per[0]) >= 0 {
		per = "1" + per
	}
	var d Duration
	if !ok || err != nil || v < 1 || d.UnmarshalText([]byte(per)) != nil || d.Std() < time.Second {
		return fmt.Errorf("%q is not a rate: write 60/1h, 5/m, or 0 for no limit", text)
	}
	*r = Rate{N: v, Per: d.Std()}
	return nil
}

// MarshalText writes the rate.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String writes the rate as it is read.
func (r Rate) String() string {
	if r.N == 0 {
		return "0"
	}
	return strconv.FormatInt(r.N, 10) + "/" + Duration(r.Per).String()
}

// Create is open, token or off.
type Create string

// UnmarshalText reads it.
func (c *Create) UnmarshalText(b []byte) error { return oneOf((*string)(c), b, "open", "token", "off") }

// Dedup says which accounts share equal parts of mail.
type Dedup string

// UnmarshalText reads it.
func (d *Dedup) UnmarshalText(b []byte) error { return oneOf((*string)(d), b, "all", "account") }

// StartTLS is auto, on or off.
type StartTLS string

// UnmarshalText reads it.
func (s *StartTLS) UnmarshalText(b []byte) error {
	return oneOf((*string)(s), b, "auto", "on", "off")
}

// LogFormat is auto, json or text.
type LogFormat string

// UnmarshalText reads it.
func (f *LogFormat) UnmarshalText(b []byte) error {
	return oneOf((*string)(f), b, "auto", "json", "text")
}

// LogLevel is debug, info, warn or error.
type LogLevel string

// UnmarshalText reads it.
func (l *LogLevel) UnmarshalText(b []byte) error {
	return oneOf((*string)(l), b, "debug", "info", "warn", "error")
}

// Level is l for slog.
func (l LogLevel) Level() slog.Level {
	var v slog.Level
	if err := v.UnmarshalText([]byte(l)); err != nil {
		return slog.LevelInfo
	}
	return v
}

func oneOf(to *string, b []byte, allowed ...string) error {
	v := strings.ToLower(strings.TrimSpace(string(b)))
	for _, a := range allowed {
		if v == a {
			*to = v
			return nil
		}
	}
	return errors.New("must be one of " + strings.Join(allowed, ", "))
}
