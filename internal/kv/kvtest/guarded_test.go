package kvtest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/kvtest"
	"github.com/eidermail/eider/internal/kv/memkv"
)

// firstByte: the domain of a key is its first byte.
func firstByte(key []byte) []byte { return key[:1] }

func TestGuardedIsAStore(t *testing.T) {
	t.Parallel()
	kvtest.Run(t, func(testing.TB) kv.Store {
		return kvtest.Guarded(memkv.New(), func([]byte) []byte { return nil })
	})
}

func TestRerunIsAStore(t *testing.T) {
	t.Parallel()
	s := kvtest.Rerun(memkv.New())
	n := 0
	err := s.Update(context.Background(), [][]byte{[]byte("g")}, func(tx kv.Tx) error {
		n++
		if tx.Guard(0).Rev != 0 {
			t.Error("the first run left something behind")
		}
		tx.Put([]byte("g"), nil)
		return nil
	})
	if err != nil || n != 2 {
		t.Errorf("%d runs, %v", n, err)
	}
}

func TestGuardedFindsMisuse(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	var late kv.Tx
	for name, c := range map[string]struct {
		fn  func(tx kv.Tx) error
		bad bool
	}{
		"own domain":   {func(tx kv.Tx) error { tx.Put([]byte("a1"), nil); return nil }, false},
		"other domain": {func(tx kv.Tx) error { tx.Put([]byte("b1"), nil); return nil }, true},
		"other delete": {func(tx kv.Tx) error { tx.Delete([]byte("b1")); return nil }, true},
		"expect":       {func(tx kv.Tx) error { tx.Expect([]byte("b1"), 0); return nil }, false},
		"changed value": {func(tx kv.Tx) error {
			v := []byte("value")
			tx.Put([]byte("a1"), v)
			v[0] = 'V'
			return nil
		}, true},
		"changed key": {func(tx kv.Tx) error {
			k := []byte("a1")
			tx.Put(k, nil)
			k[1] = '2'
			return nil
		}, true},
	} {
		s := kvtest.Guarded(memkv.New(), firstByte)
		err := s.Update(ctx, [][]byte{[]byte("a")}, c.fn)
		if errors.Is(err, kvtest.ErrMisuse) != c.bad || (len(s.Faults()) > 0) != c.bad {
			t.Errorf("%s: %v", name, err)
		}
		items, err := s.GetMulti(ctx, []byte("b1"))
		if err != nil || items[0].Rev != 0 {
			t.Errorf("%s: wrote outside its domain (%v)", name, err)
		}
	}
	s := kvtest.Guarded(memkv.New(), firstByte)
	_ = s.Update(ctx, [][]byte{[]byte("a")}, func(tx kv.Tx) error { late = tx; return errors.New("no") })
	late.Put([]byte("a"), nil)
	if len(s.Faults()) != 1 {
		t.Errorf("a Tx used too late: %v", s.Faults())
	}
}
