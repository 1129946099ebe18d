package row

import (
	"math"
	"time"
)

// The states of an account and of a mailbox.
const (
	Live     = 0
	Deleting = 1 // its names are free; its rows are being removed
)

// HeadRow is the value of a Head row: the guarded head of an account.
type HeadRow struct {
	ModSeq   uint64 // the last one given out
	NextMsg  uint64
	NextMbox uint32
	// NextValidity is the next UIDVALIDITY.
	NextValidity uint32
	Epoch        uint64 // of the last write
	State        uint8
	Bytes        int64
	Messages     int64
	Mailboxes    uint32 // live ones
	// FirstMsg: there is no message with a lower id. A hint for finding the oldest.
	FirstMsg uint64

	LimitRetention int64 // seconds; 0: the server's default, -1: kept for ever
	LimitBytes     int64
	LimitMessages  int64

	Address   string
	Names     []string // keys of its N rows
	Name      string
	Label     string
	Created   int64 // Unix seconds
	LastUsed  int64 // day of last use, Unix seconds; 0: never
	Idle      int64 // seconds without use after which it goes; 0: never
	Deadline  uint32
	CredEpoch uint32
	LinkEpoch uint32
	Generated bool
	CatchAll  bool
	Disabled  bool
	Defaults  bool  // the default mailboxes were made once
	Until     int64 // Unix seconds; the account goes then, used or not; 0: never
	LinksOff  bool  // permalinks of the account open nothing

	unknown []byte
}

// Ends is when the account goes if it is not used from now on, or because its
// time is set; unused is how long one lives that was never used. 0: never.
func (h *HeadRow) Ends(unused time.Duration) uint32 {
	const day = 24 * 60 * 60
	var idle int64
	switch {
	case h.Idle <= 0:
	case h.LastUsed == 0:
		idle = h.Created + min(h.Idle, int64(unused/time.Second))
	default: // LastUsed is the start of a day: the whole day counts as used
		idle = h.LastUsed + day + h.Idle
	}
	if h.Until != 0 && (idle == 0 || h.Until < idle) {
		idle = h.Until
	}
	return uint32(min(max(idle, 0), math.MaxUint32))
}

// Append encodes h.
func (h *HeadRow) Append(b []byte) []byte {
	b = append(b, version)
	b = putU64(b, 1, h.ModSeq)
	b = putU64(b, 2, h.NextMsg)
	b = putU64(b, 3, uint64(h.NextMbox))
	b = putU64(b, 4, uint64(h.NextValidity))
	b = putU64(b, 5, h.Epoch)
	b = putU64(b, 6, uint64(h.State))
	b = putI64(b, 7, h.Bytes)
	b = putI64(b, 8, h.Messages)
	b = putU64(b, 9, uint64(h.Mailboxes))
	b = putU64(b, 10, h.FirstMsg)
	b = putI64(b, 11, h.LimitRetention)
	b = putI64(b, 12, h.LimitBytes)
	b = putI64(b, 13, h.LimitMessages)
	b = putStr(b, 14, h.Address)
	b = putStrs(b, 15, h.Names)
	b = putStr(b, 16, h.Name)
	b = putStr(b, 17, h.Label)
	b = putI64(b, 18, h.Created)
	b = putI64(b, 19, h.LastUsed)
	b = putI64(b, 20, h.Idle)
	b = putU64(b, 21, uint64(h.Deadline))
	b = putU64(b, 22, uint64(h.CredEpoch))
	b = putU64(b, 23, uint64(h.LinkEpoch))
	b = putBool(b, 24, h.Generated)
	b = putBool(b, 25, h.CatchAll)
	b = putBool(b, 26, h.Disabled)
	b = putBool(b, 27, h.Defaults)
	b = putI64(b, 28, h.Until)
	b = putBool(b, 29, h.LinksOff)
	return append(b, h.unknown...)
}

