package lease_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/lease"
)

const ttl = 30 * time.Second

var key = []byte("W1")

func TestOneHolderAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memkv.New()
		holders, most, runs := 0, 0, 0
		for range 4 {
			go func() {
				err := lease.Run(t.Context(), store, key, ttl, func(ctx context.Context, l *lease.Lease) error {
					holders++
					runs++
					most = max(most, holders)
					time.Sleep(5 * ttl) // renewed meanwhile
					holders--
					return ctx.Err()
				})
				if err != nil {
					t.Error(err)
				}
			}()
		}
		time.Sleep(25 * ttl)
		synctest.Wait()
		if most != 1 || runs != 4 {
			t.Errorf("%d runs, at most %d at once", runs, most)
		}
	})
}

func TestADeadHolderIsFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memkv.New()
		first := faultkv.Wrap(store.Handle(), 1)
		ended := make(chan error, 1)
		go func() {
			_ = lease.Run(t.Context(), first, key, ttl, func(ctx context.Context, l *lease.Lease) error {
				if err := l.Save(ctx, []byte("mark")); err != nil {
					t.Error(err)
				}
				first.Away(true) // cut off: its renewals do not arrive
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return nil
			})
		}()
		synctest.Wait()
		began := time.Now()
		err := lease.Run(t.Context(), store, key, ttl, func(ctx context.Context, l *lease.Lease) error {
			if string(l.State()) != "mark" {
				t.Errorf("the state is %q", l.State())
			}
			if err := l.Renew(ctx); err != nil {
				t.Error(err)
			}
			return errors.New("mine")
		})
		if err == nil || err.Error() != "mine" {
			t.Errorf("Run returned %v", err)
		}
		if waited := time.Since(began); waited < ttl/2 || waited > 2*ttl {
			t.Errorf("the lease was taken after %v", waited)
		}
		if cause := <-ended; cause != lease.ErrLost {
			t.Errorf("the first holder ended with %v", cause)
		}
	})
}

func TestALostLeaseIsNotWritten(t *testing.T) {
	t.Parallel()
	store := memkv.New()
	err := lease.Run(t.Context(), store, key, time.Hour, func(ctx context.Context, l *lease.Lease) error {
		err := store.Update(ctx, [][]byte{key}, func(tx kv.Tx) error { tx.Delete(key); return nil })
		if err != nil {
			return err
		}
		return l.Save(ctx, []byte("too late"))
	})
	if !errors.Is(err, lease.ErrLost) {
		t.Errorf("Save returned %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := faultkv.Wrap(memkv.New(), 1)
		store.Away(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := lease.Run(ctx, store, key, ttl, func(context.Context, *lease.Lease) error { return nil })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run returned %v", err)
		}
		store.Away(false)
		_ = store.Close()
		err = lease.Run(t.Context(), store, key, ttl, func(context.Context, *lease.Lease) error { return nil })
		if !errors.Is(err, kv.ErrClosed) {
			t.Errorf("on a closed store Run returned %v", err)
		}
	})
}

func TestUnknownFieldsSurvive(t *testing.T) {
	t.Parallel()
	store := memkv.New()
	foreign := protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), []byte("from a newer version"))
	err := store.Update(t.Context(), [][]byte{key}, func(tx kv.Tx) error {
		tx.Put(key, append([]byte{1}, foreign...))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = lease.Run(t.Context(), store, key, ttl, func(ctx context.Context, l *lease.Lease) error {
		return l.Save(ctx, []byte("state"))
	})
	if err != nil {
		t.Fatal(err)
	}
	items, err := store.GetMulti(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if v := items[0].Value; string(v[len(v)-len(foreign):]) != string(foreign) {
		t.Errorf("the row is now %q", v)
	}
}
