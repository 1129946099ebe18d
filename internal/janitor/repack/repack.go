// Package repack makes stored mail smaller when it has become cold: it trains
// dictionaries on the store's own mail when that measurably helps, and packs
// skeletons and shared parts anew with them, slowly and well.
//
// It promises that whoever reads gets equal bytes at any moment: a row is
// replaced by one that was decoded and compared, under the guard of its domain,
// and only if it is still the row that was read. Mail that is young or leaves
// soon is left alone. One process does it at a time, under a lease in which it
// keeps where it was, so that the next one goes on there; two at once are
// harmless. It rests as long as it works.
package repack

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/codec"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/lease"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// MinLife is how long a message must still live to be packed: what leaves sooner
// does not save enough for the work and the writes.
const MinLife = 12 * time.Hour

const (
	// leaseNumber is that of the lease under which one process works.
	leaseNumber = 0xfe
	leaseTTL    = 30 * time.Second
	// The time between passes is that after which mail is cold, within these.
	minPause, maxPause = time.Second, time.Hour
	// firstPause is how long a server that has just started is left alone at most.
	firstPause = time.Minute
	// passShare: a pass looks at all rows, which is one part in so many of the time
	// at most, however many there are. Packing is not counted: it ends.
	passShare = 20
	// longestPause bounds that, for stores that take a day to look through.
	longestPause = 48 * time.Hour
	// saveEvery is how often the place of the pass is kept.
	saveEvery = 10 * time.Second
)

// Pace: rows of messages that are looked at between two rests.
const pageRows = 64

// Pace: bytes of packed skeletons in one commit.
const commitBytes = 256 << 10

// compactPart is the part of all skeletons, one in so many, of which so much must
// have been written anew for the engine to be asked to drop what was there before.
const compactPart = 16

// Options configure a Repacker.
type Options struct {
	KV    kv.Store
	Blobs *blob.Store
	Log   *slog.Logger
	Now   func() time.Time // time.Now if nil
	// After is the age from which mail is cold.
	After time.Duration
	// Compact asks the engine to drop old versions of rows; it may be nil.
	Compact func(context.Context) error
	// NoRest and Quick work on without a pause, and pack less well: for tests.
	NoRest, Quick bool
}

// Stats tell what this process did since it started.
type Stats struct {
	Idle         bool  `json:"idle"` // the last pass found nothing to do
	Rows         int64 `json:"rows"`
	Before       int64 `json:"beforeBytes"` // of the rows, until they were written anew
	After        int64 `json:"afterBytes"`
	Dictionaries int64 `json:"dictionaries"` // trained
}

// Repacker packs cold mail.
type Repacker struct {
	o      Options
	state  state
	saved  time.Time
	fresh  int64         // bytes written since the engine was last asked to compact
	young  bool          // the pass met mail that will be cold
	looked time.Duration // of the pass, for finding what is to be packed

	idle                      atomic.Bool
	rows, before, after, made atomic.Int64
}

// state is what the next holder of the lease must know.
type state struct {
	Kind   codec.Kind         `json:"kind"`   // what is being packed
	Cursor []byte             `json:"cursor"` // the Body row to go on with
	Ended  int64              `json:"ended"`  // when the last pass was through, Unix seconds
	Took   int64              `json:"took"`   // seconds that looking through all mail took in it
	Total  int64              `json:"total"`  // bytes of all skeletons, as of the last count
	Tried  [codec.Kinds]int64 `json:"tried"`  // Total when training was tried last
}

// New returns a Repacker.
func New(o Options) *Repacker {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Repacker{o: o}
}

// Stats tells what was done.
func (r *Repacker) Stats() Stats {
	return Stats{Idle: r.idle.Load(), Rows: r.rows.Load(), Before: r.before.Load(), After: r.after.Load(),
		Dictionaries: r.made.Load()}
}

// Run works until ctx ends. Between passes it holds no lease: an idle store is
// written to once in a while only.
func (r *Repacker) Run(ctx context.Context) error {
	for next := min(r.pause(), firstPause); ctx.Err() == nil; next = r.pause() {
		wait(ctx, next)
		err := lease.Run(ctx, r.o.KV, row.Lease(leaseNumber), leaseTTL, r.turn)
		if errors.Is(err, kv.ErrClosed) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			r.o.Log.Warn("repack could not finish, tries again", "err", err)
		}
	}
	return nil
}

// pause is the time between two passes.
func (r *Repacker) pause() time.Duration {
	took := min(time.Duration(r.state.Took)*time.Second, longestPause/passShare)
	return max(min(max(r.o.After, minPause), maxPause), passShare*took)
}

// turn is a pass under the lease, unless another server has just made one.
func (r *Repacker) turn(ctx context.Context, l *lease.Lease) error {
	r.state = state{}
	if err := json.Unmarshal(l.State(), &r.state); err != nil || r.state.Kind >= codec.Kinds {
		r.state = state{} // the first time, or of another version: from the start
	}
	if d := r.o.Now().Sub(time.Unix(r.state.Ended, 0)); d >= 0 && d < r.pause()/2 {
		return nil
	}
	did, err := r.Pass(ctx, l.Save)
	r.idle.Store(err == nil && !did && !r.young)
	return err
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Pass goes through all mail once, from where the last pass was ended; did says
// that something was trained or packed. save keeps where it is.
func (r *Repacker) Pass(ctx context.Context, save func(context.Context, []byte) error) (did bool, err error) {
	r.young = false
	r.looked = 0
	if err := r.o.Blobs.LoadDicts(ctx); err != nil { // of other servers too
		return false, err
	}
	resumed := r.state.Cursor != nil
	for kind := r.state.Kind; kind < codec.Kinds; kind++ {
		r.state.Kind = kind
		if !resumed {
			trained, err := r.train(ctx, kind, save)
			if err != nil {
				return did, err
			}
			did = did || trained
		}
		resumed = false
		packed, err := r.packAll(ctx, kind, save)
		did = did || packed.Rows > 0
		if err != nil {
			return did, err
		}
		r.state.Cursor = nil
	}
	r.state.Kind, r.state.Ended, r.state.Took = 0, r.o.Now().Unix(), int64(r.looked.Seconds())
	if err := r.keep(ctx, save, true); err != nil {
		return did, err
	}
	return did, r.compact(ctx)
}

// keep saves where the pass is, now and then.
func (r *Repacker) keep(ctx context.Context, save func(context.Context, []byte) error, now bool) error {
	if !now && time.Since(r.saved) < saveEvery {
		return nil
	}
	b, err := json.Marshal(r.state)
	if err == nil {
		err = save(ctx, b)
	}
	r.saved = time.Now()
	return err
}

// compact asks the engine to drop what was replaced, if that is much.
func (r *Repacker) compact(ctx context.Context) error {
	if r.o.Compact == nil || r.fresh == 0 || r.fresh < r.state.Total/compactPart {
		return nil
	}
	r.fresh = 0
	return r.o.Compact(ctx)
}

// count adds up what was done.
func (r *Repacker) count(p blob.Packed) {
	r.rows.Add(int64(p.Rows))
	r.before.Add(p.Before)
	r.after.Add(p.After)
	r.fresh += p.After
}
