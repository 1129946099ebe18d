package netx_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/netx"
)

// TestTLSFaultOf: what clients do when TLS fails, over real connections.
func TestTLSFaultOf(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"x.test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion: tls.VersionTLS12}
	for name, c := range map[string]struct {
		want   netx.TLSFault
		client func(net.Conn)
	}{
		"speaks plain":     {netx.PlainOnTLS, func(c net.Conn) { c.Write([]byte("EHLO x\r\n")) }},
		"leaves":           {netx.PlainOnTLS, func(net.Conn) {}},
		"waits":            {netx.PlainOnTLS, func(net.Conn) { time.Sleep(time.Second) }},
		"refuses, TLS 1.3": {netx.CertRefused, func(c net.Conn) { tls.Client(c, &tls.Config{ServerName: "x.test"}).Handshake() }},
		"refuses, TLS 1.2": {netx.CertRefused, func(c net.Conn) {
			tls.Client(c, &tls.Config{ServerName: "x.test", MaxVersion: tls.VersionTLS12}).Handshake()
		}},
		"only an old version": {netx.TLSVersion, func(c net.Conn) {
			tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}).Handshake()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				nc, err := net.Dial("tcp", l.Addr().String())
				if err == nil {
					c.client(nc)
					nc.Close()
				}
			}()
			nc, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			wait := 30 * time.Second
			if name == "waits" {
				wait = 200 * time.Millisecond
			}
			nc.SetDeadline(time.Now().Add(wait))
			s := tls.Server(nc, config)
			err = s.Handshake()
			if err == nil { // TLS 1.3: the alert comes with the next read
				_, err = s.Read(make([]byte, 1))
				if !netx.TLSAlert(err) {
					t.Errorf("%v is no alert", err)
				}
				return
			}
			if got := netx.TLSFaultOf(s, err); got != c.want {
				t.Errorf("%v is %s, want %s", err, got, c.want)
			}
		})
	}
}
