package blob

import (
	"context"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Limit: candidates and uploads that one call of a sweep looks at in a shard.
const SweepAtOnce = 1000

// Swept is what a sweep did.
type Swept struct {
	Blobs   int // blobs deleted
	Uploads int // uploads swept away
	Kept    int // candidates that are linked
}

// Collect looks at a shard's candidates and deletes the blobs that nothing
// links. Several collectors at once are harmless.
func (s *Store) Collect(ctx context.Context, shard byte) (sw Swept, err error) {
	type candidate struct {
		id   row.BlobID
		keys [][]byte
	}
	var order []*candidate
	seen := make(map[row.BlobID]*candidate)
	r := kv.Prefix(row.Garbages(shard))
	r.Limit, r.KeysOnly = SweepAtOnce, true
	for it, err := range s.kv.Scan(ctx, r) {
		if err != nil {
			return sw, err
		}
		k, ok := row.ParseKey(it.Key)
		if !ok {
			continue
		}
		c := seen[k.Blob]
		if c == nil {
			c = &candidate{id: k.Blob}
			seen[k.Blob] = c
			order = append(order, c)
		}
		c.keys = append(c.keys, it.Key)
	}
	for _, c := range order {
		gone, err := s.collect(ctx, c.id, c.keys)
		if err != nil {
			return sw, err
		}
		if gone {
			sw.Blobs++
		} else {
			sw.Kept++
		}
	}
	return sw, nil
}

// collect decides about one blob. Only the candidates that were read before
// the links are dropped: one that is written meanwhile is looked at next time.
func (s *Store) collect(ctx context.Context, id row.BlobID, candidates [][]byte) (gone bool, err error) {
	var b row.BlobRow
	var journal []byte
	err = s.kv.Update(ctx, [][]byte{row.Blob(id)}, func(tx kv.Tx) error {
		gone, journal = false, nil
		for _, k := range candidates {
			tx.Delete(k)
		}
		g := tx.Guard(0)
		if g.Rev == 0 {
			return nil
		}
		links := kv.Prefix(row.Links(id))
		links.Limit, links.KeysOnly = 1, true
		for _, err := range tx.Scan(ctx, links) {
			return err // one link is enough; nil keeps the blob
		}
		var err error
		if b, err = row.DecodeBlob(g.Value); err != nil {
			return err
		}
		// The chunks become an upload that nobody wants, so that a crash before
		// they are gone leaves them to the sweep.
		gone, journal = true, row.Upload(uint32(b.Created), b.Upload, id)
		tx.Delete(row.Blob(id))
		tx.Put(journal, row.AppendUpload(nil, row.UploadDead))
		return nil
	}, kv.Reclaim(), kv.Background())
	if err != nil || !gone {
		return gone, err
	}
	return true, s.drop(ctx, id, b.Upload, journal)
}

// drop deletes the chunks of a dead upload and then its journal row.
func (s *Store) drop(ctx context.Context, id row.BlobID, up row.UploadID, journal []byte) error {
	if err := s.kv.DeletePrefix(ctx, row.Chunks(id, up)); err != nil {
		return err
	}
	return s.kv.Update(ctx, [][]byte{row.Blob(id)}, func(tx kv.Tx) error {
		tx.Delete(journal)
		return nil
	}, kv.Reclaim(), kv.Background())
}

// Sweep removes a shard's uploads that were begun more than UploadLife before
// now and never committed, and those that are dead already.
func (s *Store) Sweep(ctx context.Context, shard byte, now time.Time) (sw Swept, err error) {
	var keys [][]byte
	r := kv.Prefix(row.Uploads(shard))
	r.Limit = SweepAtOnce
	for it, err := range s.kv.Scan(ctx, r) {
		if err != nil {
			return sw, err
		}
		k, ok := row.ParseKey(it.Key)
		if !ok {
			continue
		}
		state, err := row.DecodeUpload(it.Value)
		if err != nil || state == row.UploadDead || int64(k.Time) < now.Add(-UploadLife).Unix() {
			keys = append(keys, it.Key)
		}
	}
	for _, journal := range keys {
		done, err := s.sweep(ctx, journal)
		if err != nil {
			return sw, err
		}
		if done {
			sw.Uploads++
		}
	}
	return sw, nil
}

func (s *Store) sweep(ctx context.Context, journal []byte) (done bool, err error) {
	k, _ := row.ParseKey(journal)
	err = s.kv.Update(ctx, [][]byte{row.Blob(k.Blob)}, func(tx kv.Tx) error {
		done = false
		items, err := tx.GetMulti(ctx, journal)
		if err != nil || items[0].Rev == 0 {
			return err // committed meanwhile, or another sweeper was here
		}
		done = true
		tx.Put(journal, row.AppendUpload(nil, row.UploadDead))
		return nil
	}, kv.Reclaim(), kv.Background())
	if err != nil || !done {
		return false, err
	}
	return true, s.drop(ctx, k.Blob, k.Upload, journal)
}
