package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/eidermail/eider/internal/kv"
)

// ballastFile is there while the disk runs short, and is given up when it is full.
const ballastFile = "ballast"

// How often the free space is looked at, and how often when it runs short.
const (
	pollEvery     = time.Second
	pollEveryLow  = 50 * time.Millisecond
	houseEvery    = time.Second
	logFloodEvery = 10 * time.Second
)

// ballastAhead is how many times the ballast's size above the reserve it is made
// at the latest: a disk fills at most so much between two looks.
const ballastAhead = 8

// Pace: key ranges whose space is fetched back one by one on a full disk.
const maxFreed = 256

// space watches the disk.
type space struct {
	o       Options
	next    atomic.Int64 // when to look again, Unix nanoseconds
	free    atomic.Int64 // -1: not known
	used    atomic.Int64 // files and logs, as of a second ago
	spare   atomic.Int64 // of used: logs that are kept to be used again
	reserve atomic.Int64
	isLow   atomic.Bool

	ballastMu sync.Mutex // held while the file is made or removed

	freedMu sync.Mutex
	freed   map[string]struct{} // prefixes of deleted keys while the disk is low
}

func newSpace(o Options) *space {
	p := &space{o: o, freed: map[string]struct{}{}}
	p.free.Store(-1)
	return p
}

// low tells whether only reclaiming work may go on.
func (p *space) low() bool { return p.isLow.Load() }

// refresh looks at the disk if it is time.
func (p *space) refresh() {
	now, next := time.Now().UnixNano(), p.next.Load()
	if now < next || !p.next.CompareAndSwap(next, now+int64(pollEvery)) {
		return
	}
	p.poll()
}

// poll looks at the disk.
func (p *space) poll() {
	u, err := p.o.FS.GetDiskUsage(p.o.Dir)
	if err != nil {
		p.free.Store(-1)
		p.isLow.Store(false)
		p.next.Store(time.Now().Add(pollEvery).UnixNano())
		return
	}
	reserve := max(p.o.ReserveBytes, int64(p.o.ReserveFraction*float64(u.TotalBytes)), 0)
	free := int64(min(u.AvailBytes, 1<<62))
	p.reserve.Store(reserve)
	p.free.Store(free)
	p.isLow.Store(free < reserve)
	every := pollEvery
	if free/4 < reserve {
		every = pollEveryLow
	}
	p.next.Store(time.Now().Add(every).UnixNano())
}

// wrap returns a file system that gives the ballast up when the disk is full,
// and then tries once more.
func (p *space) wrap(fs vfs.FS) vfs.FS {
	return vfs.OnDiskFull(fs, func() {
		p.isLow.Store(true)
		p.next.Store(0)
		p.dropBallast()
	})
}

func (p *space) ballastPath() string { return p.o.FS.PathJoin(p.o.Dir, ballastFile) }

// makeRoom gives the ballast up before an open that finds less than need, and
// returns what is free then, or -1.
func (p *space) makeRoom(need int64) (free int64) {
	p.poll()
	if free = p.free.Load(); free >= 0 && free < need {
		p.dropBallast()
		p.poll()
		free = p.free.Load()
	}
	return free
}

func (p *space) dropBallast() {
	p.ballastMu.Lock()
	defer p.ballastMu.Unlock()
	_ = p.o.FS.Remove(p.ballastPath()) // it may not be there
}

// ballastNear is the free space below which the ballast is kept. Above twice of
// it, it goes: a disk with plenty of room needs none.
func (p *space) ballastNear() int64 {
	reserve := p.reserve.Load()
	return reserve + max(reserve, ballastAhead*p.o.BallastBytes)
}

// keepBallast makes the ballast while a disk that runs short still has room for
// it, and removes it from one that has plenty.
func (p *space) keepBallast() error {
	p.ballastMu.Lock()
	defer p.ballastMu.Unlock()
	size, free := p.o.BallastBytes, p.free.Load()
	if size <= 0 || free < 0 {
		return nil
	}
	st, err := p.o.FS.Stat(p.ballastPath())
	there := err == nil && st.Size() == size
	switch {
	case err == nil && free > 2*p.ballastNear():
		return p.o.FS.Remove(p.ballastPath())
	case there, free > p.ballastNear(), free < p.reserve.Load()+2*size:
		return nil
	}
	f, err := p.o.FS.Create(p.ballastPath(), vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("ballast: %w", err)
	}
	defer f.Close()
	if err := allocate(f, size); err != nil {
		return fmt.Errorf("ballast: %w", err)
	}
	return nil
}

