// Package config is what a user may set: one struct whose tags are the flags,
// the EIDER_ variables, the keys of the TOML file and the documentation.
//
// Defaults give way to the file, the file to the environment, the environment
// to flags. It promises that a mistake is named with its place (flag, variable,
// or file and line), that unknown keys of the file are mistakes, and that the
// two modes are told apart by --public-host alone. It opens nothing but the file.
package config

import (
	"net/netip"
	"strings"
)

// Config is the effective configuration. The tag "toml" names a setting
// everywhere; "public" is its default in public mode where that differs. What
// each is for stands in the table help.
type Config struct {
	Config    string    `toml:"-" placeholder:"FILE" group:"general"`
	Data      string    `toml:"data" placeholder:"DIR" group:"general"`
	Store     string    `toml:"store" placeholder:"SPEC" group:"general"`
	Bus       string    `toml:"bus" placeholder:"SPEC" group:"general"`
	Node      string    `toml:"node" placeholder:"NAME" group:"general"`
	ReadyFile string    `toml:"ready-file" placeholder:"PATH" group:"general"`
	LogLevel  LogLevel  `toml:"log-level" default:"info" placeholder:"LEVEL" group:"general"`
	LogFormat LogFormat `toml:"log-format" default:"auto" placeholder:"FORMAT" group:"general"`

	HTTP  Listen `toml:"http" default:"localhost:8025" public:"off" placeholder:"ADDR" group:"listeners"`
	HTTPS Listen `toml:"https" default:"off" public:":443" placeholder:"ADDR" group:"listeners"`
	SMTP  Listen `toml:"smtp" default:"localhost:1025" public:":587" placeholder:"ADDR" group:"listeners"`
	SMTPS Listen `toml:"smtps" default:"localhost:1465" public:":465" placeholder:"ADDR" group:"listeners"`
	MX    Listen `toml:"mx" default:"localhost:1026" public:"off" placeholder:"ADDR" group:"listeners"`
	LMTP  Listen `toml:"lmtp" default:"off" placeholder:"ADDR" group:"listeners"`
	IMAP  Listen `toml:"imap" default:"localhost:1143" public:"off" placeholder:"ADDR" group:"listeners"`
	IMAPS Listen `toml:"imaps" default:"localhost:1993" public:":993" placeholder:"ADDR" group:"listeners"`
	POP3  Listen `toml:"pop3" default:"localhost:1110" public:"off" placeholder:"ADDR" group:"listeners"`
	POP3S Listen `toml:"pop3s" default:"localhost:1995" public:":995" placeholder:"ADDR" group:"listeners"`
	Admin Listen `toml:"admin" default:"localhost:8026" placeholder:"ADDR" group:"listeners"`

	Proxy     Names    `toml:"proxy" placeholder:"NAME,…" group:"listeners"`
	ProxyFrom Prefixes `toml:"proxy-from" placeholder:"CIDRS" group:"listeners"`

	DrainDelay Duration `toml:"drain-delay" default:"0" placeholder:"TIME" group:"listeners"`

	Retention       Duration `toml:"retention" default:"7d" placeholder:"TIME" group:"limits"`
	AccountQuota    Size     `toml:"account-quota" default:"100MB" placeholder:"SIZE" group:"limits"`
	AccountMessages int64    `toml:"account-messages" default:"50000" placeholder:"N" group:"limits"`
	MessageLimit    Size     `toml:"message-limit" default:"64MB" placeholder:"SIZE" group:"limits"`
	AccountIdle     Duration `toml:"account-idle" default:"0" public:"30d" placeholder:"TIME" group:"limits"`

	Dedup     Dedup    `toml:"dedup" default:"all" placeholder:"all|account" group:"limits"`
	PartGrace Duration `toml:"part-grace" default:"0" placeholder:"TIME" group:"limits"`
	Repack    Duration `toml:"repack" default:"1h" placeholder:"TIME" group:"limits"`

	Create         Create `toml:"create" default:"open" placeholder:"open|token|off" group:"strangers"`
	MaxAccounts    int64  `toml:"max-accounts" default:"0" placeholder:"N" group:"strangers"`
	StoreMax       Size   `toml:"store-max-bytes" default:"0" placeholder:"SIZE" group:"strangers"`
	CreateRate     Rate   `toml:"create-rate" default:"0" public:"60/1h" placeholder:"N/TIME" group:"strangers"`
	CreateRateNet  Rate   `toml:"create-rate-net" default:"0" public:"600/1h" placeholder:"N/TIME" group:"strangers"`
	CreateRateAll  Rate   `toml:"create-rate-all" default:"0" public:"1000/1m" placeholder:"N/TIME" group:"strangers"`
	SendRate       Rate   `toml:"send-rate" default:"0" public:"2000/1h" placeholder:"N/TIME" group:"strangers"`
	MXRate         Rate   `toml:"mx-rate" default:"0" public:"600/1h" placeholder:"N/TIME" group:"strangers"`
	MXUnknownRate  Rate   `toml:"mx-unknown-rate" default:"0" public:"30/1h" placeholder:"N/TIME" group:"strangers"`
	LinkDailyBytes Size   `toml:"link-daily-bytes" default:"0" public:"1GB" placeholder:"SIZE" group:"strangers"`
	AddressConns   int64  `toml:"address-conns" default:"0" public:"50" placeholder:"N" group:"strangers"`
	AbuseContact   string `toml:"abuse-contact" placeholder:"ADDRESS|URL" group:"strangers"`

	Domain      string   `toml:"domain" default:"eider.test" placeholder:"NAME" group:"mail"`
	PublicHost  string   `toml:"public-host" placeholder:"NAME" group:"mail"`
	TrustedNets Prefixes `toml:"trusted-nets" default:"127.0.0.0/8,::1/128" public:"" placeholder:"CIDRS" group:"mail"`
	AllowHost   Names    `toml:"allow-host" placeholder:"NAME" group:"mail"`
	Advertise   Pairs    `toml:"advertise" mapsep:"none" placeholder:"KEY=ADDR,…" group:"mail"`
	StartTLS    StartTLS `toml:"starttls" default:"auto" placeholder:"auto|on|off" group:"tls"`
	TLSCert     string   `toml:"tls-cert" placeholder:"FILE" group:"tls"`
	TLSKey      string   `toml:"tls-key" placeholder:"FILE" group:"tls"`
	ACME        string   `toml:"acme" placeholder:"on|off|URL" group:"tls"`
	ACMEEmail   string   `toml:"acme-email" placeholder:"ADDRESS" group:"tls"`
	ACMECA      string   `toml:"acme-ca" placeholder:"FILE" group:"tls"`

	origin   map[string]string
	warnings []string
}

// Public tells whether strangers are served.
func (c *Config) Public() bool { return c.PublicHost != "" }

// Origin tells where a setting came from: "default", a file with its line's
// key, a variable, or a flag.
func (c *Config) Origin(name string) string {
	if o, ok := c.origin[name]; ok {
		return o
	}
	return "default"
}

// Warnings are what the operator may have meant otherwise.
func (c *Config) Warnings() []string { return c.warnings }

// Listener is one listener's flag name and address.
type Listener struct {
	Name string
	Addr Listen
}

// Listeners are all listeners in the order in which people read them.
func (c *Config) Listeners() []Listener {
	return []Listener{
		{"http", c.HTTP}, {"https", c.HTTPS}, {"smtp", c.SMTP}, {"smtps", c.SMTPS}, {"mx", c.MX}, {"lmtp", c.LMTP},
		{"imap", c.IMAP}, {"imaps", c.IMAPS}, {"pop3", c.POP3}, {"pop3s", c.POP3S}, {"admin", c.Admin},
	}
}

// Loopback are the networks that the default trusts.
func Loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// EnvName is the variable that sets a flag.
func EnvName(flag string) string {
	return "EIDER_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
