package pgkv

import (
	"context"

	"github.com/eidermail/eider/internal/kv/meter"
)

// sizeQuery asks what the tables take, and how much of the largest is free to be
// used again: a table does not shrink when rows go. No extension tells that to
// everybody, so it is the pages of the last vacuum, less the rows it found times
// what a row takes. That is 2036 bytes for a chunk of a long value (four to a
// page; the last of a value is shorter, so there is rather more free than said),
// and else the mean width of the columns with 28 bytes of headers in pages that
// are filled by fillfactor. Where vacuum has not been yet, nothing is free.
const sizeQuery = `
with main as (select oid, reltoastrelid, relnamespace::regnamespace::text as schema
    from pg_class where oid = 'kv'::regclass),
  width as (select coalesce((28 + sum(avg_width)) / 0.8, 8192) as bytes from pg_stats, main
    where schemaname = main.schema and tablename = 'kv'),
  free as (select greatest(0, c.relpages * current_setting('block_size')::float8
      - c.reltuples * case when c.oid = main.oid then width.bytes else 2036 end) as bytes
    from pg_class c, main, width where c.oid in (main.oid, main.reltoastrelid) and c.reltuples >= 0)
select (select sum(pg_total_relation_size(t::regclass))
    from unnest(array['kv', 'kvtok0', 'kvtok1', 'kvmeta']) t)::bigint,
  (select coalesce(sum(bytes), 0) from free)::bigint`

func (s *Store) measure(ctx context.Context) (size meter.Size, err error) {
	err = s.withConn(ctx, func(c *lent) error {
		return c.QueryRow(ctx, sizeQuery).Scan(&size.Used, &size.Spare)
	})
	size.Free = -1 // no SQL tells of the disk
	return size, err
}
