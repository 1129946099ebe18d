package lease

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/eidermail/eider/internal/kv"
)

// version is the first byte of a lease's row.
const version = 1

// The fields of a lease's row.
const (
	fieldHolder = 1 + iota
	fieldUntil  // Unix milliseconds
	fieldState
)

// record is the row of a lease. Fields that this version does not know survive.
type record struct {
	holder []byte
	until  time.Time
	state  []byte
	rest   []byte
}

func (r record) encode() []byte {
	b := []byte{version}
	if len(r.holder) > 0 {
		b = protowire.AppendTag(b, fieldHolder, protowire.BytesType)
		b = protowire.AppendBytes(b, r.holder)
		b = protowire.AppendTag(b, fieldUntil, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(r.until.UnixMilli()))
	}
	if len(r.state) > 0 {
		b = protowire.AppendTag(b, fieldState, protowire.BytesType)
		b = protowire.AppendBytes(b, r.state)
	}
	return append(b, r.rest...)
}

func decode(b []byte) (r record, err error) {
	if len(b) == 0 {
		return r, nil // nobody has held it yet
	}
	if b[0] != version {
		return r, fmt.Errorf("%w: lease row of version %d", kv.ErrCorrupt, b[0])
	}
	for b = b[1:]; len(b) > 0; {
		num, typ, size := protowire.ConsumeField(b)
		if size < 0 {
			return r, fmt.Errorf("%w: lease row", kv.ErrCorrupt)
		}
		_, _, tag := protowire.ConsumeTag(b)
		field := b[tag:size]
		switch {
		case num == fieldHolder && typ == protowire.BytesType:
			r.holder, _ = protowire.ConsumeBytes(field)
		case num == fieldUntil && typ == protowire.VarintType:
			v, _ := protowire.ConsumeVarint(field)
			r.until = time.UnixMilli(int64(v))
		case num == fieldState && typ == protowire.BytesType:
			r.state, _ = protowire.ConsumeBytes(field)
		default:
			r.rest = append(r.rest, b[:size]...)
		}
		b = b[size:]
	}
	return r, nil
}
