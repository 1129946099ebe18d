// Package pgkv is the engine on PostgreSQL 15 or newer: one server, or a
// primary with synchronous standbys under Patroni or its like, on which any
// number of nodes stand.
//
// A guard is an advisory lock, taken in the first of the two round trips of an
// Update and held until its commit is visible. The second applies all writes
// and commits. A lock is for order; that nothing changed is checked by revision.
//
// A commit whose reply is lost has an unknown outcome. Each carries a token, and
// asking for the token either finds the commit or fences it off for ever; the
// question may be repeated (kv_resolve1 in schema.sql). COMMIT itself has no
// deadline: a cancelled one would be visible here and missing on the standby.
//
// Which server is the primary is found by asking them all (topology). While
// there is none, calls wait for as long as their context lasts.
package pgkv

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/guard"
	"github.com/eidermail/eider/internal/kv/meter"
	"github.com/eidermail/eider/internal/kv/overlay"
)

// Options of a store. Only URI is needed.
type Options struct {
	// URI is postgres://user:password@host1:5432,host2:5432/database?… as libpq
	// knows it. Beside its parameters, search_path names the schema of the
	// tables ("eider") and pool_max_conns the connections of this process.
	URI string
	// OpenWithin is how long Open waits for a primary. 30 seconds if zero.
	OpenWithin time.Duration
	// Log gets what an operator should know. Silent if nil.
	Log *slog.Logger
}

// Pace: connections of one process to the primary.
const DefaultMaxConns = 16

// readConns of them are never taken by an Update, so that reading goes on
// while commits wait for a standby.
const readConns = 3

// Pace: background updates that run at once.
const maxBackground = 2

// Pace: time that Open waits for a primary.
const openWithin = 30 * time.Second

// Pace: time that Close leaves to the calls that run; then connections are cut.
const closeWithin = 5 * time.Second

// ErrFormat: the database is not a store of this version.
var ErrFormat = errors.New("pgkv: unknown format")

// Store is one handle on a database.
type Store struct {
	log     *slog.Logger
	top     *topology
	door    *guard.Door
	writing chan struct{} // an element for each connection that an update has
	txs     sync.Pool
	stop    context.CancelFunc
	house   sync.WaitGroup
	size    meter.Meter
	stats   counters
}

var _ kv.Store = (*Store)(nil)

type counters struct{ commits, conflicts, unknown, happened, fenced, unresolved atomic.Int64 }

// Stats are figures of this handle since it was opened.
type Stats struct {
	Commits, Conflicts int64
	// Unknown commits lost their reply; Happened and Fenced of them were
	// resolved, Unresolved not.
	Unknown, Happened, Fenced, Unresolved int64
	// Primary is the server that takes writes, empty while there is none.
	Primary string
}

// Stats returns the figures.
func (s *Store) Stats() Stats {
	c := &s.stats
	return Stats{
		Commits: c.commits.Load(), Conflicts: c.conflicts.Load(), Unknown: c.unknown.Load(),
		Happened: c.happened.Load(), Fenced: c.fenced.Load(), Unresolved: c.unresolved.Load(),
		Primary: s.top.name(),
	}
}

// Open connects to the primary among the servers that o.URI names, and makes or
// upgrades the tables. It waits while the servers are failing over, and gives up
// at once where waiting cannot help (a wrong password, a newer format).
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OpenWithin <= 0 {
		o.OpenWithin = openWithin
	}
	cfg, err := parse(o.URI)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	writers := max(1, cfg.maxConns-readConns)
	s := &Store{
		log:     o.Log,
		door:    guard.NewDoor(writers, maxBackground),
		writing: make(chan struct{}, writers),
		stop:    stop,
	}
	s.txs.New = func() any { return new(overlay.Tx) }
	s.top = newTopology(cfg, o.Log)
	s.top.run(running)
	ctx, cancel := context.WithTimeout(ctx, o.OpenWithin)
	defer cancel()
	if err := s.top.opened(ctx); err != nil {
		stop()
		s.top.close()
		return nil, err
	}
	s.house.Go(func() { s.trim(running) })
	s.house.Go(func() { s.size.Watch(running, s.log, s.measure) })
	return s, nil
}

// Limits are the default ones.
func (s *Store) Limits() kv.Limits { return kv.DefaultLimits() }

// Ping asks the primary for its time. It does not commit: a store whose
// standbys are away answers, and its commits wait.
func (s *Store) Ping(ctx context.Context) (kv.Health, error) {
	if err := s.door.Enter(ctx); err != nil {
		return kv.Health{}, err
	}
	defer s.door.Leave()
	var h kv.Health
	err := s.withConn(ctx, func(c *lent) error {
		h = kv.Health{Epoch: c.epoch}
		return c.QueryRow(ctx, "select clock_timestamp()").Scan(&h.Time)
	})
	s.size.Fill(&h)
	h.Alone = s.top.alone()
	return h, err
}

// Pace: time between two looks at old tokens.
const trimEvery = time.Minute

// trim empties the token table whose turn is over.
func (s *Store) trim(ctx context.Context) {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var trimmed bool
		err := s.withConn(ctx, func(c *lent) error {
			return c.QueryRow(ctx, "select kv_trim1(extract(epoch from clock_timestamp()) / 900)").Scan(&trimmed)
		})
		if err != nil && ctx.Err() == nil {
			s.log.Warn("store: old commit tokens stay", "error", err)
		}
	}
}

// Close waits a little for the calls that run, and cuts the connections.
func (s *Store) Close() error {
	s.stop()
	cut := time.AfterFunc(closeWithin, s.top.close)
	defer cut.Stop()
	if !s.door.Close() {
		return kv.ErrClosed
	}
	s.top.close()
	s.house.Wait()
	s.top.tasks.Wait()
	return nil
}
