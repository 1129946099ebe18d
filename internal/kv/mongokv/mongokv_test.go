package mongokv_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/kvtest"
	"github.com/eidermail/eider/internal/kv/mongokv"
	"github.com/eidermail/eider/internal/kv/mongokv/mongofake"
	"github.com/eidermail/eider/test/mongo"
)

// fake starts a FAKE replica set: what passes on it is not proven on a MongoDB.
func fake(t testing.TB, n int) *mongofake.Set {
	t.Helper()
	s, err := mongofake.New(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func open(t testing.TB, uri string) *mongokv.Store {
	t.Helper()
	s, err := mongokv.Open(t.Context(), mongokv.Options{URI: uri})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // most tests have closed it
	return s
}

var databases atomic.Int64

// TestStore: the suite of all engines, on a FAKE, and on the replica set that
// EIDER_TEST_MONGODB_URI names, or that a mongod in PATH makes: there is no
// package of a server to install.
func TestStore(t *testing.T) {
	t.Run("fake", suiteOnFake)
	switch uri := os.Getenv("EIDER_TEST_MONGODB_URI"); {
	case uri != "":
		t.Run("real", func(t *testing.T) { real(t, uri) })
	case mongo.Found():
		t.Run("real", func(t *testing.T) { real(t, mongo.Start(t).URI("%d")) })
	default:
		t.Log("not proven on a MongoDB: EIDER_TEST_MONGODB_URI names none, and there is no mongod in PATH")
	}
}

// TestMongod: real primaries are killed and frozen under load, where there is a
// mongod. Written against the documentation: nobody has run it yet.
func TestMongod(t *testing.T) {
	if !mongo.Found() {
		t.Log("not proven on a MongoDB: there is no mongod in PATH")
		return
	}
	s := mongo.Start(t)
	l := &load{T: t}
	for range 3 {
		l.stores = append(l.stores, open(t, s.URI("load")))
	}
	l.run(func() {
		for range 2 {
			time.Sleep(2 * time.Second)
			i := s.AwaitPrimary(t)
			s.Kill(i)
			s.AwaitPrimary(t)
			s.Restart(t, i)
		}
		i := s.AwaitPrimary(t)
		s.Freeze(i)
		time.Sleep(8 * time.Second)
		s.Thaw(i)
		s.AwaitPrimary(t)
		time.Sleep(2 * time.Second)
	})
	if d := time.Duration(l.longest.Load()); d > 59*time.Second {
		t.Errorf("one update took %v", d)
	}
}

// suiteOnFake runs it with three handles over a FAKE.
func suiteOnFake(t *testing.T) {
	kvtest.RunHandles(t, func(t testing.TB, n int) []kv.Store {
		uri := fake(t, 1).URI("kvtest")
		out := make([]kv.Store, n)
		for i := range out {
			out[i] = open(t, uri)
		}
		return out
	})
}

// real runs the suite on a replica set: the address has %d where the name of a
// database goes.
func real(t *testing.T, uri string) {
	kvtest.RunHandles(t, func(t testing.TB, n int) []kv.Store {
		own := strings.ReplaceAll(uri, "%d", "eider_test_"+strconv.FormatInt(databases.Add(1), 10)+
			strconv.FormatInt(time.Now().Unix(), 36))
		out := make([]kv.Store, n)
		for i := range out {
			out[i] = open(t, own)
		}
		return out
	})
}

// load adds to counters from several handles until stop, and then compares them
// with what was acknowledged: nothing lost, nothing twice.
type load struct {
	*testing.T
	stores       []*mongokv.Store
	acknowledged [4]atomic.Int64
	unknown      [4]atomic.Int64
	longest      atomic.Int64 // nanoseconds of one Update
}

func counter(i int) []byte { return []byte{'c', byte(i)} }

func (l *load) run(during func()) {
	ctx, cancel := context.WithCancel(l.Context())
	var wg sync.WaitGroup
	for _, s := range l.stores {
		for i := range l.acknowledged {
			wg.Go(func() {
				for ctx.Err() == nil {
					l.add(s, i)
				}
			})
		}
	}
	during()
	cancel()
	wg.Wait()
	l.check()
}

func (l *load) add(s *mongokv.Store, i int) {
	ctx, cancel := context.WithTimeout(l.Context(), 60*time.Second)
	defer cancel()
	start := time.Now()
	err := s.Update(ctx, [][]byte{counter(i)}, func(tx kv.Tx) error {
		n := uint64(0)
		if v := tx.Guard(0).Value; len(v) == 8 {
			n = binary.BigEndian.Uint64(v)
		}
		tx.Put(counter(i), binary.BigEndian.AppendUint64(nil, n+1))
		tx.Put(binary.BigEndian.AppendUint64([]byte{'r', byte(i)}, n), []byte("row"))
		return nil
	})
	for d := int64(time.Since(start)); ; {
		if old := l.longest.Load(); d <= old || l.longest.CompareAndSwap(old, d) {
			break
		}
	}
	switch {
	case err == nil:
		l.acknowledged[i].Add(1)
	case errors.Is(err, kv.ErrUnknown):
		l.unknown[i].Add(1)
	default:
		l.Errorf("add: %v", err)
	}
}

func (l *load) check() {
	l.Helper()
	all := int64(0)
	for i := range l.acknowledged {
		items, err := l.stores[0].GetMulti(l.Context(), counter(i))
		if err != nil {
			l.Fatal(err)
		}
		n := int64(0)
		if items[0].Rev != 0 {
			n = int64(binary.BigEndian.Uint64(items[0].Value))
		}
		rows := int64(0)
		for _, err := range l.stores[0].Scan(l.Context(), kv.Prefix([]byte{'r', byte(i)})) {
			if err != nil {
				l.Fatal(err)
			}
			rows++
		}
		low := l.acknowledged[i].Load()
		if high := low + l.unknown[i].Load(); n < low || n > high || rows != n {
			l.Errorf("counter %d is %d with %d rows; %d acknowledged, at most %d", i, n, rows, low, high)
		}
		all += low
	}
	var unknown, conflicts int64
	for _, s := range l.stores {
		unknown, conflicts = unknown+s.Stats().Unknown, conflicts+s.Stats().Conflicts
	}
	l.Logf("%d acknowledged, %d conflicts, %d commits asked for again, longest %v", all, conflicts, unknown,
		time.Duration(l.longest.Load()).Round(time.Millisecond))
	if all == 0 {
		l.Error("nothing was done")
	}
}

func newLoad(t *testing.T, s *mongofake.Set) *load {
	l := &load{T: t}
	for range 3 {
		l.stores = append(l.stores, open(t, s.URI("load")))
	}
	return l
}

// TestLostReplies: one command in twenty loses its connection, before or after it
// was done, and one statement in twenty meets a conflict.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	s := fake(t, 3)
	l := newLoad(t, s)
	s.OnCommand(func(command string, inTransaction bool) mongofake.Fault {
		switch n := rand.IntN(60); {
		case command == "hello" || command == "isMaster":
			return mongofake.None
		case n == 0:
			return mongofake.DropBefore
		case n == 1:
			return mongofake.DropAfter
		case n < 4 && inTransaction && command != "commitTransaction" && command != "abortTransaction":
			return mongofake.Conflict
		}
		return mongofake.None
	})
	l.run(func() { time.Sleep(3 * time.Second); s.OnCommand(nil) })
	if l.stores[0].Stats().Conflicts == 0 {
		t.Error("no conflict was met")
	}
}

// TestLostCommits: every reply to a commit is lost for longer than an attempt lasts,
// within which the driver asks again by itself; then all come.
func TestLostCommits(t *testing.T) {
	t.Parallel()
	s := fake(t, 3)
	l := newLoad(t, s)
	const while = 5 * time.Second
	var commits atomic.Int64
	start := time.Now()
	s.OnCommand(func(command string, _ bool) mongofake.Fault {
		if command == "commitTransaction" {
			commits.Add(1)
			if time.Since(start) < while {
				return mongofake.DropAfter
			}
		}
		return mongofake.None
	})
	l.run(func() { time.Sleep(while + 2*time.Second); s.OnCommand(nil) })
	asked := int64(0)
	for _, store := range l.stores {
		asked += store.Stats().Unknown
	}
	if asked == 0 {
		t.Errorf("of %d commits none had to be asked for again", commits.Load())
	}
}

// TestElections: the primary is killed, steps down and freezes, under load.
func TestElections(t *testing.T) {
	t.Parallel()
	const election = 500 * time.Millisecond
	for _, c := range []struct {
		name string
		do   func(*testing.T, *mongofake.Set)
	}{
		{"kill", func(t *testing.T, s *mongofake.Set) {
			if err := s.Kill(election); err != nil {
				t.Error(err)
			}
		}},
		{"step down", func(_ *testing.T, s *mongofake.Set) { s.StepDown(election) }},
		{"freeze", func(_ *testing.T, s *mongofake.Set) {
			thaw := s.Freeze(election)
			time.Sleep(5 * time.Second)
			thaw()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := fake(t, 3)
			l := newLoad(t, s)
			l.run(func() {
				for range 2 {
					time.Sleep(500 * time.Millisecond)
					c.do(t, s)
				}
				time.Sleep(time.Second)
			})
			if d := time.Duration(l.longest.Load()); d > 20*time.Second {
				t.Errorf("one update took %v", d)
			}
		})
	}
}

// TestOrphan: a transaction whose node died blocks its guards no longer than
// transactions may live.
func TestOrphan(t *testing.T) {
	t.Parallel()
	s := fake(t, 1)
	s.Lifetime = time.Second
	a, b := open(t, s.URI("orphan")), open(t, s.URI("orphan"))
	entered, leave := make(chan struct{}), make(chan struct{})
	go func() {
		_ = a.Update(context.WithoutCancel(t.Context()), [][]byte{[]byte("g")}, func(tx kv.Tx) error {
			select {
			case <-entered: // a second try, after the server ended the first
				return errors.New("too late")
			default:
			}
			close(entered)
			<-leave
			tx.Put([]byte("g"), []byte("orphan"))
			return nil
		})
		close(leave)
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	start := time.Now()
	err := b.Update(ctx, [][]byte{[]byte("g")}, func(tx kv.Tx) error {
		tx.Put([]byte("g"), []byte("mine"))
		return nil
	})
	if d := time.Since(start); err != nil || d < 200*time.Millisecond || d > 10*time.Second {
		t.Errorf("after %v: %v", d, err)
	}
	leave <- struct{}{}
	<-leave
	items, err := b.GetMulti(t.Context(), []byte("g"))
	if err != nil || string(items[0].Value) != "mine" {
		t.Errorf("%v %v", items, err)
	}
	if n := s.Running(); n != 0 {
		t.Errorf("%d transactions are left", n)
	}
}

// TestGone: a store that stays away gives up with the context, and says so.
func TestGone(t *testing.T) {
	t.Parallel()
	s := fake(t, 1)
	store := open(t, s.URI("gone"))
	s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	start := time.Now()
	err := store.Update(ctx, [][]byte{[]byte("g")}, func(tx kv.Tx) error { tx.Put([]byte("g"), nil); return nil })
	if d := time.Since(start); !errors.Is(err, kv.ErrUnavailable) || d > 5*time.Second {
		t.Errorf("update after %v: %v", d, err)
	}
	if _, err := store.Ping(ctx); err == nil {
		t.Error("ping: no error")
	}
}

// TestOpen: what is wrong with an address or a server is said, without the password.
func TestOpen(t *testing.T) {
	t.Parallel()
	alone := fake(t, 1)
	alone.Alone = true
	empty := fake(t, 1)
	empty.Empty = true
	for _, c := range []struct{ uri, want string }{
		{"mongodb://u:se/cret@h/db", "no URI"},
		{"mongodb://u:secret@/db", "cannot be read"},
		{"mongodb://u:secret@127.0.0.1:1/db?replicaSet=rs", "unavailable"},
		{alone.URI("db"), "--replSet"},
		{empty.URI("db"), "rs.initiate()"},
	} {
		_, err := mongokv.Open(t.Context(), mongokv.Options{URI: c.uri, OpenWithin: 3 * time.Second})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "cret") {
			t.Errorf("%s: %v, want %s", c.uri, err, c.want)
		}
	}
}

// TestNewerFormat: a database of a newer format is refused and not touched.
func TestNewerFormat(t *testing.T) {
	t.Parallel()
	s := fake(t, 1)
	store := open(t, s.URI("newer"))
	if err := store.SetFormat(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	_, err := mongokv.Open(t.Context(), mongokv.Options{URI: s.URI("newer")})
	if !errors.Is(err, mongokv.ErrFormat) || !strings.Contains(err.Error(), "format 2") {
		t.Error(err)
	}
}

// TestSize: what is stored is told, and what was removed is spare: on a FAKE.
func TestSize(t *testing.T) {
	t.Parallel()
	uri := fake(t, 1).URI("db")
	s := open(t, uri)
	const each, n = 10_000, 100
	err := s.Update(t.Context(), [][]byte{[]byte("g")}, func(tx kv.Tx) error {
		for i := range n {
			tx.Put([]byte{'k', byte(i)}, make([]byte, each))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	size := func() kv.Health {
		t.Helper()
		s := open(t, uri) // a new handle asks at once
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			h, err := s.Ping(t.Context())
			if err != nil || time.Now().After(end) {
				t.Fatal("no size is told", err)
			}
			if h.UsedBytes >= 0 {
				return h
			}
		}
	}
	if h := size(); h.UsedBytes < n*each || h.UsedBytes > n*each*2 || h.SpareBytes > each {
		t.Errorf("of %d bytes: %d, %d of them spare", n*each, h.UsedBytes, h.SpareBytes)
	}
	if err := s.DeletePrefix(t.Context(), []byte("k")); err != nil {
		t.Fatal(err)
	}
	if h := size(); h.UsedBytes-h.SpareBytes > each || h.SpareBytes == 0 {
		t.Errorf("of nothing: %d, %d of them spare", h.UsedBytes, h.SpareBytes)
	}
}

// TestReadsAreProven: an Update that wrote nothing, or whose function found
// something wrong, answers only when a majority has what it read. On a FAKE.
func TestReadsAreProven(t *testing.T) {
	t.Parallel()
	set := fake(t, 1)
	set.Lifetime = time.Second // of a transaction whose commit does not come
	s := open(t, set.URI("db"))
	wrong := errors.New("no such account")
	var mute atomic.Bool // no answer to a commit comes
	var commits, aborts atomic.Int64
	set.OnCommand(func(command string, _ bool) mongofake.Fault {
		switch command {
		case "abortTransaction":
			aborts.Add(1)
		case "commitTransaction":
			commits.Add(1)
			if mute.Load() {
				return mongofake.DropBefore
			}
		}
		return mongofake.None
	})
	for name, fn := range map[string]func(kv.Tx) error{
		"nothing written": func(kv.Tx) error { return nil },
		"an error":        func(tx kv.Tx) error { tx.Put([]byte("never"), nil); return wrong },
	} {
		want := fn(discard{})
		mute.Store(false)
		commits.Store(0)
		if err := s.Update(t.Context(), [][]byte{[]byte("g")}, fn); !errors.Is(err, want) || commits.Load() != 1 {
			t.Errorf("%s: %v after %d commits", name, err, commits.Load())
		}
		mute.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if err := s.Update(ctx, [][]byte{[]byte("g")}, fn); !errors.Is(err, kv.ErrUnavailable) || errors.Is(err, wrong) {
			t.Errorf("%s, and no answer to the commit: %v", name, err)
		}
		cancel()
	}
	mute.Store(false)
	items, err := s.GetMulti(t.Context(), []byte("g"), []byte("never"))
	if err != nil || items[0].Rev != 0 || items[1].Rev != 0 {
		t.Errorf("something was written: %+v %v", items, err)
	}
	// What the server has aborted is not aborted again.
	first := true
	aborts.Store(0)
	set.OnCommand(func(command string, in bool) mongofake.Fault {
		if command == "abortTransaction" {
			aborts.Add(1)
		}
		if in && first {
			first = false
			return mongofake.Conflict
		}
		return mongofake.None
	})
	put := func(tx kv.Tx) error { tx.Put([]byte("k"), nil); return nil }
	if err := s.Update(t.Context(), [][]byte{[]byte("g")}, put); err != nil || aborts.Load() != 0 || first {
		t.Errorf("after a conflict: %v, %d aborts", err, aborts.Load())
	}
}

// discard is a transaction that keeps nothing.
type discard struct{ kv.Tx }

func (discard) Put(_, _ []byte) {}
