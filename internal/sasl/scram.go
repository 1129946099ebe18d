package sasl

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/xdg-go/scram"
)

// The names of the mechanisms of RFC 7677.
const (
	ScramSHA256     = "SCRAM-SHA-256"
	ScramSHA256Plus = "SCRAM-SHA-256-PLUS"
)

// ErrProof: the client does not know the password, or speaks over another
// channel than ours (SMTP 535, IMAP NO).
var ErrProof = errors.New("sasl: the proof does not hold")

// Verifier is what is kept of a password for SCRAM (RFC 5802 §3).
type Verifier struct {
	Iterations           int
	Salt                 []byte
	StoredKey, ServerKey []byte
}

// Binding is what the two ends of a TLS connection share (RFC 5056).
type Binding struct {
	Type string // "tls-exporter" or "tls-server-end-point"
	Data []byte
}

// Lookup finds the Verifier of a user; for one that is not there it finds one
// that looks alike.
type Lookup func(user string) (Verifier, error)

// Scram is the server side of one exchange of SCRAM-SHA-256 (RFC 5802, RFC
// 7677). It has no Credentials: the password never comes.
type Scram struct {
	plus     bool
	bindings []Binding
	lookup   Lookup
	conv     *scram.ServerConversation
	proved   bool
	over     bool
	broken   error // of Lookup
}

// NewScram starts an exchange, with plus one that is bound to the channel.
// bindings are those that were advertised; none: no -PLUS was.
func NewScram(plus bool, bindings []Binding, lookup Lookup) *Scram {
	return &Scram{plus: plus, bindings: bindings, lookup: lookup}
}

// User is the name that the client gave.
func (s *Scram) User() string { return s.conv.Username() }

// Proved tells that the client knows the password; it has not seen our proof
// until the challenge that Next returned is sent.
func (s *Scram) Proved() bool { return s.proved }

// Next is that of Server. Done means that the client has proved to know the password.
func (s *Scram) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.over:
		return nil, true, ErrDone
	case response == nil && s.conv == nil:
		return []byte{}, false, nil
	case len(response) > MaxLine:
		s.over = true
		return nil, true, ErrTooLong
	case s.proved: // the client has seen our proof
		s.over = true
		if len(response) > 0 {
			return nil, true, ErrMalformed
		}
		return nil, true, nil
	}
	first := s.conv == nil
	if first {
		if err := s.begin(string(response)); err != nil {
			s.over = true
			return nil, true, err
		}
	}
	answer, err := s.conv.Step(string(response))
	switch {
	case s.broken != nil:
		s.over = true
		return nil, true, s.broken
	case err != nil && answer == "" && !s.conv.Valid() && first:
		s.over = true
		return nil, true, ErrMalformed
	case err != nil || s.conv.Done() && !s.conv.Valid():
		s.over = true
		return nil, true, ErrProof
	}
	if z := s.conv.AuthzID(); z != "" && !strings.EqualFold(z, s.conv.Username()) {
		s.over = true
		return nil, true, ErrAuthzid
	}
	s.proved = s.conv.Done()
	return []byte(answer), false, nil
}

// begin looks at the client's first message: which binding it wants decides
// the conversation (RFC 5802 §6).
func (s *Scram) begin(first string) error {
	bound := strings.HasPrefix(first, "p=")
	if bound != s.plus {
		return ErrProof
	}
	server, err := scram.SHA256.NewServer(s.credentials)
	if err != nil {
		return err
	}
	if len(s.bindings) == 0 {
		s.conv = server.NewConversation()
		return nil
	}
	chosen := s.bindings[0]
	if bound {
		name, _, _ := strings.Cut(first[len("p="):], ",")
		for _, b := range s.bindings {
			if b.Type == name {
				chosen = b
			}
		}
	}
	s.conv = server.NewConversationWithChannelBinding(scram.ChannelBinding{
		Type: scram.ChannelBindingType(chosen.Type), Data: chosen.Data,
	})
	return nil
}

func (s *Scram) credentials(user string) (c scram.StoredCredentials, err error) {
	if len(user) > MaxUser {
		return c, ErrTooLong
	}
	v, err := s.lookup(user)
	if err != nil {
		s.broken = err
		return c, err
	}
	c.Salt, c.Iters, c.StoredKey, c.ServerKey = string(v.Salt), v.Iterations, v.StoredKey, v.ServerKey
	return c, nil
}

// Bindings are those of a TLS connection to a server with this certificate
// (nil: not known): tls-exporter (RFC 9266) and tls-server-end-point (RFC 5929 §4).
func Bindings(state *tls.ConnectionState, cert *tls.Certificate) (out []Binding) {
	if data, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err == nil {
		out = append(out, Binding{"tls-exporter", data})
	}
	if cert == nil || len(cert.Certificate) == 0 {
		return out
	}
	leaf := cert.Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return out
		}
	}
	if h := endPointHash(leaf.SignatureAlgorithm); h.Available() {
		sum := h.New()
		sum.Write(leaf.Raw)
		out = append(out, Binding{"tls-server-end-point", sum.Sum(nil)})
	}
	return out
}

// endPointHash: RFC 5929 §4.1. Signatures without one hash of their own have none.
func endPointHash(a x509.SignatureAlgorithm) crypto.Hash {
	switch a {
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		return crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		return crypto.SHA512
	case x509.PureEd25519, x509.UnknownSignatureAlgorithm:
		return 0
	}
	return crypto.SHA256
}
