package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Limit: smallest --message-limit, in bytes.
const MinMessage = 1 << 10

// Limit: largest --message-limit, in bytes.
const MaxMessage = 1 << 30

// check finds what each setting alone cannot see.
func (c *Config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if (c.TLSCert == "") != (c.TLSKey == "") {
		bad("--tls-cert and --tls-key go together: set both or none")
	}
	if c.MessageLimit < MinMessage || c.MessageLimit > MaxMessage {
		bad("--message-limit %s is out of bounds: %s to %s", c.MessageLimit, Size(MinMessage), Size(MaxMessage))
	}
	if c.AccountQuota < 1 {
		bad("--account-quota must be at least one byte")
	}
	if c.AccountMessages < 1 {
		bad("--account-messages must be at least 1")
	}
	if d := c.Retention.Std(); d != 0 && d < time.Second {
		bad("--retention %s is too short: at least 1s, or 0 for ever", c.Retention)
	}
	if d := c.AccountIdle.Std(); d != 0 && d < time.Second {
		bad("--account-idle %s is too short: at least 1s, or 0 for never", c.AccountIdle)
	}
	if !hostName(c.Domain) {
		bad("--domain %q is not a domain name", c.Domain)
	}
	if c.Public() && !hostName(c.PublicHost) {
		bad("--public-host %q is not a host name (no scheme, port or path)", c.PublicHost)
	}
	for k, v := range c.Advertise {
		if err := advertised(k, v); err != nil {
			bad("--advertise: %w", err)
		}
	}
	if err := c.ports(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// ports finds two listeners with the same fixed address.
func (c *Config) ports() error {
	seen := map[Listen]string{}
	for _, l := range c.Listeners() {
		if !l.Addr.On() || strings.HasSuffix(string(l.Addr), ":0") {
			continue
		}
		if other, ok := seen[l.Addr]; ok {
			return fmt.Errorf("--%s and --%s have the same address %s", other, l.Name, l.Addr)
		}
		seen[l.Addr] = l.Name
	}
	return nil
}

// advertised checks what a table of the file brings past Pairs' own check; the
// forms of the addresses are known to who advertises them.
func advertised(k, v string) error {
	switch k {
	case "smtp", "imap", "pop3", "mx":
		if v == "" || strings.HasPrefix(v, ":") || strings.ContainsAny(v, " \t") {
			return fmt.Errorf("%s=%s is not host:port", k, v)
		}
	case "http":
		u, err := url.Parse(v)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery+u.Fragment != "" {
			return fmt.Errorf("http=%s is not a URL: write http=https://mail.example.com", v)
		}
	default:
		return fmt.Errorf("%q cannot be advertised: use http, smtp, imap, pop3 or mx", k)
	}
	return nil
}

// hostName tells whether s can stand right of an @ or in a URL.
func hostName(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	if s == "" || len(s) > 253 || strings.HasPrefix(s, ".") || strings.Contains(s, "..") {
		return false
	}
	for _, r := range s {
		if r < 0x80 && !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", r) {
			return false
		}
	}
	return true
}
