package mongokv

import (
	"context"
	"fmt"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/paging"
)

// document is a row. One without a revision is a guard or an expectation that the
// transaction which reads it has made itself: nobody else ever sees it.
type document struct {
	ID  string `bson:"_id"`
	V   []byte `bson:"v"`
	Rev int64  `bson:"r"`
}

func (s *Store) item(d *document, keysOnly bool) (kv.Item, error) {
	key, err := s.keys.key(d.ID)
	switch {
	case err != nil:
		return kv.Item{}, err
	case d.Rev < 0:
		return kv.Item{}, fmt.Errorf("%w: key %x has revision %d", kv.ErrCorrupt, key, d.Rev)
	case d.Rev == 0:
		return kv.Item{Key: key}, nil
	}
	it := kv.Item{Key: key, Rev: kv.Rev(d.Rev)}
	if !keysOnly {
		if it.Value = d.V; it.Value == nil {
			it.Value = []byte{}
		}
	}
	return it, nil
}

// Pace: documents of the first reply of a page with values, and of any. The first
// is small, as values may be large: what a page has no room for was read for nothing.
const (
	firstDocuments = 16
	batchDocuments = 256
)

// get reads keys in one statement, in or outside of a transaction.
func (s *Store) get(ctx context.Context, keys [][]byte) ([]kv.Item, error) {
	out := make([]kv.Item, len(keys))
	places := make(map[string][]int, len(keys))
	ids := make(bson.A, 0, len(keys))
	for i, k := range keys {
		out[i].Key = k
		id := s.keys.id(k)
		if places[id] == nil {
			ids = append(ids, id)
		}
		places[id] = append(places[id], i)
	}
	if len(keys) == 0 {
		return out, ctx.Err()
	}
	var filter any = bson.D{{Key: "_id", Value: ids[0]}}
	if len(ids) > 1 {
		filter = bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}
	}
	cur, err := s.kv.Find(ctx, filter, options.Find().SetBatchSize(int32(len(ids)+1)))
	if err != nil {
		return nil, err
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		var d document
		if err := cur.Decode(&d); err != nil {
			return nil, fmt.Errorf("%w: %w", kv.ErrCorrupt, err)
		}
		it, err := s.item(&d, false)
		if err != nil {
			return nil, err
		}
		for _, i := range places[d.ID] {
			out[i].Value, out[i].Rev = it.Value, it.Rev
		}
	}
	return out, cur.Err()
}

// bounds is the filter of a range.
func (s *Store) bounds(r kv.Range) bson.D {
	in := bson.D{{Key: "$gte", Value: s.keys.id(r.Start)}}
	if r.End != nil {
		in = append(in, bson.E{Key: "$lt", Value: s.keys.id(r.End)})
	}
	return bson.D{{Key: "_id", Value: in}}
}

// fill reads one page, and passes over what the transaction has made itself: made
// documents at most.
func (s *Store) fill(ctx context.Context, r kv.Range, made int, p *paging.Page) error {
	o := options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetBatchSize(firstDocuments)
	if r.Reverse {
		o.SetSort(bson.D{{Key: "_id", Value: -1}})
	}
	if r.KeysOnly {
		o.SetBatchSize(batchDocuments).SetProjection(bson.D{{Key: "_id", Value: 1}, {Key: "r", Value: 1}})
	}
	if r.Limit > 0 {
		o.SetLimit(int64(r.Limit + made))
	}
	cur, err := s.kv.Find(ctx, s.bounds(r), o)
	if err != nil {
		return err
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		var d document
		if err := cur.Decode(&d); err != nil {
			return fmt.Errorf("%w: %w", kv.ErrCorrupt, err)
		}
		it, err := s.item(&d, r.KeysOnly)
		if err != nil {
			return err
		}
		if it.Rev != 0 && !p.Add(it, r.Limit) {
			return nil
		}
		if cur.RemainingBatchLength() == 0 {
			cur.SetBatchSize(int32(min(1+p.Fits(), batchDocuments)))
		}
	}
	return cur.Err()
}

func transactionOptions() *options.TransactionOptionsBuilder {
	return options.Transaction().SetReadConcern(readconcern.Snapshot()).SetWriteConcern(durable())
}

