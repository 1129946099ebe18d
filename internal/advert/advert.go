// Package advert knows which addresses clients are told: in the answer of
// POST /user, on pages, in snippets and in preview links.
//
// What is named works unchanged: the ports are those that are really open, and
// "secure" says what a client must do there. It opens nothing and asks nobody.
package advert

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Ports are the ports that are open; 0 is off.
type Ports struct {
	HTTP, HTTPS, SMTP, SMTPS, MX, IMAP, IMAPS, POP3, POP3S int
}

// Options configure an Advert.
type Options struct {
	// PublicHost is the server's name in public mode; "" in dev mode.
	PublicHost string
	// Host is named in dev mode when there is no request to take it from;
	// "127.0.0.1" if empty.
	Host string
	// Ports are the listeners as they were bound.
	Ports Ports
	// StartTLS tells that the plain ports offer STARTTLS.
	StartTLS bool
	// Advertise overrides: "http" a URL; "smtp", "imap", "pop3", "mx" a
	// host:port, or smtps://, imaps://, pop3s:// before it for implicit TLS.
	Advertise map[string]string
}

// Service is where one protocol is found, as clients' configurations want it.
type Service struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	// Secure is TLS from the first byte, as Nodemailer understands it; false
	// with STARTTLS.
	Secure bool `json:"secure"`
	// Security says it in words: "TLS", "STARTTLS" or "none".
	Security string `json:"-"`
}

// Addr is host:port.
func (s Service) Addr() string {
	return net.JoinHostPort(strings.Trim(s.Host, "[]"), strconv.Itoa(s.Port))
}

// IsZero tells that the protocol is off.
func (s Service) IsZero() bool { return s.Port == 0 }

// The words of Service.Security.
const (
	TLS      = "TLS"
	StartTLS = "STARTTLS"
	None     = "none"
)

// Endpoints are the addresses that one client is told.
type Endpoints struct {
	Web  string // "http://127.0.0.1:8025", without a slash at the end
	API  string // the base of the JSON API
	SMTP Service
	IMAP Service
	POP3 Service
	MX   Service // zero if mail from other servers is not taken
}

// Advert tells addresses.
type Advert struct {
	o   Options
	fix map[string]Service
	web string
}

// New checks what was asked to be advertised.
func New(o Options) (*Advert, error) {
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	a := &Advert{o: o, fix: map[string]Service{}}
	for k, v := range o.Advertise {
		if k == "http" {
			if !webAddress(v) {
				return nil, fmt.Errorf("advert: %q is not a web address", v)
			}
			a.web = strings.TrimRight(v, "/")
			continue
		}
		s, err := a.service(k, v)
		if err != nil {
			return nil, err
		}
		a.fix[k] = s
	}
	return a, nil
}

// webAddress tells whether paths can be put after v.
func webAddress(v string) bool {
	u, err := url.Parse(v)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
		u.RawQuery == "" && u.Fragment == ""
}

// service reads one override.
func (a *Advert) service(kind, v string) (Service, error) {
	def, secure := a.defaultPort(kind)
	switch kind {
	case "smtp", "imap", "pop3", "mx":
	default:
		return Service{}, fmt.Errorf("advert: %q cannot be advertised", kind)
	}
	scheme, rest, ok := strings.Cut(v, "://")
	if ok {
		if strings.TrimSuffix(scheme, "s") != kind {
			return Service{}, fmt.Errorf("advert: %q is not an address for %s", v, kind)
		}
		secure = strings.HasSuffix(scheme, "s")
		v = strings.TrimRight(rest, "/")
	}
	host, port := v, def
	if h, p, err := net.SplitHostPort(v); err == nil {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 65535 {
			return Service{}, fmt.Errorf("advert: %q has no usable port", v)
		}
		host, port = h, n
		if !ok {
			secure = implicit(n, secure)
		}
	}
	if host = strings.Trim(host, "[]"); host == "" || port == 0 || strings.ContainsAny(host, " /@?#") {
		return Service{}, fmt.Errorf("advert: %q is not host:port", v)
	}
	return Service{Host: host, Port: port, Secure: secure, Security: a.security(secure)}, nil
}

