package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/eidermail/eider/internal/addr"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/secret"
)

const (
	// life of a self-signed certificate: Apple's clients take no longer one
	// from a CA that the user added (825 days).
	life = 820 * 24 * time.Hour
	// before now: for clients whose clocks are behind.
	backdate = 24 * time.Hour
)

// Limit: addresses of this machine that the self-signed certificate names.
const MaxAddresses = 32

// self is the self-signed certificate with all that belongs to it.
type self struct {
	leaf, ca *x509.Certificate
	key      *ecdsa.PrivateKey
	unknown  []byte
}

// stored finds the certificate's row, or makes it. Nodes that start at once
// agree: the row is its own guard, and who comes second takes the first's.
func (c *Certs) stored(ctx context.Context) (self, error) {
	key := secret.RowKey(secret.Certificate, 0)
	items, err := c.o.KV.GetMulti(ctx, key)
	if err != nil {
		return self{}, fmt.Errorf("certs: read: %w", err)
	}
	if s, err := decodeSelf(items[0].Value); err == nil && c.good(s) {
		return s, nil
	}
	fresh, err := c.issue()
	if err != nil {
		return self{}, fmt.Errorf("certs: make: %w", err)
	}
	used := fresh
	err = c.o.KV.Update(ctx, [][]byte{key}, func(tx kv.Tx) error {
		used = fresh
		if s, err := decodeSelf(tx.Guard(0).Value); err == nil {
			if c.good(s) {
				used = s
				return nil
			}
			used.unknown = s.unknown
		}
		b, err := used.encode()
		if err != nil {
			return err
		}
		tx.Put(key, b)
		return nil
	})
	if err != nil {
		return self{}, fmt.Errorf("certs: keep: %w", err)
	}
	return used, nil
}

// good tells whether a certificate holds long enough and for all names asked
// for. The machine's own name and addresses may change: a new CA, which
// everybody must trust anew, would cost more than it brings.
func (c *Certs) good(s self) bool {
	now := c.o.Now()
	if now.Before(s.leaf.NotBefore) || now.After(s.leaf.NotAfter.Add(-renewBefore)) {
		return false
	}
	for _, n := range c.o.Names {
		if name, ok := plain(n); ok && s.leaf.VerifyHostname(name) != nil {
			return false
		}
	}
	return true
}

// plain is a name as certificates have it: lower case, in ASCII (IDNA), or an
// address. What can be neither is left out.
func plain(name string) (string, bool) {
	name = addr.DomainKey(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.WithZone("").String(), true
	}
	ok := name != "" && len(name) <= 253 && !strings.HasPrefix(name, ".") && !strings.Contains(name, "..")
	for i := range len(name) {
		ch := name[i]
		ok = ok && (ch >= 'a' && ch <= 'z' || ch >= '0' && ch <= '9' || ch == '-' || ch == '.' || ch == '_')
	}
	return name, ok
}

// issue makes a CA, lets it sign one leaf, and forgets its key.
func (c *Certs) issue() (self, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return self{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return self{}, err
	}
	dns, ips := c.subjects()
	now := c.o.Now()
	caTmpl := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      subject("Eider local CA " + now.Format(time.DateOnly)),
		NotBefore:    now.Add(-backdate), NotAfter: now.Add(life),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: dns, PermittedIPRanges: ranges(ips),
	}
	caDER, err := x509.CreateCertificate(rand.Reader, caTmpl, caTmpl, &caKey.PublicKey, caKey)
	if err != nil {
		return self{}, err
	}
	ca, err := x509.ParseCertificate(caDER)
	if err != nil {
		return self{}, err
	}
	leafTmpl := &x509.Certificate{
		SerialNumber: serial(), Subject: subject(dns[0]),
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: dns, IPAddresses: ips,
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leafTmpl, ca, &key.PublicKey, caKey)
	if err != nil {
		return self{}, err
	}
	leaf, err := x509.ParseCertificate(leafDER)
	return self{leaf: leaf, ca: ca, key: key}, err
}

