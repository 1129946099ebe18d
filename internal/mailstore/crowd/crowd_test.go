package crowd_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/kvtest"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore/census"
	"github.com/eidermail/eider/internal/mailstore/crowd"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// counting is a store whose commits are slow, and counted.
type counting struct {
	kv.Store
	commits atomic.Int64
	enter   chan struct{} // if set, an Update waits for it
}

func (c *counting) Update(ctx context.Context, guards [][]byte, fn func(kv.Tx) error, opts ...kv.Option) error {
	if c.enter != nil {
		<-c.enter
	}
	c.commits.Add(1)
	time.Sleep(2 * time.Millisecond)
	return c.Store.Update(ctx, guards, fn, opts...)
}

func store(t *testing.T) *counting {
	t.Helper()
	s := memkv.New()
	t.Cleanup(func() { s.Close() })
	return &counting{Store: kvtest.Guarded(s, row.Domain)}
}

const (
	born = 1_900_000_000
	life = 24 * time.Hour
	ends = born + uint32(life/time.Second)
)

// put writes a living account that ends after a day unused.
func put(name string) crowd.Put {
	return func(tx kv.Tx, acct uint64) {
		h := row.HeadRow{ModSeq: 1, NextMsg: 1, Created: born, Idle: 30 * 86400, Names: []string{name}, Deadline: ends}
		tx.Put(row.Head(acct), h.Append(nil))
		tx.Put(row.Name(name), row.AppendAcct(nil, acct))
		tx.Put(row.Credential(acct), []byte("secret"))
		tx.Put(row.Deadline(ends, acct, 0, 0), []byte{})
	}
}

func rows(acct uint64) [][]byte { return [][]byte{row.Credential(acct)} }

// populate makes n accounts at once, and returns what is due of them.
func populate(t *testing.T, s kv.Store, n int) []crowd.Due {
	t.Helper()
	m := crowd.NewMaker(s)
	due := make([]crowd.Due, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			name := fmt.Sprintf("a%d@d.test", i)
			acct, err := m.Make(t.Context(), row.Name(name), put(name))
			if err != nil {
				t.Error(err)
			}
			due[i] = crowd.Due{At: ends, Acct: acct}
		})
	}
	wg.Wait()
	return due
}

func count(t *testing.T, s kv.Store) int64 {
	t.Helper()
	n, err := census.Count(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestMake: many at once need few commits, and each is there and counted; of
// those who want the same name one gets it.
func TestMake(t *testing.T) {
	s := store(t)
	const n = 1000
	due := populate(t, s, n)
	if c := s.commits.Load(); c > n/10 {
		t.Errorf("%d accounts took %d commits", n, c)
	}
	seen := map[uint64]bool{}
	for _, d := range due {
		items, err := s.GetMulti(t.Context(), row.Head(d.Acct))
		if err != nil || items[0].Rev == 0 || seen[d.Acct] || d.Acct == 0 {
			t.Fatalf("account %x: %v", d.Acct, err)
		}
		seen[d.Acct] = true
	}
	if c := count(t, s); c != n {
		t.Errorf("%d accounts are counted", c)
	}
	m := crowd.NewMaker(s)
	var got, taken atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			switch _, err := m.Make(t.Context(), row.Name("one@d.test"), put("one@d.test")); {
			case err == nil:
				got.Add(1)
			case errors.Is(err, crowd.ErrTaken):
				taken.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got.Load() != 1 || taken.Load() != 99 || count(t, s) != n+1 {
		t.Errorf("%d got the name, %d did not, %d accounts", got.Load(), taken.Load(), count(t, s))
	}
}

// TestMake_Queue: who leaves before the turn comes has no account, and a full
// queue says so at once.
func TestMake_Queue(t *testing.T) {
	s := store(t)
	s.enter = make(chan struct{})
	m := crowd.NewMaker(s)
	var wg sync.WaitGroup
	make1 := func(ctx context.Context, i int) error {
		name := fmt.Sprintf("q%d@d.test", i)
		_, err := m.Make(ctx, row.Name(name), put(name))
		return err
	}
	wg.Go(func() {
		if err := make1(t.Context(), 0); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var unknown, left, busy atomic.Int64
	var others sync.WaitGroup
	for i := range crowd.MaxQueue + 2*crowd.MaxGroup {
		others.Go(func() {
			switch err := make1(ctx, i+1); {
			case errors.Is(err, kv.ErrUnknown):
				unknown.Add(1)
			case errors.Is(err, context.Canceled):
				left.Add(1)
			case errors.Is(err, kv.ErrUnavailable):
				busy.Add(1)
			default:
				t.Errorf("%v", err)
			}
		})
	}
	for busy.Load() < crowd.MaxGroup {
		time.Sleep(time.Millisecond)
	}
	cancel()
	others.Wait()
	close(s.enter)
	wg.Wait()
	if u := unknown.Load(); u > crowd.MaxGroup {
		t.Errorf("%d have an unknown outcome", u)
	}
	if c := count(t, s); c < 1 || c > 1+crowd.MaxGroup {
		t.Errorf("%d accounts are there", c)
	}
}

// TestEnd: the unused go, many in a commit; who was used or is not due stays,
// and the count is right.
func TestEnd(t *testing.T) {
	s := store(t)
	due := populate(t, s, 300)
	used, wrote := due[10], due[20]
	for _, d := range []crowd.Due{used, wrote} {
		key := row.Head(d.Acct)
		err := s.Update(t.Context(), [][]byte{key}, func(tx kv.Tx) error {
			h, err := row.DecodeHead(tx.Guard(0).Value)
			if d == used {
				h.LastUsed = born
			} else {
				h.ModSeq++
			}
			tx.Put(key, h.Append(nil))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	now := time.Unix(int64(ends)-1, 0)
	e := crowd.Ender{KV: s, Now: func() time.Time { return now }, Unused: life, Rows: rows}
	if n, left, err := e.End(t.Context(), due); n != 0 || len(left) != 300 || err != nil {
		t.Errorf("a second too early %d are gone, %d left: %v", n, len(left), err)
	}
	now = time.Unix(int64(ends), 0)
	s.commits.Store(0)
	n, left, err := e.End(t.Context(), due)
	if n != 298 || len(left) != 2 || err != nil || count(t, s) != 2 {
		t.Errorf("%d are gone, %d left, %d counted: %v", n, len(left), count(t, s), err)
	}
	if c := s.commits.Load(); c > 300/crowd.MaxGroup+1 {
		t.Errorf("that took %d commits", c)
	}
	for _, d := range left {
		if d != used && d != wrote {
			t.Errorf("%x is left", d.Acct)
		}
	}
	keys := 0
	for it, err := range s.Scan(t.Context(), kv.Range{}) {
		if k, ok := row.ParseKey(it.Key); err != nil || !ok || k.Tag != row.TagCount {
			keys++
		}
	}
	if keys != 2*4 {
		t.Errorf("%d rows are left of two accounts", keys)
	}
	if n, left, err := e.End(t.Context(), due); n != 0 || len(left) != 300 || err != nil {
		t.Errorf("again: %d gone, %d left: %v", n, len(left), err)
	}
}
