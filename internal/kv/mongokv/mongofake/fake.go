// Package mongofake is a FAKE of a MongoDB replica set, for tests: there is no
// server package to be had where they run. It speaks the wire protocol to the
// real driver and has what package mongokv leans on: sessions, transactions with
// snapshots and first-writer-wins, retryable writes, cursors, elections, and
// every failure of these on demand. Its behaviour follows MongoDB's public
// documentation and driver specifications. It keeps all in memory and knows
// only the shapes of commands and filters that mongokv sends.
//
// What passes here is not proven on a MongoDB.
package mongofake

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// Fault is what happens to one command.
type Fault int

// The faults.
const (
	None       Fault = iota
	DropBefore       // the connection breaks, nothing was done
	DropAfter        // it is done, the reply is lost
	Conflict         // a write conflict, in a transaction
)

// Set is a replica set. All its members show the same data: what is acknowledged
// is on all, what is not is on none.
type Set struct {
	Name string
	// Lifetime is how long a transaction may run.
	Lifetime time.Duration
	// Alone makes it one server without a replica set.
	Alone bool
	// Empty makes it members of a replica set that nobody has initiated.
	Empty bool

	mu       sync.Mutex
	members  []*member
	primary  *member // nil while there is none
	term     int
	fault    func(command string, inTransaction bool) Fault
	spaces   map[string]*space
	clock    uint64 // of commits
	sessions map[string]*session
	live     map[*txn]struct{}
	cursors  map[int64]*cursor
	nextCur  int64
	conns    sync.WaitGroup
}

// member is one server.
type member struct {
	set  *Set
	addr string // once it has listened

	mu     sync.Mutex
	ln     net.Listener
	conns  map[net.Conn]struct{}
	thawed chan struct{} // closed while it runs
}

// New starts a set of n members on free loopback ports; the first is primary.
func New(n int) (*Set, error) {
	s := &Set{Name: "rs", Lifetime: time.Minute, spaces: map[string]*space{},
		sessions: map[string]*session{}, live: map[*txn]struct{}{}, cursors: map[int64]*cursor{}}
	for range n {
		m := &member{set: s, conns: map[net.Conn]struct{}{}, thawed: make(chan struct{})}
		close(m.thawed)
		s.members = append(s.members, m)
	}
	for _, m := range s.members {
		if err := m.listen(); err != nil {
			s.Close()
			return nil, err
		}
	}
	for _, m := range s.members {
		m.start(m.ln)
	}
	s.lead(s.members[0])
	return s, nil
}

// URI names all members.
func (s *Set) URI(database string) string {
	hosts := ""
	for i, m := range s.members {
		if i > 0 {
			hosts += ","
		}
		hosts += m.addr
	}
	if s.Alone {
		return fmt.Sprintf("mongodb://%s/%s?directConnection=true", hosts, database)
	}
	return fmt.Sprintf("mongodb://%s/%s?replicaSet=%s", hosts, database, s.Name)
}

// OnCommand sets what decides about faults; nil means none.
func (s *Set) OnCommand(f func(command string, inTransaction bool) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Close ends all members.
func (s *Set) Close() {
	for _, m := range s.members {
		m.thaw()
		m.kill()
	}
	s.conns.Wait()
}

// lead makes m the primary, or nobody. Transactions that run are lost.
func (s *Set) lead(m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.live {
		s.end(t, aborted)
	}
	if s.primary = m; m != nil {
		s.term++
	}
}

// Primary is the place of the primary among the members, or -1.
func (s *Set) Primary() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, m := range s.members {
		if m == s.primary {
			return i
		}
	}
	return -1
}

func (s *Set) next(i int) *member { return s.members[(i+1)%len(s.members)] }

// Kill ends the primary like kill -9; after the pause of an election the next
// member leads, and the killed one comes back as a secondary.
func (s *Set) Kill(election time.Duration) error {
	i := s.Primary()
	s.lead(nil)
	s.members[i].kill()
	time.Sleep(election)
	s.lead(s.next(i))
	m := s.members[i]
	if err := m.listen(); err != nil {
		return err
	}
	m.start(m.ln)
	return nil
}

// Freeze stops the primary in the middle of what it does; after the pause of an
// election the next member leads. The function returned lets it go on.
func (s *Set) Freeze(election time.Duration) (thaw func()) {
	i := s.Primary()
	s.members[i].freeze()
	time.Sleep(election)
	s.lead(s.next(i))
	return s.members[i].thaw
}

// StepDown makes another member primary; nothing is cut.
func (s *Set) StepDown(election time.Duration) {
	i := s.Primary()
	s.lead(nil)
	time.Sleep(election)
	s.lead(s.next(i))
}

// Running is the number of transactions that are neither committed nor aborted.
func (s *Set) Running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live)
}
