package redisbus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// Limit: addresses of sentinels in a specification.
const MaxAddrs = 16

// ParseSpec understands the forms
//
//	redis://[user][:password]@host[:6379][/db]
//	redis+sentinel://[user][:password]@host[:26379],host…/master[/db]
//
// with rediss for TLS, and the options ?prefix=NAME, ?sentinel-password=TEXT,
// ?ca=FILE and ?cert=FILE&key=FILE. Its errors show no password.
func ParseSpec(spec string) (Options, error) {
	scheme, rest, ok := strings.Cut(spec, "://")
	rest, query, _ := strings.Cut(rest, "?")
	kind, sentinel, _ := strings.Cut(scheme, "+")
	if !ok || kind != "redis" && kind != "rediss" || sentinel != "" && sentinel != "sentinel" {
		return Options{}, errors.New("write redis://HOST:PORT or redis+sentinel://HOST:PORT,HOST:PORT/MASTER " +
			"(rediss for TLS)")
	}
	if name, _, at := strings.Cut(query, "@"); at && !strings.ContainsAny(name, "=&") {
		return Options{}, errors.New("user or password has a ? that is no escape: write it as %3F")
	}
	var o Options
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		user, pass, _ := strings.Cut(rest[:i], ":")
		var err1, err2 error
		o.User, err1 = url.PathUnescape(user)
		o.Password, err2 = url.PathUnescape(pass)
		if err1 != nil || err2 != nil {
			return Options{}, errors.New("user or password has a % that is no escape: write it as %25")
		}
		rest = rest[i+1:]
	}
	hosts, path, _ := strings.Cut(rest, "/")
	port := "6379"
	if sentinel != "" {
		port = "26379"
		o.Master, path, _ = strings.Cut(path, "/")
		if o.Master == "" {
			return Options{}, errors.New("the name of the master is missing: redis+sentinel://HOST:PORT,HOST:PORT/MASTER")
		}
	}
	if err := o.hosts(hosts, port); err != nil {
		return Options{}, err
	}
	if sentinel == "" && len(o.Addrs) > 1 {
		return Options{}, errors.New("several servers need sentinels: redis+sentinel://HOST:PORT,HOST:PORT/MASTER")
	}
	if path != "" {
		n, err := strconv.ParseUint(path, 10, 16)
		if err != nil {
			return Options{}, fmt.Errorf("%q is not the number of a database", path)
		}
		o.DB = int(n)
	}
	return o, o.options(query, kind == "rediss")
}

func (o *Options) hosts(list, port string) error {
	for h := range strings.SplitSeq(list, ",") {
		host, p := strings.Trim(h, "[]"), port
		if a, b, err := net.SplitHostPort(h); err == nil {
			host, p = a, b
		}
		if _, err := strconv.ParseUint(p, 10, 16); err != nil || !plainHost(host) {
			return fmt.Errorf("%q is not HOST:PORT", h)
		}
		o.Addrs = append(o.Addrs, net.JoinHostPort(host, p))
	}
	if len(o.Addrs) > MaxAddrs {
		return fmt.Errorf("%d addresses, at most %d", len(o.Addrs), MaxAddrs)
	}
	return nil
}

// plainHost tells whether s is a name or an address.
func plainHost(s string) bool {
	if strings.Contains(s, ":") {
		_, err := netip.ParseAddr(s)
		return err == nil
	}
	return s != "" && !strings.ContainsAny(s, " /")
}

// options understands what stands behind the question mark.
func (o *Options) options(query string, secure bool) error {
	q, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("what stands behind the ? cannot be read")
	}
	for k := range q {
		switch k {
		case "prefix":
			o.Prefix = q.Get(k)
		case "sentinel-password":
			o.SentinelPassword = q.Get(k)
		case "ca", "cert", "key":
			if !secure {
				return fmt.Errorf("%s is for TLS: write rediss", k)
			}
		default:
			return fmt.Errorf("there is no option %q: prefix, sentinel-password, ca, cert and key", k)
		}
	}
	if secure {
		return o.tls(q.Get("ca"), q.Get("cert"), q.Get("key"))
	}
	return nil
}

func (o *Options) tls(ca, cert, key string) error {
	o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		b, err := os.ReadFile(ca)
		if err != nil {
			return fmt.Errorf("ca: %w", err)
		}
		o.TLS.RootCAs = x509.NewCertPool()
		if !o.TLS.RootCAs.AppendCertsFromPEM(b) {
			return fmt.Errorf("ca: %s has no certificate", ca)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("cert and key: %w", err)
		}
		o.TLS.Certificates = []tls.Certificate{pair}
	}
	return nil
}
