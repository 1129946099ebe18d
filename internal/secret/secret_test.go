package secret_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/secret"
)

var kinds = []secret.Kind{secret.MSGID, secret.Cookie, secret.Token, secret.Password, secret.Blob, secret.Frame,
	secret.CatchAll}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock to be turned by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func open(t *testing.T, st kv.Store, c *clock) *secret.Rings {
	t.Helper()
	r, err := secret.Open(t.Context(), secret.Options{KV: st, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newClock() *clock { return &clock{t: time.Unix(1_800_000_000, 0)} }

func TestOpen_SameKeysEverywhere(t *testing.T) {
	t.Parallel()
	st := memkv.New()
	c := newClock()
	rings := make([]*secret.Rings, 8)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			r, err := secret.Open(t.Context(), secret.Options{KV: st, Now: c.now})
			if err != nil {
				t.Error(err)
				return
			}
			rings[i] = r
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	seen := map[string]bool{}
	for _, k := range kinds {
		first := rings[0].Current(k)
		if first.ID != 1 {
			t.Errorf("%s: current is key %d", k, first.ID)
		}
		sum := string(first.MAC([]byte("x")))
		if seen[sum] {
			t.Errorf("%s: shares a key with another kind", k)
		}
		seen[sum] = true
		for i, r := range rings {
			if string(r.Current(k).MAC([]byte("x"))) != sum {
				t.Errorf("%s: node %d has another key", k, i)
			}
		}
	}
	if _, ok := rings[0].For(secret.MSGID, 2); ok {
		t.Error("key 2 exists")
	}
	if _, ok := rings[0].For(secret.Kind(200), 1); ok {
		t.Error("kind 200 exists")
	}
}

func TestRotate(t *testing.T) {
	t.Parallel()
	st := memkv.New()
	c := newClock()
	a, b := open(t, st, c), open(t, st, c)
	old := a.Current(secret.Cookie)
	if err := a.Rotate(t.Context(), secret.Cookie, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := b.Rotate(t.Context(), secret.Cookie, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.For(secret.Cookie, 3); ok {
		t.Error("two nodes rotated twice")
	}
	if a.Current(secret.Cookie).ID != old.ID {
		t.Error("the new key signs before all nodes can know it")
	}
	if _, ok := b.For(secret.Cookie, 2); !ok {
		t.Error("the new key is not published")
	}
	c.add(secret.PublishLead)
	if got := a.Current(secret.Cookie).ID; got != 2 {
		t.Errorf("current is %d, want 2", got)
	}
	c.add(time.Hour - time.Second)
	if _, ok := a.For(secret.Cookie, 1); !ok {
		t.Error("the old key stopped verifying early")
	}
	c.add(time.Second)
	if _, ok := a.For(secret.Cookie, 1); ok {
		t.Error("the old key verifies for too long")
	}
	if got := open(t, st, c).Current(secret.Cookie).ID; got != 2 {
		t.Errorf("a later start has %d, want 2", got)
	}
	// With keep 0 the old keys verify for ever.
	if err := a.Rotate(t.Context(), secret.Password, 0); err != nil {
		t.Fatal(err)
	}
	c.add(50 * 365 * 24 * time.Hour)
	if _, ok := a.For(secret.Password, 1); !ok {
		t.Error("a password key must verify for ever")
	}
}

func TestRun_ReadsNewKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := memkv.New()
		a, err := secret.Open(t.Context(), secret.Options{KV: st})
		if err != nil {
			t.Fatal(err)
		}
		b, err := secret.Open(t.Context(), secret.Options{KV: st})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		if err := a.Rotate(t.Context(), secret.MSGID, 0); err != nil {
			t.Fatal(err)
		}
		if _, ok := b.For(secret.MSGID, 2); ok {
			t.Error("b cannot know yet")
		}
		time.Sleep(secret.RefreshEvery + time.Second)
		synctest.Wait()
		if _, ok := b.For(secret.MSGID, 2); !ok {
			t.Error("b did not read the new key")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestKey_Hidden(t *testing.T) {
	t.Parallel()
	st := memkv.New()
	r := open(t, st, newClock())
	k := r.Current(secret.MSGID)
	var raw []byte
	items, err := st.GetMulti(t.Context(), secret.RowKey(secret.MSGID, k.ID))
	if err != nil || items[0].Rev == 0 {
		t.Fatal(err)
	}
	if _, _, n := protowire.ConsumeTag(items[0].Value[1:]); n > 0 {
		raw, _ = protowire.ConsumeBytes(items[0].Value[1+n:])
	}
	if len(raw) != secret.Size {
		t.Fatal("no secret in the row")
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k, "ptr", &k)
	js, err := json.Marshal(map[string]any{"k": k})
	if err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprintf("%v %+v %#v %x %X %s %q %d", k, k, k, k, k, k, k, k) + fmt.Sprint(&k) + log.String() + string(js)
	for _, leak := range []string{string(raw), fmt.Sprintf("%x", raw), fmt.Sprintf("%X", raw), fmt.Sprint(raw),
		strings.Trim(fmt.Sprint(raw[:8]), "[]"), fmt.Sprintf("%#v", raw)} {
		if strings.Contains(out, leak) {
			t.Errorf("the key shows as %q", leak[:8])
		}
	}
	if !strings.Contains(out, "[msgid key 1]") {
		t.Error(out)
	}
}

func TestOpen_Corrupt(t *testing.T) {
	t.Parallel()
	for name, value := range map[string][]byte{"empty": {}, "version": {9, 10, 1, 1}, "short": {1, 10, 2, 1, 1}, "junk": {1, 0xff}} {
		st := memkv.New()
		key := secret.RowKey(secret.Cookie, 1)
		err := st.Update(t.Context(), [][]byte{key}, func(tx kv.Tx) error { tx.Put(key, value); return nil })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := secret.Open(t.Context(), secret.Options{KV: st}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// The rows lie where the store's key table says they do.
func TestRowKey(t *testing.T) {
	t.Parallel()
	if got, want := secret.RowKey(secret.Blob, 7), []byte{0x4b, byte(secret.Blob), 0, 0, 0, 7}; !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// Fields of a later program survive a rotation.
func TestRotate_UnknownFieldsSurvive(t *testing.T) {
	t.Parallel()
	st := memkv.New()
	r := open(t, st, newClock())
	key := secret.RowKey(secret.Token, 1)
	extra := protowire.AppendString(protowire.AppendTag(nil, 77, protowire.BytesType), "later")
	err := st.Update(t.Context(), [][]byte{key}, func(tx kv.Tx) error {
		tx.Put(key, append(bytes.Clone(tx.Guard(0).Value), extra...))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Rotate(t.Context(), secret.Token, time.Hour); err != nil {
		t.Fatal(err)
	}
	items, err := st.GetMulti(t.Context(), key)
	if err != nil || !bytes.HasSuffix(items[0].Value, extra) {
		t.Errorf("unknown field lost (%v)", err)
	}
}

func TestKey_MAC(t *testing.T) {
	t.Parallel()
	k := open(t, memkv.New(), newClock()).Current(secret.Frame)
	if bytes.Equal(k.MAC([]byte("ab"), []byte("c")), k.MAC([]byte("a"), []byte("bc"))) {
		t.Error("parts are not kept apart")
	}
	if k.Derive("a") == k.Derive("b") || k.Derive("a") != k.Derive("a") {
		t.Error("derived keys")
	}
}

// TestRotate_MaxKeys: a ring has so many keys that were not removed; one more is
// refused, and what is there goes on.
func TestRotate_MaxKeys(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := open(t, memkv.New(), c)
	made, err := 1, error(nil)
	for ; err == nil && made <= secret.MaxKeys; made++ {
		c.add(2 * secret.PublishLead)
		err = r.Rotate(t.Context(), secret.Password, 0)
	}
	if err == nil || made < secret.MaxKeys {
		t.Errorf("%d keys: %v", made, err)
	}
	if _, ok := r.For(secret.Password, 1); !ok || r.Current(secret.Password).ID == 0 {
		t.Error("the keys are gone")
	}
}
