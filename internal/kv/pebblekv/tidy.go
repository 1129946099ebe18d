package pebblekv

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

const (
	// tidyEvery is how often is looked whether deleted rows still take space.
	tidyEvery = 10 * time.Second
	// tidyBurst is how long a burst of deletes is waited for to end.
	tidyBurst = time.Minute
	// tidyPart is the part of the tables, one in so many, that must be deleted
	// rows for tables to be written again.
	tidyPart = 4
	// tidyLeast is how many bytes of deleted rows are left alone at any rate.
	tidyLeast = 1 << 20
)

// tidier gives back what deleted rows take. The engine does that by itself as
// new data pushes old data down; where nothing new comes, after all mail has
// expired, it would keep everything for ever.
type tidier struct {
	next    time.Time
	deleted bool // rows were deleted that may stand in memory only
	seen    int64
	flushed time.Time
}

// tidy looks now and then. It writes again only what is a quarter garbage, one
// table's range after another, so that it takes little space for itself.
func (s *Store) tidy(ctx context.Context, t *tidier, m *pebble.Metrics) {
	now := time.Now()
	if now.Before(t.next) {
		return
	}
	t.next = now.Add(tidyEvery)
	n := s.deletes.Load()
	burst := n != t.seen
	t.seen, t.deleted = n, t.deleted || burst
	if t.deleted && (!burst || now.Sub(t.flushed) > tidyBurst) {
		// What is deleted counts as garbage when it stands in a table.
		t.deleted, t.flushed = false, now
		if err := s.flush(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("store: giving space back", "err", err)
		}
		return
	}
	garbage := int64(m.Table.Garbage.PointDeletionsBytesEstimate + m.Table.Garbage.RangeDeletionsBytesEstimate)
	if garbage < tidyLeast || garbage < int64(m.Table.Local.LiveSize)/tidyPart {
		return
	}
	start := time.Now()
	ranges, err := s.compactAll(ctx)
	if err != nil && ctx.Err() == nil {
		s.log.Warn("store: giving space back", "err", err)
	}
	took := time.Since(start)
	s.log.Info("store: deleted mail gave its space back", "garbage", garbage, "ranges", ranges, "took", took)
	t.next = time.Now().Add(max(tidyEvery, 4*took))
}

// Compact gives back the space of rows that were deleted or replaced: what stands
// in memory is written, and then all tables anew, unless the disk is short.
func (s *Store) Compact(ctx context.Context) error {
	if s.space.tight() {
		return nil
	}
	if err := s.flush(ctx); err != nil {
		return err
	}
	if _, err := s.compactAll(ctx); err != nil {
		return fmt.Errorf("pebblekv: compaction: %w", err)
	}
	return nil
}

// compactAll compacts the whole store, range by range as its tables lie, and
// pauses as long as each took.
func (s *Store) compactAll(ctx context.Context) (n int, err error) {
	levels, err := s.db.SSTables()
	if err != nil {
		return 0, err
	}
	var from, to []byte
	for i := len(levels) - 1; i >= 0; i-- {
		for _, t := range levels[i] {
			from, to = t.Smallest.UserKey, bytes.Clone(t.Largest.UserKey)
			to = append(to, 0)
			start := time.Now()
			if err := s.db.Compact(ctx, from, to, false); err != nil {
				return n, err
			}
			n++
			select {
			case <-ctx.Done():
				return n, ctx.Err()
			case <-time.After(time.Since(start)):
			}
		}
	}
	return n, nil
}
