package janitor_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/janitor"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/spool"
)

func open(t *testing.T, store kv.Store, retention time.Duration) (*mailstore.Store, mailstore.AcctID) {
	t.Helper()
	ctx := context.Background()
	s, err := mailstore.Open(ctx, mailstore.Options{KV: store, Bus: membus.New(),
		Defaults: mailstore.AccountLimits{Retention: retention}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.CreateAccount(ctx, mailstore.NewAccount{Address: "a@b", Credential: []byte("c")})
	if err != nil {
		t.Fatal(err)
	}
	return s, a.ID
}

func put(t *testing.T, s *mailstore.Store, id mailstore.AcctID, n int) {
	t.Helper()
	m := spool.New(spool.Options{}).Message()
	defer m.Close()
	_, _ = m.Write([]byte("text"))
	for range n {
		if _, err := s.Deposit(context.Background(), []mailstore.AcctID{id}, mailstore.Deposit{}, m); err != nil {
			t.Fatal(err)
		}
	}
}

// With a retention of 5 s a message is gone within 10.
func TestMailLeavesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, id := open(t, memkv.New(), 5*time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for range 2 { // two janitors at once are harmless
			j := janitor.New(janitor.Options{Store: s, KV: s.KV()})
			wg.Go(func() {
				if err := j.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		for range 4 {
			time.Sleep(1700 * time.Millisecond)
			begun := time.Now()
			put(t, s, id, 3)
			for {
				a, err := s.Account(context.Background(), id)
				if err != nil {
					t.Fatal(err)
				}
				if a.Messages == 0 {
					break
				}
				if time.Since(begun) > time.Minute {
					t.Fatal("mail does not leave")
				}
				time.Sleep(100 * time.Millisecond)
			}
			if d := time.Since(begun); d < 5*time.Second || d > 10*time.Second {
				t.Errorf("mail left after %v", d)
			}
		}
		cancel()
		wg.Wait()
	})
}

// skewed is a store whose clock is off.
type skewed struct {
	kv.Store
	by time.Duration
}

func (s skewed) Ping(ctx context.Context) (kv.Health, error) {
	h, err := s.Store.Ping(ctx)
	h.Time = h.Time.Add(s.by)
	return h, err
}

func TestAClockThatIsOffExpiresNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := skewed{memkv.New(), -2 * time.Minute}
		s, id := open(t, store, time.Second)
		put(t, s, id, 1)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = janitor.New(janitor.Options{Store: s, KV: store}).Run(ctx)
		if a, err := s.Account(context.Background(), id); err != nil || a.Messages != 1 {
			t.Errorf("%d messages, %v: the janitor worked by a clock that is off", a.Messages, err)
		}
	})
}

// More deadlines than a batch holds, of many accounts, all at once.
func TestManyDeadlines(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_760_000_000, 0)
	store := memkv.New()
	s, err := mailstore.Open(context.Background(), mailstore.Options{KV: store, Now: func() time.Time { return now },
		Defaults: mailstore.AccountLimits{Retention: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		a, err := s.CreateAccount(context.Background(), mailstore.NewAccount{Address: fmt.Sprintf("u%d@x", i), Credential: []byte("c")})
		if err != nil {
			t.Fatal(err)
		}
		n := 20
		if i == 0 {
			n = 2*janitor.Batch + 7
		}
		put(t, s, a.ID, n)
	}
	var total janitor.Report
	j := janitor.New(janitor.Options{Store: s, KV: store, Now: func() time.Time { return now }})
	for range 2 {
		r, _ := j.Pass(context.Background())
		total.Messages += r.Messages
		total.Failed += r.Failed
		now = now.Add(2 * time.Hour)
	}
	if want := 39*20 + 2*janitor.Batch + 7; total.Messages != want || total.Failed != 0 {
		t.Errorf("%+v, want %d messages", total, want)
	}
	for _, err := range store.Scan(context.Background(), kv.Prefix([]byte{'T'})) {
		t.Fatalf("deadlines are left (%v)", err)
	}
}

// slow is a store whose commits take a while.
type slow struct{ kv.Store }

func (s slow) Update(ctx context.Context, guards [][]byte, fn func(kv.Tx) error, opts ...kv.Option) error {
	time.Sleep(10 * time.Millisecond)
	return s.Store.Update(ctx, guards, fn, opts...)
}

// While others work, expiry takes a tenth of the time, and more when it is late.
func TestExpiryGivesWay(t *testing.T) {
	const messages = 500
	pass := func(t *testing.T, late time.Duration, others func() int64) (took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			store := slow{memkv.New()}
			s, id := open(t, store, time.Hour)
			put(t, s, id, messages)
			time.Sleep(time.Hour + late + time.Minute) // the first one came a minute before the last
			began := time.Now()
			r, _ := janitor.New(janitor.Options{Store: s, KV: store, Others: others}).Pass(t.Context())
			if took = time.Since(began); r.Messages != messages {
				t.Errorf("%d messages left, want %d", r.Messages, messages)
			}
		})
		return took
	}
	var n int64
	busy := func() int64 { n += 1000; return n }
	alone := pass(t, 0, nil)
	idle := pass(t, 0, func() int64 { return 0 })
	soon, late := pass(t, 0, busy), pass(t, 2*time.Hour, busy)
	t.Logf("alone %v, beside idle ones %v, beside busy ones %v, two hours late %v", alone, idle, soon, late)
	if idle > 2*alone || late > 2*alone {
		t.Errorf("expiry waits for nobody: alone %v, beside idle ones %v, two hours late %v", alone, idle, late)
	}
	if soon < 5*alone || soon > 12*alone {
		t.Errorf("beside busy ones expiry takes %v, alone %v", soon, alone)
	}
}

// What is overdue by more than a day is left alone for a while after the start, as
// the clock may be wrong; what is due just now goes as ever.
func TestLongOverdueWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, id := open(t, memkv.New(), 5*time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		put(t, s, id, 3)
		time.Sleep(3 * 24 * time.Hour)
		var said bytes.Buffer
		j := janitor.New(janitor.Options{Store: s, KV: s.KV(), Doubt: 15 * time.Minute,
			Log: slog.New(slog.NewTextHandler(&said, nil))})
		done := make(chan error, 1)
		go func() { done <- j.Run(ctx) }()
		left := func() int64 {
			t.Helper()
			synctest.Wait()
			a, err := s.Account(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			return a.Messages
		}
		put(t, s, id, 2)
		time.Sleep(14 * time.Minute)
		if n := left(); n != 3 {
			t.Errorf("%d messages, want the 3 that are long overdue", n)
		}
		time.Sleep(2 * time.Minute)
		if n := left(); n != 0 {
			t.Errorf("%d messages are left", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := strings.Count(said.String(), "clock is wrong"); n != 1 {
			t.Errorf("said %d times: %s", n, said.String())
		}
	})
}
