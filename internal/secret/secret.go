// Package secret keeps the installation's key rings in the store: each key
// with the time it was published, the time from which it signs, and the time
// until which it verifies.
//
// All nodes read the same rows, so none needs a file. A new key is published
// at least PublishLead before it signs: by then every node has read it, and
// what one node signs, all can verify. The very first key signs at once.
//
// It promises that no key shows in a log, an error or any printed form, and
// that checking something signed never reads the store.
package secret

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Kind is what a ring of keys is for. The numbers are stored.
type Kind uint8

// The kinds.
const (
	MSGID    Kind = 1 // permalinks of messages
	Cookie   Kind = 2 // session cookies
	Token    Kind = 3 // bearer tokens of the API
	Password Kind = 4 // keyed hashes of generated passwords
	Blob     Kind = 5 // names of shared message parts
	Frame    Kind = 6 // short-lived MACs: frames, forms
	CatchAll Kind = 7 // the derived password of the catch-all account
	// firstFree is the first number that no ring has.
	firstFree Kind = 8
)

// String names the kind.
func (k Kind) String() string {
	names := [...]string{"", "msgid", "cookie", "token", "password", "blob", "frame", "catch-all"}
	if k == 0 || int(k) >= len(names) {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return names[k]
}

// KID names a key within its ring; it fits the one byte that a permalink has
// room for. Zero names none.
type KID uint8

// Limit: keys of one ring that were ever made and not removed.
const MaxKeys = 255

// Size is the number of bytes of a key.
const Size = 32

// The times of keys.
const (
	// PublishLead is how long a key is known to all nodes before it signs.
	PublishLead = 10 * time.Minute
	// RefreshEvery is how often Run reads the rings again.
	RefreshEvery = time.Minute
)

// ErrFull says that a ring has no number left for another key.
var ErrFull = errors.New("secret: key ring is full")

// Key is one key of a ring. It prints as its id only.
type Key struct {
	ID KID
	// Published, SignsFrom and VerifiesUntil bound its life; VerifiesUntil is
	// zero for a key that verifies for ever.
	Published, SignsFrom, VerifiesUntil time.Time
	kind                                Kind
	secret                              [Size]byte
}

// MAC is HMAC-SHA-256 under the key over parts, each with its length before it.
func (k Key) MAC(parts ...[]byte) []byte {
	h := hmac.New(sha256.New, k.secret[:])
	var n [4]byte
	for _, p := range parts {
		binary.BigEndian.PutUint32(n[:], uint32(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return h.Sum(nil)
}

// Derive returns a key for one purpose of several that a ring serves.
func (k Key) Derive(label string) [Size]byte {
	return [Size]byte(k.MAC([]byte("derive"), []byte(label)))
}

// verifies tells whether k may still verify at a time.
func (k Key) verifies(now time.Time) bool {
	return k.VerifiesUntil.IsZero() || now.Before(k.VerifiesUntil)
}

// Format hides the key whatever the verb.
func (k Key) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "[%s key %d]", k.kind, k.ID) }

// String hides the key.
func (k Key) String() string { return fmt.Sprintf("[%s key %d]", k.kind, k.ID) }

// LogValue hides the key.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText hides the key.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
