package account

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// Credential is the stored form of one account's password: a version byte and
// tagged fields; opaque to all but this package.
type Credential []byte

// String shows nothing of what is in it.
func (c Credential) String() string { return "[credential]" }

// GoString shows nothing of what is in it.
func (c Credential) GoString() string { return "[credential]" }

// ErrFormat says that a credential is damaged or of a version from the future.
var ErrFormat = errors.New("account: unreadable credential")

// Class is how a password came to be, and so how it is kept.
type Class uint8

// The classes.
const (
	// Generated passwords are kept as a keyed hash.
	Generated Class = 1
	// Chosen passwords are kept as argon2id.
	Chosen Class = 2
)

// version is the first byte of every credential. It changes only when old
// programs must not touch the rest; new fields do not need it.
const version = 1

// Limit: bytes of one stored credential.
const MaxCredential = 4096

// The fields. Numbers are never used again for something else.
const (
	fieldClass      protowire.Number = 1
	fieldKey        protowire.Number = 2 // id of the installation's password key
	fieldHash       protowire.Number = 3 // keyed hash, or argon2id
	fieldSalt       protowire.Number = 4 // of argon2id
	fieldMemory     protowire.Number = 5 // of argon2id, KiB
	fieldTime       protowire.Number = 6 // of argon2id
	fieldThreads    protowire.Number = 7 // of argon2id
	fieldScramIter  protowire.Number = 8
	fieldScramSalt  protowire.Number = 9
	fieldScramKey   protowire.Number = 10 // StoredKey
	fieldScramSrv   protowire.Number = 11 // ServerKey
	largestNumber                    = 1 << 22
	largestArgonMem                  = 64 << 10 // KiB; a damaged row must not ask for more
)

// Record is a Credential taken apart.
type Record struct {
	Class Class
	Key   uint32
	Hash  []byte
	Argon Argon
	Scram Verifier
	// unknown holds the fields of later programs, byte for byte.
	unknown []byte
}

// Argon are the salt and the costs of one argon2id hash (RFC 9106).
type Argon struct {
	Salt    []byte
	Memory  uint32 // KiB
	Time    uint32
	Threads uint8
}

// Encode writes r; fields that Decode did not know are written again.
func (r Record) Encode() Credential {
	b := []byte{version}
	num := func(f protowire.Number, v uint64) {
		if v != 0 {
			b = protowire.AppendVarint(protowire.AppendTag(b, f, protowire.VarintType), v)
		}
	}
	str := func(f protowire.Number, v []byte) {
		if len(v) != 0 {
			b = protowire.AppendBytes(protowire.AppendTag(b, f, protowire.BytesType), v)
		}
	}
	num(fieldClass, uint64(r.Class))
	num(fieldKey, uint64(r.Key))
	str(fieldHash, r.Hash)
	str(fieldSalt, r.Argon.Salt)
	num(fieldMemory, uint64(r.Argon.Memory))
	num(fieldTime, uint64(r.Argon.Time))
	num(fieldThreads, uint64(r.Argon.Threads))
	num(fieldScramIter, uint64(r.Scram.Iterations))
	str(fieldScramSalt, r.Scram.Salt)
	str(fieldScramKey, r.Scram.StoredKey)
	str(fieldScramSrv, r.Scram.ServerKey)
	return append(b, r.unknown...)
}

// Decode takes c apart. It fails on a version it does not know, on damage, and
// on numbers that no program of ours wrote.
func (c Credential) Decode() (Record, error) {
	var r Record
	if len(c) == 0 || len(c) > MaxCredential || c[0] != version {
		return Record{}, ErrFormat
	}
	for b := []byte(c[1:]); len(b) > 0; {
		f, t, n := protowire.ConsumeTag(b)
		if n < 0 {
			return Record{}, ErrFormat
		}
		m := protowire.ConsumeFieldValue(f, t, b[n:])
		if m < 0 {
			return Record{}, ErrFormat
		}
		field, value := b[:n+m], b[n:n+m]
		b = b[n+m:]
		if known, err := r.set(f, t, value); err != nil {
			return Record{}, err
		} else if !known {
			r.unknown = append(r.unknown, field...)
		}
	}
	if r.Class != Generated && r.Class != Chosen {
		return Record{}, ErrFormat
	}
	return r, nil
}

// set stores one field and tells whether it was one we know.
func (r *Record) set(f protowire.Number, t protowire.Type, value []byte) (bool, error) {
	switch t {
	case protowire.VarintType:
		v, _ := protowire.ConsumeVarint(value)
		return r.setNumber(f, v)
	case protowire.BytesType:
		v, _ := protowire.ConsumeBytes(value)
		return r.setBytes(f, v), nil
	}
	return false, nil
}

func (r *Record) setNumber(f protowire.Number, v uint64) (bool, error) {
	if f >= fieldClass && f <= fieldScramSrv && v > largestNumber {
		return false, ErrFormat
	}
	switch f {
	case fieldClass:
		r.Class = Class(min(v, 255))
	case fieldKey:
		r.Key = uint32(v)
	case fieldMemory:
		if v > largestArgonMem {
			return false, ErrFormat
		}
		r.Argon.Memory = uint32(v)
	case fieldTime:
		if v > 64 {
			return false, ErrFormat
		}
		r.Argon.Time = uint32(v)
	case fieldThreads:
		r.Argon.Threads = uint8(min(v, 4))
	case fieldScramIter:
		r.Scram.Iterations = int(v)
	default:
		return false, nil
	}
	return true, nil
}

func (r *Record) setBytes(f protowire.Number, v []byte) bool {
	switch f {
	case fieldHash:
		r.Hash = v
	case fieldSalt:
		r.Argon.Salt = v
	case fieldScramSalt:
		r.Scram.Salt = v
	case fieldScramKey:
		r.Scram.StoredKey = v
	case fieldScramSrv:
		r.Scram.ServerKey = v
	default:
		return false
	}
	return true
}
