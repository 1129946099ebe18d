package row

// EntryRow is the value of an Entry row.
type EntryRow struct {
	Msg      uint64
	Flags    uint8
	Keywords []string
	ModSeq   uint64
	Internal int64 // Unix seconds
	Saved    int64 // Unix seconds
	Size     int64
	Expire   uint32 // Unix seconds; 0: never
	unknown  []byte
}

// Append encodes e.
func (e *EntryRow) Append(b []byte) []byte {
	b = append(b, version)
	b = putU64(b, 1, e.Msg)
	b = putU64(b, 2, uint64(e.Flags))
	b = putStrs(b, 3, e.Keywords)
	b = putU64(b, 4, e.ModSeq)
	b = putI64(b, 5, e.Internal)
	b = putI64(b, 6, e.Saved-e.Internal) // mostly 0, so mostly no bytes
	b = putI64(b, 7, e.Size)
	b = putU64(b, 8, uint64(e.Expire))
	return append(b, e.unknown...)
}

// DecodeEntry is the inverse of Append.
func DecodeEntry(b []byte) (e EntryRow, err error) {
	f := open(b)
	for f.next() {
		switch f.num {
		case 1:
			e.Msg = f.u64()
		case 2:
			e.Flags = f.u8()
		case 3:
			e.Keywords = append(e.Keywords, f.str())
		case 4:
			e.ModSeq = f.u64()
		case 5:
			e.Internal = f.i64()
		case 6:
			e.Saved = f.i64()
		case 7:
			e.Size = f.i64()
		case 8:
			e.Expire = f.u32()
		default:
			e.unknown = f.keep(e.unknown)
		}
	}
	e.Saved += e.Internal
	return e, f.err
}
