// Package pebblekv is the embedded engine: one directory, one process, every
// commit on the disk before Update returns.
//
// Guards are striped mutexes that are held through the fsync, so whoever holds
// one sees only what is durable. Readers outside Update can see a commit a
// moment before its fsync; that is what the epoch is for: it rises at the
// first open after an unclean stop.
//
// When the disk runs low the store refuses all but reclaiming updates, and before
// that it makes a ballast file. If the disk runs full all the same, the ballast
// is given up, and if that is not enough the process ends, loudly, with nothing
// acknowledged lost.
package pebblekv

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/guard"
)

// Options of a store. Only Dir is needed.
type Options struct {
	Dir string
	// CacheBytes is the memory for blocks of the disk's files.
	CacheBytes int64
	// MemTableBytes is the memory for one table of writes that are not in
	// files yet; up to four can be there at once, and as many logs on the disk.
	MemTableBytes int
	// Dense are the first bytes, ascending, of keys whose values come compressed:
	// their files are not packed with care again.
	Dense []byte
	// ReserveBytes and ReserveFraction set the free space to keep: the larger
	// of both holds. Negative: none.
	ReserveBytes    int64
	ReserveFraction float64
	// BallastBytes is the size of a file that is made when the disk runs short
	// and given up when it is full. Negative: none. With an FS given, none is
	// the default.
	BallastBytes int64
	// StallLimit is how long writes may wait on a full disk before the process
	// ends, as nothing but a person can help then. 10 seconds if zero.
	StallLimit time.Duration
	// FS is the file system, for tests.
	FS vfs.FS
	// Log gets what an operator should know. Silent if nil.
	Log *slog.Logger
	// Fatal is called when the store cannot go on without risk to what is
	// acknowledged, and must not return. It ends the process if nil.
	Fatal func(err error)
}

// Pace: memory for blocks read from the store's files.
const DefaultCacheBytes = 8 << 20

// Pace: memory for one table of writes that are not in files yet.
const DefaultMemTableBytes = 4 << 20

// Pace: tables of writes that wait to be written to files; then writers wait.
const maxMemTables = 4

// Limit: free disk space below which only deletes and the like are let through.
const DefaultReserveBytes = 256 << 20

// DefaultReserveFraction is the same as a part of the disk; the larger holds.
const DefaultReserveFraction = 0.02

// Limit: file that is made on a disk that runs short, and given up when it is full all the same.
const DefaultBallastBytes = 32 << 20

// Pace: background updates that run at once.
const maxBackground = 2

// Store is a kv.Store in a directory.
type Store struct {
	o     Options
	db    *pebble.DB
	lock  *pebble.Lock
	log   *slog.Logger
	gate  *guard.Gate
	locks *guard.Locks
	space *space
	txns  sync.Pool
	keys  sync.Pool

	meta   metaRow // as it stands on the disk; written under metaMu
	metaMu sync.Mutex
	dirty  atomic.Bool // the disk says that this process writes
	rev    atomic.Uint64
	bad    atomic.Pointer[error] // damage that was met
	flood  flood
	blocks badBlocks
	// deletes counts deleted rows and ranges.
	deletes atomic.Int64

	stalled atomic.Int64 // since when writes wait for flushes, Unix nanoseconds; 0: they do not

	// apply is held shared while a batch becomes visible, and alone while
	// Expects are checked and their batch becomes visible.
	apply      sync.RWMutex
	background chan struct{}

	stop    context.CancelFunc
	stopped chan struct{}
}

var _ kv.Store = (*Store)(nil)

func (o *Options) defaults() {
	if o.CacheBytes <= 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if o.MemTableBytes <= 0 {
		o.MemTableBytes = DefaultMemTableBytes
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = DefaultReserveBytes
	}
	if o.ReserveFraction == 0 {
		o.ReserveFraction = DefaultReserveFraction
	}
	if o.BallastBytes == 0 && o.FS == nil {
		o.BallastBytes = DefaultBallastBytes
	}
	if o.StallLimit <= 0 {
		o.StallLimit = stallLimit
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Open opens the store in o.Dir, or makes a new one there. Its errors say what
// to do; they match ErrLocked, ErrFormat, kv.ErrCorrupt or kv.ErrNoSpace where
// one of these is the cause.
func Open(o Options) (*Store, error) {
	o.defaults()
	s := &Store{
		o:          o,
		log:        o.Log,
		gate:       guard.NewGate(),
		locks:      guard.NewLocks(),
		background: make(chan struct{}, maxBackground),
		stopped:    make(chan struct{}),
	}
	s.blocks.now = time.Now
	s.txns.New = func() any { return new(txn) }
	s.keys.New = func() any { b := make([]byte, 0, 1+kv.MaxKey); return &b }
	s.space = newSpace(o)
	if err := s.openDir(); err != nil {
		return nil, err
	}
	s.space.poll()
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.keepHouse(ctx)
	return s, nil
}

// Limits are the default ones.
func (s *Store) Limits() kv.Limits { return kv.DefaultLimits() }

// Ping tells the epoch and the free space.
func (s *Store) Ping(ctx context.Context) (kv.Health, error) {
	if !s.gate.Enter() {
		return kv.Health{}, kv.ErrClosed
	}
	defer s.gate.Leave()
	if err := ctx.Err(); err != nil {
		return kv.Health{}, err
	}
	s.space.refresh()
	h := kv.Health{
		Time:         time.Now(),
		Epoch:        s.meta.epoch,
		FreeBytes:    s.space.free.Load(),
		UsedBytes:    s.space.used.Load(),
		SpareBytes:   s.space.spare.Load(),
		ReserveBytes: s.space.reserve.Load(),
	}
	if bad := s.bad.Load(); bad != nil {
		return h, *bad
	}
	return h, nil
}

// Stats are figures of the engine, for an operator.
type Stats struct {
	DiskBytes     uint64 // files and logs
	MemTableBytes uint64
	CacheBytes    int64
	Flushes       int64
	Compactions   int64
	ReadAmp       int
}

// Stats returns figures of the engine; all are zero on a closed store.
func (s *Store) Stats() Stats {
	if !s.gate.Enter() {
		return Stats{}
	}
	defer s.gate.Leave()
	m := s.db.Metrics()
	return Stats{
		DiskBytes:     m.DiskSpaceUsage(),
		MemTableBytes: m.MemTable.Size,
		CacheBytes:    m.BlockCache.Size,
		Flushes:       m.Flush.Count,
		Compactions:   m.Compact.Count,
		ReadAmp:       m.ReadAmp(),
	}
}

// Close waits for all calls, leaves nothing to replay, and gives the directory free.
func (s *Store) Close() error {
	if !s.gate.Close() {
		return kv.ErrClosed
	}
	s.stop()
	<-s.stopped
	return s.closeDir()
}
