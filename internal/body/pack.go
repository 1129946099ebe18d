package body

import (
	"bytes"
	"context"
	"errors"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/codec"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Pack returns the value of a Body row anew, with its skeleton as the packer
// makes it if that is smaller, and a note that it was tried. Not ok means that
// there is nothing to do, or that it is damaged, which is for fsck. What comes
// out of the new row was compared with what comes out of the old one.
func Pack(ctx context.Context, blobs *blob.Store, value []byte, p *codec.Packer) (out []byte, ok bool, err error) {
	r, err := row.DecodeBody(value)
	if err != nil || r.Kind != row.Recipe || r.SkeletonBlob != 0 || r.Packed >= p.Dict() {
		return nil, false, nil
	}
	raw, err := openSkeleton(ctx, blobs, &r)
	if err == nil && !sound(&r, raw) {
		return nil, false, nil
	}
	if errors.Is(err, blob.ErrCorrupt) {
		return nil, false, nil
	} else if err != nil {
		return nil, false, err
	}
	r.Packed = p.Dict()
	if data, ok := p.Encode(nil, raw); ok && len(data) < len(r.Data) {
		again, err := blobs.Decode(ctx, nil, data, r.Raw)
		if err != nil || !bytes.Equal(again, raw) {
			return nil, false, corrupt("packing a skeleton anew: %v", err)
		}
		r.Codec, r.Dict, r.Data = row.Zstd, p.Dict(), data
	}
	return r.Append(make([]byte, 0, len(value)+headBytes)), true, nil
}

// sound tells whether a skeleton is what was stored.
func sound(r *row.BodyRow, raw []byte) bool {
	if len(r.Blobs)+len(r.Segments) == 0 {
		return row.Checksum(raw) == r.CRC
	}
	return skeletonSum(r, raw) == r.RawCRC
}

// Skeleton is the skeleton of a Body row that holds one, or nil.
func Skeleton(ctx context.Context, blobs *blob.Store, r *row.BodyRow) []byte {
	if r.Kind != row.Recipe || r.SkeletonBlob != 0 {
		return nil
	}
	b, err := openSkeleton(ctx, blobs, r)
	if err != nil {
		return nil
	}
	return b
}
