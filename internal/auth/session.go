package auth

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/secret"
)

// tagLen is the length of the MACs in cookies, tokens, permalinks and
// signatures: 128 bits.
const tagLen = 16

// tokenPrefix makes a token known for what it is, to people and to scanners
// for leaked secrets.
const tokenPrefix = "eider_"

// The bodies of what is sealed, between key id and MAC.
const (
	cookieBody = 8 + 4 + 8 // account, CredEpoch, expiry
	tokenBody  = 8 + 4     // account, CredEpoch
	signBody   = 8         // expiry
)

// seal writes kid | body | MAC as text. over is MACed too, without being sent.
func (a *Auth) seal(kind secret.Kind, label string, body []byte, over ...[]byte) string {
	k := a.rings.Current(kind)
	out := append([]byte{byte(k.ID)}, body...)
	return base64.RawURLEncoding.EncodeToString(append(out, tag(k, label, body, over)...))
}

// unseal is the inverse of seal for a body of n bytes; the MAC is checked in
// constant time before anything of the body is looked at.
func (a *Auth) unseal(kind secret.Kind, label, text string, n int, over ...[]byte) ([]byte, bool) {
	enc := base64.RawURLEncoding.Strict()
	raw := make([]byte, 1+n+tagLen+2)
	if len(text) != enc.EncodedLen(1+n+tagLen) {
		return nil, false
	}
	// The decoder skips line ends, so a text with one comes out too short.
	if m, err := enc.Decode(raw, []byte(text)); err != nil || m != 1+n+tagLen {
		return nil, false
	}
	body, mac := raw[1:1+n], raw[1+n:1+n+tagLen]
	k, ok := a.rings.For(kind, secret.KID(raw[0]))
	if !ok || subtle.ConstantTimeCompare(mac, tag(k, label, body, over)) != 1 {
		return nil, false
	}
	return body, true
}

func tag(k secret.Key, label string, body []byte, over [][]byte) []byte {
	return k.MAC(append([][]byte{[]byte(label), body}, over...)...)[:tagLen]
}

// Cookie makes a session cookie's value; ParseCookie checks one (signature,
// age, and that the password was not changed since).
func (a *Auth) Cookie(id Identity, life time.Duration) string {
	b := make([]byte, 0, cookieBody)
	b = binary.BigEndian.AppendUint64(b, uint64(id.Acct))
	b = binary.BigEndian.AppendUint32(b, id.CredEpoch)
	b = binary.BigEndian.AppendUint64(b, uint64(a.now().Add(life).Unix()))
	return a.seal(secret.Cookie, "cookie", b)
}

// ParseCookie is the inverse of Cookie.
func (a *Auth) ParseCookie(ctx context.Context, value string) (Identity, error) {
	b, ok := a.unseal(secret.Cookie, "cookie", value, cookieBody)
	if !ok || int64(binary.BigEndian.Uint64(b[12:])) <= a.now().Unix() {
		return Identity{}, ErrBadCredentials
	}
	return a.identity(ctx, mailstore.AcctID(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint32(b[8:]))
}

// Token makes a bearer token for the API; it lives until the password changes.
func (a *Auth) Token(id Identity) string {
	b := make([]byte, 0, tokenBody)
	b = binary.BigEndian.AppendUint64(b, uint64(id.Acct))
	b = binary.BigEndian.AppendUint32(b, id.CredEpoch)
	return tokenPrefix + a.seal(secret.Token, "token", b)
}

// Bearer checks a token.
func (a *Auth) Bearer(ctx context.Context, token string) (Identity, error) {
	text, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok {
		return Identity{}, ErrBadCredentials
	}
	b, ok := a.unseal(secret.Token, "token", text, tokenBody)
	if !ok {
		return Identity{}, ErrBadCredentials
	}
	return a.identity(ctx, mailstore.AcctID(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint32(b[8:]))
}

// Sign makes a short-lived MAC for a purpose ("frame", "csrf"), and Verify checks it in constant time.
func (a *Auth) Sign(purpose, data string, expires time.Time) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, signBody), uint64(expires.Unix()))
	return a.seal(secret.Frame, purpose, b, []byte(data))
}

// Verify checks what Sign made, for the same purpose and data.
func (a *Auth) Verify(purpose, data, mac string) bool {
	b, ok := a.unseal(secret.Frame, purpose, mac, signBody, []byte(data))
	return ok && int64(binary.BigEndian.Uint64(b)) > a.now().Unix()
}
