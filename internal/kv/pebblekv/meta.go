package pebblekv

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/eidermail/eider/internal/kv"
)

// The engine's own rows stand under metaSpace, everybody else's under userSpace.
const (
	metaSpace = 0x00
	userSpace = 0x01
)

// layout is the version of how this package lays out rows.
const layout = 1

// revBlock is how many revisions a process sets aside when it starts to write:
// more than it can use, so that no restart, clean or not, gives one out twice.
const revBlock = 1 << 42

// metaRow is the row that says what the directory holds.
type metaRow struct {
	layout  uint64
	epoch   uint64
	clean   bool
	rev     uint64 // no revision above it was given out
	created uint64 // Unix seconds
	rest    []byte // fields that this version does not know
}

// The fields of the row.
const (
	metaLayout = 1 + iota
	metaEpoch
	metaClean
	metaRev
	metaCreated
)

func metaKey() []byte { return []byte{metaSpace, 'V'} }

// metaVersion is the first byte of the row; another one is another encoding.
const metaVersion = 1

func (m metaRow) encode() []byte {
	b := []byte{metaVersion}
	for _, f := range []struct {
		num protowire.Number
		v   uint64
	}{
		{metaLayout, m.layout}, {metaEpoch, m.epoch}, {metaClean, protowire.EncodeBool(m.clean)},
		{metaRev, m.rev}, {metaCreated, m.created},
	} {
		b = protowire.AppendTag(b, f.num, protowire.VarintType)
		b = protowire.AppendVarint(b, f.v)
	}
	return append(b, m.rest...)
}

func decodeMeta(b []byte) (m metaRow, err error) {
	if len(b) == 0 {
		return m, errors.New("the format row is empty")
	}
	if b[0] != metaVersion {
		m.layout = uint64(b[0]) << 32
		return m, nil
	}
	for b = b[1:]; len(b) > 0; {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return m, errors.New("the format row cannot be read")
		}
		size := protowire.ConsumeFieldValue(num, typ, b[n:])
		if size < 0 {
			return m, errors.New("the format row cannot be read")
		}
		v, _ := protowire.ConsumeVarint(b[n:])
		switch {
		case typ != protowire.VarintType || num > metaCreated:
			m.rest = append(m.rest, b[:n+size]...)
		case num == metaLayout:
			m.layout = v
		case num == metaEpoch:
			m.epoch = v
		case num == metaClean:
			m.clean = v != 0
		case num == metaRev:
			m.rev = v
		case num == metaCreated:
			m.created = v
		}
		b = b[n+size:]
	}
	return m, nil
}

// openMeta reads the row, or writes it in a new directory, and raises the
// epoch if the last process did not close the store.
func (s *Store) openMeta() error {
	v, closer, err := s.db.Get(metaKey())
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return s.firstMeta()
	case err != nil:
		return s.openError(err)
	}
	s.meta, err = decodeMeta(v)
	closer.Close()
	if err != nil {
		return s.corrupt(err)
	}
	if s.meta.layout != layout {
		return fmt.Errorf("%w: the store in %s has format %d, this version knows format %d: use a newer version",
			ErrFormat, s.o.Dir, s.meta.layout, layout)
	}
	s.rev.Store(s.meta.rev)
	if s.meta.clean {
		return nil
	}
	s.meta.epoch++
	s.log.Warn("store: it was not closed cleanly; what was acknowledged is there", "epoch", s.meta.epoch)
	return s.startWriting()
}

func (s *Store) firstMeta() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return s.openError(err)
	}
	some := it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return s.openError(err)
	}
	if some {
		return fmt.Errorf("%w: %s holds data of another program, or the format row is lost", ErrFormat, s.o.Dir)
	}
	s.meta = metaRow{layout: layout, epoch: 1, created: uint64(time.Now().Unix())}
	return s.startWriting()
}

// startWriting puts on the disk that this process writes, before it does.
func (s *Store) startWriting() error {
	s.metaMu.Lock()
	defer s.metaMu.Unlock()
	if s.dirty.Load() {
		return nil
	}
	m := s.meta
	m.clean, m.rev = false, m.rev+revBlock
	if err := s.putMeta(m); err != nil {
		return err
	}
	s.dirty.Store(true)
	return nil
}

// markClean puts on the disk that nothing is under way any more.
func (s *Store) markClean() error {
	s.metaMu.Lock()
	defer s.metaMu.Unlock()
	if !s.dirty.Load() {
		return nil
	}
	m := s.meta
	m.clean, m.rev = true, s.rev.Load()
	return s.putMeta(m)
}

func (s *Store) putMeta(m metaRow) error {
	b := s.db.NewBatch()
	if err := b.Set(metaKey(), m.encode(), nil); err != nil {
		return fmt.Errorf("pebblekv: format row: %w", err)
	}
	return s.write(b, false)
}

// nextRev returns a revision that was never used before.
func (s *Store) nextRev() kv.Rev { return kv.Rev(s.rev.Add(1)) }
