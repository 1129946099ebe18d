// Package account makes and checks what an account is known by: names,
// passwords, verifiers, tokens. It is pure: no store, no clock.
package account

// Credential is the stored form of one account's password: a version byte and
// tagged fields; opaque to all but this package.
type Credential []byte