// DecodeHead is the inverse of Append.
func DecodeHead(b []byte) (h HeadRow, err error) {
	f := open(b)
	for f.next() {
		if h.counts(&f) {
			continue
		}
		switch f.num {
		case 14:
			h.Address = f.str()
		case 15:
			h.Names = append(h.Names, f.str())
		case 16:
			h.Name = f.str()
		case 17:
			h.Label = f.str()
		case 18:
			h.Created = f.i64()
		case 19:
			h.LastUsed = f.i64()
		case 20:
			h.Idle = f.i64()
		case 21:
			h.Deadline = f.u32()
		case 22:
			h.CredEpoch = f.u32()
		case 23:
			h.LinkEpoch = f.u32()
		case 24:
			h.Generated = f.bool()
		case 25:
			h.CatchAll = f.bool()
		case 26:
			h.Disabled = f.bool()
		case 27:
			h.Defaults = f.bool()
		case 28:
			h.Until = f.i64()
		case 29:
			h.LinksOff = f.bool()
		default:
			h.unknown = f.keep(h.unknown)
		}
	}
	return h, f.err
}

// counts takes the numeric fields, which every write changes.
func (h *HeadRow) counts(f *fields) bool {
	switch f.num {
	case 1:
		h.ModSeq = f.u64()
	case 2:
		h.NextMsg = f.u64()
	case 3:
		h.NextMbox = f.u32()
	case 4:
		h.NextValidity = f.u32()
	case 5:
		h.Epoch = f.u64()
	case 6:
		h.State = f.u8()
	case 7:
		h.Bytes = f.i64()
	case 8:
		h.Messages = f.i64()
	case 9:
		h.Mailboxes = f.u32()
	case 10:
		h.FirstMsg = f.u64()
	case 11:
		h.LimitRetention = f.i64()
	case 12:
		h.LimitBytes = f.i64()
	case 13:
		h.LimitMessages = f.i64()
	default:
		return false
	}
	return true
}

// AppendAcct encodes the value of a Name row.
func AppendAcct(b []byte, acct uint64) []byte { return putU64(append(b, version), 1, acct) }

// DecodeAcct is the inverse of AppendAcct.
func DecodeAcct(b []byte) (acct uint64, err error) {
	f := open(b)
	for f.next() {
		if f.num == 1 {
			acct = f.u64()
		}
	}
	return acct, f.err
}

// AppendCount encodes the value of a Count row.
func AppendCount(b []byte, n int64) []byte { return putI64(append(b, version), 1, n) }

// DecodeCount is the inverse of AppendCount; an absent row is 0.
func DecodeCount(b []byte) (n int64, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	f := open(b)
	for f.next() {
		if f.num == 1 {
			n = f.i64()
		}
	}
	return n, f.err
}

// FormatVersion is the layout that this program writes and reads.
const FormatVersion = 1

// Installation is the value of the Format row.
type Installation struct {
	Format  uint32
	ID      []byte // random, made at the first start
	Created int64
	Counted bool // the Count rows are there
	// BlobKey is the secret by which shared parts are named: without it nobody
	// can tell from a name, or find one that collides, what was stored.
	BlobKey []byte
	unknown []byte
}

// Append encodes i.
func (i *Installation) Append(b []byte) []byte {
	b = append(b, version)
	b = putU64(b, 1, uint64(i.Format))
	b = putBytes(b, 2, i.ID)
	b = putI64(b, 3, i.Created)
	b = putBool(b, 4, i.Counted)
	b = putBytes(b, 5, i.BlobKey)
	return append(b, i.unknown...)
}

// DecodeInstallation is the inverse of Append.
func DecodeInstallation(b []byte) (i Installation, err error) {
	f := open(b)
	for f.next() {
		switch f.num {
		case 1:
			i.Format = f.u32()
		case 2:
			i.ID = f.bytes()
		case 3:
			i.Created = f.i64()
		case 4:
			i.Counted = f.bool()
		case 5:
			i.BlobKey = f.bytes()
		default:
			i.unknown = f.keep(i.unknown)
		}
	}
	return i, f.err
}
