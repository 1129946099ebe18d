package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"sync"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/secret"
)

// A permalink is kid (1) | SIV (16) | ciphertext (20): the SIV is a MAC over
// account, message and link epoch, and the nonce under which they are
// encrypted (the construction of RFC 5297 with HMAC-SHA-256 for the MAC). So
// it is the same each time for one message, and shows neither time nor number.
const (
	linkPlain = 8 + 8 + 4 // account, message, link epoch
	linkRaw   = 1 + tagLen + linkPlain
)

// MSGIDLen is the length of every MSGID.
const MSGIDLen = 50

// linkAlphabet is base64 with '-' and '.' for what a URL path cannot carry. The
// last character codes two bits only, so it is never one of these: a MSGID at
// the end of a sentence keeps its end.
const linkAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-."

// linkKey is what is derived from one MSGID key.
type linkKey struct {
	mac   [secret.Size]byte
	block cipher.Block
}

// linkKeys keeps the derived keys; there are at most secret.MaxKeys.
type linkKeys struct{ byID sync.Map }

// of derives once.
func (l *linkKeys) of(k secret.Key) *linkKey {
	if v, ok := l.byID.Load(k.ID); ok {
		return v.(*linkKey)
	}
	enc := k.Derive("permalink encryption")
	block, err := aes.NewCipher(enc[:])
	if err != nil {
		panic("auth: a 32-byte key is an AES-256 key: " + err.Error())
	}
	v, _ := l.byID.LoadOrStore(k.ID, &linkKey{mac: k.Derive("permalink mac"), block: block})
	return v.(*linkKey)
}

// siv is the MAC and nonce of a plain text.
func (k *linkKey) siv(plain []byte) []byte {
	h := hmac.New(sha256.New, k.mac[:])
	h.Write(plain)
	return h.Sum(nil)[:tagLen]
}

// crypt is its own inverse.
func (k *linkKey) crypt(dst, src, siv []byte) { cipher.NewCTR(k.block, siv).XORKeyStream(dst, src) }

func linkEncoding() *base64.Encoding {
	return base64.NewEncoding(linkAlphabet).WithPadding(base64.NoPadding).Strict()
}

// Permalink makes the MSGID of a message: at most 64 characters of
// [A-Za-z0-9.-], showing neither time nor number.
func (a *Auth) Permalink(acct mailstore.AcctID, linkEpoch uint32, msg mailstore.MsgID) string {
	key := a.rings.Current(secret.MSGID)
	k := a.links.of(key)
	var plain [linkPlain]byte
	binary.BigEndian.PutUint64(plain[0:], uint64(acct))
	binary.BigEndian.PutUint64(plain[8:], uint64(msg))
	binary.BigEndian.PutUint32(plain[16:], linkEpoch)
	var raw [linkRaw]byte
	raw[0] = byte(key.ID)
	siv := raw[1 : 1+tagLen]
	copy(siv, k.siv(plain[:]))
	k.crypt(raw[1+tagLen:], plain[:], siv)
	return a.link.EncodeToString(raw[:])
}

// Link is an opened permalink.
type Link struct {
	Acct  mailstore.AcctID
	Msg   mailstore.MsgID
	Epoch uint32
}

// ParsePermalink checks a MSGID in constant time, without a store read. The
// caller compares Epoch with the account's LinkEpoch when it has read it.
func (a *Auth) ParsePermalink(id string) (Link, bool) {
	if len(id) != MSGIDLen {
		return Link{}, false
	}
	var raw [linkRaw + 2]byte
	// Strict decoding refuses a last character with other bits set; a line
	// end, which it skips, makes the result too short.
	if n, err := a.link.Decode(raw[:], []byte(id)); err != nil || n != linkRaw {
		return Link{}, false
	}
	key, ok := a.rings.For(secret.MSGID, secret.KID(raw[0]))
	if !ok {
		return Link{}, false
	}
	k, siv := a.links.of(key), raw[1:1+tagLen]
	var plain [linkPlain]byte
	k.crypt(plain[:], raw[1+tagLen:linkRaw], siv)
	if subtle.ConstantTimeCompare(siv, k.siv(plain[:])) != 1 {
		return Link{}, false
	}
	return Link{
		Acct:  mailstore.AcctID(binary.BigEndian.Uint64(plain[0:])),
		Msg:   mailstore.MsgID(binary.BigEndian.Uint64(plain[8:])),
		Epoch: binary.BigEndian.Uint32(plain[16:]),
	}, true
}
