package node

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Limit: servers of one installation that are listed.
const MaxNodes = 1000

// Info is one server as the others see it.
type Info struct {
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Started time.Time `json:"started"` // by its own clock
	Beat    time.Time `json:"beat"`    // its last heartbeat, by the store's clock
}

// List are the servers that wrote a heartbeat in the last ForgetAfter.
func List(ctx context.Context, store kv.Reader) ([]Info, error) {
	var out []Info
	r := kv.Prefix([]byte{row.TagNode})
	r.Limit = MaxNodes
	for it, err := range store.Scan(ctx, r) {
		if err != nil {
			return nil, err
		}
		if rec, err := decode(it.Value); err == nil {
			out = append(out, rec.Info)
		}
	}
	return out, nil
}

// sweep removes the rows of servers that are gone.
func (n *Node) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, AttemptTime)
	defer cancel()
	h, err := n.o.KV.Ping(ctx)
	if err != nil {
		return
	}
	r := kv.Prefix([]byte{row.TagNode})
	r.Limit = MaxNodes
	for it, err := range n.o.KV.Scan(ctx, r) {
		if err != nil {
			return
		}
		old := func(v []byte) bool {
			rec, err := decode(v)
			return err == nil && h.Time.Sub(rec.Beat) > ForgetAfter
		}
		if old(it.Value) {
			n.remove(ctx, it.Key, old)
		}
	}
}

// remove deletes a row, if it still is what only tells.
func (n *Node) remove(ctx context.Context, key []byte, only func([]byte) bool) {
	_ = n.o.KV.Update(ctx, [][]byte{key}, func(tx kv.Tx) error {
		if v := tx.Guard(0).Value; v != nil && (only == nil || only(v)) {
			tx.Delete(key)
		}
		return nil
	}, kv.Reclaim(), kv.Background()) // a row that stays is swept later
}

// The fields of a row. Unknown ones survive a rewrite.
const (
	rowVersion                    = 1
	fieldName    protowire.Number = 1
	fieldVersion protowire.Number = 2
	fieldStarted protowire.Number = 3 // milliseconds since 1970
	fieldBeat    protowire.Number = 4
)

// record is a row taken apart.
type record struct {
	Info
	unknown []byte
}

// errRow is a row that cannot be read.
var errRow = errors.New("node: unreadable row")

func (r record) encode() []byte {
	b := []byte{rowVersion}
	b = protowire.AppendString(protowire.AppendTag(b, fieldName, protowire.BytesType), r.Name)
	b = protowire.AppendString(protowire.AppendTag(b, fieldVersion, protowire.BytesType), r.Version)
	b = protowire.AppendVarint(protowire.AppendTag(b, fieldStarted, protowire.VarintType), uint64(r.Started.UnixMilli()))
	b = protowire.AppendVarint(protowire.AppendTag(b, fieldBeat, protowire.VarintType), uint64(r.Beat.UnixMilli()))
	return append(b, r.unknown...)
}

func decode(b []byte) (record, error) {
	var r record
	if len(b) == 0 || b[0] != rowVersion {
		return r, errRow
	}
	for b = b[1:]; len(b) > 0; {
		f, t, n := protowire.ConsumeTag(b)
		if n < 0 {
			return record{}, errRow
		}
		m := protowire.ConsumeFieldValue(f, t, b[n:])
		if m < 0 {
			return record{}, errRow
		}
		text, _ := protowire.ConsumeBytes(b[n:])
		number, _ := protowire.ConsumeVarint(b[n:])
		switch {
		case f == fieldName && t == protowire.BytesType:
			r.Name = string(text)
		case f == fieldVersion && t == protowire.BytesType:
			r.Version = string(text)
		case f == fieldStarted && t == protowire.VarintType:
			r.Started = time.UnixMilli(int64(number)).UTC()
		case f == fieldBeat && t == protowire.VarintType:
			r.Beat = time.UnixMilli(int64(number)).UTC()
		default:
			r.unknown = append(r.unknown, b[:n+m]...)
		}
		b = b[n+m:]
	}
	return r, nil
}
