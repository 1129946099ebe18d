package mailstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/body"
	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/codec"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/patient"
	"github.com/eidermail/eider/internal/mailstore/census"
	"github.com/eidermail/eider/internal/mailstore/crowd"
	"github.com/eidermail/eider/internal/mailstore/indexcache"
	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/mailstore/watch"
)

// Options configure a Store.
type Options struct {
	KV       kv.Store
	Bus      bus.Bus
	Log      *slog.Logger
	Now      func() time.Time // time.Now if nil
	Defaults AccountLimits    // what accounts without limits of their own have; zero fields: no limit
	// MessageLimit is the largest message, in bytes; 0: none.
	MessageLimit int64
	// DedupAccount keeps equal parts of different accounts apart.
	DedupAccount bool
	// BlobGrace is how long a shared part that nobody needs is kept; see package blob.
	BlobGrace time.Duration
	// Codec compresses what is stored; one of its own if nil. To make one takes
	// milliseconds and megabytes.
	Codec *codec.Codec
	// Exclusive: no other process uses the store while this one does.
	Exclusive bool
	// Running is how long this process runs, by a clock that nobody sets.
	Running func() time.Duration
	// Unknown is called when it could not be learned whether a commit
	// happened, with the operation's name: for a counter.
	Unknown func(op string)
}

// Store keeps all accounts and their mail.
type Store struct {
	kv       kv.Store
	bus      bus.Bus
	log      *slog.Logger
	now      func() time.Time
	defaults AccountLimits
	maxSize  int64
	unknown  func(op string)
	blobs    *blob.Store
	bodies   *body.Maker
	maker    *crowd.Maker
	apart    bool // DedupAccount
	stored   body.Counter
	watch    *watch.Hub
	indexes  indexcache.Cache
	install  []byte
}

// Open reads the store's format row, writing it on the first start. A format
// that this program does not know is refused.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{kv: o.KV, bus: o.Bus, log: o.Log, now: o.Now, defaults: o.Defaults,
		maxSize: o.MessageLimit, unknown: o.Unknown}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.apart = o.DedupAccount
	s.watch = watch.New(o.Bus)
	s.maker = crowd.NewMaker(o.KV)
	key, err := s.format(ctx)
	if err != nil {
		return nil, err
	}
	s.blobs = blob.New(blob.Options{KV: o.KV, Now: s.now, Key: key, Grace: o.BlobGrace,
		Codec: o.Codec, Exclusive: o.Exclusive, Running: o.Running})
	s.bodies = body.NewMaker(s.blobs)
	return s, s.try(ctx, "open", func() error { return s.blobs.LoadDicts(ctx) })
}

// Blobs keeps the parts that messages share. There is one for each process.
func (s *Store) Blobs() *blob.Store { return s.blobs }

// Stats counts what this process has stored.
func (s *Store) Stats() body.Stats { return s.stored.Stats() }

// format checks the Format row or makes it, and returns the key of blobs.
func (s *Store) format(ctx context.Context) (blobKey []byte, err error) {
	key := row.Format()
	items, err := s.get(ctx, "open", key)
	if err != nil {
		return nil, err
	}
	inst, err := row.DecodeInstallation(items[0].Value)
	if items[0].Rev == 0 || err == nil && inst.Format == row.FormatVersion && len(inst.BlobKey) == 0 {
		if inst, err = s.makeFormat(ctx); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, wrap("open", err)
	}
	if inst.Format != row.FormatVersion {
		return nil, &Error{Op: "open", Kind: Invalid, Err: fmt.Errorf(
			"the data has format %d, this program knows format %d: use the program that wrote it, or a newer one",
			inst.Format, row.FormatVersion)}
	}
	if len(inst.BlobKey) != blobKeyBytes {
		return nil, wrap("open", fail(Corrupt, "blob key of %d bytes", len(inst.BlobKey)))
	}
	s.install = inst.ID
	if !inst.Counted {
		return inst.BlobKey, s.try(ctx, "open", func() error { return census.Take(ctx, s.kv) })
	}
	return inst.BlobKey, nil
}

// blobKeyBytes is the size of the secret by which shared parts are named.
const blobKeyBytes = 32

// makeFormat makes the Format row of a new store, or adds to an older one what it lacks.
func (s *Store) makeFormat(ctx context.Context) (inst row.Installation, err error) {
	id, blobKey := make([]byte, 16), make([]byte, blobKeyBytes)
	rand.Read(id)
	rand.Read(blobKey)
	key := row.Format()
	err = s.try(ctx, "open", func() error {
		return s.kv.Update(ctx, [][]byte{key}, func(tx kv.Tx) error {
			inst = row.Installation{Format: row.FormatVersion, ID: id, Created: s.now().Unix(), Counted: true}
			if g := tx.Guard(0); g.Rev != 0 {
				if inst, err = row.DecodeInstallation(g.Value); err != nil {
					return err
				}
			}
			if len(inst.BlobKey) == 0 {
				inst.BlobKey = blobKey
				tx.Put(key, inst.Append(nil))
			}
			return nil
		})
	})
	return inst, err
}

// Installation is the random id that the store got at its first start.
func (s *Store) Installation() []byte { return append([]byte(nil), s.install...) }

// KV is the store below, for who keeps rows of its own: key rings, leases.
func (s *Store) KV() kv.Store { return s.kv }

// try runs f again while the store is away or too busy, until ctx ends: the
// caller's budget is longer than a failover, so that one is a delay and no error.
func (s *Store) try(ctx context.Context, op string, f func() error) error {
	err := patient.Try(ctx, f)
	if err == nil {
		return nil
	}
	if errors.Is(err, kv.ErrUnknown) && s.unknown != nil {
		s.unknown(op)
	}
	return wrap(op, err)
}

// get reads keys in one round trip.
func (s *Store) get(ctx context.Context, op string, keys ...[]byte) (items []kv.Item, err error) {
	err = s.try(ctx, op, func() error {
		items, err = s.kv.GetMulti(ctx, keys...)
		return err
	})
	return items, err
}

// scan calls f for each item of a range, going on where it was after the store was away.
func (s *Store) scan(ctx context.Context, op string, r kv.Range, f func(kv.Item) (bool, error)) error {
	return s.try(ctx, op, func() error { return patient.Scan(ctx, s.kv, &r, f) })
}

// Watch returns a channel that gets a value soon after the account changed: see watch.Hub.
func (s *Store) Watch(id AcctID) (changed <-chan struct{}, cancel func()) {
	return s.watch.Watch(uint64(id))
}

// Watches are the watchers of all accounts, for those that have no goroutine to wait.
func (s *Store) Watches() *watch.Hub { return s.watch }

// publish tells watchers, here and elsewhere, that an account has changed.
func (s *Store) publish(ctx context.Context, acct, modseq uint64) {
	if s.bus != nil {
		s.bus.Publish(ctx, bus.Hint{Topic: bus.Topic(acct), Modseq: modseq})
	}
}

// random returns a random number that is not zero.
func random() uint64 {
	var b [8]byte
	for {
		rand.Read(b[:])
		if v := binary.BigEndian.Uint64(b[:]); v != 0 {
			return v
		}
	}
}
