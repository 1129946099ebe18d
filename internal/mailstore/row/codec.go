package row

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// version is the first byte of every value that has fields.
const version = 1

// ErrCorrupt is the answer to a value that cannot be read.
var ErrCorrupt = errors.New("row: value is corrupt")

// fields walks the tagged fields of a value.
type fields struct {
	b   []byte // what is left
	num protowire.Number
	typ protowire.Type
	v   uint64 // of a varint
	p   []byte // of a length-delimited field; part of the value, not a copy
	raw []byte // the field with its tag
	err error
}

// open checks the version byte.
func open(b []byte) fields {
	if len(b) == 0 {
		return fields{err: fmt.Errorf("%w: empty", ErrCorrupt)}
	}
	if b[0] != version {
		return fields{err: fmt.Errorf("%w: value version %d, this program knows %d", ErrCorrupt, b[0], version)}
	}
	return fields{b: b[1:]}
}

// next steps to the next field; false at the end or on an error.
func (f *fields) next() bool {
	if f.err != nil || len(f.b) == 0 {
		return false
	}
	num, typ, n := protowire.ConsumeTag(f.b)
	if n < 0 {
		return f.fail("bad tag")
	}
	f.num, f.typ, f.v, f.p = num, typ, 0, nil
	m := 0
	switch typ {
	case protowire.VarintType:
		f.v, m = protowire.ConsumeVarint(f.b[n:])
	case protowire.BytesType:
		f.p, m = protowire.ConsumeBytes(f.b[n:])
	default:
		m = protowire.ConsumeFieldValue(num, typ, f.b[n:])
	}
	if m < 0 {
		return f.fail("bad field")
	}
	f.raw, f.b = f.b[:n+m], f.b[n+m:]
	return true
}

func (f *fields) fail(what string) bool {
	if f.err == nil {
		f.err = fmt.Errorf("%w: %s, field %d", ErrCorrupt, what, f.num)
	}
	return false
}

func (f *fields) u64() uint64 {
	if f.typ != protowire.VarintType {
		f.fail("not a number")
	}
	return f.v
}

func (f *fields) u32() uint32 {
	if v := f.u64(); v <= math.MaxUint32 {
		return uint32(v)
	}
	f.fail("number too large")
	return 0
}

func (f *fields) u8() uint8 {
	if v := f.u64(); v <= math.MaxUint8 {
		return uint8(v)
	}
	f.fail("number too large")
	return 0
}

func (f *fields) i64() int64 { return protowire.DecodeZigZag(f.u64()) }
func (f *fields) bool() bool { return f.u64() != 0 }

func (f *fields) bytes() []byte {
	if f.typ != protowire.BytesType {
		f.fail("not bytes")
	}
	return f.p
}

func (f *fields) str() string { return string(f.bytes()) }

func (f *fields) id() (id BlobID) {
	if p := f.bytes(); len(p) == len(id) {
		return BlobID(p)
	}
	f.fail("not an id")
	return id
}

// keep saves a field that this version does not know.
func (f *fields) keep(unknown []byte) []byte { return append(unknown, f.raw...) }

// The put functions leave out zero values.

func putU64(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func putI64(b []byte, num protowire.Number, v int64) []byte {
	return putU64(b, num, protowire.EncodeZigZag(v))
}

func putBool(b []byte, num protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return putU64(b, num, 1)
}

func putBytes(b []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func putStr(b []byte, num protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
}

// putStrs writes every string, the empty ones too.
func putStrs(b []byte, num protowire.Number, vs []string) []byte {
	for _, v := range vs {
		b = protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
	}
	return b
}

// appendLen begins a bytes field whose n bytes the caller appends.
func appendLen(b []byte, num protowire.Number, n int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.BytesType), uint64(n))
}
