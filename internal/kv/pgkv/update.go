package pgkv

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/overlay"
)

// Update runs fn under its guards and commits its writes: two round trips.
func (s *Store) Update(ctx context.Context, guards [][]byte, fn func(kv.Tx) error, opts ...kv.Option) error {
	o := kv.Options(opts...)
	return s.door.Update(ctx, guards, o.Background, func() error {
		tx := s.txs.Get().(*overlay.Tx)
		a := &attempt{s: s, tx: tx, guards: filled(guards), fn: fn, locks: lockIDs(guards)}
		err := s.tries(ctx, a, o.Attempts)
		if !errors.Is(err, kv.ErrUnknown) { // then the commit may still read it
			tx.Start(nil, nil, 0)
			s.txs.Put(tx)
		}
		return err
	})
}

// tries makes attempts until one is done, fails for good, or ctx ends.
// Conflicts count; waiting for a primary does not.
func (s *Store) tries(ctx context.Context, a *attempt, most int) error {
	conflicts := 0
	for n := 0; ; n++ {
		k, err := a.run(ctx)
		switch k {
		case done, failed:
			return err
		case unknown:
			var happened bool
			if happened, err = s.resolve(ctx, a); err != nil || happened {
				return err
			}
		case conflict:
			s.stats.conflicts.Add(1)
			if conflicts++; conflicts == most {
				return err
			}
		case away:
			s.top.look()
		}
		if pause(ctx, n) != nil {
			return fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
}

// lockIDs are the advisory locks of guards, in the order in which everybody takes them.
func lockIDs(guards [][]byte) []int64 {
	ids := make([]int64, len(guards))
	for i, g := range guards {
		h := sha256.Sum256(g)
		ids[i] = int64(binary.BigEndian.Uint64(h[:]))
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// attempt is one Update on its way, with what its present try knows.
type attempt struct {
	s      *Store
	tx     *overlay.Tx
	fn     func(kv.Tx) error
	guards [][]byte
	locks  []int64

	held  []kv.Item
	slot  int64    // of the token, by the database's clock
	token [16]byte // made anew for each try
	began time.Time
}

// run makes one try, and tells how it ended.
func (a *attempt) run(ctx context.Context) (kind, error) {
	c, err := a.s.borrowToWrite(ctx)
	if err != nil {
		return failed, err
	}
	k, err := a.prepare(ctx, c)
	if k != done || a.tx.Len() == 0 && len(a.tx.Expects()) == 0 {
		a.s.giveBack(c)
		return k, err
	}
	return a.commit(ctx, c)
}

// borrowToWrite takes one of the connections that updates may have. A commit
// whose caller has gone keeps its own until the server answers: the door, which
// that caller has left, does not know of it.
func (s *Store) borrowToWrite(ctx context.Context) (*lent, error) {
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: all connections wait for their commits (%w)", kv.ErrUnavailable, ctx.Err())
	}
	c, err := s.top.borrow(ctx)
	if err != nil {
		<-s.writing
	}
	return c, err
}

func (s *Store) giveBack(c *lent) {
	c.rollback()
	c.release()
	<-s.writing
}

// prepare takes the guards and runs fn.
func (a *attempt) prepare(ctx context.Context, c *lent) (kind, error) {
	if err := a.begin(ctx, c); err != nil {
		return judge(ctx, err)
	}
	in := &inside{c: c}
	a.tx.Start(in, a.held, c.epoch)
	err := a.fn(a.tx)
	switch {
	case in.kind == away, in.kind == conflict:
		return in.kind, in.err
	case err != nil:
		return failed, err
	case in.kind != done:
		return in.kind, in.err
	}
	if err := a.tx.Check(kv.DefaultLimits()); err != nil {
		return failed, err
	}
	return done, nil
}

// begin is the first round trip: the locks, and then the guards as they are now.
func (a *attempt) begin(ctx context.Context, c *lent) error {
	b := &pgx.Batch{}
	b.Queue("begin")
	b.Queue("select kv_lock1($1)", a.locks)
	b.Queue(sqlGet, a.guards)
	return c.inTurn(ctx, b, skip,
		func(r pgx.BatchResults) error { return r.QueryRow().Scan(&a.slot) },
		func(r pgx.BatchResults) (err error) {
			a.held, err = itemsOf(r, a.guards)
			return err
		})
}

const sqlApply = "select kv_apply1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"

// arguments are the parameters of kv_apply1.
func (a *attempt) arguments() []any {
	gk, gr := make([][]byte, len(a.held)), make([]int64, len(a.held))
	for i, it := range a.held {
		gk[i], gr[i] = it.Key, int64(it.Rev)
	}
	expects := a.tx.Expects()
	ek, er := make([][]byte, len(expects)), make([]int64, len(expects))
	for i, e := range expects {
		ek[i], er[i] = append([]byte{}, e.Key...), int64(e.Rev)
	}
	n := a.tx.Len()
	pk, pv, dk := make([][]byte, 0, n), make([][]byte, 0, n), make([][]byte, 0)
	for w := range a.tx.Writes {
		if w.Delete {
			dk = append(dk, w.Key)
		} else {
			pk, pv = append(pk, w.Key), append(pv, w.Value)
		}
	}
	return []any{a.slot, a.token, gk, gr, ek, er, pk, pv, dk, 1 + mrand.Int64N(1<<62)}
}

// commit is the second round trip. It runs on when ctx ends: then the outcome is
// unknown to the caller, and the connection is out of use until the server answers.
func (a *attempt) commit(ctx context.Context, c *lent) (kind, error) {
	if _, err := rand.Read(a.token[:]); err != nil {
		return failed, fmt.Errorf("pgkv: %w", err)
	}
	a.began = time.Now().Round(0)
	b := &pgx.Batch{}
	b.Queue(sqlApply, a.arguments()...)
	b.Queue("commit")
	type result struct {
		k   kind
		err error
	}
	answer := make(chan result, 1)
	a.s.house.Add(1)
	go func() {
		defer a.s.house.Done()
		k, err := finish(c, b)
		a.s.giveBack(c)
		answer <- result{k, err}
	}()
	select {
	case r := <-answer:
		return a.count(r.k), r.err
	case <-ctx.Done():
	}
	select {
	case r := <-answer:
		return a.count(r.k), r.err
	case <-time.After(commitGrace):
		return a.count(unknown), fmt.Errorf("%w: %w while the commit waited", kv.ErrUnknown, ctx.Err())
	}
}

// Pace: how much longer than its context a call waits for the answer to its commit.
const commitGrace = 500 * time.Millisecond

func (a *attempt) count(k kind) kind {
	switch k {
	case done:
		a.s.stats.commits.Add(1)
	case unknown:
		a.s.stats.unknown.Add(1)
	}
	return k
}

// finish applies and commits, and tells what is certain about it.
func finish(c *lent, b *pgx.Batch) (kind, error) {
	ctx := context.Background() // a deadline would cancel the wait for the standby
	r := c.SendBatch(ctx, b)
	_, applied := r.Exec()
	takeWarning(c.PgConn()) // what is warned of before COMMIT says nothing about it
	tag, committed := r.Exec()
	closed := r.Close()
	var pg *pgconn.PgError
	switch {
	case applied != nil && (errors.As(applied, &pg) || pgconn.SafeToRetry(applied)):
		return judge(ctx, applied) // COMMIT was not reached, or nothing was sent
	case applied != nil:
		return unknown, fmt.Errorf("%w: %w", kv.ErrUnknown, applied)
	case committed != nil || closed != nil:
		return unknown, fmt.Errorf("%w: %w", kv.ErrUnknown, errors.Join(committed, closed))
	case takeWarning(c.PgConn()):
		return unknown, fmt.Errorf("%w: the wait for the standby was cancelled", kv.ErrUnknown)
	case tag.String() != "COMMIT":
		return conflict, fmt.Errorf("%w: COMMIT answered %s", kv.ErrConflict, tag)
	}
	return done, nil
}

// Pace: age of a token after which it is not asked for any more. Token tables
// are emptied five minutes or more after their slot ended.
const tokenAge = 4 * time.Minute

// resolve learns the outcome of a commit whose reply was lost, asking until it
// gets an answer or ctx ends.
func (s *Store) resolve(ctx context.Context, a *attempt) (happened bool, err error) {
	for n := 0; ; n++ {
		happened, err = s.ask(ctx, a)
		if err == nil {
			if happened {
				s.stats.happened.Add(1)
				s.stats.commits.Add(1)
			} else {
				s.stats.fenced.Add(1)
			}
			s.log.Warn("store: a commit lost its reply", "happened", happened, "after", time.Since(a.began).Round(0))
			return happened, nil
		}
		if time.Since(a.began) > tokenAge || tooOld(err) || pause(ctx, n) != nil {
			s.stats.unresolved.Add(1)
			return false, fmt.Errorf("%w: %w", kv.ErrUnknown, err)
		}
		s.top.look()
	}
}

func tooOld(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "KV002"
}

// ask asks once. Only a commit of the question itself makes its answer true.
func (s *Store) ask(ctx context.Context, a *attempt) (happened bool, err error) {
	c, err := s.top.borrow(ctx)
	if err != nil {
		return false, err
	}
	defer c.release()
	defer c.rollback()
	b := &pgx.Batch{}
	b.Queue("begin")
	b.Queue("select kv_resolve1($1, $2)", a.slot, a.token)
	b.Queue("commit")
	err = c.inTurn(ctx, b, skip,
		func(r pgx.BatchResults) error {
			err := r.QueryRow().Scan(&happened)
			takeWarning(c.PgConn())
			return err
		},
		skip)
	if err == nil && takeWarning(c.PgConn()) {
		err = errors.New("the wait for the standby was cancelled")
	}
	return happened, err
}
