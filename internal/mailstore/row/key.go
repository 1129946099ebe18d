// Package row is the layout of the store: the keys and the values of every
// kind of row. Keys are order-preserving tuples of a tag byte and fixed-width
// big-endian fields. Values are a version byte and tagged fields (protobuf
// wire form); fields that this version does not know survive a rewrite, so
// that an older node beside a newer one drops nothing. Decoders never panic
// and never keep more memory than the value they were given.
package row

import (
	"crypto/sha256"
	"encoding/binary"
)

// The tags: the first byte of every key.
const (
	TagFormat       = 'V' // format version, installation id
	TagKeyRing      = 'K' // kind, kid: a secret
	TagHead         = 'A' // acct
	TagName         = 'N' // normalised address
	TagMailbox      = 'M' // acct, mbox
	TagMailboxName  = 'm' // acct, name
	TagSubscription = 's' // acct, name
	TagCredential   = 'c' // acct
	TagEntry        = 'E' // acct, mbox, uid
	TagInfo         = 'X' // acct, msgid
	TagBody         = 'S' // acct, msgid
	TagThread       = 't' // acct, hash of a Message-ID
	TagLog          = 'J' // acct, mbox, modseq
	TagDeadline     = 'T' // shard, time, acct, mbox, uid
	TagLease        = 'W' // shard
	TagBlob         = 'B' // blob
	TagChunk        = 'C' // blob, upload, number
	TagLink         = 'L' // blob, acct, msgid
	TagGarbage      = 'G' // shard, day, blob, who
	TagUpload       = 'U' // shard, time, upload, blob
	TagCount        = 'Q' // count shard: how many accounts live
	TagOperator     = 'O' // what the operator decided while servers run
	TagDict         = 'Z' // id: a compression dictionary

	// Reserved for what comes later, so that nobody takes them for something else.
	TagDelivery = 'D' // acct, hash of a queue id: delivery dedup
	TagToken    = 'k' // acct, token id: API tokens
	TagPack     = 'P' // packs of small rows
	TagNode     = 'H' // node heartbeats
	TagCert     = 'F' // ACME storage
	TagSearch   = 'i' // acct: search segments
)

// Dense are the tags of rows whose values are compressed, ascending.
func Dense() []byte { return []byte{TagChunk, TagBody} }

// Shards is how many ways time-ordered rows are spread.
const Shards = 16

// CountShards is how many ways the number of accounts is spread, so that many
// can be made at once.
const CountShards = 64

// nameKeyBytes is how much of a mailbox name stands in its key as it is; the
// rest of a longer one is hashed, for a key has at most 512 bytes.
const nameKeyBytes = 400

// BlobID names a blob. UploadID names one attempt to store one.
type (
	BlobID   [16]byte
	UploadID uint64
)

func key(tag byte, n int) []byte { return append(make([]byte, 0, 1+n), tag) }

func u32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
func u64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// Shard is the shard of an account's time-ordered rows.
func Shard(acct uint64) byte {
	// Account ids are random, yet folded so that a test's small ids spread too.
	acct *= 0x9e3779b97f4a7c15
	return byte(acct >> 60)
}

// Format is the key of the format row.
func Format() []byte { return []byte{TagFormat} }

// KeyRing is the key of one secret.
func KeyRing(kind byte, kid uint32) []byte { return u32(append(key(TagKeyRing, 5), kind), kid) }

// KeyRings is the prefix of all secrets of a kind.
func KeyRings(kind byte) []byte { return []byte{TagKeyRing, kind} }

// Head is the key of an account's head.
func Head(acct uint64) []byte { return u64(key(TagHead, 8), acct) }

// Name is the key of a login or address in its normal form.
func Name(name string) []byte { return append(key(TagName, len(name)), name...) }

// Credential is the key of an account's password.
func Credential(acct uint64) []byte { return u64(key(TagCredential, 8), acct) }

// Mailbox is the key of a mailbox.
func Mailbox(acct uint64, mbox uint32) []byte { return u32(u64(key(TagMailbox, 12), acct), mbox) }

// MailboxName is the key that finds a mailbox by its normal name.
func MailboxName(acct uint64, name string) []byte { return nameKey(TagMailboxName, acct, name) }

// Subscription is the key of a subscription.
func Subscription(acct uint64, name string) []byte { return nameKey(TagSubscription, acct, name) }

func nameKey(tag byte, acct uint64, name string) []byte {
	b := u64(key(tag, 8+min(len(name), nameKeyBytes+sha256.Size)), acct)
	if len(name) <= nameKeyBytes {
		return append(b, name...)
	}
	sum := sha256.Sum256([]byte(name))
	return append(append(b, name[:nameKeyBytes]...), sum[:]...)
}

// Entry is the key of one row of a mailbox.
func Entry(acct uint64, mbox, uid uint32) []byte {
	return u32(u32(u64(key(TagEntry, 16), acct), mbox), uid)
}