// implicit knows the ports of implicit TLS and those without (RFC 8314 §7).
func implicit(port int, otherwise bool) bool {
	switch port {
	case 465, 993, 995:
		return true
	case 25, 587, 143, 110:
		return false
	}
	return otherwise
}

// defaultPort is what an override without port means, and its security.
func (a *Advert) defaultPort(kind string) (int, bool) {
	p := a.o.Ports
	switch kind {
	case "smtp":
		return pick(p.SMTP, p.SMTPS, a.public(), false)
	case "imap":
		return pick(p.IMAP, p.IMAPS, a.public(), true)
	case "pop3":
		return pick(p.POP3, p.POP3S, a.public(), true)
	case "mx":
		return max(p.MX, 25), false
	}
	return 0, false
}

// pick chooses between the plain and the TLS port. Submission is plain with
// STARTTLS everywhere, because countless clients are set so; IMAP and POP3 are
// TLS in public mode and plain in dev mode. Whichever is off leaves the other.
func pick(plain, tls int, public, tlsFirst bool) (int, bool) {
	first, second := plain, tls
	secure := public && tlsFirst
	if secure {
		first, second = tls, plain
	}
	if first == 0 && second != 0 {
		return second, !secure
	}
	return first, secure && first != 0
}

func (a *Advert) public() bool { return a.o.PublicHost != "" }

func (a *Advert) security(secure bool) string {
	switch {
	case secure:
		return TLS
	case a.o.StartTLS:
		return StartTLS
	}
	return None
}

// For names the addresses for one client. host is the Host header of its
// request, already found to be allowed, or "" without one; tls tells that the
// request came over TLS. In public mode the client's words count for nothing.
func (a *Advert) For(host string, tls bool) Endpoints {
	name := a.name(host)
	e := Endpoints{Web: a.web}
	if e.Web == "" {
		e.Web = a.url(name, host, tls)
	}
	e.API = e.Web + "/v1"
	e.SMTP = a.named("smtp", name)
	e.IMAP = a.named("imap", name)
	e.POP3 = a.named("pop3", name)
	if a.o.Ports.MX != 0 {
		e.MX = a.named("mx", name)
	}
	return e
}

// name is the host to be named.
func (a *Advert) name(host string) string {
	if a.public() {
		return a.o.PublicHost
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host = strings.Trim(host, "[]"); host == "" {
		return a.o.Host
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		return a.o.Host
	}
	return host
}

func (a *Advert) named(kind, name string) Service {
	if s, ok := a.fix[kind]; ok {
		return s
	}
	port, secure := a.defaultPort(kind)
	if port == 0 {
		return Service{Host: name}
	}
	if kind == "mx" {
		port = a.o.Ports.MX
	}
	return Service{Host: name, Port: port, Secure: secure, Security: a.security(secure)}
}

// url is the address of the pages. In dev mode the port that the client used
// is kept: it may come through a published port of a container.
func (a *Advert) url(name, host string, tls bool) string {
	p := a.o.Ports
	scheme, port := "http", p.HTTP
	if tls || p.HTTP == 0 || a.public() && p.HTTPS != 0 {
		scheme, port = "https", p.HTTPS
	}
	if !a.public() && host != "" {
		port = 0
		if _, s, err := net.SplitHostPort(host); err == nil {
			port, _ = strconv.Atoi(s)
		}
	}
	if port == 0 || scheme == "http" && port == 80 || scheme == "https" && port == 443 {
		if strings.Contains(name, ":") {
			name = "[" + name + "]"
		}
		return scheme + "://" + name
	}
	return scheme + "://" + net.JoinHostPort(name, strconv.Itoa(port))
}
