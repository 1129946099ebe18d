package pgkv

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed schema.sql
var schemaSQL string

// format is the newest version of the tables that this package knows.
const format = 1

// steps lead from one format to the next: steps[0] makes format 1. A step adds
// and never changes what nodes of the version before use.
var steps = []string{schemaSQL}

// migrationLock is the advisory lock of who changes tables.
const migrationLock = 1701078373

// prepare brings the tables of a new primary to this format and learns the epoch.
func (t *topology) prepare(ctx context.Context, p *primary, s sight) error {
	c, err := p.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	found, err := readFormat(ctx, c.Conn())
	if err != nil {
		return err
	}
	if found > format {
		return fmt.Errorf("%w: the store in %s has format %d, this version knows format %d: use a newer version",
			ErrFormat, p.name, found, format)
	}
	if found < format {
		if err := migrate(ctx, c.Conn(), t.cfg.schema, s); err != nil {
			return fmt.Errorf("making the tables: %w", err)
		}
	}
	p.epoch, err = readEpoch(ctx, c.Conn(), s)
	return err
}

// readFormat is 0 where there are no tables yet.
func readFormat(ctx context.Context, c *pgx.Conn) (n int, err error) {
	err = c.QueryRow(ctx, "select format from kvmeta").Scan(&n)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42P01" || errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

// migrate runs the missing steps in one transaction, alone among all nodes.
func migrate(ctx context.Context, c *pgx.Conn, schema string, s sight) error {
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		// What the others did is seen by a statement that begins after the wait.
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1, 0)", migrationLock); err != nil {
			return err
		}
		name := pgx.Identifier{schema}.Sanitize()
		var there, tables bool
		err := tx.QueryRow(ctx, "select exists(select from pg_namespace where nspname = $1)", schema).Scan(&there)
		if err != nil {
			return err
		}
		if !there {
			if _, err := tx.Exec(ctx, "create schema "+name); err != nil {
				return err
			}
		}
		if err := tx.QueryRow(ctx, "select to_regclass('kvmeta') is not null").Scan(&tables); err != nil {
			return err
		}
		found := 0
		if tables {
			if found, err = readFormat(ctx, c); err != nil {
				return err
			}
		}
		for i := found; i < len(steps); i++ {
			if _, err := tx.Exec(ctx, steps[i], pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `insert into kvmeta (format, system, base, timeline, forgotten)
			values ($1, $2, 0, $3, '{0,0}') on conflict (one) do update set format = excluded.format`,
			format, s.system, int64(s.timeline))
		return err
	})
}

// readEpoch returns the epoch of this timeline. In another cluster (a dump that
// was put back) timelines begin again, and the base rises above all before.
func readEpoch(ctx context.Context, c *pgx.Conn, s sight) (uint64, error) {
	var base, timeline int64
	var system string
	err := c.QueryRow(ctx, "select base, timeline, system from kvmeta").Scan(&base, &timeline, &system)
	if err != nil {
		return 0, err
	}
	if system == s.system && timeline >= int64(s.timeline) {
		return uint64(base) + s.timeline, nil
	}
	if system == s.system {
		// Only a note for the next time that the cluster is another one; it must
		// not keep readers waiting for a standby.
		go noteTimeline(c.Config().Copy(), s)
		return uint64(base) + s.timeline, nil
	}
	err = c.QueryRow(ctx, `update kvmeta set base = case when system = $1 then base else base + timeline end,
		system = $1, timeline = $2 returning base`, s.system, int64(s.timeline)).Scan(&base)
	return uint64(base) + s.timeline, err
}

// Pace: time for writing down the highest timeline.
const noteWithin = 10 * time.Second

// noteTimeline writes down the highest timeline.
func noteTimeline(cfg *pgx.ConnConfig, s sight) {
	ctx, cancel := context.WithTimeout(context.Background(), noteWithin)
	defer cancel()
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return // the next node or the next start notes it
	}
	defer closeSoon(c)
	_, _ = c.Exec(ctx, "update kvmeta set timeline = greatest(timeline, $2) where system = $1",
		s.system, int64(s.timeline)) // likewise
}
