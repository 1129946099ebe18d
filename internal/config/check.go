package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Limit: smallest --message-limit, in bytes.
const MinMessage = 1 << 10

// MinPartGrace is the least that --part-grace can be: a third of it is the time
// in which a message must be committed once its parts are looked up.
const MinPartGrace = time.Minute

// Limit: largest --message-limit, in bytes.
const MaxMessage = 1 << 30

// Limit: longest --drain-delay.
const MaxDrainDelay = time.Minute

// proxyDrainDelay is the default of --drain-delay behind a proxy: with a check
// each second two of them see that the server is going.
const proxyDrainDelay = 3 * time.Second

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
	if d := c.PartGrace.Std(); d != 0 && d < MinPartGrace {
		bad("--part-grace %s is too short: at least %s, or 0 for the default", c.PartGrace, Duration(MinPartGrace))
	}
	if d := c.AccountIdle.Std(); d != 0 && d < time.Second {
		bad("--account-idle %s is too short: at least 1s, or 0 for never", c.AccountIdle)
	}
	if c.MaxAccounts < 0 || c.AddressConns < 0 {
		bad("--max-accounts and --address-conns cannot be negative: 0 is no limit")
	}
	if err := abuseContact(c.AbuseContact); err != nil {
		errs = append(errs, err)
	}
	if !hostName(c.Domain) {
		bad("--domain %q is not a domain name", c.Domain)
	}
	if c.Public() && !hostName(c.PublicHost) {
		bad("--public-host %q is not a host name (no scheme, port or path)", c.PublicHost)
	}
	if d := c.DrainDelay.Std(); d > MaxDrainDelay {
		bad("--drain-delay %s is too long: at most %s", c.DrainDelay, Duration(MaxDrainDelay))
	}
	if err := c.acme(); err != nil {
		errs = append(errs, err)
	}
	if err := c.proxies(); err != nil {
		errs = append(errs, err)
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

// acme checks that there is somebody to ask, and for what.
func (c *Config) acme() error {
	switch strings.ToLower(c.ACME) {
	case "", "off":
		c.ACME = ""
		return nil
	case "on":
		c.ACME = "on"
	default:
		if u, err := url.Parse(c.ACME); err != nil || u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("--acme %q: write on, off or https://HOST/DIRECTORY", c.ACME)
		}
	}
	switch {
	case !c.Public():
		return errors.New("--acme needs --public-host: the name that the certificate is for")
	case c.TLSCert != "":
		return errors.New("--acme and --tls-cert exclude each other: certificates come from files or from ACME")
	case !c.HTTP.On() && !c.HTTPS.On():
		return errors.New("--acme needs --http or --https to answer the challenge")
	}
	return nil
}

// proxies checks that what stands behind a proxy is open, and who the proxy is.
func (c *Config) proxies() error {
	on := map[string]bool{}
	for _, l := range c.Listeners() {
		on[l.Name] = l.Addr.On()
	}
	for _, name := range c.Proxy {
		if open, ok := on[name]; !ok {
			return fmt.Errorf("--proxy: there is no listener %q", name)
		} else if !open {
			return fmt.Errorf("--proxy %s: that listener is off", name)
		}
	}
	if (len(c.Proxy) == 0) != (len(c.ProxyFrom) == 0) {
		return errors.New("--proxy and --proxy-from go together: which listeners, and the addresses of the proxies")
	}
	return nil
}

// Proxied tells whether a listener stands behind a proxy.
func (c *Config) Proxied(listener string) bool { return slices.Contains(c.Proxy, listener) }

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

// abuseContact checks that a page can make a link of it.
func abuseContact(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" {
		return nil
	}
	local, domain, ok := strings.Cut(s, "@")
	if ok && local != "" && hostName(domain) && !strings.ContainsAny(local, " <>\"?&:/") {
		return nil
	}
	return fmt.Errorf("--abuse-contact %q is neither a mail address nor an https:// URL", s)
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
