package repack

import (
	"context"
	"errors"
	"time"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/body"
	"github.com/eidermail/eider/internal/codec"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// packAll packs all cold mail's rows of one kind, from the cursor on.
func (r *Repacker) packAll(ctx context.Context, kind codec.Kind, save func(context.Context, []byte) error,
) (done blob.Packed, err error) {
	c := r.o.Blobs.Codec()
	p, err := c.NewPacker(c.Current(kind), r.o.Quick)
	if err != nil {
		return done, err
	}
	total := int64(0)
	whole := r.state.Cursor == nil
	for {
		start := time.Now()
		page, n, err := r.page(ctx, kind)
		r.looked += time.Since(start)
		if err != nil {
			return done, err
		}
		total += n
		one, err := r.packPage(ctx, kind, page, p)
		done.Add(one)
		r.count(one)
		if err != nil {
			return done, err
		}
		if r.state.Cursor == nil {
			if whole {
				r.state.Total = total
			}
			return done, nil
		}
		if err := r.keep(ctx, save, false); err != nil {
			return done, err
		}
		if !r.o.NoRest {
			wait(ctx, time.Since(start))
		}
		if ctx.Err() != nil {
			return done, ctx.Err()
		}
	}
}

// message is a message that may be packed.
type message struct {
	acct, msg uint64
	body      kv.Item
	blobs     []row.BlobID
}

// page reads the next messages and steps the cursor; it becomes nil at the end.
// raw is the sum of their skeletons.
func (r *Repacker) page(ctx context.Context, kind codec.Kind) (list []*message, raw int64, err error) {
	q := kv.Prefix([]byte{row.TagBody})
	q.Limit = pageRows
	if r.state.Cursor != nil {
		q.Start = r.state.Cursor
	}
	dict := r.o.Blobs.Codec().Current(codec.Skeletons)
	n := 0
	var last []byte
	for it, err := range r.o.KV.Scan(ctx, q) {
		if err != nil {
			return nil, raw, err
		}
		n++
		last = it.Key
		k, ok := row.ParseKey(it.Key)
		b, err := row.DecodeBody(it.Value)
		if !ok || err != nil {
			continue // for fsck
		}
		raw += b.Raw
		m := &message{acct: k.Acct, msg: k.Msg, body: it, blobs: b.Blobs}
		switch {
		case kind == codec.Parts && len(m.blobs) > 0:
			list = append(list, m)
		case kind == codec.Skeletons && b.Kind == row.Recipe && b.SkeletonBlob == 0 && b.Packed < dict:
			list = append(list, m)
		}
	}
	if r.state.Cursor = nil; n == pageRows {
		r.state.Cursor = append(append([]byte(nil), last...), 0)
	}
	return list, raw, nil
}

// packPage packs what is cold of a page.
func (r *Repacker) packPage(ctx context.Context, kind codec.Kind, page []*message, p *codec.Packer,
) (done blob.Packed, err error) {
	if page, err = r.cold(ctx, page); err != nil {
		return done, err
	}
	if kind == codec.Parts {
		return r.packParts(ctx, page, p)
	}
	for len(page) > 0 && ctx.Err() == nil {
		n, one, err := r.packBodies(ctx, page, p)
		done.Add(one)
		if err != nil {
			return done, err
		}
		page = page[n:]
	}
	return done, ctx.Err()
}

// packParts packs the parts of messages, each for its own.
func (r *Repacker) packParts(ctx context.Context, page []*message, p *codec.Packer) (done blob.Packed, err error) {
	for _, m := range page {
		for _, id := range m.blobs {
			one, err := r.o.Blobs.Pack(ctx, id, p)
			done.Add(one)
			if errors.Is(err, blob.ErrCorrupt) {
				r.o.Log.Warn("repack: a shared part stays as it is", "err", err)
			} else if err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// cold leaves those messages that are old enough and live long enough.
func (r *Repacker) cold(ctx context.Context, page []*message) (list []*message, err error) {
	if len(page) == 0 {
		return nil, nil
	}
	keys := make([][]byte, len(page))
	for i, m := range page {
		keys[i] = row.Info(m.acct, m.msg)
	}
	infos, err := r.o.KV.GetMulti(ctx, keys...)
	if err != nil {
		return nil, err
	}
	keys = keys[:0]
	var of []int // the message of each place
	for i, it := range infos {
		x, err := row.DecodeInfo(it.Value)
		if it.Rev == 0 || err != nil {
			continue
		}
		for _, pl := range x.Places[:min(len(x.Places), maxPlaces)] {
			keys, of = append(keys, row.Entry(page[i].acct, pl.Mbox, pl.UID)), append(of, i)
		}
	}
	entries, err := r.o.KV.GetMulti(ctx, keys...)
	if err != nil {
		return nil, err
	}
	return r.sift(page, entries, of), nil
}

// Pace: places of one message that are asked how long it lives.
const maxPlaces = 4

// sift leaves out what is young or leaves soon: the place in which a message
// lives longest counts, and the one in which it is youngest.
func (r *Repacker) sift(page []*message, entries []kv.Item, of []int) (list []*message) {
	now := r.o.Now()
	lives, young := make([]bool, len(page)), make([]bool, len(page))
	for i, it := range entries {
		e, err := row.DecodeEntry(it.Value)
		if it.Rev == 0 || err != nil {
			continue
		}
		if e.Expire == 0 || int64(e.Expire) >= now.Add(MinLife).Unix() {
			lives[of[i]] = true
			young[of[i]] = young[of[i]] || e.Saved > now.Add(-r.o.After).Unix()
		}
	}
	for i, m := range page {
		r.young = r.young || lives[i] && young[i]
		if lives[i] && !young[i] {
			list = append(list, m)
		}
	}
	return list
}

// packBodies packs messages at the start of the list that are of one account, in
// one commit under its guard; n is how many.
func (r *Repacker) packBodies(ctx context.Context, list []*message, p *codec.Packer,
) (n int, done blob.Packed, err error) {
	values := make([][]byte, 0, len(list))
	acct, bytes := list[0].acct, 0
	for _, m := range list {
		if m.acct != acct || bytes > commitBytes {
			break
		}
		v, ok, err := body.Pack(ctx, r.o.Blobs, m.body.Value, p)
		if errors.Is(err, blob.ErrCorrupt) {
			r.o.Log.Warn("repack: a message stays as it is", "err", err)
		} else if err != nil {
			return 0, done, err
		}
		if !ok {
			v = nil
		}
		values = append(values, v)
		bytes += len(v)
	}
	err = r.replace(ctx, acct, list[:len(values)], values, &done)
	return len(values), done, err
}

// replace writes rows that are still what was read.
func (r *Repacker) replace(ctx context.Context, acct uint64, list []*message, values [][]byte, done *blob.Packed,
) error {
	keys := make([][]byte, len(list))
	for i, m := range list {
		keys[i] = m.body.Key
	}
	return r.o.KV.Update(ctx, [][]byte{row.Head(acct)}, func(tx kv.Tx) error {
		*done = blob.Packed{}
		if tx.Guard(0).Rev == 0 {
			return nil // the account is gone
		}
		items, err := tx.GetMulti(ctx, keys...)
		if err != nil {
			return err
		}
		for i, it := range items {
			if values[i] == nil || it.Rev == 0 || it.Rev != list[i].body.Rev {
				continue // expired, or packed by another
			}
			tx.Put(keys[i], values[i])
			done.Rows++
			done.Before += int64(len(it.Value))
			done.After += int64(len(values[i]))
		}
		return nil
	}, kv.Background(), kv.NoCombine())
}
