// Package account makes and checks what an account is known by: names,
// passwords, and the verifiers of passwords. It is pure: no store, no clock,
// no keys of its own.
//
// Two classes of password exist. One that we generated has more than 100 bits
// of entropy, so a fast keyed hash keeps it as safe as any slow one, and
// making accounts stays cheap. One that a person chose is kept as argon2id
// (RFC 9106). Each credential also carries an RFC 5803 SCRAM-SHA-256 verifier.
//
// A failed check costs the same work for a generated password, a chosen one,
// and an account that does not exist: one keyed hash and one argon2id. So
// neither existence nor class shows in the time of a refusal.
//
// No error and no printed form of this package contains a password.
package account

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// letters is [A-Za-z0-9] without those that people mix up: 0 O o 1 l I.
const letters = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz"

// base32 is the alphabet of user names (RFC 4648 §6, lower case).
const base32 = "abcdefghijklmnopqrstuvwxyz234567"

// PasswordLen is the length of a generated password: 18 × log2(56) = 104 bits.
const PasswordLen = 18

// NameLen is the length of a generated user name: 80 bits less the first letter's.
const NameLen = 16

// GeneratePassword returns a fresh random password.
func GeneratePassword() string { return pick(letters, PasswordLen, random()) }

// DerivePassword returns the password that belongs to a secret seed: always
// the same one, and as hard to guess as the seed.
func DerivePassword(seed []byte) string {
	var block []byte
	n := uint32(0)
	return pick(letters, PasswordLen, func() byte {
		if len(block) == 0 {
			h := hmac.New(sha256.New, seed)
			h.Write(binary.BigEndian.AppendUint32([]byte("password"), n))
			block = h.Sum(nil)
			n++
		}
		b := block[0]
		block = block[1:]
		return b
	})
}

// NewName returns a random user name: 16 characters of [a-z2-7], first a letter.
func NewName() string {
	next := random()
	return pick(base32[:26], 1, next) + pick(base32, NameLen-1, next)
}

// pick draws n letters of an alphabet, each equally likely, from random bytes.
func pick(alphabet string, n int, next func() byte) string {
	mask := byte(1)<<bits.Len(uint(len(alphabet)-1)) - 1
	out := make([]byte, 0, n)
	for len(out) < n {
		if i := int(next() & mask); i < len(alphabet) {
			out = append(out, alphabet[i])
		}
	}
	return string(out)
}

// random yields bytes of the system's generator, a few at a time.
func random() func() byte {
	var buf [32]byte
	left := 0
	return func() byte {
		if left == 0 {
			rand.Read(buf[:])
			left = len(buf)
		}
		left--
		return buf[left]
	}
}

// below draws a number in [0, n) from the system's generator.
func below(n int) int {
	// 64 bits for lists of a few hundred: the bias is under 2^-50.
	var b [8]byte
	rand.Read(b[:])
	return int(binary.BigEndian.Uint64(b[:]) % uint64(n))
}