// Entries is the prefix of a mailbox's rows.
func Entries(acct uint64, mbox uint32) []byte { return u32(u64(key(TagEntry, 12), acct), mbox) }

// Info is the key of what belongs to a message.
func Info(acct, msg uint64) []byte { return u64(u64(key(TagInfo, 16), acct), msg) }

// Body is the key of a message's bytes, or of where they are.
func Body(acct, msg uint64) []byte { return u64(u64(key(TagBody, 16), acct), msg) }

// Thread is the key that finds a thread by the hash of a Message-ID.
func Thread(acct, hash uint64) []byte { return u64(u64(key(TagThread, 16), acct), hash) }

// ThreadHash is the hash of a Message-ID in Thread keys.
func ThreadHash(id string) uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.BigEndian.Uint64(sum[:])
}

// Log is the key of a change-log record.
func Log(acct uint64, mbox uint32, modseq uint64) []byte {
	return u64(u32(u64(key(TagLog, 20), acct), mbox), modseq)
}

// Logs is the prefix of a mailbox's change log.
func Logs(acct uint64, mbox uint32) []byte { return u32(u64(key(TagLog, 12), acct), mbox) }

// OfAccount is the prefix of an account's rows of one kind; the tag's keys
// must have the account as their first field.
func OfAccount(tag byte, acct uint64) []byte { return u64(key(tag, 8), acct) }

// Deadline is the key of a row's expiry. Mailbox and UID 0 is the account's
// own deadline, UID 0 that of a mailbox being deleted.
func Deadline(at uint32, acct uint64, mbox, uid uint32) []byte {
	b := append(key(TagDeadline, 21), Shard(acct))
	return u32(u32(u64(u32(b, at), acct), mbox), uid)
}

// Deadlines is the start of a shard's deadlines at or after a time.
func Deadlines(shard byte, at uint32) []byte { return u32(append(key(TagDeadline, 5), shard), at) }

// Lease is the key of a background loop's lease.
func Lease(shard byte) []byte { return []byte{TagLease, shard} }

// Node is the key of a server's heartbeat.
func Node(id uint64) []byte { return u64(key(TagNode, 8), id) }

// Blob is the key of a blob's header.
func Blob(id BlobID) []byte { return append(key(TagBlob, len(id)), id[:]...) }

// Chunk is the key of one chunk of a blob.
func Chunk(id BlobID, up UploadID, n uint32) []byte { return u32(Chunks(id, up), n) }

// Chunks is the prefix of the chunks of one upload.
func Chunks(id BlobID, up UploadID) []byte {
	return u64(append(key(TagChunk, len(id)+12), id[:]...), uint64(up))
}

// Link is the key that says that a message needs a blob.
func Link(id BlobID, acct, msg uint64) []byte {
	return u64(u64(append(key(TagLink, len(id)+16), id[:]...), acct), msg)
}

// Links is the prefix of a blob's links.
func Links(id BlobID) []byte { return append(key(TagLink, len(id)), id[:]...) }

// Garbage is the key of a candidate for collection: on a day, acct and msg
// unlinked it, or (acct 0) upload msg made or revived it.
func Garbage(day uint32, id BlobID, acct, msg uint64) []byte {
	b := u32(append(key(TagGarbage, 21+len(id)), id[0]%Shards), day)
	return u64(u64(append(b, id[:]...), acct), msg)
}

// Garbages is the prefix of a shard's candidates.
func Garbages(shard byte) []byte { return []byte{TagGarbage, shard} }

// CountShard is the shard of the count in which an account is.
func CountShard(acct uint64) byte { return byte(acct * countFactor >> countShift) }

// AcctOf is an account's id in a shard of the count, never 0; the rest of it is
// as random as r is.
func AcctOf(shard byte, r uint64) uint64 {
	return (uint64(shard)<<countShift | r>>(64-countShift) | 1) * countInverse
}

const (
	countFactor  = 0x9e3779b97f4a7c15
	countInverse = 0xf1de83e19937733d // countFactor * countInverse = 1, modulo 2^64
	countShift   = 58
)

// Count is the key of one shard of the number of accounts.
func Count(shard byte) []byte { return []byte{TagCount, shard} }

// Operator is the key of what the operator decided.
func Operator() []byte { return []byte{TagOperator} }

// Upload is the key of an upload's journal row.
func Upload(at uint32, up UploadID, id BlobID) []byte {
	b := u32(append(key(TagUpload, 13+len(id)), id[0]%Shards), at)
	return append(u64(b, uint64(up)), id[:]...)
}

// Uploads is the prefix of a shard's uploads.
func Uploads(shard byte) []byte { return []byte{TagUpload, shard} }

// Dict is the key of a compression dictionary.
func Dict(id uint32) []byte { return u32(key(TagDict, 4), id) }
