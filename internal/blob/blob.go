// Package blob keeps the parts that messages share: each once, under a keyed
// hash of its content, cut in chunks, compressed where that helps. It promises
// that a blob which some message links is whole and stays, and that what nobody
// links any more goes in the end, whatever fails in between.
//
// There are no reference counters. A message that needs a blob has a Link row,
// written in its account's own commit, so that no row is hot. Whoever takes a
// link off, makes a blob or revives one writes a candidate for collection in
// the same commit. The collector looks at candidates: what is not linked is
// condemned, and deleted when it has been condemned, unchanged, for longer than
// anybody may take from looking a blob up to linking it. Who finds a condemned
// blob revives it before linking it, and that ends the collector's claim. See
// collect.go for why no order of these steps loses a blob.
//
// It never reads or writes under an account's guard; package mailstore does
// that, with the rows that Link and Unlink write. No name of a blob, and not
// whether one was there already, shows in any protocol.
package blob

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"sync"
	"time"

	"github.com/zeebo/blake3"

	"github.com/eidermail/eider/internal/codec"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Limit: bytes of one chunk of a blob, before compression. A multiple of three:
// whole quanta of base64.
const ChunkBytes = 255 << 10

// Pace: chunks of a large blob that are written in one commit. Few, for the
// memory of a message that is being received is what one commit holds, here and
// in the engine.
const ChunksAtOnce = 2

// Limit: bytes of a message's new blobs that are written in one commit; larger
// ones are staged one by one, in pieces.
const StageAtOnce = 512 << 10

// UploadLife is how long an upload may take before it is swept away.
const UploadLife = time.Hour

const (
	// DefaultGrace is how long a blob stays condemned where one process has the
	// store for itself, DefaultSharedGrace where several have it.
	DefaultGrace       = 30 * time.Minute
	DefaultSharedGrace = 6 * time.Hour
	// MaxLinkAge is how old a look at a blob may be when it is linked; at most a
	// third of the grace time.
	MaxLinkAge = 10 * time.Minute
)

// The errors of the package, beside those of kv.
var (
	// ErrStale: too much time went by between staging and linking; stage again.
	ErrStale = errors.New("blob: staged too long ago")
	// ErrCorrupt: what must be there is not, or is not what was stored.
	ErrCorrupt = errors.New("blob: stored data is corrupt")

	errUploadDead = errors.New("blob: upload was swept")
)

// Options configure a Store.
type Options struct {
	KV    kv.Store
	Codec *codec.Codec     // one of its own if nil
	Now   func() time.Time // time.Now if nil
	// Key is the secret of names: 32 bytes. Without one nothing can be staged.
	Key []byte
	// Grace is how long a blob stays condemned; the default if zero.
	Grace time.Duration
	// Exclusive: no other process uses the store while this one does.
	Exclusive bool
	// Running is how long this process runs, by a clock that nobody sets.
	Running func() time.Duration
}

// Store keeps blobs.
type Store struct {
	o       Options
	kv      kv.Store
	codec   *codec.Codec
	process uint64 // names this process in what it condemns
	hashes  sync.Pool
	buffers sync.Pool // of *[]byte, ChunkBytes
	gc      collector
}

// New returns a Store.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Codec == nil {
		o.Codec = codec.New()
	}
	if o.Grace <= 0 {
		if o.Grace = DefaultSharedGrace; o.Exclusive {
			o.Grace = DefaultGrace
		}
	}
	if o.Running == nil {
		start := time.Now()
		o.Running = func() time.Duration { return time.Since(start) }
	}
	s := &Store{o: o, kv: o.KV, codec: o.Codec, process: random()}
	s.gc.marks = map[row.BlobID]mark{}
	s.hashes.New = func() any {
		if h, err := blake3.NewKeyed(o.Key); err == nil {
			return h
		}
		return blake3.New() // without a key nothing is stored
	}
	s.buffers.New = func() any { b := make([]byte, 0, ChunkBytes); return &b }
	return s
}

// Codec is what compresses the store's data.
func (s *Store) Codec() *codec.Codec { return s.codec }

func random() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:]) | 1
}

// Hash names blobs: its sum of a blob's bytes is the blob's id. Give it back.
type Hash struct {
	*blake3.Hasher
	scope []byte
}

var _ hash.Hash = (*Hash)(nil)

// Hash returns a Hash. Blobs of different scopes never meet; empty is one for all.
func (s *Store) Hash(scope []byte) *Hash {
	h := &Hash{s.hashes.Get().(*blake3.Hasher), scope}
	h.Reset()
	return h
}

// Size is that of a blob's id.
func (h *Hash) Size() int { return len(row.BlobID{}) }

// Sum appends a blob's id to b.
func (h *Hash) Sum(b []byte) []byte { return h.Hasher.Sum(b)[:len(b)+h.Size()] }

// GiveBack ends the use of a Hash.
func (s *Store) GiveBack(h *Hash) { s.hashes.Put(h.Hasher) }

// Reset begins anew.
func (h *Hash) Reset() {
	h.Hasher.Reset()
	if len(h.scope) > 0 {
		_, _ = h.Write(h.scope)
	}
}

// linkAge is how old a look at blobs may be when they are linked.
func (s *Store) linkAge() time.Duration { return min(MaxLinkAge, s.o.Grace/3) }

// Fresh tells whether what was staged at a time may still be linked. It is
// asked within every attempt of the commit that links. It goes by the wall
// clock: the monotonic one stands still while a machine sleeps.
func (s *Store) Fresh(staged time.Time) error {
	age := s.o.Now().Round(0).Sub(staged)
	if age < 0 || age > s.linkAge() {
		return ErrStale
	}
	return nil
}

// Link says that a message needs the blob; under the account's guard.
func Link(tx kv.Tx, id row.BlobID, acct, msg uint64) {
	tx.Put(row.Link(id, acct, msg), []byte{})
}

// Unlink takes a message's link off and leaves a candidate for collection;
// under the account's guard.
func Unlink(tx kv.Tx, id row.BlobID, acct, msg uint64, now time.Time) {
	tx.Delete(row.Link(id, acct, msg))
	tx.Put(row.Garbage(day(now), id, acct, msg), []byte{})
}

func day(t time.Time) uint32 { return uint32(t.Unix() / (24 * 60 * 60)) }

// candidate leaves a candidate for a blob that was made or revived; under its guard.
func (s *Store) candidate(tx kv.Tx, id row.BlobID, up uint64) {
	tx.Put(row.Garbage(day(s.o.Now()), id, 0, up), []byte{})
}

// Decode is that of the codec, for data that may need a dictionary which
// another process has made since.
func (s *Store) Decode(ctx context.Context, dst, src []byte, size int64) ([]byte, error) {
	out, err := s.codec.Decode(dst, src, size)
	if errors.Is(err, codec.ErrNoDict) {
		if err := s.LoadDicts(ctx); err != nil {
			return dst, err
		}
		out, err = s.codec.Decode(dst, src, size)
	}
	if err != nil {
		return out, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return out, nil
}
