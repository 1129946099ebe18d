package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"time"

	"golang.org/x/crypto/argon2"
)

// The costs of a chosen password: OWASP's second choice for argon2id, about
// 19 MiB and two passes.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonLen     = 32
	saltLen      = 16
)

// Limit: argon2id hashes computed at once; each holds 19 MiB for its time. While
// many wait, it rests for longer than it works: guessers get a quarter of a
// processor at most.
const MaxHashing = 1

// Limit: argon2id hashes waiting for their turn; one more is answered "busy".
const MaxHashQueue = 32

// Limit: how long one argon2id hash waits for its turn before it is answered "busy".
const MaxHashWait = 5 * time.Second

// Limit: bytes of a password.
const MaxPassword = 1024

// MinChosen is the least number of bytes of a password that a person sets.
const MinChosen = 8

// The errors of making and checking.
var (
	// ErrBusy: too many passwords are being checked; try again soon.
	ErrBusy = errors.New("account: too many passwords are being checked")
	// ErrPassword: the password cannot be set: too short, too long, or with a NUL.
	ErrPassword = errors.New("account: password of an unusable length or form")
	// ErrKey: the installation's password key is not there.
	ErrKey = errors.New("account: password key not found")
)

// Pepper computes keyed hashes with the installation's password keys, which
// this package never sees.
type Pepper struct {
	// Current is the id of the key for new credentials.
	Current uint32
	// MAC is a keyed hash of at least 32 bytes, or nil for an unknown key.
	MAC func(key uint32, message []byte) []byte
}

// Hasher makes and checks credentials, and bounds the slow ones.
type Hasher struct {
	turns chan struct{} // holds a token per hash being computed
	line  chan struct{} // holds a token per hash computed or waiting
	wait  time.Duration
	idKey func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte
}

// NewHasher returns a Hasher; a process needs one.
func NewHasher() *Hasher {
	return &Hasher{
		turns: make(chan struct{}, MaxHashing),
		line:  make(chan struct{}, MaxHashing+MaxHashQueue),
		wait:  MaxHashWait,
		idKey: argon2.IDKey,
	}
}

// Generated makes the credential of a password from GeneratePassword or
// DerivePassword. It must not be used for anything a person thought of.
func (h *Hasher) Generated(password string, p Pepper) (Credential, error) {
	sum := keyed(p, p.Current, password)
	if sum == nil {
		return nil, ErrKey
	}
	v, err := newVerifier(password)
	if err != nil {
		return nil, err
	}
	return Record{Class: Generated, Key: p.Current, Hash: sum, Scram: v}.Encode(), nil
}

// Chosen makes the credential of a password that a person set. It waits for
// its turn and may answer ErrBusy.
func (h *Hasher) Chosen(ctx context.Context, password string) (Credential, error) {
	if err := CheckChosen(password); err != nil {
		return nil, err
	}
	a := Argon{Salt: make([]byte, saltLen), Memory: argonMemory, Time: argonTime, Threads: argonThreads}
	rand.Read(a.Salt)
	sum, err := h.argon(ctx, password, a)
	if err != nil {
		return nil, err
	}
	v, err := newVerifier(password)
	if err != nil {
		return nil, err
	}
	return Record{Class: Chosen, Hash: sum, Argon: a, Scram: v}.Encode(), nil
}

// CheckChosen says whether a person may set this password.
func CheckChosen(password string) error {
	if len(password) < MinChosen || len(password) > MaxPassword {
		return ErrPassword
	}
	for i := range len(password) {
		if password[i] == 0 { // cannot be sent by SASL PLAIN
			return ErrPassword
		}
	}
	return nil
}

// Fast is the quick half of a check: true if the password is the generated
// one of r. For a chosen password, and for nil, it does the same work in vain.
func (h *Hasher) Fast(r *Record, password string, p Pepper) bool {
	key, want := p.Current, []byte(nil)
	if r != nil && r.Class == Generated {
		key, want = r.Key, r.Hash
	}
	got := keyed(p, key, password)
	if want == nil {
		want = make([]byte, len(got))
	}
	same := subtle.ConstantTimeCompare(got, want) == 1
	return same && got != nil && r != nil && r.Class == Generated
}

// Slow is the other half, after Fast said no: true if the password is the
// chosen one of r. For a generated password, and for nil, it does the same
// work in vain. It may answer ErrBusy, for all of them alike.
func (h *Hasher) Slow(ctx context.Context, r *Record, password string) (bool, error) {
	a := Argon{Salt: make([]byte, saltLen), Memory: argonMemory, Time: argonTime, Threads: argonThreads}
	var want []byte
	chosen := r != nil && r.Class == Chosen
	if chosen {
		a, want = r.Argon, r.Hash
	}
	got, err := h.argon(ctx, password, a)
	if err != nil {
		return false, err
	}
	if want == nil {
		want = make([]byte, len(got))
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && chosen, nil
}

// keyed is the hash of a generated password; nil if the key is not there.
func keyed(p Pepper, key uint32, password string) []byte {
	if p.MAC == nil || len(password) > MaxPassword {
		return nil
	}
	return p.MAC(key, []byte(Prepare(password)))
}

// argon computes argon2id when its turn has come.
func (h *Hasher) argon(ctx context.Context, password string, a Argon) ([]byte, error) {
	if a.Memory == 0 || a.Time == 0 || a.Threads == 0 || len(a.Salt) < 8 {
		return nil, ErrFormat
	}
	if len(password) > MaxPassword {
		return nil, ErrPassword
	}
	select {
	case h.line <- struct{}{}:
		defer func() { <-h.line }()
	default:
		return nil, ErrBusy
	}
	late := time.NewTimer(h.wait)
	defer late.Stop()
	select {
	case h.turns <- struct{}{}:
	case <-late.C:
		return nil, ErrBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	start := time.Now()
	defer func() {
		if len(h.line) <= crowd {
			<-h.turns
			return
		}
		time.AfterFunc(rest*time.Since(start), func() { <-h.turns })
	}()
	return h.idKey([]byte(Prepare(password)), a.Salt, a.Time, a.Memory, a.Threads, argonLen), nil
}

const (
	// crowd is how many checks under way make the hasher rest between them.
	crowd = 4
	// rest is how much longer than its work that takes.
	rest = 3
)
