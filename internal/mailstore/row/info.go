package row

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/eidermail/eider/internal/message"
	"google.golang.org/protobuf/encoding/protowire"
)

// Place is one Entry row that names a message.
type Place struct{ Mbox, UID uint32 }

// InfoRow is the value of an Info row. Index and Envelope stay encoded until
// somebody asks, for most who read the row want only its places.
type InfoRow struct {
	Size   int64
	Places []Place // every Entry row that names the message: its references
	Thread uint64
	Hashes []uint64 // of the Thread rows it may own
	Blobs  []BlobID // each has a Link row
	// Envelope and Index are parts of the value they were decoded from.
	Envelope []byte
	Index    []byte
	// NoIndex: the index was too large to keep; it is made again from the bytes.
	NoIndex bool
	unknown []byte
}

// Append encodes x.
func (x *InfoRow) Append(b []byte) []byte {
	b = append(b, version)
	b = putI64(b, 1, x.Size)
	b = putPlaces(b, 2, x.Places)
	b = putU64(b, 3, x.Thread)
	if len(x.Hashes) > 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, 4, protowire.BytesType), uint64(8*len(x.Hashes)))
		for _, h := range x.Hashes {
			b = binary.LittleEndian.AppendUint64(b, h)
		}
	}
	for _, id := range x.Blobs {
		b = putBytes(b, 5, id[:])
	}
	b = putBool(b, 6, x.NoIndex)
	b = append(b, x.unknown...)
	b = putBytes(b, 8, x.Envelope)
	return putBytes(b, 9, x.Index)
}

// DecodeInfo is the inverse of Append.
func DecodeInfo(b []byte) (x InfoRow, err error) {
	f := open(b)
	for f.next() {
		switch f.num {
		case 1:
			x.Size = f.i64()
		case 2:
			x.Places = f.places()
		case 3:
			x.Thread = f.u64()
		case 4:
			p := f.bytes()
			if len(p)%8 != 0 {
				f.fail("bad hashes")
				break
			}
			for ; len(p) > 0; p = p[8:] {
				x.Hashes = append(x.Hashes, binary.LittleEndian.Uint64(p))
			}
		case 5:
			x.Blobs = append(x.Blobs, f.id())
		case 6:
			x.NoIndex = f.bool()
		case 8:
			x.Envelope = f.bytes()
		case 9:
			x.Index = f.bytes()
		default:
			x.unknown = f.keep(x.unknown)
		}
	}
	return x, f.err
}

// Leave takes a place off.
func (x *InfoRow) Leave(p Place) bool {
	if i := slices.Index(x.Places, p); i >= 0 {
		x.Places = slices.Delete(x.Places, i, i+1)
		return true
	}
	return false
}

func putPlaces(b []byte, num protowire.Number, ps []Place) []byte {
	n := 0
	for _, p := range ps {
		n += protowire.SizeVarint(uint64(p.Mbox)) + protowire.SizeVarint(uint64(p.UID))
	}
	if n == 0 {
		return b
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.BytesType), uint64(n))
	for _, p := range ps {
		b = protowire.AppendVarint(protowire.AppendVarint(b, uint64(p.Mbox)), uint64(p.UID))
	}
	return b
}

func (f *fields) places() (ps []Place) {
	b := f.bytes()
	for len(b) > 0 {
		mbox, n := protowire.ConsumeVarint(b)
		if n < 0 {
			f.fail("bad places")
			return nil
		}
		uid, m := protowire.ConsumeVarint(b[n:])
		if m < 0 || mbox > math.MaxUint32 || uid > math.MaxUint32 {
			f.fail("bad places")
			return nil
		}
		ps = append(ps, Place{uint32(mbox), uint32(uid)})
		b = b[n+m:]
	}
	return ps
}

// Envelope is how a message came to us; mailstore.Envelope has the same fields.
type Envelope struct {
	From     string
	To       []string
	ToCount  int
	Helo     string
	Protocol string
	Client   string
	TLS      string
	User     string
	Received time.Time
	Body     string
}

// Trim cuts what a client may have sent without end.
func (e Envelope) Trim(recipients, text int) Envelope {
	cut := func(s string) string { return s[:min(len(s), text)] }
	e.ToCount = max(e.ToCount, len(e.To))
	e.To = slices.Clone(e.To[:min(len(e.To), recipients)])
	for i := range e.To {
		e.To[i] = cut(e.To[i])
	}
	for _, t := range []*string{&e.From, &e.Helo, &e.Protocol, &e.Client, &e.TLS, &e.User, &e.Body} {
		*t = cut(*t)
	}
	return e
}

// Append encodes e.
func (e *Envelope) Append(b []byte) []byte {
	b = append(b, version)
	b = putStr(b, 1, e.From)
	b = putStrs(b, 2, e.To)
	b = putI64(b, 3, int64(e.ToCount))
	b = putStr(b, 4, e.Helo)
	b = putStr(b, 5, e.Protocol)
	b = putStr(b, 6, e.Client)
	b = putStr(b, 7, e.TLS)
	b = putStr(b, 8, e.User)
	if !e.Received.IsZero() {
		b = putI64(b, 9, e.Received.UnixMilli())
	}
	return putStr(b, 10, e.Body)
}

// DecodeEnvelope is the inverse of Append; nil is the zero envelope.
func DecodeEnvelope(b []byte) (e Envelope, err error) {
	if b == nil {
		return e, nil
	}
	f := open(b)
	for f.next() {
		switch f.num {
		case 1:
			e.From = f.str()
		case 2:
			e.To = append(e.To, f.str())
		case 3:
			e.ToCount = int(f.i64())
		case 4:
			e.Helo = f.str()
		case 5:
			e.Protocol = f.str()
		case 6:
			e.Client = f.str()
		case 7:
			e.TLS = f.str()
		case 8:
			e.User = f.str()
		case 9:
			e.Received = time.UnixMilli(f.i64()).UTC()
		case 10:
			e.Body = f.str()
		}
	}
	return e, f.err
}

// ThreadRow is the value of a Thread row.
type ThreadRow struct {
	Thread uint64
	Msg    uint64 // the message whose end ends the row
}

// Append encodes t.
func (t ThreadRow) Append(b []byte) []byte {
	return putU64(putU64(append(b, version), 1, t.Thread), 2, t.Msg)
}

// DecodeThread is the inverse of Append.
func DecodeThread(b []byte) (t ThreadRow, err error) {
	f := open(b)
	for f.next() {
		switch f.num {
		case 1:
			t.Thread = f.u64()
		case 2:
			t.Msg = f.u64()
		}
	}
	return t, f.err
}

// ThreadHashes are the hashes of the ids that a message refers to, the nearest
// first, and then of its own: what it answers counts more than what answers it; at most so many.
func ThreadHashes(x *message.Index, most int) []uint64 {
	var hashes []uint64
	add := func(id string) {
		if h := ThreadHash(id); !slices.Contains(hashes, h) {
			hashes = append(hashes, h)
		}
	}
	for i := len(x.References) - 1; i >= 0 && len(hashes) < most-1; i-- {
		add(x.References[i])
	}
	for _, own := range message.MessageIDs(x.Envelope.MessageID) {
		add(own)
		break
	}
	return hashes
}
