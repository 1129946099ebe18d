package secret

import (
	"bytes"
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/eidermail/eider/internal/kv"
)

// tag is the first byte of all keys of this package: 'K', kind, and the id in
// four bytes. Each row is its own domain and its own guard.
const tag = 'K'

// Certificate is the number, beside the kinds, under which package certs keeps
// its row: it is no ring, but lies with the secrets.
const Certificate = 0x80

// errRow says that a row cannot be read. It names no value.
var errRow = errors.New("secret: unreadable key row")

// rowVersion is the first byte of every value.
const rowVersion = 1

// The fields of a row. Unknown ones survive a rewrite.
const (
	fieldSecret    protowire.Number = 1
	fieldPublished protowire.Number = 2 // seconds since 1970
	fieldSigns     protowire.Number = 3
	fieldVerifies  protowire.Number = 4 // absent: for ever
)

// RowKey is the store key of one key of a ring.
func RowKey(k Kind, id KID) []byte { return []byte{tag, byte(k), 0, 0, 0, byte(id)} }

// Rows is the range of all key rows.
func Rows() kv.Range { return kv.Prefix([]byte{tag}) }

// stored is a row taken apart.
type stored struct {
	key     Key
	unknown []byte
}

func (s stored) encode() []byte {
	b := []byte{rowVersion}
	b = protowire.AppendBytes(protowire.AppendTag(b, fieldSecret, protowire.BytesType), s.key.secret[:])
	for _, f := range []struct {
		n protowire.Number
		t time.Time
	}{{fieldPublished, s.key.Published}, {fieldSigns, s.key.SignsFrom}, {fieldVerifies, s.key.VerifiesUntil}} {
		if !f.t.IsZero() {
			b = protowire.AppendVarint(protowire.AppendTag(b, f.n, protowire.VarintType), uint64(f.t.Unix()))
		}
	}
	return append(b, s.unknown...)
}

// decode reads a row.
func decode(it kv.Item) (stored, error) {
	var s stored
	if len(it.Key) != 6 || len(it.Value) == 0 || it.Value[0] != rowVersion {
		return s, errRow
	}
	s.key.kind, s.key.ID = Kind(it.Key[1]), KID(it.Key[5])
	if !bytes.Equal(it.Key, RowKey(s.key.kind, s.key.ID)) {
		return s, errRow
	}
	haveSecret := false
	for b := it.Value[1:]; len(b) > 0; {
		f, t, n := protowire.ConsumeTag(b)
		if n < 0 {
			return stored{}, errRow
		}
		m := protowire.ConsumeFieldValue(f, t, b[n:])
		if m < 0 {
			return stored{}, errRow
		}
		switch {
		case f == fieldSecret && t == protowire.BytesType:
			v, _ := protowire.ConsumeBytes(b[n:])
			if len(v) != Size {
				return stored{}, errRow
			}
			copy(s.key.secret[:], v)
			haveSecret = true
		case f >= fieldPublished && f <= fieldVerifies && t == protowire.VarintType:
			v, _ := protowire.ConsumeVarint(b[n:])
			at := time.Unix(int64(v), 0)
			switch f {
			case fieldPublished:
				s.key.Published = at
			case fieldSigns:
				s.key.SignsFrom = at
			case fieldVerifies:
				s.key.VerifiesUntil = at
			}
		default:
			s.unknown = append(s.unknown, b[:n+m]...)
		}
		b = b[n+m:]
	}
	if !haveSecret || s.key.ID == 0 {
		return stored{}, errRow
	}
	return s, nil
}
