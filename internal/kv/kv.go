// Package kv is the store contract: a small ordered key-value store with
// guarded transactions, on which everything that Eider must not lose stands.
//
// Keys sort bytewise (memcmp). A transaction names its guards first, reads
// under them, and commits all of its writes or none. A nil error from Update
// means the writes are durable and happened exactly once.
//
// Every key belongs to one domain and is written only by a transaction that
// holds the domain's guard; kvtest has an engine that proves it. No read
// validation is needed beyond that: whoever holds the guard is alone.
//
// The package holds the contract and its errors only. Engines live in the
// folders beside it (memkv, pebblekv), decorators likewise (combine, faultkv),
// and kvtest is the suite that every engine passes.
package kv

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Rev names one version of one key. Zero means the key is absent. A revision
// is unique per commit; two revisions of a key are equal only if they are the
// same version. They have no order.
type Rev uint64

// Item is one key with its value. An absent key has Rev 0 and a nil Value.
// Key and Value must not be changed by who receives them, and stay valid.
type Item struct {
	Key, Value []byte
	Rev        Rev
}

// Range selects the keys in [Start, End). A nil End means no upper bound.
type Range struct {
	Start, End []byte
	Limit      int  // at most this many items; 0 means all
	Reverse    bool // from the last key down
	KeysOnly   bool // leave Value nil
}

// Reader reads committed data.
type Reader interface {
	// GetMulti returns one item per key, in the order asked, in one round trip.
	GetMulti(ctx context.Context, keys ...[]byte) ([]Item, error)
	// Scan yields the items of a range in order. It reads in pages of about
	// 1 MiB; each page is consistent, the scan as a whole is not.
	// After an error the sequence ends.
	Scan(ctx context.Context, r Range) iter.Seq2[Item, error]
}

// Tx is what the function of an Update sees: its guards as they were when
// locked, its own writes (in GetMulti and in Scan), nothing older than its guards.
// A Tx is used by one goroutine and only until the function returns.
type Tx interface {
	Reader
	// Guard returns the i-th guard key's item as it was when it was locked.
	Guard(i int) Item
	// Epoch is the store's current epoch; see Health.
	Epoch() uint64
	// Put sets a key; the last write of a key wins. The Tx keeps key and
	// value: the caller must not change them before its Update has returned
	// nil, and never if it returned an error (a group commit may still run).
	Put(key, value []byte)
	// Delete removes a key; removing an absent key is no error.
	Delete(key []byte)
	// Expect makes the commit fail with a retry unless key has revision rev
	// (0: is absent) before this Tx's own writes. It is for conditions outside
	// the guards' domains.
	Expect(key []byte, rev Rev)
}

// Store is a kv engine or a decorator of one. All methods may be called at once.
type Store interface {
	Reader
	// Update runs fn, possibly several times, and commits its writes if every
	// guard and every Expect still holds. fn must have no effect except
	// through its Tx, and must not call Update itself. An error of fn aborts
	// and is returned unchanged. When ctx ends before the commit began, its
	// error is returned and nothing was written.
	Update(ctx context.Context, guards [][]byte, fn func(Tx) error, opts ...Option) error
	// View runs fn, again if a guard changed meanwhile, on a consistent view:
	// for what fits one page. Long scans do not use it.
	View(ctx context.Context, guards [][]byte, fn func(Reader, []Item) error) error
	// DeletePrefix removes all keys under prefix. It is not a transaction: it
	// may be partly done on error and can be called again. Only for data that
	// nothing points to any more.
	DeletePrefix(ctx context.Context, prefix []byte) error
	Limits() Limits
	// Ping tells whether the store can commit, its time and its epoch.
	Ping(ctx context.Context) (Health, error)
	Close() error
}

// Health is the answer of Ping.
type Health struct {
	// Time is the store's own clock; deadlines are set by it.
	Time time.Time
	// Epoch changes when data that a reader may have seen can have been lost
	// (an embedded store that was not closed cleanly, a failover). Readers
	// keep (epoch, modseq); another epoch means: read everything again.
	Epoch uint64
	// FreeBytes is the space left for the store, or -1 where it is not known.
	FreeBytes int64
	// UsedBytes is the space that the store takes, for all servers on it, or -1
	// where it is not known.
	UsedBytes int64
	// SpareBytes of UsedBytes hold nothing: files that the engine keeps to use
	// them again.
	SpareBytes int64
	// ReserveBytes is the free space below which no new mail is taken; an embedded
	// store then refuses writes that are not marked Reclaim (ErrNoSpace).
	ReserveBytes int64
	// Alone: a commit is acknowledged when it is on one server, though the store
	// has several: what was acknowledged can be lost with that one.
	Alone bool
}

