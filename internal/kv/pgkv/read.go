package pgkv

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/paging"
)

// pageRows is how many rows a page has at most; most end by their bytes.
const pageRows = 4096

// itemCost is what paging counts for an item beside its bytes.
const itemCost = 64

const sqlGet = "select n.i, kv.r, kv.v from unnest($1::bytea[]) with ordinality as n(k, i) join kv on kv.k = n.k"

// filled returns keys without nils, which the database would take for null.
func filled(keys [][]byte) [][]byte {
	for i, k := range keys {
		if k == nil {
			out := append([][]byte(nil), keys...)
			for j := i; j < len(out); j++ {
				if out[j] == nil {
					out[j] = []byte{}
				}
			}
			return out
		}
	}
	return keys
}

// items reads the rows of sqlGet into one item per key.
func items(rows pgx.Rows, keys [][]byte) ([]kv.Item, error) {
	out := make([]kv.Item, len(keys))
	for i, k := range keys {
		out[i].Key = k
	}
	var i, rev int64
	var value []byte
	_, err := pgx.ForEachRow(rows, []any{&i, &rev, &value}, func() error {
		out[i-1].Rev, out[i-1].Value, value = kv.Rev(rev), value, nil
		return nil
	})
	return out, err
}

func (c *lent) get(ctx context.Context, keys [][]byte) ([]kv.Item, error) {
	if len(keys) == 0 {
		return []kv.Item{}, ctx.Err()
	}
	rows, err := c.Query(ctx, sqlGet, filled(keys))
	if err != nil {
		return nil, err
	}
	return items(rows, keys)
}

// pageSQL is the query of one page: rows from one end of the range until those
// before add up to a page. The sizes of long values are known without reading them.
func pageSQL(r kv.Range) string {
	order, below := "k", ""
	if r.Reverse {
		order = "k desc"
	}
	if r.End != nil {
		below = " and k < $3"
	}
	if r.KeysOnly {
		return "select k, r, ''::bytea from kv where k >= $1" + below + " order by " + order + " limit $2"
	}
	return fmt.Sprintf(`select k, r, v from (
		select k, r, v, sum(octet_length(k) + octet_length(v) + %[3]d)
			over (order by %[1]s rows between unbounded preceding and 1 preceding) as before
		from kv where k >= $1%[2]s order by %[1]s limit $2) as p
		where coalesce(before, 0) < %[4]d order by %[1]s`, order, below, itemCost, kv.PageBytes)
}

// fill reads one page in one statement.
func (c *lent) fill(ctx context.Context, r kv.Range, p *paging.Page) error {
	limit := pageRows
	if r.Limit > 0 {
		limit = min(limit, r.Limit)
	}
	args := []any{append([]byte{}, r.Start...), limit}
	if r.End != nil {
		args = append(args, r.End)
	}
	rows, err := c.Query(ctx, pageSQL(r), args...)
	if err != nil {
		return err
	}
	var it kv.Item
	var rev int64
	n := 0
	_, err = pgx.ForEachRow(rows, []any{&it.Key, &rev, &it.Value}, func() error {
		it.Rev = kv.Rev(rev)
		if r.KeysOnly {
			it.Value = nil
		}
		p.Add(it, r.Limit)
		it = kv.Item{}
		n++
		return nil
	})
	if n == limit && n != r.Limit {
		p.Cut()
	}
	return err
}

// GetMulti reads keys at one moment, in one round trip.
func (s *Store) GetMulti(ctx context.Context, keys ...[]byte) (out []kv.Item, err error) {
	if err := s.door.Enter(ctx); err != nil {
		return nil, err
	}
	defer s.door.Leave()
	err = s.withConn(ctx, func(c *lent) error {
		out, err = c.get(ctx, keys)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Scan reads a range page by page, one round trip each.
func (s *Store) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	return paging.Scan(ctx, r, func(r kv.Range, p *paging.Page) error {
		if err := s.door.Enter(ctx); err != nil {
			return err
		}
		defer s.door.Leave()
		return s.withConn(ctx, func(c *lent) error {
			p.Items = p.Items[:0]
			return c.fill(ctx, r, p)
		})
	})
}

// inside reads within a transaction, and remembers what went wrong: whatever the
// function makes of it, the transaction cannot go on.
type inside struct {
	c    *lent
	kind kind
	err  error
}

func (i *inside) check(ctx context.Context, err error) error {
	k, err := judge(ctx, err)
	if k != done && i.kind == done {
		i.kind, i.err = k, err
	}
	return err
}

func (i *inside) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	out, err := i.c.get(ctx, keys)
	if err != nil {
		return nil, i.check(ctx, err)
	}
	return out, nil
}

func (i *inside) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	return paging.Scan(ctx, r, func(r kv.Range, p *paging.Page) error {
		return i.check(ctx, i.c.fill(ctx, r, p))
	})
}

// View runs fn on a snapshot of the database: a round trip before it and one after.
func (s *Store) View(ctx context.Context, guards [][]byte, fn func(kv.Reader, []kv.Item) error) error {
	if err := s.door.Enter(ctx); err != nil {
		return err
	}
	defer s.door.Leave()
	var mine error
	err := s.withTx(ctx, func(c *lent) error {
		var held []kv.Item
		b := &pgx.Batch{}
		b.Queue("begin isolation level repeatable read read only")
		b.Queue(sqlGet, filled(guards))
		err := c.inTurn(ctx, b, skip, func(r pgx.BatchResults) (err error) {
			held, err = itemsOf(r, guards)
			return err
		})
		if err != nil {
			return err
		}
		in := &inside{c: c}
		if mine = fn(in, held); in.kind == away || in.kind == conflict {
			mine = nil
			return in.err
		}
		return nil
	})
	if err == nil {
		err = mine
	}
	return err
}

// itemsOf reads the next result of a batch, which is one of sqlGet.
func itemsOf(r pgx.BatchResults, keys [][]byte) ([]kv.Item, error) {
	rows, err := r.Query()
	if err != nil {
		return nil, err
	}
	return items(rows, keys)
}

// Pace: rows that DeletePrefix removes in one commit.
const prefixRows = 2000

const sqlDelete = `delete from kv where k in (select k from kv where k >= $1 and k < $2 order by k limit $3)`

// DeletePrefix removes the keys under prefix in several commits.
func (s *Store) DeletePrefix(ctx context.Context, prefix []byte) error {
	if err := s.door.Enter(ctx); err != nil {
		return err
	}
	defer s.door.Leave()
	end := kv.PrefixEnd(prefix)
	if end == nil {
		end = pastAll()
	}
	for {
		var n int64
		err := s.withConn(ctx, func(c *lent) error {
			tag, err := c.Exec(ctx, sqlDelete, append([]byte{}, prefix...), end, prefixRows)
			n = tag.RowsAffected()
			return err
		})
		if err != nil || n < prefixRows {
			return err
		}
	}
}

// pastAll is larger than every key.
func pastAll() []byte { return bytes.Repeat([]byte{0xff}, kv.MaxKey+1) }