// allocate makes the file really take size bytes of the disk.
func allocate(f vfs.File, size int64) error {
	if runtime.GOOS == "linux" && f.Preallocate(0, size) == nil {
		_, err := f.WriteAt([]byte{0}, size-1)
		return err
	}
	// Elsewhere Preallocate does nothing.
	zero := make([]byte, 256<<10)
	for n := int64(0); n < size; n += int64(len(zero)) {
		if _, err := f.Write(zero[:min(int64(len(zero)), size-n)]); err != nil {
			return err
		}
	}
	return nil
}

// freedPrefix is how much of a deleted key names its neighbourhood: in the mail
// store's keys, a kind of row of one account.
const freedPrefix = 9

// tight: below twice the reserve. Space is fetched back until then, so that the
// first megabytes that return do not stop the rest from coming.
func (p *space) tight() bool {
	free := p.free.Load()
	return p.low() || free >= 0 && free < 2*p.reserve.Load()
}

// noteFreed remembers where keys were deleted, so that their space can be
// fetched back while the disk is tight.
func (p *space) noteFreed(key []byte) {
	if !p.tight() {
		return
	}
	p.freedMu.Lock()
	defer p.freedMu.Unlock()
	if len(p.freed) < maxFreed {
		p.freed[string(key[:min(len(key), freedPrefix)])] = struct{}{}
	}
}

func (p *space) takeFreed() []string {
	p.freedMu.Lock()
	defer p.freedMu.Unlock()
	var out []string
	for k := range p.freed {
		out = append(out, k)
	}
	clear(p.freed)
	return out
}

// keepHouse runs until ctx ends: it keeps the ballast, and on a low disk turns
// deleted rows into free space, which nothing else would do while no new data
// comes.
func (s *Store) keepHouse(ctx context.Context) {
	defer close(s.stopped)
	tick := time.NewTicker(houseEvery)
	defer tick.Stop()
	told := false
	var t tidier
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.space.refresh()
		m := s.db.Metrics()
		// The log that is being written counts as its rows in memory do: it is in no
		// figure of the engine before it ends.
		s.space.used.Store(int64(m.DiskSpaceUsage() + m.MemTable.Size))
		s.space.spare.Store(int64(m.WAL.ObsoletePhysicalSize))
		if !s.space.low() {
			told = false
		}
		if err := s.space.keepBallast(); err != nil && s.flood.allow() {
			s.log.Warn("store: " + err.Error())
		}
		if !s.space.tight() {
			s.tidy(ctx, &t, m)
			continue
		}
		if !told && s.space.low() {
			told = true
			s.log.Warn("store: the disk is nearly full; only what frees space is let through",
				"free", s.space.free.Load(), "reserve", s.space.reserve.Load())
		}
		s.reclaim(ctx)
	}
}

// retryPause paces Pebble's retries on a full disk, which know no pause.
const retryPause = 100 * time.Millisecond

// Limit: how long writes wait on a full disk before the process ends.
const stallLimit = 10 * time.Second

// backgroundError hears of flushes and compactions that failed and will be tried again.
func (s *Store) backgroundError(err error) {
	logger{s}.Errorf("background work failed, trying again: %v", err)
	if !errors.Is(err, syscall.ENOSPC) {
		return
	}
	if since := s.stalled.Load(); since != 0 && time.Now().UnixNano()-since > int64(s.o.StallLimit) {
		s.fatal(fmt.Errorf("the disk stays full: %w", err))
	}
	time.Sleep(retryPause)
}

// reclaim compacts where keys were deleted since the last time.
func (s *Store) reclaim(ctx context.Context) {
	freed := s.space.takeFreed()
	if len(freed) == 0 {
		return
	}
	if err := s.flush(ctx); err != nil {
		s.log.Warn("store: on a full disk", "err", err)
		return
	}
	for _, p := range freed {
		if ctx.Err() != nil {
			return
		}
		r := append([]byte{userSpace}, p...)
		if err := s.db.Compact(ctx, r, kv.PrefixEnd(r), false); err != nil {
			s.log.Warn("store: compaction on a full disk", "err", err)
			return
		}
	}
	s.space.poll()
}
