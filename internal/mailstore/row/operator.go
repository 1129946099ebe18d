package row

import "google.golang.org/protobuf/encoding/protowire"

// OperatorRow is the value of the Operator row: what the operator decided
// while servers run, for all of them.
type OperatorRow struct {
	Create   string // who may make accounts; "": as the servers were started
	TokenGen uint32 // which creation token is good
	Blocks   []BlockRow

	unknown []byte
}

// BlockRow is a network that is not served.
type BlockRow struct {
	Net    string // CIDR
	Since  int64  // Unix seconds
	Until  int64  // Unix seconds; 0: for ever
	Reason string
}

// Append encodes o.
func (o *OperatorRow) Append(b []byte) []byte {
	b = append(b, version)
	b = putStr(b, 1, o.Create)
	b = putU64(b, 2, uint64(o.TokenGen))
	for _, k := range o.Blocks {
		inner := putStr(nil, 1, k.Net)
		inner = putI64(inner, 2, k.Since)
		inner = putI64(inner, 3, k.Until)
		inner = putStr(inner, 4, k.Reason)
		b = protowire.AppendBytes(protowire.AppendTag(b, 3, protowire.BytesType), inner)
	}
	return append(b, o.unknown...)
}

// DecodeOperator is the inverse of Append; an absent row is the zero value.
func DecodeOperator(b []byte) (o OperatorRow, err error) {
	if len(b) == 0 {
		return o, nil
	}
	f := open(b)
	for f.next() {
		switch f.num {
		case 1:
			o.Create = f.str()
		case 2:
			o.TokenGen = f.u32()
		case 3:
			k, err := decodeBlock(f.bytes())
			if err != nil {
				return o, err
			}
			o.Blocks = append(o.Blocks, k)
		default:
			o.unknown = f.keep(o.unknown)
		}
	}
	return o, f.err
}

func decodeBlock(b []byte) (k BlockRow, err error) {
	f := fields{b: b}
	for f.next() {
		switch f.num {
		case 1:
			k.Net = f.str()
		case 2:
			k.Since = f.i64()
		case 3:
			k.Until = f.i64()
		case 4:
			k.Reason = f.str()
		}
	}
	return k, f.err
}