// Taken is the space that holds something, or -1 where it is not known.
func (h *Health) Taken() int64 {
	if h.UsedBytes < 0 {
		return -1
	}
	return max(h.UsedBytes-h.SpareBytes, 0)
}

// Limits are the hard bounds of keys, values and transactions.
type Limits struct {
	MaxKey, MaxValue      int // bytes
	MaxTxKeys, MaxTxBytes int // written keys, and bytes of keys and values
}

// The limits that every engine grants.
const (
	MaxKey     = 512
	MaxValue   = 1 << 20
	MaxTxKeys  = 10_000
	MaxTxBytes = 8 << 20
	// PageBytes is the aim for one page of a Scan.
	PageBytes = 1 << 20
)

// DefaultLimits returns the limits above.
func DefaultLimits() Limits {
	return Limits{MaxKey: MaxKey, MaxValue: MaxValue, MaxTxKeys: MaxTxKeys, MaxTxBytes: MaxTxBytes}
}

// UpdateOptions is what the options of one Update add up to.
type UpdateOptions struct {
	Attempts   int  // how often a conflict is retried; 0 means until ctx ends
	NoCombine  bool // commit alone, not in a group
	Background bool // lower priority than interactive work
	Reclaim    bool // allowed below the free-space reserve: deletes, expiry, flags
	Lazy       bool // may be durable later than it returns; see Lazy
}

// Option changes one Update.
type Option func(*UpdateOptions)

// Attempts bounds the number of tries under conflicts.
func Attempts(n int) Option { return func(o *UpdateOptions) { o.Attempts = n } }

// NoCombine keeps this Update out of group commits.
func NoCombine() Option { return func(o *UpdateOptions) { o.NoCombine = true } }

// Background marks work that must give way to interactive work.
func Background() Option { return func(o *UpdateOptions) { o.Background = true } }

// Reclaim marks work that frees space, and is let through on a full disk.
func Reclaim() Option { return func(o *UpdateOptions) { o.Reclaim = true } }

// Lazy is for writes that mean nothing until a later Update of this process
// refers to them: they are visible when Update returns, and durable no later than what is
// committed after them without Lazy. An engine that can lose a commit while
// this process lives on does not heed it.
func Lazy() Option { return func(o *UpdateOptions) { o.Lazy = true } }

// With sets all options to o, for decorators that hand options on.
func With(o UpdateOptions) Option { return func(p *UpdateOptions) { *p = o } }

// Options folds opts.
func Options(opts ...Option) UpdateOptions {
	var o UpdateOptions
	for _, f := range opts {
		f(&o)
	}
	return o
}

// The errors of a store. Test with errors.Is.
var (
	// ErrConflict: a guard or an Expect kept changing; nothing was written.
	ErrConflict = errors.New("kv: conflict")
	// ErrUnavailable: the store cannot be reached; nothing was written. Try again later.
	ErrUnavailable = errors.New("kv: store unavailable")
	// ErrUnknown: it could not be learned whether the commit happened.
	ErrUnknown = errors.New("kv: outcome of commit unknown")
	// ErrTooLarge: a key, a value or the transaction is over the limits; nothing was written.
	ErrTooLarge = errors.New("kv: over the size limits")
	// ErrNoSpace: the disk is full or below its reserve; nothing was written.
	ErrNoSpace = errors.New("kv: no space left")
	// ErrCorrupt: stored data is damaged.
	ErrCorrupt = errors.New("kv: stored data is corrupt")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("kv: store is closed")
)

// PrefixEnd returns the smallest key greater than every key with the prefix,
// or nil if there is none.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}

// Prefix is the range of all keys that begin with p.
func Prefix(p []byte) Range { return Range{Start: p, End: PrefixEnd(p)} }
