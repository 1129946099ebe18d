package mailstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"time"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
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
	watch    *hub
	indexes  indexCache
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
	s.blobs = blob.New(blob.Options{KV: o.KV, Now: s.now})
	s.watch = newHub(o.Bus)
	return s, s.format(ctx)
}

// format checks the Format row or makes it.
func (s *Store) format(ctx context.Context) error {
	key := row.Format()
	items, err := s.get(ctx, "open", key)
	if err != nil {
		return err
	}
	if items[0].Rev == 0 {
		id := make([]byte, 16)
		rand.Read(id)
		inst := row.Installation{Format: row.FormatVersion, ID: id, Created: s.now().Unix()}
		err = s.try(ctx, "open", func() error {
			return s.kv.Update(ctx, [][]byte{key}, func(tx kv.Tx) error {
				if tx.Guard(0).Rev == 0 {
					tx.Put(key, inst.Append(nil))
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
		if items, err = s.get(ctx, "open", key); err != nil {
			return err
		}
	}
	inst, err := row.DecodeInstallation(items[0].Value)
	if err != nil {
		return wrap("open", err)
	}
	if inst.Format != row.FormatVersion {
		return &Error{Op: "open", Kind: Invalid, Err: fmt.Errorf(
			"the data has format %d, this program knows format %d: use the program that wrote it, or a newer one",
			inst.Format, row.FormatVersion)}
	}
	s.install = inst.ID
	return nil
}

// Installation is the random id that the store got at its first start.
func (s *Store) Installation() []byte { return append([]byte(nil), s.install...) }

// KV is the store below, for who keeps rows of its own: key rings, leases.
func (s *Store) KV() kv.Store { return s.kv }

// try runs f again while the store is away or too busy, until ctx ends: the
// caller's budget is longer than a failover, so that one is a delay and no error.
func (s *Store) try(ctx context.Context, op string, f func() error) error {
	for n := 0; ; n++ {
		err := f()
		if err == nil {
			return nil
		}
		if !errors.Is(err, kv.ErrUnavailable) && !errors.Is(err, kv.ErrConflict) {
			if errors.Is(err, kv.ErrUnknown) && s.unknown != nil {
				s.unknown(op)
			}
			return wrap(op, err)
		}
		t := time.NewTimer(mrand.N(2*time.Millisecond<<min(n, 8)) + time.Millisecond)
		select {
		case <-ctx.Done():
			t.Stop()
			return wrap(op, err)
		case <-t.C:
		}
	}
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
	return s.try(ctx, op, func() error {
		for it, err := range s.kv.Scan(ctx, r) {
			if err != nil {
				return err
			}
			more, err := f(it)
			if err != nil {
				return fmt.Errorf("%w", err)
			}
			if !more {
				return nil
			}
			if r.Reverse {
				r.End = it.Key
			} else {
				r.Start = append(append(make([]byte, 0, len(it.Key)+1), it.Key...), 0)
			}
			if r.Limit > 0 {
				if r.Limit--; r.Limit == 0 {
					return nil
				}
			}
		}
		return nil
	})
}

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
