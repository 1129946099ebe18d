package operator_test

import (
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/operator"
	"github.com/eidermail/eider/internal/secret"
)

// two are two servers on one store, with or without a bus between them.
func two(t *testing.T, connected bool, now func() time.Time) (a, b *operator.Operator, changed *atomic.Int32) {
	t.Helper()
	store := memkv.New()
	rings, err := secret.Open(t.Context(), secret.Options{KV: store})
	if err != nil {
		t.Fatal(err)
	}
	hints := membus.New()
	t.Cleanup(func() { hints.Close() })
	changed = new(atomic.Int32)
	o := operator.Options{KV: store, Rings: rings, Now: now, Changed: func() { changed.Add(1) }}
	if connected {
		o.Bus = hints
	}
	for _, p := range []**operator.Operator{&a, &b} {
		if *p, err = operator.New(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	go b.Run(t.Context())
	return a, b, changed
}

func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, within)
		}
	}
}

// A decision reaches the other server at once by a hint, and soon without one.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		connected bool
		within    time.Duration
	}{"hint": {true, time.Second}, "poll": {false, 5 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b, changed := two(t, c.connected, nil)
			if a.Create() != operator.Open {
				t.Error(a.Create())
			}
			if err := a.SetCreate(t.Context(), operator.Off); err != nil {
				t.Fatal(err)
			}
			if a.Create() != operator.Off {
				t.Error("not here at once")
			}
			eventually(t, c.within, "create", func() bool { return b.Create() == operator.Off })
			n := netip.MustParsePrefix("192.0.2.77/24")
			if err := a.Block(t.Context(), n, "spam", 0); err != nil {
				t.Fatal(err)
			}
			eventually(t, c.within, "block", func() bool { return b.Blocked(netip.MustParseAddr("::ffff:192.0.2.1")) })
			if b.Blocked(netip.MustParseAddr("192.0.3.1")) || changed.Load() < 4 {
				t.Errorf("changed %d", changed.Load())
			}
			if err := b.Unblock(t.Context(), netip.MustParsePrefix("192.0.2.0/24")); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	a, b, _ := two(t, true, nil)
	first := a.CreateToken()
	if len(first) < 30 || first != b.CreateToken() || !b.TokenOK(first) || a.TokenOK("") || a.TokenOK(a.Key()) {
		t.Errorf("%q %q", first, b.CreateToken())
	}
	second, err := a.NewCreateToken(t.Context())
	if err != nil || second == first || a.TokenOK(first) || !a.TokenOK(second) {
		t.Errorf("%q %v", second, err)
	}
	eventually(t, time.Second, "token", func() bool { return b.TokenOK(second) && !b.TokenOK(first) })
	if !b.KeyOK(a.Key()) || b.KeyOK(second) || b.KeyOK("") {
		t.Error("operator's key")
	}
}

func TestBlock_EndsAndIsBounded(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	now.Store(1_800_000_000)
	a, _, _ := two(t, true, func() time.Time { return time.Unix(now.Load(), 0) })
	far := netip.MustParseAddr("2001:db8::7")
	long := strings.Repeat("r", operator.MaxReason+100)
	if err := a.Block(t.Context(), netip.MustParsePrefix("2001:db8::/32"), long, time.Hour); err != nil {
		t.Fatal(err)
	}
	if b := a.Blocks(); len(b) != 1 || len(b[0].Reason) != operator.MaxReason {
		t.Errorf("MaxReason: %+v", b)
	}
	if !a.Blocked(far) || len(a.Blocks()) != 1 {
		t.Error("not blocked")
	}
	now.Add(3600)
	if a.Blocked(far) || len(a.Blocks()) != 0 {
		t.Error("blocked for longer than was said")
	}
	for i := range operator.MaxBlocks {
		n := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
		if err := a.Block(t.Context(), n, "", 0); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := a.Block(t.Context(), netip.MustParsePrefix("198.51.100.0/24"), "", 0); !errors.Is(err, operator.ErrBlocks) {
		t.Errorf("one more: %v", err)
	}
	if err := a.Unblock(t.Context(), netip.MustParsePrefix("203.0.113.0/24")); !errors.Is(err, operator.ErrNoBlock) {
		t.Errorf("unblock: %v", err)
	}
	if err := a.SetCreate(t.Context(), "sometimes"); !errors.Is(err, operator.ErrCreate) {
		t.Errorf("create: %v", err)
	}
}
