package combine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/combine"
	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/memkv"
)

// bench is a Combiner over a memory store with faults, in a bubble of synctest.
type bench struct {
	*testing.T
	faults *faultkv.Store
	s      *combine.Combiner
}

var guard = []byte("g")

func bubble(t *testing.T, o combine.Options, fn func(b *bench)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := faultkv.Wrap(memkv.New(), 1)
		b := &bench{T: t, faults: f, s: combine.New(f, o)}
		fn(b)
		synctest.Wait()
		if err := b.s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// group starts ops while one holds the guard, then lets that end, so that all
// ops are in one group, in their order. It returns their errors.
func (b *bench) group(ops ...func() error) []error {
	b.Helper()
	errs := make([]error, len(ops))
	release := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := b.s.Update(context.Background(), [][]byte{guard}, func(kv.Tx) error { <-release; return nil })
		if err != nil {
			b.Error(err)
		}
	})
	synctest.Wait()
	for i, op := range ops {
		wg.Go(func() { errs[i] = op() })
		synctest.Wait()
	}
	before := b.faults.Calls(faultkv.Update)
	close(release)
	wg.Wait()
	b.Logf("%d ops in %d updates", len(ops), b.faults.Calls(faultkv.Update)-before)
	return errs
}

// update is an op that calls fn.
func (b *bench) update(fn func(tx kv.Tx) error, opts ...kv.Option) func() error {
	return b.updateIn(context.Background(), fn, opts...)
}

func (b *bench) updateIn(ctx context.Context, fn func(tx kv.Tx) error, opts ...kv.Option) func() error {
	return func() error { return b.s.Update(ctx, [][]byte{guard}, fn, opts...) }
}

// put is an op that adds its name to the guard's value and puts a row.
func (b *bench) put(name string, opts ...kv.Option) func() error {
	return b.update(putFn(name), opts...)
}

func putFn(name string) func(kv.Tx) error {
	return func(tx kv.Tx) error {
		tx.Put(guard, append(append([]byte(nil), tx.Guard(0).Value...), name...))
		tx.Put([]byte("row/"+name), nil)
		return nil
	}
}

// state is the guard's value and the rows.
func (b *bench) state() string {
	b.Helper()
	items, err := b.s.GetMulti(context.Background(), guard)
	if err != nil {
		b.Fatal(err)
	}
	out := string(items[0].Value)
	for it, err := range b.s.Scan(context.Background(), kv.Prefix([]byte("row/"))) {
		if err != nil {
			b.Fatal(err)
		}
		out += " " + string(it.Key[4:])
	}
	return out
}

func (b *bench) want(errs []error, want ...error) {
	b.Helper()
	for i, w := range want {
		if !errors.Is(errs[i], w) || (errs[i] == nil) != (w == nil) {
			b.Errorf("op %d returned %v, want %v", i, errs[i], w)
		}
	}
}

func (b *bench) wantState(want string) {
	b.Helper()
	if got := b.state(); got != want {
		b.Errorf("the store has %q, want %q", got, want)
	}
}

func TestOpsSeeThoseBeforeThem(t *testing.T) {
	bubble(t, combine.Options{}, func(b *bench) {
		boom := errors.New("boom")
		errs := b.group(
			b.put("a"),
			b.update(func(tx kv.Tx) error { tx.Put([]byte("row/x"), nil); tx.Put(guard, nil); return boom }),
			b.update(func(tx kv.Tx) error { panic("oh no") }),
			b.put("b"),
			b.update(func(tx kv.Tx) error {
				n := 0
				for _, err := range tx.Scan(context.Background(), kv.Prefix([]byte("row/"))) {
					if err != nil {
						return err
					}
					n++
				}
				tx.Delete([]byte("row/a"))
				return putFn(fmt.Sprint(n))(tx)
			}),
			b.update(func(tx kv.Tx) error {
				if got := string(tx.Guard(0).Value); got != "ab2" {
					return fmt.Errorf("the guard is %q", got)
				}
				return nil
			}),
		)
		var p *combine.PanicError
		if !errors.As(errs[2], &p) || p.Value != "oh no" || !strings.Contains(string(p.Stack), "TestOpsSee") {
			t.Errorf("the panic returned %v", errs[2])
		}
		b.want(errs[:2], nil, boom)
		b.want(errs[3:], nil, nil, nil)
		b.wantState("ab2 2 b")
		if n := b.faults.Calls(faultkv.Update); n != 2 {
			t.Errorf("%d updates of the store, want 2", n)
		}
	})
}