func subject(name string) pkix.Name {
	return pkix.Name{Organization: []string{"Eider"}, CommonName: name}
}

func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] &= 0x7f // RFC 5280 §4.1.2.2: positive
	return new(big.Int).SetBytes(b)
}

// subjects are the names and addresses that the certificate is for: those
// asked for, and those under which a developer reaches this machine.
func (c *Certs) subjects() (dns []string, ips []net.IP) {
	seen := map[string]bool{}
	add := func(name string) {
		name, ok := plain(name)
		if !ok || seen[name] {
			return
		}
		seen[name] = true
		if ip, err := netip.ParseAddr(name); err == nil {
			ips = append(ips, ip.AsSlice())
		} else {
			dns = append(dns, name)
		}
	}
	add("localhost")
	for _, n := range c.o.Names {
		add(n)
	}
	if host, err := os.Hostname(); err == nil && !strings.Contains(host, ".") {
		add(host)
	}
	add("host.docker.internal")
	add("127.0.0.1")
	add("::1")
	for _, a := range privateAddrs() {
		add(a.String())
	}
	return dns, ips
}

// privateAddrs are this machine's addresses in private networks (RFC 1918,
// RFC 4193), where a colleague or a container may reach it.
func privateAddrs() []netip.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	return private(addrs)
}

func private(addrs []net.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Unmap().IsPrivate() && len(out) < MaxAddresses {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}

// ranges are the addresses that the CA is constrained to: exactly the leaf's.
func ranges(ips []net.IP) []*net.IPNet {
	var out []*net.IPNet
	for _, ip := range ips {
		bits := 8 * len(ip)
		out = append(out, &net.IPNet{IP: ip, Mask: net.CIDRMask(bits, bits)})
	}
	return out
}

// The fields of the row.
const (
	rowVersion                  = 1
	fieldLeaf  protowire.Number = 1
	fieldKey   protowire.Number = 2
	fieldCA    protowire.Number = 3
)

// errRow says that the row cannot be read; another certificate is made then.
var errRow = errors.New("certs: unreadable certificate row")

func (s self) encode() ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return nil, err
	}
	b := []byte{rowVersion}
	b = protowire.AppendBytes(protowire.AppendTag(b, fieldLeaf, protowire.BytesType), s.leaf.Raw)
	b = protowire.AppendBytes(protowire.AppendTag(b, fieldKey, protowire.BytesType), key)
	b = protowire.AppendBytes(protowire.AppendTag(b, fieldCA, protowire.BytesType), s.ca.Raw)
	return append(b, s.unknown...), nil
}

func decodeSelf(b []byte) (self, error) {
	var s self
	if len(b) == 0 || b[0] != rowVersion {
		return s, errRow
	}
	for b = b[1:]; len(b) > 0; {
		f, t, n := protowire.ConsumeTag(b)
		if n < 0 {
			return self{}, errRow
		}
		m := protowire.ConsumeFieldValue(f, t, b[n:])
		if m < 0 {
			return self{}, errRow
		}
		if t != protowire.BytesType || f > fieldCA {
			s.unknown = append(s.unknown, b[:n+m]...)
		} else if err := s.set(f, b[n:n+m]); err != nil {
			return self{}, err
		}
		b = b[n+m:]
	}
	if s.leaf == nil || s.ca == nil || s.key == nil || !s.key.PublicKey.Equal(s.leaf.PublicKey) {
		return self{}, errRow
	}
	return s, nil
}

// set reads one field.
func (s *self) set(f protowire.Number, value []byte) error {
	v, _ := protowire.ConsumeBytes(value)
	var err error
	switch f {
	case fieldLeaf:
		s.leaf, err = x509.ParseCertificate(v)
	case fieldCA:
		s.ca, err = x509.ParseCertificate(v)
	case fieldKey:
		var k any
		if k, err = x509.ParsePKCS8PrivateKey(v); err == nil {
			s.key, _ = k.(*ecdsa.PrivateKey)
		}
	}
	if err != nil {
		return errRow // without the cause: it may quote key material
	}
	return nil
}
