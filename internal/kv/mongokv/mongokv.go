// Package mongokv is the engine on a MongoDB replica set of version 4.4.2 or newer,
// on which any number of nodes stand.
//
// A key is a document {_id: key in base64 that sorts, v: value, r: revision}. An
// Update is one transaction whose first statements lock its guards by writing a
// mark (l) into them; whoever comes second gets a write conflict at once and
// tries again after a random pause. Concerns are set on each transaction:
// snapshot to read, majority and journal to write.
//
// A commit whose reply is lost is asked for again until there is an answer:
// commitTransaction is idempotent, also on the next primary. Every attempt has
// its own deadline, so that a frozen primary is left for the one that follows.
package mongokv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/guard"
	"github.com/eidermail/eider/internal/kv/meter"
	"github.com/eidermail/eider/internal/kv/overlay"
)

// Options of a store. Only URI is needed.
type Options struct {
	// URI is mongodb://user:password@host1,host2,host3/database?replicaSet=…; the
	// database is "eider" if it names none.
	URI string
	// OpenWithin is how long Open waits for a primary. 30 seconds if zero.
	OpenWithin time.Duration
	// Log gets what an operator should know. Silent if nil.
	Log *slog.Logger
}

// Pace: connections of one process to each server of the replica set.
const MaxConns = 64

// Pace: updates of one process that run at once; the rest waits without a session.
const maxWriters = MaxConns / 2

// Pace: background updates that run at once.
const maxBackground = 2

// Pace: time that Open waits for a primary.
const openWithin = 30 * time.Second

// Pace: time of one attempt: a call to a server that hangs ends after it. It
// doubles from the third attempt on, for work that is slow and not stuck.
const attemptTime = 3 * time.Second

// Pace: time of one attempt after many.
const maxAttemptTime = 24 * time.Second

// Pace: time that Close leaves to the calls that run.
const closeWithin = 5 * time.Second

// reserve is the part of a server's disk that new mail leaves free: a mongod that
// finds no room ends, and then nothing can be deleted either.
const reserve = 0.05

// The times of the driver: looking for servers, and one look at a server.
const (
	connectTimeout    = 2 * time.Second
	heartbeatInterval = 2 * time.Second
	selectTimeout     = 2 * time.Second // calls try again themselves
)

// ErrFormat: the database is not a store of this version.
var ErrFormat = errors.New("mongokv: unknown format")

// Store is one handle on a database.
type Store struct {
	log     *slog.Logger
	keys    keys
	client  *mongo.Client
	kv      *mongo.Collection
	door    *guard.Door
	txs     sync.Pool
	running context.Context // ends when Close will wait no longer
	stop    context.CancelFunc
	house   sync.WaitGroup
	size    meter.Meter
	stats   counters
}

var _ kv.Store = (*Store)(nil)

type counters struct{ commits, conflicts, unknown, unresolved atomic.Int64 }

// Stats are figures of this handle since it was opened: Unknown commits had to be
// asked for again, Unresolved of them had no answer in time.
type Stats struct{ Commits, Conflicts, Unknown, Unresolved int64 }

// Stats returns the figures.
func (s *Store) Stats() Stats {
	c := &s.stats
	return Stats{Commits: c.commits.Load(), Conflicts: c.conflicts.Load(),
		Unknown: c.unknown.Load(), Unresolved: c.unresolved.Load()}
}

// Open connects to the replica set and makes what is missing. It waits while the
// servers elect a primary, and gives up at once where waiting cannot help.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OpenWithin <= 0 {
		o.OpenWithin = openWithin
	}
	client, database, err := connect(o.URI)
	if err != nil {
		return nil, err
	}
	s := &Store{
		log:    o.Log,
		keys:   newKeys(),
		client: client,
		kv:     client.Database(database).Collection("kv"),
		door:   guard.NewDoor(maxWriters, maxBackground),
	}
	s.txs.New = func() any { return new(overlay.Tx) }
	s.running, s.stop = context.WithCancel(context.Background())
	ctx, cancel := context.WithTimeout(ctx, o.OpenWithin)
	defer cancel()
	if err := s.prepare(ctx); err != nil {
		s.stop()
		return nil, errors.Join(err, client.Disconnect(context.WithoutCancel(ctx)))
	}
	s.house.Go(func() { s.size.Watch(s.running, s.log, s.measure) })
	return s, nil
}

