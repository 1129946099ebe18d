package faultkv_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/kvtest"
	"github.com/eidermail/eider/internal/kv/memkv"
)

func TestWithoutFaultsItIsAStore(t *testing.T) {
	t.Parallel()
	kvtest.Run(t, func(testing.TB) kv.Store { return faultkv.Wrap(memkv.New(), 1) })
}

func put(ctx context.Context, s kv.Store, key string, opts ...kv.Option) error {
	return s.Update(ctx, [][]byte{[]byte(key)}, func(tx kv.Tx) error {
		tx.Put([]byte(key), nil)
		return nil
	}, opts...)
}

func has(t *testing.T, s kv.Store, key string) bool {
	t.Helper()
	items, err := s.GetMulti(context.Background(), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return items[0].Rev != 0
}

func TestFaultsStrikeWhereTheyAreSet(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	mem := memkv.New()
	s := faultkv.Wrap(mem, 1)
	boom := errors.New("boom")

	second := s.FailNth(faultkv.Update, 2, boom)
	if err := put(ctx, s, "a"); err != nil {
		t.Error(err)
	}
	if err := put(ctx, s, "b"); err != boom || has(t, mem, "b") {
		t.Errorf("second update: %v", err)
	}
	if err := put(ctx, s, "c"); err != nil || second() != 1 {
		t.Errorf("third update: %v, struck %d", err, second())
	}

	lost := s.LoseNth(1)
	if err := put(ctx, s, "d"); !errors.Is(err, kv.ErrUnknown) || !has(t, mem, "d") || lost() != 1 {
		t.Errorf("lost reply: %v", err)
	}

	s.Away(true)
	if err := put(ctx, s, "e"); !errors.Is(err, kv.ErrUnavailable) || has(t, mem, "e") {
		t.Errorf("away: %v", err)
	}
	if _, err := s.Ping(ctx); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("away: Ping %v", err)
	}
	s.Clear()

	s.Full(true)
	if err := put(ctx, s, "f"); !errors.Is(err, kv.ErrNoSpace) {
		t.Errorf("full: %v", err)
	}
	if err := put(ctx, s, "f", kv.Reclaim()); err != nil {
		t.Errorf("full, reclaiming: %v", err)
	}
	if h, err := s.Ping(ctx); err != nil || h.FreeBytes >= h.ReserveBytes {
		t.Errorf("full: %+v %v", h, err)
	}
	s.Clear()

	s.Add(faultkv.Fault{Ops: faultkv.Scan, When: faultkv.After, Err: boom})
	n, last := 0, error(nil)
	for _, err := range s.Scan(ctx, kv.Range{}) {
		if last = err; err == nil {
			n++
		}
	}
	if n != 4 || last != boom {
		t.Errorf("a scan that breaks off: %d items, %v", n, last)
	}
	if got := s.Calls(faultkv.Update); got != 7 {
		t.Errorf("%d updates counted, want 7", got)
	}
}

func TestChanceIsTheSameForTheSameSeed(t *testing.T) {
	t.Parallel()
	strikes := func(seed uint64) (out string) {
		s := faultkv.Wrap(memkv.New(), seed)
		s.Add(faultkv.Fault{Ops: faultkv.Update, Rate: 0.5, Err: kv.ErrUnavailable})
		for range 64 {
			if put(context.Background(), s, "k") == nil {
				out += "."
			} else {
				out += "x"
			}
		}
		return out
	}
	if a, b := strikes(1), strikes(1); a != b {
		t.Errorf("two runs differ:\n%s\n%s", a, b)
	}
	if strikes(1) == strikes(2) {
		t.Error("two seeds do not differ")
	}
}

func TestDelayAndHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := faultkv.Wrap(memkv.New(), 1)
		_, remove := s.Add(faultkv.Fault{Ops: faultkv.Writes, Delay: time.Minute})
		start := time.Now()
		if err := put(t.Context(), s, "a"); err != nil || time.Since(start) != time.Minute {
			t.Errorf("delayed: %v after %v", err, time.Since(start))
		}
		remove()
		s.Add(faultkv.Fault{Ops: faultkv.Update, When: faultkv.After, Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := put(ctx, s, "b"); !errors.Is(err, context.DeadlineExceeded) || !has(t, s, "b") {
			t.Errorf("hanging reply: %v", err)
		}
	})
}
