package policy

import (
	"net"
	"net/netip"
	"strings"
)

// HostAllowed tells whether an HTTP request may name this Host (with or
// without port): others get 421. It is the guard against DNS rebinding, where
// a page of a foreign name reaches this server by an address of its own.
//
// Public mode knows its own names and IP literals; dev mode also loopback
// names, single labels (they are nobody's on the Internet) and Docker's name
// for the host.
func (p *Policy) HostAllowed(hostport string) bool {
	host, ok := splitHost(hostport)
	if !ok {
		return false
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	host = hostKey(host)
	if p.names[host] {
		return true
	}
	return !p.o.Public && localName(host)
}

// localName tells whether no foreign site can have this name.
func localName(host string) bool {
	switch {
	case host == "localhost", host == "host.docker.internal":
		return true
	case strings.HasSuffix(host, ".localhost"): // RFC 6761 §6.3: always loopback
		return true
	case host == "" || strings.Trim(host, "0123456789.") == "":
		return false // "1" or "127.1" is an odd way to write an address
	}
	return !strings.Contains(host, ".") && label(host)
}

// label tells whether s is one label of a host name.
func label(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return len(s) <= 63
}

// splitHost takes the port off.
func splitHost(s string) (string, bool) {
	if s == "" || len(s) > 300 || strings.IndexFunc(s, func(r rune) bool { return r > '~' }) >= 0 {
		return "", false // names beyond ASCII travel as xn--
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") || !strings.Contains(s, ":") {
		return s, true
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.Trim(port, "0123456789") != "" || len(port) > 5 {
		return "", false
	}
	return host, true
}

// hostKey is the form in which names are compared.
func hostKey(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }
