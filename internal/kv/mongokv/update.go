package mongokv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/overlay"
)

// epoch is constant; see Ping.
const epoch = 1

// Update runs fn under its guards and commits its writes: one round trip for each
// guard, one or two for the writes, one for the commit.
func (s *Store) Update(ctx context.Context, guards [][]byte, fn func(kv.Tx) error, opts ...kv.Option) error {
	o := kv.Options(opts...)
	return s.door.Update(ctx, guards, o.Background, func() error {
		tx := s.txs.Get().(*overlay.Tx)
		a := &attempt{s: s, tx: tx, fn: fn, guards: guards}
		err := a.tries(ctx, o.Attempts)
		tx.Start(nil, nil, 0)
		s.txs.Put(tx)
		return err
	})
}

// attempt is one Update on its way.
type attempt struct {
	s      *Store
	tx     *overlay.Tx
	fn     func(kv.Tx) error
	guards [][]byte
	n      int       // which try this is
	held   []kv.Item // the guards as this try found them
}

// tries makes attempts until one is done, fails for good, or ctx ends. Conflicts
// count; waiting for a primary does not.
func (a *attempt) tries(ctx context.Context, most int) error {
	conflicts := 0
	for n := 0; ; n++ {
		a.n = n
		v := a.run(ctx)
		switch v.kind {
		case done, failed, unknown:
			return v.err
		case conflict:
			a.s.stats.conflicts.Add(1)
			if conflicts++; conflicts == most {
				return v.err
			}
		}
		if pause(ctx, n) != nil {
			return fmt.Errorf("%w: %w", v.err, ctx.Err())
		}
	}
}

// run makes one try and tells how it ended. It commits also where fn wrote nothing
// or found something wrong: what was read is on a majority only when that is said
// of a commit after it.
func (a *attempt) run(ctx context.Context) verdict {
	sess, err := a.s.client.StartSession()
	if err != nil {
		return judge(ctx, err)
	}
	aborted := false
	defer func() { a.s.end(sess, aborted) }()
	if err := sess.StartTransaction(transactionOptions()); err != nil {
		return judge(ctx, err)
	}
	mine, v := a.prepare(ctx, sess)
	if v.kind != done {
		aborted = v.aborted
		return v
	}
	wrote := mine == nil && !a.empty()
	switch v = a.commit(ctx, sess); {
	case v.kind == unknown && !wrote:
		return verdict{kind: away, err: fmt.Errorf("%w: %w", kv.ErrUnavailable, v.err)} // so it does not matter
	case v.kind == done && mine != nil:
		return verdict{kind: failed, err: mine}
	case v.kind == done && wrote:
		a.s.stats.commits.Add(1)
	}
	return v
}

func (a *attempt) empty() bool { return a.tx.Len() == 0 && len(a.tx.Expects()) == 0 }

// prepare takes the guards, runs fn and sends its writes, all but the commit. mine
// is the error of fn; then nothing that it wrote is sent.
func (a *attempt) prepare(ctx context.Context, sess *mongo.Session) (mine error, v verdict) {
	try, cancel := a.s.attemptContext(ctx, a.n)
	defer cancel()
	in := &inside{s: a.s, ctx: mongo.NewSessionContext(try, sess)}
	if err := a.lock(in.ctx); err != nil {
		return nil, judge(ctx, err)
	}
	in.made = len(a.absent())
	a.tx.Start(in, a.held, epoch)
	mine = a.fn(a.tx)
	if in.err != nil {
		if v := judge(ctx, in.err); v.kind != failed || mine == nil {
			return nil, v
		}
	}
	if mine != nil {
		return mine, judge(ctx, a.send(in.ctx, nil, a.unmade(a.absent())))
	}
	if err := a.tx.Check(kv.DefaultLimits()); err != nil {
		return nil, verdict{kind: failed, err: err}
	}
	return nil, judge(ctx, a.write(in.ctx))
}

// lock marks each guard, in order: a guard that is absent is made for the time of
// the transaction, so that two transactions cannot both find it absent.
func (a *attempt) lock(ctx context.Context) error {
	a.held = make([]kv.Item, len(a.guards))
	order := make([]int, len(a.guards))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return slices.Compare(a.guards[i], a.guards[j]) })
	for n, i := range order {
		a.held[i].Key = a.guards[i]
		if n > 0 && slices.Equal(a.guards[order[n-1]], a.guards[i]) {
			a.held[i] = a.held[order[n-1]]
			continue
		}
		if err := a.lockOne(ctx, &a.held[i]); err != nil {
			return err
		}
	}
	return nil
}

func (a *attempt) lockOne(ctx context.Context, g *kv.Item) error {
	var before document
	err := a.s.kv.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: a.s.keys.id(g.Key)}}, mark(),
		options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.Before)).Decode(&before)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil
	}
	if err != nil {
		return err
	}
	it, err := a.s.item(&before, false)
	g.Value, g.Rev = it.Value, it.Rev
	return err
}

// absent are the guards that this transaction had to make.
func (a *attempt) absent() [][]byte {
	var out [][]byte
	for _, g := range a.held {
		if g.Rev == 0 {
			out = append(out, g.Key)
		}
	}
	return out
}

// mark is a write that changes nothing but who wrote last.
func mark() bson.D { return bson.D{{Key: "$set", Value: bson.D{{Key: "l", Value: rand.Int64()}}}} }

// write sends what fn wrote: first the expectations, then puts and deletes.
func (a *attempt) write(ctx context.Context) error {
	temporary, err := a.expect(ctx)
	if err != nil {
		return err
	}
	temporary = append(temporary, a.absent()...)
	rev := 1 + rand.Int64N(1<<62)
	var puts, deletes []mongo.WriteModel
	for w := range a.tx.Writes {
		id := bson.D{{Key: "_id", Value: a.s.keys.id(w.Key)}}
		if w.Delete {
			deletes = append(deletes, mongo.NewDeleteOneModel().SetFilter(id))
			continue
		}
		set := bson.D{{Key: "v", Value: w.Value}, {Key: "r", Value: rev}}
		puts = append(puts, mongo.NewUpdateOneModel().SetFilter(id).SetUpsert(true).
			SetUpdate(bson.D{{Key: "$set", Value: set}}))
	}
	temporary = slices.DeleteFunc(temporary, func(key []byte) bool {
		_, own := a.tx.Lookup(key)
		return own
	})
	return a.send(ctx, puts, append(deletes, a.unmade(temporary)...))
}

// unmade takes away what was made to know that keys are absent.
func (a *attempt) unmade(keys [][]byte) (models []mongo.WriteModel) {
	for _, key := range keys {
		models = append(models, mongo.NewDeleteOneModel().SetFilter(bson.D{{Key: "_id", Value: a.s.keys.id(key)}}))
	}
	return models
}

// send sends puts and then deletes: the driver makes one command of a run of one kind.
func (a *attempt) send(ctx context.Context, puts, deletes []mongo.WriteModel) error {
	models := append(puts, deletes...)
	if len(models) == 0 {
		return nil
	}
	_, err := a.s.kv.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(true))
	return err
}

// expect checks the expectations and locks what they are about. It returns the
// keys that it had to make in order to know them absent.
func (a *attempt) expect(ctx context.Context) (temporary [][]byte, err error) {
	var models []mongo.WriteModel
	seen := map[string]kv.Rev{}
	for _, g := range a.held {
		seen[string(g.Key)] = g.Rev
	}
	present := int64(0)
	for _, e := range a.tx.Expects() {
		if rev, known := seen[string(e.Key)]; known {
			if rev != e.Rev {
				return nil, fmt.Errorf("%w: a key is not as expected", kv.ErrConflict)
			}
			continue
		}
		seen[string(e.Key)] = e.Rev
		id := bson.E{Key: "_id", Value: a.s.keys.id(e.Key)}
		if e.Rev == 0 {
			temporary = append(temporary, e.Key)
			models = append(models, mongo.NewInsertOneModel().SetDocument(bson.D{id}))
			continue
		}
		present++
		models = append(models, mongo.NewUpdateOneModel().SetUpdate(mark()).
			SetFilter(bson.D{id, {Key: "r", Value: int64(e.Rev)}}))
	}
	if len(models) == 0 {
		return nil, nil
	}
	res, err := a.s.kv.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(true))
	if err == nil && res.MatchedCount != present {
		err = fmt.Errorf("%w: a key is not as expected", kv.ErrConflict)
	}
	return temporary, err
}

// commitGrace is how much longer than its context a call waits for the answer to
// its commit.
const commitGrace = 500 * time.Millisecond

// commit sends the commit, and again until there is an answer. That is safe: the
// server keeps the outcome of each session's last transaction, on every member.
func (a *attempt) commit(ctx context.Context, sess *mongo.Session) verdict {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	grace := context.AfterFunc(ctx, func() { time.AfterFunc(commitGrace, cancel) })
	defer grace()
	for n := 0; ; n++ {
		try, end := a.s.attemptContext(late, a.n+n)
		err := sess.CommitTransaction(try)
		end()
		if v := judgeCommit(n, err); v.kind != unknown {
			return v
		}
		if n == 0 {
			a.s.stats.unknown.Add(1)
		}
		if a.s.running.Err() != nil || late.Err() != nil || pause(late, n) != nil {
			a.s.stats.unresolved.Add(1)
			return verdict{kind: unknown, err: fmt.Errorf("%w: %w", kv.ErrUnknown, err)}
		}
	}
}

// judgeCommit says what the answer to the n-th commitTransaction is worth. An
// answer that the transaction is not there means that it was aborted only if it
// is final: with the label, and not before the majority has said so. Newer servers
// abort transactions for want of cache, and then answer every command with that.
func judgeCommit(n int, err error) verdict {
	var se mongo.ServerError
	undone := func() verdict { return verdict{kind: conflict, err: fmt.Errorf("%w: %w", kv.ErrConflict, err)} }
	switch {
	case err == nil:
		return verdict{}
	case !errors.As(err, &se), se.HasErrorLabel(labelUnknown):
	case se.HasErrorCode(codeTemporarilyUnavailable):
		return undone()
	case se.HasErrorLabel(labelTransient) && !concernFailed(err) && (n == 0 || se.HasErrorCode(codeNoSuchTransaction)):
		return undone()
	}
	return verdict{kind: unknown, err: err}
}

// concernFailed tells whether the answer is not yet that of a majority.
func concernFailed(err error) bool {
	var we mongo.WriteException
	return errors.As(err, &we) && we.WriteConcernError != nil
}
