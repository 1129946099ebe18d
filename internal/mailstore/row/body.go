package row

import (
	"hash"
	"hash/crc32"
)

// The kinds of body.
const (
	Inline = 0 // the bytes stand in the row
	InBlob = 1 // the bytes are one blob
	Recipe = 2 // the bytes are put together: see package recipe
)

// The codecs of bodies and blobs.
const (
	// Plain: the bytes as they are.
	Plain = 0
	// Zstd: one frame (RFC 8878), of a body's skeleton.
	Zstd = 1
	// Framed: each chunk of a blob says how it is encoded; see package blob.
	Framed = 2
)

// BodyRow is the value of a Body row: where a message's bytes are.
type BodyRow struct {
	Kind  uint8
	Codec uint8 // of Data
	Size  int64
	CRC   uint32 // CRC-32C of the message
	Blob  BlobID // of InBlob
	Data  []byte // of Inline the message, of Recipe the skeleton; part of the value it was decoded from

	// Of a Recipe.
	Blobs    []BlobID // whose bytes the recipe names by number
	Dict     uint32   // the dictionary of Data, 0 for none
	Raw      int64    // bytes of the skeleton
	RawCRC   uint32   // CRC-32C of the skeleton
	Segments []byte   // encoded by package recipe
	// SkeletonBlob is 0 if the skeleton is Data, else one more than the number
	// of the blob that it is.
	SkeletonBlob uint32
	// Packed is the newest dictionary that the repack has tried on it, 0 for none.
	Packed uint32

	unknown []byte
}

// Append encodes r. With Inline and Plain, the caller appends the bytes to the
// result itself, so that a message is copied once.
func (r *BodyRow) Append(b []byte) []byte {
	b = append(b, version)
	b = putU64(b, 1, uint64(r.Kind))
	b = putU64(b, 2, uint64(r.Codec))
	b = putI64(b, 3, r.Size)
	b = putU64(b, 4, uint64(r.CRC))
	switch {
	case r.Kind == InBlob:
		return append(putBytes(b, 5, r.Blob[:]), r.unknown...)
	case r.Kind == Recipe:
		for i := range r.Blobs {
			b = putBytes(b, 5, r.Blobs[i][:])
		}
		b = putU64(b, 6, uint64(r.Dict))
		b = putI64(b, 7, r.Raw)
		b = putU64(b, 8, uint64(r.RawCRC))
		b = putBytes(b, 9, r.Segments)
		b = putU64(b, 10, uint64(r.SkeletonBlob))
		b = putU64(b, 11, uint64(r.Packed))
		b = append(b, r.unknown...)
		return putBytes(b, 15, r.Data)
	case r.Codec != Plain:
		return appendLen(b, 15, len(r.Data))
	}
	return appendLen(b, 15, int(r.Size))
}

// NewChecksum computes a body's CRC as it is read: CRC-32C, which processors
// have an instruction for.
func NewChecksum() hash.Hash32 { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }

// Checksum is the CRC of a body that is in memory.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

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
			r.Blobs = append(r.Blobs, r.Blob)
		case 6:
			r.Dict = f.u32()
		case 7:
			r.Raw = f.i64()
		case 8:
			r.RawCRC = f.u32()
		case 9:
			r.Segments = f.bytes()
		case 10:
			r.SkeletonBlob = f.u32()
		case 11:
			r.Packed = f.u32()
		case 15:
			r.Data = f.bytes()
		default:
			r.unknown = f.keep(r.unknown)
		}
	}
	if r.Size < 0 || r.Raw < 0 || int64(r.SkeletonBlob) > int64(len(r.Blobs)) {
		f.fail("bad body")
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
	// Stored is the number of bytes of all chunks; 0 where it was not counted.
	Stored int64
	// Dict is the newest dictionary that the repack has tried on its chunks, 0 for none.
	Dict uint32
	// By is the process that condemned it.
	By      uint64
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
	b = putI64(b, 7, r.Stored)
	b = putU64(b, 8, uint64(r.Dict))
	b = putU64(b, 9, r.By)
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
		case 7:
			r.Stored = f.i64()
		case 8:
			r.Dict = f.u32()
		case 9:
			r.By = f.u64()
		default:
			r.unknown = f.keep(r.unknown)
		}
	}
	if r.Size < 0 {
		f.fail("bad size")
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

// DictRow is the value of a Dict row: a compression dictionary, in the form
// that RFC 8878 §5 gives it.
type DictRow struct {
	Created int64
	// Sampled and Saved tell why it is there: bytes of stored mail that it was
	// tried on, and how many fewer they took with it than with the one before.
	Sampled, Saved int64
	Kind           uint8 // of what it is for; see package codec
	// Raw is 0 if Data is the dictionary, else its size, and Data is one zstd frame.
	Raw     int64
	Data    []byte // part of the value it was decoded from
	unknown []byte
}

// Append encodes r.
func (r *DictRow) Append(b []byte) []byte {
	b = append(b, version)
	b = putI64(b, 1, r.Created)
	b = putI64(b, 2, r.Sampled)
	b = putI64(b, 3, r.Saved)
	b = putU64(b, 4, uint64(r.Kind))
	b = putI64(b, 5, r.Raw)
	b = append(b, r.unknown...)
	return putBytes(b, 15, r.Data)
}

// DecodeDict is the inverse of Append.
func DecodeDict(b []byte) (r DictRow, err error) {
	f := open(b)
	for f.next() {
		switch f.num {
		case 1:
			r.Created = f.i64()
		case 2:
			r.Sampled = f.i64()
		case 3:
			r.Saved = f.i64()
		case 4:
			r.Kind = f.u8()
		case 5:
			r.Raw = f.i64()
		case 15:
			r.Data = f.bytes()
		default:
			r.unknown = f.keep(r.unknown)
		}
	}
	return r, f.err
}
