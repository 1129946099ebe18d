package pebblekv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/paging"
)

// revSize is the revision that stands before each value.
const revSize = 8

// GetMulti reads keys at one moment.
func (s *Store) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	if !s.gate.Enter() {
		return nil, kv.ErrClosed
	}
	defer s.gate.Leave()
	return committed{s, s.db}.GetMulti(ctx, keys...)
}

// Scan reads a range page by page.
func (s *Store) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	return paging.Scan(ctx, r, func(r kv.Range, p *paging.Page) error {
		if !s.gate.Enter() {
			return kv.ErrClosed
		}
		defer s.gate.Leave()
		return committed{s, s.db}.page(r, p)
	})
}

// View runs fn on a snapshot.
func (s *Store) View(ctx context.Context, guards [][]byte, fn func(kv.Reader, []kv.Item) error) error {
	if !s.gate.Enter() {
		return kv.ErrClosed
	}
	defer s.gate.Leave()
	snap := s.db.NewSnapshot()
	defer snap.Close()
	r := committed{s, snap}
	items, err := r.GetMulti(ctx, guards...)
	if err != nil {
		return err
	}
	return fn(r, items)
}

// Snapshot runs fn on the store as it is now, however long fn takes: for
// backups. What is deleted meanwhile takes space until fn returns.
func (s *Store) Snapshot(_ context.Context, fn func(kv.Reader) error) error {
	if !s.gate.Enter() {
		return kv.ErrClosed
	}
	defer s.gate.Leave()
	snap := s.db.NewSnapshot()
	defer snap.Close()
	return fn(committed{s, snap})
}

// committed reads a database or a snapshot, past the gate.
type committed struct {
	s  *Store
	db pebble.Reader
}

func (c committed) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	items := make([]kv.Item, len(keys))
	return items, c.fill(ctx, items, keys)
}

// fill reads keys into items.
func (c committed) fill(ctx context.Context, items []kv.Item, keys [][]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	buf := c.s.keys.Get().(*[]byte)
	defer c.s.keys.Put(buf)
	if len(keys) == 1 {
		return c.get(&items[0], keys[0], buf)
	}
	// One iterator sees all keys at the same moment.
	it, err := c.db.NewIter(nil)
	if err != nil {
		return c.s.readError(err)
	}
	for i, k := range keys {
		items[i] = kv.Item{Key: k}
		*buf = append(append((*buf)[:0], userSpace), k...)
		if !it.SeekPrefixGE(*buf) || !bytes.Equal(it.Key(), *buf) {
			if err := it.Error(); err != nil {
				break
			}
			continue
		}
		var v []byte
		if v, err = it.ValueAndErr(); err != nil {
			break
		}
		if err = split(&items[i], v); err != nil {
			break
		}
	}
	return c.s.readError(errors.Join(err, it.Error(), it.Close()))
}

// held reads for a transaction, whose guards keep its keys as they are: one
// moment for several keys is not needed, and a look-up per key (memtables,
// then one table by its filter) is far cheaper than an iterator over all tables.
type held struct{ committed }

func (h held) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	items := make([]kv.Item, len(keys))
	return items, h.fill(ctx, items, keys)
}

func (h held) fill(ctx context.Context, items []kv.Item, keys [][]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	buf := h.s.keys.Get().(*[]byte)
	defer h.s.keys.Put(buf)
	for i, k := range keys {
		if err := h.get(&items[i], k, buf); err != nil {
			return err
		}
	}
	return nil
}

// get reads one key.
func (c committed) get(item *kv.Item, key []byte, buf *[]byte) error {
	*item = kv.Item{Key: key}
	*buf = append(append((*buf)[:0], userSpace), key...)
	v, closer, err := c.db.Get(*buf)
	if err != nil {
		if errors.Is(err, pebble.ErrNotFound) {
			return nil
		}
		return c.s.readError(err)
	}
	err = split(item, v)
	return c.s.readError(errors.Join(err, closer.Close()))
}

// split takes a stored value apart into a copy.
func split(item *kv.Item, v []byte) error {
	if len(v) < revSize {
		return pebble.ErrCorruption
	}
	item.Rev = kv.Rev(binary.BigEndian.Uint64(v))
	item.Value = append(make([]byte, 0, len(v)-revSize), v[revSize:]...)
	return nil
}

// readError gives an error of Pebble the name that callers know.
func (s *Store) readError(err error) error {
	switch {
	case err == nil:
		return nil
	case pebble.IsCorruptionError(err):
		s.blocks.note(err)
		s.noteDamage(err)
		return s.corrupt(err)
	}
	return fmt.Errorf("%w: reading: %w", kv.ErrUnavailable, err)
}

// Scan pages through c; see Store.Scan.
func (c committed) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	return paging.Scan(ctx, r, c.page)
}

// arena hands out copies of small byte strings from larger pieces of memory:
// rows of a page are read together and dropped together.
type arena struct {
	free  []byte
	piece int
}

// maxPiece bounds how much memory one row that is kept holds with it.
const maxPiece = 16 << 10

func (a *arena) copy(b []byte) []byte {
	if len(b) > maxPiece/4 {
		return bytes.Clone(b)
	}
	if a.free == nil || len(b) > cap(a.free)-len(a.free) {
		a.piece = min(max(2*a.piece, 512, len(b)), maxPiece)
		a.free = make([]byte, 0, a.piece)
	}
	n := len(a.free)
	a.free = append(a.free, b...)
	return a.free[n:len(a.free):len(a.free)]
}

// page fills one page of the range.
func (c committed) page(r kv.Range, p *paging.Page) error {
	opts := pebble.IterOptions{LowerBound: append([]byte{userSpace}, r.Start...), UpperBound: []byte{userSpace + 1}}
	if r.End != nil {
		opts.UpperBound = append([]byte{userSpace}, r.End...)
	}
	if bytes.Compare(opts.LowerBound, opts.UpperBound) >= 0 {
		return nil
	}
	it, err := c.db.NewIter(&opts)
	if err != nil {
		return c.s.readError(err)
	}
	var mem arena
	next, ok := it.Next, false
	if r.Reverse {
		next, ok = it.Prev, it.Last()
	} else {
		ok = it.First()
	}
	for ; ok; ok = next() {
		var v []byte
		if v, err = it.ValueAndErr(); err != nil {
			break
		}
		if len(v) < revSize {
			err = pebble.ErrCorruption
			break
		}
		item := kv.Item{Key: mem.copy(it.Key()[1:]), Rev: kv.Rev(binary.BigEndian.Uint64(v))}
		if !r.KeysOnly {
			item.Value = mem.copy(v[revSize:])
		}
		if !p.Add(item, r.Limit) {
			break
		}
	}
	return c.s.readError(errors.Join(err, it.Error(), it.Close()))
}