func TestGroupsAreBounded(t *testing.T) {
	bubble(t, combine.Options{MaxOps: 4, MaxKeys: 6, MaxBytes: 1000}, func(b *bench) {
		big := func(name string, n int) func() error {
			return b.update(func(tx kv.Tx) error {
				tx.Put([]byte("big/"+name), make([]byte, n))
				return putFn(name)(tx)
			})
		}
		before := b.faults.Calls(faultkv.Update)
		// By number: 4 + 2; by keys, with two of each op and the guard shared: all fit.
		errs := b.group(b.put("a"), b.put("b"), b.put("c"), b.put("d"), b.put("e"), b.put("f"))
		b.want(errs, nil, nil, nil, nil, nil, nil)
		if n := b.faults.Calls(faultkv.Update) - before; n != 3 {
			t.Errorf("%d updates, want 1 + 2", n)
		}
		// By bytes: one over the limit goes alone, two of 600 do not go together.
		before = b.faults.Calls(faultkv.Update)
		errs = b.group(big("g", 600), big("h", 600), big("i", 5000), big("j", 1))
		b.want(errs, nil, nil, nil, nil)
		if n := b.faults.Calls(faultkv.Update) - before; n != 5 {
			t.Errorf("%d updates, want 1 + 4", n)
		}
		b.wantState("abcdefghij a b c d e f g h i j")
	})
}

func TestExpectationsInAGroup(t *testing.T) {
	bubble(t, combine.Options{}, func(b *bench) {
		b.want([]error{b.put("seed")()}, nil)
		items, err := b.s.GetMulti(context.Background(), []byte("row/seed"))
		if err != nil {
			t.Fatal(err)
		}
		old := items[0].Rev
		expect := func(key string, rev kv.Rev, name string) func() error {
			return b.update(func(tx kv.Tx) error {
				tx.Expect([]byte(key), rev)
				return putFn(name)(tx)
			}, kv.Attempts(1))
		}
		errs := b.group(
			expect("row/seed", old, "a"),
			expect("row/a", 0, "b"), // a has been written by then
			expect("row/c", 0, "c"),
			expect("row/none", 1, "d"), // never true
			b.put("seed"),
			expect("row/seed", old, "e"), // no longer true
			b.update(func(tx kv.Tx) error {
				it, err := tx.GetMulti(context.Background(), []byte("row/seed"))
				if err != nil {
					return err
				}
				tx.Expect(it[0].Key, it[0].Rev) // what the group has written is as good
				return putFn("f")(tx)
			}),
		)
		b.want(errs, nil, kv.ErrConflict, nil, kv.ErrConflict, nil, kv.ErrConflict, nil)
		if got := b.state(); !strings.HasSuffix(got, " a c f seed") {
			t.Errorf("the store has %q", got)
		}
	})
}

func TestAnUnknownOutcomeGoesToAll(t *testing.T) {
	bubble(t, combine.Options{}, func(b *bench) {
		b.faults.LoseNth(2)
		boom := errors.New("boom")
		fail := b.update(func(kv.Tx) error { return boom })
		errs := b.group(fail, b.put("a"), b.put("b"), fail)
		// The first failed by itself; the last may have failed because of a or b.
		b.want(errs, boom, kv.ErrUnknown, kv.ErrUnknown, kv.ErrUnknown)
		b.wantState("ab a b") // once: it was not run again
	})
}

func TestACertainFailureIsSplit(t *testing.T) {
	bubble(t, combine.Options{}, func(b *bench) {
		for _, err := range []error{kv.ErrTooLarge, kv.ErrConflict} {
			b.faults.FailNth(faultkv.Update, 2, err)
			b.faults.FailNth(faultkv.Update, 3, err)
			b.want(b.group(b.put("a"), b.put("b"), b.put("c"), b.put("d")), nil, nil, nil, nil)
		}
		b.wantState("abcdabcd a b c d")
	})
}

func TestAnAbsentStoreFailsAll(t *testing.T) {
	bubble(t, combine.Options{}, func(b *bench) {
		b.faults.FailNth(faultkv.Update, 2, kv.ErrUnavailable)
		b.want(b.group(b.put("a"), b.put("b")), kv.ErrUnavailable, kv.ErrUnavailable)
		b.wantState("")
	})
}

func TestAFullDiskLetsReclaimingOpsThrough(t *testing.T) {
	bubble(t, combine.Options{}, func(b *bench) {
		ops := []func() error{b.put("a"), b.put("b", kv.Reclaim()), b.put("c"), b.put("d", kv.Reclaim())}
		full := func() error { b.faults.Full(true); return b.put("z")() }
		errs := b.group(append(ops, full)...)
		b.want(errs, kv.ErrNoSpace, nil, kv.ErrNoSpace, nil, kv.ErrNoSpace)
		b.wantState("bd b d")
	})
}

// spy notes whether updates are lazy.
type spy struct {
	kv.Store
	lazy []bool
}

func (s *spy) Update(ctx context.Context, guards [][]byte, fn func(kv.Tx) error, opts ...kv.Option) error {
	s.lazy = append(s.lazy, kv.Options(opts...).Lazy)
	return s.Store.Update(ctx, guards, fn, opts...)
}

