package netx

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
)

// TLSFault names why TLS with a client did not work, for people who look for
// the mistake.
type TLSFault string

// The faults.
const (
	PlainOnTLS  TLSFault = "plain-on-tls"        // spoke, or waited to hear, a protocol without TLS
	CertRefused TLSFault = "certificate-refused" // the client does not trust the certificate
	TLSVersion  TLSFault = "tls-version"         // no version or cipher in common
	Handshake   TLSFault = "tls-handshake"       // anything else
)

// TLSFaultOf tells what the error of t's handshake, as the server, says of the client.
func TLSFaultOf(t *tls.Conn, err error) TLSFault {
	var wait net.Error
	text := err.Error()
	// A version is known once the client's first message was read: who goes
	// then has seen the certificate. Not all say why in a form that can be read.
	hello := t.ConnectionState().Version != 0
	silent := errors.As(err, &wait) && wait.Timeout()
	switch {
	case strings.Contains(text, "protocol version"), strings.Contains(text, "unsupported versions"),
		strings.Contains(text, "cipher suite"), strings.Contains(text, "handshake failure"):
		return TLSVersion
	case hello && !silent:
		return CertRefused
	case !hello && (silent || errors.Is(err, io.EOF) || errors.As(err, new(tls.RecordHeaderError))):
		return PlainOnTLS
	}
	return Handshake
}

// TLSAlert tells that a client ended TLS by an alert: with TLS 1.3 that is how
// a read after the handshake learns that the certificate was refused.
func TLSAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