// snapshot runs a function that only reads on one moment's data, until that is
// proven to be on a majority. It may run several times.
func (s *Store) snapshot(ctx context.Context, read func(context.Context) error) error {
	return s.again(ctx, func(ctx context.Context) error {
		sess, err := s.client.StartSession()
		if err != nil {
			return err
		}
		aborted := false
		defer func() { s.end(sess, aborted) }()
		if err := sess.StartTransaction(transactionOptions()); err != nil {
			return err
		}
		if err := read(mongo.NewSessionContext(ctx, sess)); err != nil {
			aborted = judge(ctx, err).aborted
			return err
		}
		return sess.CommitTransaction(ctx)
	})
}

// end ends a session, and aborts its transaction if that goes on, so that its guards
// are free at once. One that the server has aborted is only forgotten here: an
// abortTransaction would be a write of its own there, which waits for the majority.
func (s *Store) end(sess *mongo.Session, aborted bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.running), attemptTime)
	defer cancel()
	if aborted {
		cancel() // nothing is sent
	}
	sess.EndSession(ctx) // the server ends the transaction by itself otherwise
}

// GetMulti reads keys at one moment: one round trip for one key, two for more.
func (s *Store) GetMulti(ctx context.Context, keys ...[]byte) (out []kv.Item, err error) {
	if err := s.door.Enter(ctx); err != nil {
		return nil, err
	}
	defer s.door.Leave()
	read := func(ctx context.Context) error {
		out, err = s.get(ctx, keys)
		return err
	}
	if len(keys) < 2 {
		err = s.again(ctx, read)
	} else {
		err = s.snapshot(ctx, read)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Scan reads a range page by page, each of one moment.
func (s *Store) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	return paging.Scan(ctx, r, func(r kv.Range, p *paging.Page) error {
		if err := s.door.Enter(ctx); err != nil {
			return err
		}
		defer s.door.Leave()
		return s.snapshot(ctx, func(ctx context.Context) error {
			*p = paging.Page{Items: p.Items[:0]}
			return s.fill(ctx, r, 0, p)
		})
	})
}

// inside reads within a transaction, and remembers what went wrong: whatever the
// function makes of it, the transaction cannot go on.
type inside struct {
	s    *Store
	ctx  context.Context // of the attempt, with its session
	made int             // absent guards that stand there for the time being
	err  error
}

func (i *inside) keep(err error) error {
	if err != nil && i.err == nil {
		i.err = err
	}
	return err
}

func (i *inside) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out, err := i.s.get(i.ctx, keys)
	return out, i.keep(err)
}

func (i *inside) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	return paging.Scan(ctx, r, func(r kv.Range, p *paging.Page) error {
		return i.keep(i.s.fill(i.ctx, r, i.made, p))
	})
}

// View runs fn on a snapshot of the database.
func (s *Store) View(ctx context.Context, guards [][]byte, fn func(kv.Reader, []kv.Item) error) error {
	if err := s.door.Enter(ctx); err != nil {
		return err
	}
	defer s.door.Leave()
	var mine error
	err := s.snapshot(ctx, func(ctx context.Context) error {
		held, err := s.get(ctx, guards)
		if err != nil {
			return err
		}
		in := &inside{s: s, ctx: ctx}
		mine = fn(in, held)
		return in.err
	})
	if err == nil {
		err = mine
	}
	return err
}

// Pace: documents that DeletePrefix removes in one statement.
const prefixDocuments = 1000

// DeletePrefix removes the keys under prefix in several statements.
func (s *Store) DeletePrefix(ctx context.Context, prefix []byte) error {
	if err := s.door.Enter(ctx); err != nil {
		return err
	}
	defer s.door.Leave()
	r := kv.Range{Start: prefix, End: kv.PrefixEnd(prefix)}
	for {
		var n int64
		err := s.again(ctx, func(ctx context.Context) (err error) {
			n, err = s.deleteSome(ctx, r)
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

// deleteSome removes the first keys of a range and tells how many there were.
func (s *Store) deleteSome(ctx context.Context, r kv.Range) (int64, error) {
	cur, err := s.kv.Find(ctx, s.bounds(r), options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).
		SetProjection(bson.D{{Key: "_id", Value: 1}}).SetLimit(prefixDocuments).SetBatchSize(prefixDocuments))
	if err != nil {
		return 0, err
	}
	var found []document
	if err := cur.All(ctx, &found); err != nil || len(found) == 0 {
		return 0, err
	}
	_, err = s.kv.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: found[0].ID}, {Key: "$lte", Value: found[len(found)-1].ID}}}})
	return int64(len(found)), err
}