// TestALazyGroup: a group is lazy only if all in it are.
func TestALazyGroup(t *testing.T) {
	bubble(t, combine.Options{}, func(b *bench) {
		under := &spy{Store: b.faults}
		b.s = combine.New(under, combine.Options{})
		b.want(b.group(b.put("a", kv.Lazy()), b.put("b", kv.Lazy())), nil, nil)
		b.want(b.group(b.put("c", kv.Lazy()), b.put("d"), b.put("e", kv.Lazy())), nil, nil, nil)
		b.wantState("abcde a b c d e")
		if fmt.Sprint(under.lazy) != "[false true false false]" { // each group is behind one that holds the guard
			t.Errorf("lazy: %v", under.lazy)
		}
	})
}

func TestAWaitingOpCanLeave(t *testing.T) {
	bubble(t, combine.Options{}, func(b *bench) {
		ctx, cancel := context.WithCancel(context.Background())
		left := make(chan error, 1)
		errs := b.group(
			func() error { left <- b.updateIn(ctx, putFn("a"))(); return nil },
			b.put("b"),
			func() error { cancel(); return <-left },
		)
		b.want(errs, nil, nil, context.Canceled)
		b.wantState("b b")
	})
}

// TestAnOpInAHangingCommit: a commit that hangs holds up a caller no longer than
// its context and a grace, and the others not at all longer.
func TestAnOpInAHangingCommit(t *testing.T) {
	bubble(t, combine.Options{Grace: time.Second}, func(b *bench) {
		b.faults.Add(faultkv.Fault{Ops: faultkv.Update, Nth: 2, When: faultkv.After, Delay: time.Minute})
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		start := time.Now()
		errs := b.group(
			func() error {
				err := b.updateIn(ctx, putFn("a"))()
				if d := time.Since(start); d != 6*time.Second {
					t.Errorf("it took %v", d)
				}
				return err
			},
			b.put("b"),
		)
		b.want(errs, kv.ErrUnknown, nil)
		b.want(errs[:1], context.DeadlineExceeded)
		if d := time.Since(start); d != time.Minute {
			t.Errorf("the other took %v", d)
		}
		b.wantState("ab a b")
	})
}

// TestACommitEndsWhenAllHaveLeft: nobody waits, so the store's call ends too.
func TestACommitEndsWhenAllHaveLeft(t *testing.T) {
	bubble(t, combine.Options{Grace: time.Second}, func(b *bench) {
		b.faults.Add(faultkv.Fault{Ops: faultkv.Update, Nth: 2, Hang: true})
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		start := time.Now()
		errs := b.group(b.updateIn(ctx, putFn("a")), b.updateIn(ctx, putFn("b")))
		b.want(errs, context.DeadlineExceeded, context.DeadlineExceeded)
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("it took %v", d)
		}
		b.want([]error{b.put("c")()}, nil)
		b.wantState("c c")
	})
}

func TestTheQueueIsBounded(t *testing.T) {
	bubble(t, combine.Options{MaxQueue: 2}, func(b *bench) {
		errs := b.group(b.put("a"), b.put("b"), b.put("c"))
		b.want(errs, nil, nil, combine.ErrBusy)
		b.want(errs[2:], kv.ErrUnavailable)
	})
}

func TestInteractiveWorkGoesFirst(t *testing.T) {
	bubble(t, combine.Options{MaxOps: 1}, func(b *bench) {
		b.want(b.group(b.put("a", kv.Background()), b.put("b", kv.Background()), b.put("c")), nil, nil, nil)
		b.wantState("cab a b c")
	})
}

func TestOtherUpdatesPassThrough(t *testing.T) {
	bubble(t, combine.Options{}, func(b *bench) {
		release := make(chan struct{})
		go func() {
			_ = b.s.Update(context.Background(), [][]byte{guard}, func(kv.Tx) error { <-release; return nil })
		}()
		synctest.Wait()
		// Neither waits for the guard that is held, as they do not name it.
		b.want([]error{
			b.s.Update(context.Background(), [][]byte{[]byte("h")}, putFn("h")),
			b.s.Update(context.Background(), nil, func(tx kv.Tx) error { tx.Put([]byte("row/none"), nil); return nil }),
		}, nil, nil)
		close(release)
	})
}

func TestCloseDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := memkv.New()
		f := faultkv.Wrap(mem.Handle(), 1)
		f.Add(faultkv.Fault{Ops: faultkv.Update, Delay: time.Second})
		s := combine.New(f, combine.Options{})
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				if err := s.Update(t.Context(), [][]byte{guard}, putFn(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Update(t.Context(), [][]byte{guard}, putFn("late")); !errors.Is(err, kv.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		wg.Wait()
		items, err := mem.GetMulti(t.Context(), guard)
		if err != nil || len(items[0].Value) != 10 {
			t.Errorf("%q is there, want 10 (%v)", items[0].Value, err)
		}
	})
}
