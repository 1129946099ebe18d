package row

// MailboxRow is the value of a Mailbox row.
type MailboxRow struct {
	Name        string
	UIDValidity uint32
	UIDNext     uint32
	Exists      uint32
	Unseen      uint32
	Deleted     uint32
	Bytes       int64
	Highest     uint64 // MODSEQ of the last change
	LogFloor    uint64 // changes at or below it are not in the log
	// LogStart: no log record stands at or below it. Behind LogFloor only
	// after a jump of the epoch, until the old records are trimmed.
	LogStart    uint64
	LogCount    uint32 // records above LogStart
	LogOldest   int64  // Unix seconds of the oldest record
	SpecialUse  string
	ObjectID    uint64
	RecentFloor uint32
	State       uint8
	Created     int64
	Due         uint32 // time of its deadline row while it is being deleted
	unknown     []byte
}

// Append encodes m.
func (m *MailboxRow) Append(b []byte) []byte {
	b = append(b, version)
	b = putStr(b, 1, m.Name)
	b = putU64(b, 2, uint64(m.UIDValidity))
	b = putU64(b, 3, uint64(m.UIDNext))
	b = putU64(b, 4, uint64(m.Exists))
	b = putU64(b, 5, uint64(m.Unseen))
	b = putU64(b, 6, uint64(m.Deleted))
	b = putI64(b, 7, m.Bytes)
	b = putU64(b, 8, m.Highest)
	b = putU64(b, 9, m.LogFloor)
	b = putU64(b, 10, m.LogStart)
	b = putU64(b, 11, uint64(m.LogCount))
	b = putI64(b, 12, m.LogOldest)
	b = putStr(b, 13, m.SpecialUse)
	b = putU64(b, 14, m.ObjectID)
	b = putU64(b, 15, uint64(m.RecentFloor))
	b = putU64(b, 16, uint64(m.State))
	b = putI64(b, 17, m.Created)
	b = putU64(b, 18, uint64(m.Due))
	return append(b, m.unknown...)
}

// DecodeMailbox is the inverse of Append.
func DecodeMailbox(b []byte) (m MailboxRow, err error) {
	f := open(b)
	for f.next() {
		switch f.num {
		case 1:
			m.Name = f.str()
		case 2:
			m.UIDValidity = f.u32()
		case 3:
			m.UIDNext = f.u32()
		case 4:
			m.Exists = f.u32()
		case 5:
			m.Unseen = f.u32()
		case 6:
			m.Deleted = f.u32()
		case 7:
			m.Bytes = f.i64()
		case 8:
			m.Highest = f.u64()
		case 9:
			m.LogFloor = f.u64()
		case 10:
			m.LogStart = f.u64()
		case 11:
			m.LogCount = f.u32()
		case 12:
			m.LogOldest = f.i64()
		case 13:
			m.SpecialUse = f.str()
		case 14:
			m.ObjectID = f.u64()
		case 15:
			m.RecentFloor = f.u32()
		case 16:
			m.State = f.u8()
		case 17:
			m.Created = f.i64()
		case 18:
			m.Due = f.u32()
		default:
			m.unknown = f.keep(m.unknown)
		}
	}
	return m, f.err
}

// AppendMbox encodes the value of a MailboxName row.
func AppendMbox(b []byte, mbox uint32) []byte { return putU64(append(b, version), 1, uint64(mbox)) }

// DecodeMbox is the inverse of AppendMbox.
func DecodeMbox(b []byte) (mbox uint32, err error) {
	f := open(b)
	for f.next() {
		if f.num == 1 {
			mbox = f.u32()
		}
	}
	return mbox, f.err
}

// AppendSubscription encodes the value of a Subscription row: the name as written.
func AppendSubscription(b []byte, name string) []byte { return putStr(append(b, version), 1, name) }

// DecodeSubscription is the inverse of AppendSubscription.
func DecodeSubscription(b []byte) (name string, err error) {
	f := open(b)
	for f.next() {
		if f.num == 1 {
			name = f.str()
		}
	}
	return name, f.err
}
