package account

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// job is one call of the slow hash, with its costs.
type job struct {
	salt         int
	time, memory uint32
	threads      uint8
}

// A refusal costs the same work for every kind of account: one keyed hash and
// one argon2id of the same costs.
func TestRefusal_SameWork(t *testing.T) {
	t.Parallel()
	var macs int
	p := Pepper{Current: 1, MAC: func(uint32, []byte) []byte { macs++; return make([]byte, 32) }}
	h := NewHasher()
	gen, err := h.Generated("a-generated-password", Pepper{Current: 1, MAC: func(uint32, []byte) []byte {
		return []byte("another hash than the zero bytes")
	}})
	if err != nil {
		t.Fatal(err)
	}
	cho, err := h.Chosen(t.Context(), "a chosen password")
	if err != nil {
		t.Fatal(err)
	}
	g, _ := gen.Decode()
	c, _ := cho.Decode()
	var jobs []job
	h.idKey = func(_, salt []byte, time, memory uint32, threads uint8, n uint32) []byte {
		jobs = append(jobs, job{len(salt), time, memory, threads})
		return make([]byte, n)
	}
	for name, r := range map[string]*Record{"generated": &g, "chosen": &c, "none": nil} {
		macs, jobs = 0, nil
		if h.Fast(r, "wrong", p) {
			t.Errorf("%s: fast said yes", name)
		}
		if ok, err := h.Slow(t.Context(), r, "wrong"); ok || err != nil {
			t.Errorf("%s: slow said %v, %v", name, ok, err)
		}
		if want := (job{saltLen, argonTime, argonMemory, argonThreads}); macs != 1 || len(jobs) != 1 || jobs[0] != want {
			t.Errorf("%s: %d keyed hashes and %+v", name, macs, jobs)
		}
	}
	if argonMemory > 19<<10 {
		t.Error("over 19 MiB")
	}
}

func TestArgon_BoundedQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher()
		gate := make(chan struct{})
		var mu sync.Mutex
		running, most := 0, 0
		h.idKey = func(_, _ []byte, _, _ uint32, _ uint8, n uint32) []byte {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			<-gate
			mu.Lock()
			running--
			mu.Unlock()
			return make([]byte, n)
		}
		results := make(chan error, MaxHashing+MaxHashQueue)
		for range MaxHashing + MaxHashQueue {
			go func() {
				_, err := h.Slow(context.Background(), nil, "x")
				results <- err
			}()
		}
		synctest.Wait()
		if _, err := h.Slow(t.Context(), nil, "x"); !errors.Is(err, ErrBusy) {
			t.Errorf("full queue: %v, want ErrBusy", err)
		}
		time.Sleep(MaxHashWait + time.Second) // of the bubble's clock: those who wait give up
		synctest.Wait()
		for range MaxHashQueue {
			if err := <-results; !errors.Is(err, ErrBusy) {
				t.Errorf("waited too long: %v, want ErrBusy", err)
			}
		}
		close(gate)
		for range MaxHashing {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if most != MaxHashing {
			t.Errorf("%d at once, want %d", most, MaxHashing)
		}
		if _, err := h.Slow(t.Context(), nil, "x"); err != nil {
			t.Errorf("queue did not empty: %v", err)
		}
	})
}
