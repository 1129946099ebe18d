package secret

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sort"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/internal/kv"
)

// Options configure Rings.
type Options struct {
	KV  kv.Store
	Log *slog.Logger     // discarded if nil
	Now func() time.Time // time.Now if nil
}

// Rings are all key rings of an installation, held in memory and read again
// now and then. All methods may be called at once.
type Rings struct {
	kv   kv.Store
	log  *slog.Logger
	now  func() time.Time
	keys atomic.Pointer[table]
}

// table is one reading of the rows. It is never changed, only replaced.
type table struct {
	byID  map[[2]byte]Key
	kinds [firstFree][]Key // by SignsFrom, then id
}

// Open reads the rings, and makes the first key of each that has none. Two
// nodes that start at once on an empty store end with the same keys.
func Open(ctx context.Context, o Options) (*Rings, error) {
	r := &Rings{kv: o.KV, log: o.Log, now: o.Now}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.now == nil {
		r.now = time.Now
	}
	if err := r.makeFirst(ctx); err != nil {
		return nil, err
	}
	if err := r.Refresh(ctx); err != nil {
		return nil, err
	}
	for k := MSGID; k < firstFree; k++ {
		if r.Current(k).ID == 0 {
			return nil, fmt.Errorf("secret: no usable %s key: %w", k, kv.ErrCorrupt)
		}
	}
	return r, nil
}

// Run reads the rings again every minute until ctx ends; it returns nil then.
// A failed reading keeps the old keys.
func (r *Rings) Run(ctx context.Context) error {
	t := time.NewTicker(RefreshEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if err := r.Refresh(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("key rings not read; the known keys stay in use", "err", err)
		}
	}
}

// Refresh reads the rings now.
func (r *Rings) Refresh(ctx context.Context) error {
	t := &table{byID: map[[2]byte]Key{}}
	for it, err := range r.kv.Scan(ctx, Rows()) {
		if err != nil {
			return fmt.Errorf("secret: read key rings: %w", err)
		}
		if len(it.Key) < 2 || it.Key[1] == 0 || Kind(it.Key[1]) >= firstFree {
			continue // of a later program, or the certificate
		}
		s, err := decode(it)
		if err != nil {
			return fmt.Errorf("%w %x: %w", err, it.Key, kv.ErrCorrupt)
		}
		k := s.key
		t.byID[[2]byte{byte(k.kind), byte(k.ID)}] = k
		t.kinds[k.kind] = append(t.kinds[k.kind], k)
	}
	for _, keys := range t.kinds {
		sort.SliceStable(keys, func(i, j int) bool { return keys[i].SignsFrom.Before(keys[j].SignsFrom) })
	}
	r.keys.Store(t)
	return nil
}

// Current is the key that signs now: the newest whose time has come.
func (r *Rings) Current(kind Kind) Key {
	now := r.now()
	keys := r.ring(kind)
	for i := len(keys) - 1; i >= 0; i-- {
		if k := keys[i]; (!k.SignsFrom.After(now) || i == 0) && k.verifies(now) {
			return k
		}
	}
	return Key{kind: kind}
}

// For finds the key that a signature names, if it may still verify.
func (r *Rings) For(kind Kind, id KID) (Key, bool) {
	k, ok := r.keys.Load().byID[[2]byte{byte(kind), byte(id)}]
	if !ok || !k.verifies(r.now()) {
		return Key{}, false
	}
	return k, true
}

// ring lists the keys of a kind.
func (r *Rings) ring(kind Kind) []Key {
	if kind >= firstFree {
		return nil
	}
	return r.keys.Load().kinds[kind]
}

// makeFirst writes the first key of each ring that has none, in one commit.
func (r *Rings) makeFirst(ctx context.Context) error {
	var guards [][]byte
	for k := MSGID; k < firstFree; k++ {
		guards = append(guards, RowKey(k, 1))
	}
	items, err := r.kv.GetMulti(ctx, guards...)
	if err != nil {
		return fmt.Errorf("secret: read key rings: %w", err)
	}
	missing := false
	for _, it := range items {
		missing = missing || it.Rev == 0
	}
	if !missing {
		return nil
	}
	now := r.now()
	err = r.kv.Update(ctx, guards, func(tx kv.Tx) error {
		for i, g := range guards {
			if tx.Guard(i).Rev == 0 {
				tx.Put(g, stored{key: fresh(MSGID+Kind(i), 1, now, now)}.encode())
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("secret: make key rings: %w", err)
	}
	return nil
}

// fresh draws a key.
func fresh(kind Kind, id KID, published, signs time.Time) Key {
	k := Key{ID: id, kind: kind, Published: published, SignsFrom: signs}
	rand.Read(k.secret[:])
	return k
}

// Rotate publishes a new key for kind; it signs PublishLead from now. The keys
// before it verify for keep after that, or for ever if keep is 0. If another
// node rotated within PublishLead, Rotate leaves it at that.
func (r *Rings) Rotate(ctx context.Context, kind Kind, keep time.Duration) error {
	if err := r.Refresh(ctx); err != nil {
		return err
	}
	now := r.now()
	ring := r.ring(kind)
	id, err := nextID(ring)
	if err != nil {
		return err
	}
	guards := [][]byte{RowKey(kind, id)}
	for _, k := range ring {
		if k.SignsFrom.After(now) {
			return nil // one is on its way
		}
		guards = append(guards, RowKey(kind, k.ID))
	}
	signs := now.Add(PublishLead)
	err = r.kv.Update(ctx, guards, func(tx kv.Tx) error {
		if tx.Guard(0).Rev != 0 {
			return nil // another node was faster
		}
		tx.Put(guards[0], stored{key: fresh(kind, id, now, signs)}.encode())
		if keep == 0 {
			return nil
		}
		for i := 1; i < len(guards); i++ {
			s, err := decode(tx.Guard(i))
			if err != nil {
				return err
			}
			if s.key.VerifiesUntil.IsZero() {
				s.key.VerifiesUntil = signs.Add(keep)
				tx.Put(guards[i], s.encode())
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("secret: rotate %s: %w", kind, err)
	}
	return r.Refresh(ctx)
}

// nextID is the number after the highest. Numbers are not used again: what an
// old key signed must never meet another key.
func nextID(ring []Key) (KID, error) {
	highest := KID(0)
	for _, k := range ring {
		highest = max(highest, k.ID)
	}
	if highest >= MaxKeys {
		return 0, ErrFull
	}
	return highest + 1, nil
}