// connect makes the driver's client, which connects when it is used.
func connect(uri string) (client *mongo.Client, database string, err error) {
	o := options.Client().SetAppName("eider").SetMaxPoolSize(MaxConns).SetConnectTimeout(connectTimeout).
		SetServerSelectionTimeout(selectTimeout).SetHeartbeatInterval(heartbeatInterval).
		SetReadPreference(readpref.Primary()).SetReadConcern(readconcern.Majority()).
		SetWriteConcern(durable()).SetRetryReads(true).SetRetryWrites(true).
		ApplyURI(uri)
	if err := o.Validate(); err != nil {
		return nil, "", fmt.Errorf("the address of the database cannot be read: %w", redacted(uri, err))
	}
	// What the address says cannot weaken what a commit means.
	o.SetReadPreference(readpref.Primary()).SetReadConcern(readconcern.Majority()).SetWriteConcern(durable())
	if client, err = mongo.Connect(o); err != nil {
		return nil, "", fmt.Errorf("the address of the database cannot be read: %w", redacted(uri, err))
	}
	return client, databaseOf(uri), nil
}

func durable() *writeconcern.WriteConcern {
	j := true
	return &writeconcern.WriteConcern{W: "majority", Journal: &j}
}

// Limits are the default ones.
func (s *Store) Limits() kv.Limits { return kv.DefaultLimits() }

// Ping asks the primary for its time. It does not commit: a store without a
// majority answers, and its commits wait. The epoch is constant, because what is
// read is on a majority and cannot be lost.
func (s *Store) Ping(ctx context.Context) (kv.Health, error) {
	if err := s.door.Enter(ctx); err != nil {
		return kv.Health{}, err
	}
	defer s.door.Leave()
	var hello struct {
		LocalTime time.Time `bson:"localTime"`
	}
	err := s.again(ctx, func(ctx context.Context) error {
		return s.client.Database("admin").RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello)
	})
	h := kv.Health{Time: hello.LocalTime, Epoch: 1}
	s.size.Fill(&h)
	return h, err
}

// measure asks what the database takes. Freed pages are spare: a server tells
// them when it is asked to, or, as some early 5.0, only when it is not.
func (s *Store) measure(ctx context.Context) (meter.Size, error) {
	var d struct {
		Storage   float64 `bson:"storageSize"`
		Index     float64 `bson:"indexSize"`
		Free      float64 `bson:"freeStorageSize"`
		IndexFree float64 `bson:"indexFreeStorageSize"`
		DiskUsed  float64 `bson:"fsUsedSize"` // of the primary's disk; -1 or absent if not known
		DiskTotal float64 `bson:"fsTotalSize"`
	}
	ask := bson.D{{Key: "dbStats", Value: 1}, {Key: "freeStorage", Value: 1}}
	err := s.kv.Database().RunCommand(ctx, ask).Decode(&d)
	var cmd mongo.CommandError
	if errors.As(err, &cmd) && cmd.Code == codeUnknownField {
		err = s.kv.Database().RunCommand(ctx, ask[:1]).Decode(&d)
	}
	size := meter.Size{Used: int64(d.Storage + d.Index), Spare: int64(d.Free + d.IndexFree), Free: -1}
	if d.DiskTotal > 0 {
		size.Free, size.Reserve = int64(max(d.DiskTotal-d.DiskUsed, 0)), int64(d.DiskTotal*reserve)
	}
	return size, err
}

// Close waits a little for the calls that run, and cuts the connections.
func (s *Store) Close() error {
	cut := time.AfterFunc(closeWithin, s.stop)
	defer cut.Stop()
	if !s.door.Close() {
		return kv.ErrClosed
	}
	s.stop()
	s.house.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	return s.client.Disconnect(ctx)
}
