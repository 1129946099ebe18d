package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/census"
)

const (
	// usageEvery is how old the figures of a store get before they are made
	// again, if somebody asks for them.
	usageEvery = 10 * time.Second
	// usageShare is the most of the time that is spent on it: one in so many.
	usageShare = 50
	// usageWait is how long who asks first waits for figures.
	usageWait = 2 * time.Second
	// usageWithin bounds one walk.
	usageWithin = 10 * time.Minute
)

// MailStatus is what mail takes, and what it would take. All but StoredBytes is
// as it was at AsOf.
type MailStatus struct {
	AsOf     time.Time `json:"asOf,omitzero"` // zero: not known yet
	Messages int64     `json:"messages"`
	// LogicalBytes are those of all messages as their owners see them.
	LogicalBytes int64 `json:"logicalBytes"`
	// StoredBytes is what the engine's files take for everything; -1: not known.
	StoredBytes int64 `json:"storedBytes"`
	// DedupSavedBytes were not stored because the same part was there already.
	DedupSavedBytes int64 `json:"dedupSavedBytes"`
	// CompressionSavedBytes is what is left of the rest that is not stored:
	// base64 taken off and compression, less what rows and indexes add.
	CompressionSavedBytes int64 `json:"compressionSavedBytes"`
	Parts                 int64 `json:"parts"` // shared parts
	PartBytes             int64 `json:"partBytes"`
	PartStoredBytes       int64 `json:"partStoredBytes"`
	// Garbage waits for its grace time to end.
	GarbageParts int64 `json:"garbageParts"`
	GarbageBytes int64 `json:"garbageBytes"`
}

// usage keeps the figures of the last walk. Who asks gets those at once and
// never walks: a loop does when they are old.
type usage struct {
	kv    kv.Store
	now   func() time.Time
	mu    sync.Mutex
	last  census.Usage
	first chan struct{} // closed when there are figures
	want  chan struct{}
}

func newUsage(s kv.Store, now func() time.Time) *usage {
	return &usage{kv: s, now: now, first: make(chan struct{}), want: make(chan struct{}, 1)}
}

// run walks when somebody has asked, until ctx ends.
func (u *usage) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-u.want:
		}
		pause := usageEvery
		if took, err := u.walk(ctx); err == nil {
			pause = max(pause, usageShare*took)
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

// walk makes the figures anew. An error leaves the old ones: a store that is
// away is told elsewhere.
func (u *usage) walk(ctx context.Context) (time.Duration, error) {
	call, cancel := context.WithTimeout(ctx, usageWithin)
	defer cancel()
	next, err := census.Walk(call, u.kv, u.now)
	if err != nil {
		return 0, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last.At.IsZero() {
		close(u.first)
	}
	u.last = next
	return next.Took, nil
}

// ask returns the last figures, and has them made again if they are old.
func (u *usage) ask() census.Usage {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last.At.IsZero() || u.now().Sub(u.last.At) >= usageEvery {
		select {
		case u.want <- struct{}{}:
		default: // asked already
		}
	}
	return u.last
}

// status puts the figures beside what the engine says, h.
func (u *usage) status(h kv.Health) MailStatus {
	w := u.ask()
	m := MailStatus{AsOf: w.At.UTC(), Messages: w.Messages, LogicalBytes: w.Logical, StoredBytes: h.Taken(),
		DedupSavedBytes: w.DedupSaved(), Parts: w.Parts, PartBytes: w.PartBytes, PartStoredBytes: w.PartStored,
		GarbageParts: w.Garbage, GarbageBytes: w.GarbageBytes}
	if w.At.IsZero() {
		m.AsOf = time.Time{}
	}
	if m.StoredBytes >= 0 {
		m.CompressionSavedBytes = max(w.Logical-m.DedupSavedBytes-(m.StoredBytes-min(w.GarbageBytes, m.StoredBytes)), 0)
	}
	return m
}

// await is status that waits for first figures, not for long.
func (u *usage) await(ctx context.Context, h kv.Health) MailStatus {
	u.ask()
	t := time.NewTimer(usageWait)
	defer t.Stop()
	select {
	case <-u.first:
	case <-t.C:
	case <-ctx.Done():
	}
	return u.status(h)
}

// register shows the figures as metrics.
func (s *Server) registerUsage() error {
	gauge := func(name, help string, f func(m *MailStatus) int64) error {
		return s.o.Metrics.GaugeFunc("eider_mail_"+name, help, func() float64 {
			h, err := s.health.node.Store()
			if err != nil {
				h.UsedBytes = -1
			}
			m := s.usage.status(h)
			return float64(f(&m))
		})
	}
	return errors.Join(
		gauge("messages", "Messages that accounts hold; a copy counts again.",
			func(m *MailStatus) int64 { return m.Messages }),
		gauge("logical_bytes", "Bytes of all messages as their owners see them.",
			func(m *MailStatus) int64 { return m.LogicalBytes }),
		gauge("stored_bytes", "Bytes that the store takes for everything; -1 if it is not known.",
			func(m *MailStatus) int64 { return m.StoredBytes }),
		gauge("dedup_saved_bytes", "Bytes that are not stored because the same part is there already.",
			func(m *MailStatus) int64 { return m.DedupSavedBytes }),
		gauge("compression_saved_bytes", "Bytes that compression and decoded base64 save, less what rows and indexes add.",
			func(m *MailStatus) int64 { return m.CompressionSavedBytes }),
		gauge("garbage_parts", "Shared parts that no mail needs any more, before they are collected.",
			func(m *MailStatus) int64 { return m.GarbageParts }),
		gauge("garbage_bytes", "Bytes of these parts.",
			func(m *MailStatus) int64 { return m.GarbageBytes }),
	)
}
