package row

import "encoding/binary"

// Key is a key taken apart. Fields that its tag does not have are zero.
type Key struct {
	Tag    byte
	Shard  byte
	Kind   byte   // of a KeyRing
	KID    uint32 // of a KeyRing
	Acct   uint64
	Mbox   uint32
	UID    uint32
	Msg    uint64
	ModSeq uint64
	Hash   uint64
	Time   uint32 // seconds; for Garbage, the day
	Name   []byte // the rest of a Name, MailboxName or Subscription key
	Blob   BlobID
	Upload UploadID
	Number uint32 // of a chunk or a dictionary
}

// cutter reads fixed-width fields off the front of a key.
type cutter struct {
	b   []byte
	bad bool
}

func (c *cutter) take(n int) []byte {
	if len(c.b) < n {
		c.bad = true
		return make([]byte, n)
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *cutter) u8() byte         { return c.take(1)[0] }
func (c *cutter) u32() uint32      { return binary.BigEndian.Uint32(c.take(4)) }
func (c *cutter) u64() uint64      { return binary.BigEndian.Uint64(c.take(8)) }
func (c *cutter) blob() BlobID     { return BlobID(c.take(16)) }
func (c *cutter) up() UploadID     { return UploadID(c.u64()) }
func (c *cutter) rest() (b []byte) { b, c.b = c.b, nil; return b }

// ParseKey takes a key apart; ok is false for what no builder of this package makes.
func ParseKey(b []byte) (k Key, ok bool) {
	if len(b) == 0 {
		return k, false
	}
	k.Tag = b[0]
	c := cutter{b: b[1:]}
	switch k.Tag {
	case TagFormat:
	case TagKeyRing:
		k.Kind, k.KID = c.u8(), c.u32()
	case TagHead, TagCredential:
		k.Acct = c.u64()
	case TagName:
		k.Name = c.rest()
	case TagMailbox:
		k.Acct, k.Mbox = c.u64(), c.u32()
	case TagMailboxName, TagSubscription:
		k.Acct, k.Name = c.u64(), c.rest()
	case TagEntry:
		k.Acct, k.Mbox, k.UID = c.u64(), c.u32(), c.u32()
	case TagInfo, TagBody:
		k.Acct, k.Msg = c.u64(), c.u64()
	case TagThread:
		k.Acct, k.Hash = c.u64(), c.u64()
	case TagLog:
		k.Acct, k.Mbox, k.ModSeq = c.u64(), c.u32(), c.u64()
	case TagDeadline:
		k.Shard, k.Time, k.Acct, k.Mbox, k.UID = c.u8(), c.u32(), c.u64(), c.u32(), c.u32()
		c.bad = c.bad || k.Shard != Shard(k.Acct)
	case TagLease:
		k.Shard = c.u8()
	case TagOperator:
	case TagCount:
		k.Shard = c.u8()
		c.bad = c.bad || k.Shard >= CountShards
	case TagBlob:
		k.Blob = c.blob()
	case TagChunk:
		k.Blob, k.Upload, k.Number = c.blob(), c.up(), c.u32()
	case TagLink:
		k.Blob, k.Acct, k.Msg = c.blob(), c.u64(), c.u64()
	case TagGarbage:
		k.Shard, k.Time, k.Blob, k.Acct, k.Msg = c.u8(), c.u32(), c.blob(), c.u64(), c.u64()
		c.bad = c.bad || k.Shard != k.Blob[0]%Shards
	case TagUpload:
		k.Shard, k.Time, k.Upload, k.Blob = c.u8(), c.u32(), c.up(), c.blob()
		c.bad = c.bad || k.Shard != k.Blob[0]%Shards
	case TagDict:
		k.Number = c.u32()
	default:
		return k, false
	}
	return k, !c.bad && len(c.b) == 0
}

// Domain is the guard under which a key may be written: the head of its
// account, the header of its blob, or the key itself. It is nil where there
// are several; see Domains.
func Domain(b []byte) []byte {
	if d := Domains(b); len(d) == 1 {
		return d[0]
	}
	return nil
}

// Domains are the guards of which at least one must be held to write a key:
// candidates (TagGarbage) are written under the account that unlinked, and
// dropped under the blob.
func Domains(b []byte) [][]byte {
	k, ok := ParseKey(b)
	if !ok {
		return [][]byte{b}
	}
	switch k.Tag {
	case TagMailbox, TagMailboxName, TagSubscription, TagCredential, TagEntry, TagInfo, TagBody,
		TagThread, TagLog, TagDeadline, TagLink:
		return [][]byte{Head(k.Acct)}
	case TagChunk, TagUpload:
		return [][]byte{Blob(k.Blob)}
	case TagGarbage:
		return [][]byte{Head(k.Acct), Blob(k.Blob)}
	default:
		return [][]byte{b}
	}
}
