package netx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
)

// Limit: bytes of a PROXY header after its first 16: the addresses and what the proxy adds.
const MaxProxyHeader = 4096

// The errors of ReadProxyHeader; test with errors.Is.
var (
	// ErrProxyV1: the text form of the header, which is not taken.
	ErrProxyV1 = errors.New("a PROXY header of version 1: the proxy must send version 2 (send-proxy-v2)")
	// ErrNoProxy: the connection began with something else.
	ErrNoProxy = errors.New("no PROXY header: the proxy must send one (send-proxy-v2)")
	// ErrBadProxy: a header of version 2 that is broken.
	ErrBadProxy = errors.New("broken PROXY header")
)

// ProxyHeader is what a proxy says of a connection (PROXY protocol, version 2).
type ProxyHeader struct {
	// Local: the proxy speaks for itself, as in health checks; Source is not valid then.
	Local bool
	// Source is the client's address.
	Source netip.AddrPort
}

// The parts of a header (PROXY protocol specification §2.2).
const (
	proxyStart   = 16
	proxyLocal   = 0x20 // version 2, command LOCAL
	proxyProxy   = 0x21
	proxyTCP4    = 0x11
	proxyTCP6    = 0x21
	proxyCRC     = 0x03 // type of the record that holds a checksum of the header
	proxyCRCSize = 4
)

var (
	proxySignature = []byte("\r\n\r\n\x00\r\nQUIT\n")
	proxyV1        = []byte("PROXY ")
	castagnoli     = crc32.MakeTable(crc32.Castagnoli)
)

// ReadProxyHeader reads a header and not a byte more. An address that is not
// of TCP over IPv4 or IPv6 is ErrBadProxy: there would be nobody to hold to
// the limits.
func ReadProxyHeader(r io.Reader) (ProxyHeader, error) {
	buf := make([]byte, proxyStart, proxyStart+64)
	if _, err := io.ReadFull(r, buf[:len(proxyV1)]); err != nil {
		return ProxyHeader{}, err
	}
	if bytes.Equal(buf[:len(proxyV1)], proxyV1) {
		return ProxyHeader{}, ErrProxyV1
	}
	if !bytes.HasPrefix(proxySignature, buf[:len(proxyV1)]) {
		return ProxyHeader{}, ErrNoProxy // at once: what else it has to say may never come
	}
	if _, err := io.ReadFull(r, buf[len(proxyV1):]); err != nil {
		return ProxyHeader{}, err
	}
	if !bytes.HasPrefix(buf, proxySignature) {
		return ProxyHeader{}, ErrNoProxy
	}
	n := int(binary.BigEndian.Uint16(buf[14:]))
	if n > MaxProxyHeader {
		return ProxyHeader{}, fmt.Errorf("%w: %d bytes, at most %d", ErrBadProxy, n, MaxProxyHeader)
	}
	buf = append(buf, make([]byte, n)...)
	if _, err := io.ReadFull(r, buf[proxyStart:]); err != nil {
		return ProxyHeader{}, err
	}
	return parseProxy(buf)
}

// parseProxy understands a whole header.
func parseProxy(b []byte) (ProxyHeader, error) {
	var h ProxyHeader
	body := b[proxyStart:]
	switch b[12] {
	case proxyLocal:
		return ProxyHeader{Local: true}, nil // the rest is to be ignored
	case proxyProxy:
	default:
		return h, fmt.Errorf("%w: version and command %#02x", ErrBadProxy, b[12])
	}
	var size int // of one address
	switch b[13] {
	case proxyTCP4:
		size = 4
	case proxyTCP6:
		size = 16
	default:
		return h, fmt.Errorf("%w: address family %#02x is not TCP over IP", ErrBadProxy, b[13])
	}
	if len(body) < 2*size+4 {
		return h, fmt.Errorf("%w: too short for its addresses", ErrBadProxy)
	}
	addr, _ := netip.AddrFromSlice(body[:size])
	h.Source = netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(body[2*size:]))
	return h, checkProxyRecords(b, proxyStart+2*size+4)
}

// checkProxyRecords walks the type-length-value records from offset at to the
// end, and checks the checksum if there is one.
func checkProxyRecords(b []byte, at int) error {
	for at < len(b) {
		if at+3 > len(b) {
			return fmt.Errorf("%w: a record is cut off", ErrBadProxy)
		}
		kind, n := b[at], int(binary.BigEndian.Uint16(b[at+1:]))
		at += 3
		if n > len(b)-at {
			return fmt.Errorf("%w: a record is cut off", ErrBadProxy)
		}
		if kind == proxyCRC {
			if n != proxyCRCSize {
				return fmt.Errorf("%w: a checksum of %d bytes", ErrBadProxy, n)
			}
			want := binary.BigEndian.Uint32(b[at:])
			clear(b[at : at+n])
			if crc32.Checksum(b, castagnoli) != want {
				return fmt.Errorf("%w: wrong checksum", ErrBadProxy)
			}
		}
		at += n
	}
	return nil
}
