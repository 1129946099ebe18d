package pgkv

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// lent is a connection to the primary that one call uses.
type lent struct {
	*pgx.Conn
	from  *pgxpool.Conn
	epoch uint64
}

func (c *lent) release() { c.from.Release() }

// borrow takes a connection to the primary, waiting for one as long as ctx lasts.
func (t *topology) borrow(ctx context.Context) (*lent, error) {
	for n := 0; ; n++ {
		p, err := t.await(ctx)
		if err != nil {
			return nil, err
		}
		c, err := p.pool.Acquire(ctx)
		if err == nil {
			return &lent{Conn: c.Conn(), from: c, epoch: p.epoch}, nil
		}
		if k, err := judge(ctx, err); k == failed {
			return nil, err
		}
		t.look()
		if pause(ctx, n) != nil {
			return nil, unavailable(ctx, err)
		}
	}
}

// withConn runs do on a connection to the primary, again on the next one for
// as long as servers fail and ctx lasts.
func (s *Store) withConn(ctx context.Context, do func(*lent) error) error {
	for n := 0; ; n++ {
		c, err := s.top.borrow(ctx)
		if err != nil {
			return err
		}
		err = do(c)
		c.release()
		k, err := judge(ctx, err)
		if k != away && k != conflict {
			return err
		}
		if k == away {
			s.top.look()
		}
		if pause(ctx, n) != nil {
			return unavailable(ctx, err)
		}
	}
}

// Pace: time for a rollback; a connection that takes longer is given up.
const rollbackWithin = 2 * time.Second

// rollback ends a transaction, if there is one.
func (c *lent) rollback() {
	if c.IsClosed() || c.PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), rollbackWithin)
	defer cancel()
	if _, err := c.Exec(ctx, "rollback"); err != nil {
		_ = c.Close(ctx) // the pool makes another
	}
}

// withTx runs do in a transaction that is rolled back in the end; else like withConn.
func (s *Store) withTx(ctx context.Context, do func(*lent) error) error {
	return s.withConn(ctx, func(c *lent) error {
		defer c.rollback()
		return do(c)
	})
}

// inTurn reads the results of a batch: one function for each.
func (c *lent) inTurn(ctx context.Context, b *pgx.Batch, each ...func(pgx.BatchResults) error) error {
	r := c.SendBatch(ctx, b)
	for _, f := range each {
		if err := f(r); err != nil {
			_ = r.Close() // it repeats err
			return err
		}
	}
	return r.Close()
}

// skip passes over a result that tells nothing.
func skip(r pgx.BatchResults) error {
	_, err := r.Exec()
	return err
}
