// Package crowd makes and ends accounts many at a time: those that are asked
// for while others are being committed are made in one commit, and so are ended
// those that nobody ever used. Without it each would wait for the disk, and for
// the guard of the count that it shares with others. It promises that each is
// made, refused or ended as if it were alone. It never decides what an account
// is: its rows are those that the caller puts.
package crowd

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/census"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Limit: accounts that one commit makes or ends.
const MaxGroup = 64

// Limit: accounts that wait in one process to be made; more get kv.ErrUnavailable.
const MaxQueue = 4096

// Pace: time for the commit that makes a group of accounts.
const commitTime = 30 * time.Second

// ErrTaken says that the name belongs to another account.
var ErrTaken = errors.New("crowd: the name is taken")

var errBusy = fmt.Errorf("crowd: too many accounts wait to be made: %w", kv.ErrUnavailable)

// Put writes the rows of a new account.
type Put func(tx kv.Tx, acct uint64)

// Maker makes accounts.
type Maker struct {
	kv      kv.Store
	mu      sync.Mutex
	waiting []*birth
	working bool
}

// birth is an account that somebody waits for.
type birth struct {
	name []byte // key of its name's row
	put  Put
	acct uint64
	err  error
	done chan struct{} // closed when acct and err are set
}

// NewMaker returns a Maker for a store.
func NewMaker(s kv.Store) *Maker { return &Maker{kv: s} }

// Make makes an account with a name that must be free, and returns its id. When
// ctx ends while it is being made, the outcome is unknown.
func (m *Maker) Make(ctx context.Context, name []byte, put Put) (acct uint64, err error) {
	b := &birth{name: name, put: put, done: make(chan struct{})}
	if err := m.enter(b); err != nil {
		return 0, err
	}
	select {
	case <-b.done:
		return b.acct, b.err
	case <-ctx.Done():
		if m.leave(b) {
			return 0, ctx.Err()
		}
		return 0, fmt.Errorf("%w: %w", kv.ErrUnknown, ctx.Err())
	}
}

// enter puts b in the queue, and sees to it that somebody works on that.
func (m *Maker) enter(b *birth) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.waiting) >= MaxQueue {
		return errBusy
	}
	m.waiting = append(m.waiting, b)
	if !m.working {
		m.working = true
		go m.work()
	}
	return nil
}

// leave takes b out of the queue, if its turn has not come yet.
func (m *Maker) leave(b *birth) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, w := range m.waiting {
		if w == b {
			m.waiting = append(m.waiting[:i], m.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// work makes all that wait, group by group, until nobody does.
func (m *Maker) work() {
	for {
		m.mu.Lock()
		n := min(len(m.waiting), MaxGroup)
		if n == 0 {
			m.working = false
			m.mu.Unlock()
			return
		}
		group := append([]*birth(nil), m.waiting[:n]...)
		m.waiting = append(m.waiting[:0], m.waiting[n:]...)
		m.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), commitTime)
		m.commit(ctx, group)
		cancel()
	}
}

// commit makes a group and answers it. An error of the commit is everybody's.
func (m *Maker) commit(ctx context.Context, group []*birth) {
	// All are counted in one shard: groups of several servers do not meet.
	shard := byte(random() % row.CountShards)
	guards := [][]byte{row.Count(shard)}
	for _, b := range group {
		b.acct = row.AcctOf(shard, random())
		guards = append(guards, row.Head(b.acct), b.name)
	}
	err := m.kv.Update(ctx, guards, func(tx kv.Tx) error {
		made := int64(0)
		seen := make(map[string]bool, len(group))
		for i, b := range group {
			b.err = nil
			switch {
			case tx.Guard(2*i+2).Rev != 0, seen[string(b.name)]:
				b.err = ErrTaken
			case tx.Guard(2*i+1).Rev != 0:
				b.err = kv.ErrConflict // the same random number twice: another will do
			default:
				b.put(tx, b.acct)
				seen[string(b.name)] = true
				made++
			}
		}
		if made == 0 {
			return nil
		}
		return census.Add(tx, 0, group[0].acct, made)
	})
	for _, b := range group {
		if err != nil {
			b.err = err
		}
		close(b.done)
	}
}

// random is the basis of an account's id.
func random() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}
