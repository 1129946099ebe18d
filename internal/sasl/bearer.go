package sasl

import "strings"

// OAuthBearer is the name of the mechanism of RFC 7628.
const OAuthBearer = "OAUTHBEARER"

// Limit: bytes of a bearer token.
const MaxToken = 8_192

// Bearer is what a client of OAUTHBEARER brings. It prints without the token.
type Bearer struct{ User, Token string }

// String hides the token.
func (b Bearer) String() string { return "token of " + b.User }

// GoString hides the token.
func (b Bearer) GoString() string { return b.String() }

// BearerFailure is the challenge that follows a token that does not hold (RFC
// 7628 §3.2.2); the client answers it with BearerEnd, and then is told no.
const (
	BearerFailure = `{"status":"invalid_token"}`
	BearerEnd     = "\x01"
)

// ParseBearer reads a client's message (RFC 7628 §3.1):
// gs2-header ^A *(key "=" value ^A) ^A.
func ParseBearer(message []byte) (Bearer, error) {
	var b Bearer
	fields := strings.Split(string(message), "\x01")
	n := len(fields)
	if n < 3 || fields[n-1] != "" || fields[n-2] != "" {
		return b, ErrMalformed
	}
	gs2 := strings.Split(fields[0], ",")
	if len(gs2) != 3 || gs2[0] != "n" && gs2[0] != "y" || gs2[2] != "" {
		return b, ErrMalformed
	}
	if gs2[1] != "" {
		name, ok := strings.CutPrefix(gs2[1], "a=")
		if !ok || name == "" || len(name) > MaxUser {
			return b, ErrMalformed
		}
		b.User = strings.NewReplacer("=2C", ",", "=3D", "=").Replace(name)
	}
	for _, f := range fields[1 : n-2] {
		key, value, ok := strings.Cut(f, "=")
		if !ok {
			return b, ErrMalformed
		}
		if !strings.EqualFold(key, "auth") {
			continue // host and port say which server was meant
		}
		scheme, token, ok := strings.Cut(value, " ")
		if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
			return b, ErrMalformed
		}
		if b.Token = token; len(token) > MaxToken {
			return b, ErrTooLong
		}
	}
	if b.Token == "" {
		return b, ErrMalformed
	}
	return b, nil
}
