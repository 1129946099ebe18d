package account

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
)

// Iterations is the PBKDF2 count of a SCRAM verifier: the least that RFC 7677
// §4 allows. It is one number for all accounts, so that SCRAM's first answer,
// which shows it, tells nothing about an account; and it keeps making one cheap.
const Iterations = 4096

// Verifier is what a server keeps to speak SCRAM-SHA-256 (RFC 5802 §3, RFC
// 7677) with a client: no one can log in with it alone.
type Verifier struct {
	Iterations           int
	Salt                 []byte
	StoredKey, ServerKey []byte
}

// newVerifier makes the verifier of a password with a fresh salt.
func newVerifier(password string) (Verifier, error) {
	v := Verifier{Iterations: Iterations, Salt: make([]byte, 16)}
	rand.Read(v.Salt)
	return v, v.fill(password)
}

// fill computes the keys: RFC 5802 §3.
func (v *Verifier) fill(password string) error {
	salted, err := pbkdf2.Key(sha256.New, Prepare(password), v.Salt, v.Iterations, sha256.Size)
	if err != nil {
		return fmt.Errorf("account: scram verifier: %w", err)
	}
	client := mac(salted, "Client Key")
	stored := sha256.Sum256(client)
	v.StoredKey, v.ServerKey = stored[:], mac(salted, "Server Key")
	return nil
}

func mac(key []byte, label string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(label))
	return h.Sum(nil)
}

// Equal compares verifiers in constant time.
func (v Verifier) Equal(w Verifier) bool {
	return v.Iterations == w.Iterations &&
		subtle.ConstantTimeCompare(v.StoredKey, w.StoredKey)&subtle.ConstantTimeCompare(v.ServerKey, w.ServerKey) == 1
}

// Attribute writes v as the value of an authPassword attribute: RFC 5803 §2.
func (v Verifier) Attribute() string {
	e := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", v.Iterations, e(v.Salt), e(v.StoredKey), e(v.ServerKey))
}

// String hides the keys.
func (v Verifier) String() string { return "[verifier]" }

// GoString hides the keys.
func (v Verifier) GoString() string { return "[verifier]" }

// Prepare brings a password to the form that is hashed: SASLprep (RFC 4013),
// so that composed and decomposed letters are one password; as it is where
// SASLprep refuses it (some clients do send such, and only equality matters).
func Prepare(password string) string {
	if isASCII(password) || !utf8.ValidString(password) {
		return password
	}
	p, err := stringprep.SASLprep.Prepare(password)
	if err != nil || p == "" {
		return password
	}
	return p
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}
