package row

import (
	"hash"
	"hash/crc32"
)

// The kinds of body.
const (
	Inline = 0 // the bytes stand in the row
	InBlob = 1 // the bytes are one blob
)

// The codecs of bodies and blobs. More come with compression.
const Plain = 0

// BodyRow is the value of a Body row: the recipe of a message's bytes. Today
// that is the bytes themselves or one blob; a recipe of shared parts will be
// one more kind.
type BodyRow struct {
	Kind  uint8
	Codec uint8
	Size  int64
	CRC   uint32 // CRC-32C of the message
	Blob  BlobID
	Data  []byte // part of the value it was decoded from
}

// Append encodes r. With Inline, the caller appends the bytes to the result
// itself, so that a message is copied once: r.Size of them if they are plain,
// else as many as r.Data has.
func (r *BodyRow) Append(b []byte) []byte {
	b = append(b, version)
	b = putU64(b, 1, uint64(r.Kind))
	b = putU64(b, 2, uint64(r.Codec))
	b = putI64(b, 3, r.Size)
	b = putU64(b, 4, uint64(r.CRC))
	if r.Kind == InBlob {
		return putBytes(b, 5, r.Blob[:])
	}
	if r.Codec != Plain {
		return appendLen(b, 15, len(r.Data))
	}
	return appendLen(b, 15, int(r.Size))
}

// NewChecksum computes a body's CRC as it is read: CRC-32C, which processors
// have an instruction for.
func NewChecksum() hash.Hash32 { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }

// Checksum is the CRC of a body that is in memory.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// MaxBodyHead is more than Append adds to an inline message's own bytes.
const MaxBodyHead = 48

// DecodeBody is the inverse of Append.
func DecodeBody(b []byte) (r BodyRow, err error) {
	f := open(b)
	for f.next() {
		switch f.num {
		case 1:
			r.Kind = f.u8()
		case 2:
			r.Codec = f.u8()
		case 3:
			r.Size = f.i64()
		case 4:
			r.CRC = f.u32()
		case 5:
			r.Blob = f.id()
		case 15:
			r.Data = f.bytes()
		}
	}
	if f.err == nil && r.Kind == Inline && r.Codec == Plain && int64(len(r.Data)) != r.Size {
		f.fail("size differs from the bytes")
	}
	return r, f.err
}

// The states of a blob and of an upload.
const (
	BlobLive      = 0
	BlobCondemned = 1
	UploadLive    = 0
	UploadDead    = 1
)

// BlobRow is the value of a Blob row.
type BlobRow struct {
	State   uint8
	Codec   uint8
	Size    int64
	Upload  UploadID
	Chunks  uint32
	Created int64
	unknown []byte
}

// Append encodes r.
func (r *BlobRow) Append(b []byte) []byte {
	b = append(b, version)
	b = putU64(b, 1, uint64(r.State))
	b = putU64(b, 2, uint64(r.Codec))
	b = putI64(b, 3, r.Size)
	b = putU64(b, 4, uint64(r.Upload))
	b = putU64(b, 5, uint64(r.Chunks))
	b = putI64(b, 6, r.Created)
	return append(b, r.unknown...)
}

// DecodeBlob is the inverse of Append.
func DecodeBlob(b []byte) (r BlobRow, err error) {
	f := open(b)
	for f.next() {
		switch f.num {
		case 1:
			r.State = f.u8()
		case 2:
			r.Codec = f.u8()
		case 3:
			r.Size = f.i64()
		case 4:
			r.Upload = UploadID(f.u64())
		case 5:
			r.Chunks = f.u32()
		case 6:
			r.Created = f.i64()
		default:
			r.unknown = f.keep(r.unknown)
		}
	}
	return r, f.err
}

// AppendUpload encodes the value of an Upload row: its state.
func AppendUpload(b []byte, state uint8) []byte { return putU64(append(b, version), 1, uint64(state)) }

// DecodeUpload is the inverse of AppendUpload.
func DecodeUpload(b []byte) (state uint8, err error) {
	f := open(b)
	for f.next() {
		if f.num == 1 {
			state = f.u8()
		}
	}
	return state, f.err
}
