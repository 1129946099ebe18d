package policy_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/policy"
)

func refused(t *testing.T, err error, kind mailstore.Kind, text string) *policy.Refusal {
	t.Helper()
	var r *policy.Refusal
	if !errors.As(err, &r) || mailstore.KindOf(err) != kind || !strings.Contains(r.Reason, text) {
		t.Fatalf("got %v, want a refusal of kind %v with %q", err, kind, text)
	}
	return r
}

func strange(s policy.Strangers) *policy.Policy {
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time { return now }
	return policy.New(policy.Options{Public: true, Strangers: s, Limiter: membus.NewLimits(clock), Now: clock})
}

func ask(addr string) policy.Ask { return policy.Ask{Peer: netip.MustParseAddr(addr)} }

func TestCreate_Rates(t *testing.T) {
	t.Parallel()
	p := strange(policy.Strangers{CreateAddress: bus.Rate{Limit: 2, Per: time.Minute},
		CreateNetwork: bus.Rate{Limit: 5, Per: time.Minute}, CreateAll: bus.Rate{Limit: 8, Per: time.Minute}})
	take := func(addr string, want string) {
		t.Helper()
		err := p.Create(t.Context(), ask(addr))
		if want == "" {
			if err != nil {
				t.Fatal(addr, err)
			}
			return
		}
		if r := refused(t, err, mailstore.Limit, want); r.Retry <= 0 || !strings.Contains(r.Reason, "try again in") {
			t.Errorf("%+v", r)
		}
	}
	take("192.0.2.1", "")
	take("::ffff:192.0.2.1", "") // the same
	take("192.0.2.1", "from 192.0.2.1")
	take("192.0.2.2", "")
	take("192.0.2.2", "")
	take("192.0.2.3", "")
	take("192.0.2.4", "from 192.0.2.0/24")
	take("2001:db8::1", "")
	take("2001:db8::ffff:1", "")
	take("2001:db8::2", "from 2001:db8::/64")
	take("2001:db8:0:1::2", "")
	take("198.51.100.1", "on this server")
	if err := p.Create(t.Context(), policy.Ask{Operator: true}); err != nil {
		t.Errorf("the operator: %v", err)
	}
}

// What the rates refuse takes no room from the others. The clock stands still, so
// that the count of the store is never asked again.
func TestCreate_RefusedIsNotMade(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time { return now }
	b := membus.New()
	t.Cleanup(func() { b.Close() })
	st, err := mailstore.Open(t.Context(), mailstore.Options{KV: memkv.New(), Bus: b})
	if err != nil {
		t.Fatal(err)
	}
	p := policy.New(policy.Options{Public: true, Store: st, Now: clock, Limiter: membus.NewLimits(clock),
		Strangers: policy.Strangers{Accounts: 3, CreateAddress: bus.Rate{Limit: 1, Per: time.Minute}}})
	for _, addr := range []string{"192.0.2.1", "192.0.2.2"} {
		if err := p.Create(t.Context(), ask(addr)); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			refused(t, p.Create(t.Context(), ask(addr)), mailstore.Limit, "from "+addr)
		}
	}
	if err := p.Create(t.Context(), ask("192.0.2.3")); err != nil {
		t.Error("the third of three: ", err)
	}
	refused(t, p.Create(t.Context(), ask("192.0.2.4")), mailstore.Limit, "all the 3 accounts")
}

func TestCreate_Mode(t *testing.T) {
	t.Parallel()
	mode := "open"
	p := policy.New(policy.Options{Creation: policy.Creation{Mode: func() string { return mode },
		TokenOK: func(s string) bool { return s == "right" }}})
	if err := p.Create(t.Context(), ask("192.0.2.1")); err != nil {
		t.Error(err)
	}
	mode = "token"
	if r := refused(t, p.Create(t.Context(), ask("192.0.2.1")), mailstore.Permission, "ETHEREAL_API_KEY"); r.Retry != 0 {
		t.Error("asking again is no use")
	}
	a := ask("192.0.2.1")
	if a.Token = "right"; p.Create(t.Context(), a) != nil {
		t.Error("the token does not help")
	}
	mode = "off"
	refused(t, p.Create(t.Context(), a), mailstore.Permission, "operator")
}

func TestSpace_StoreBytes(t *testing.T) {
	t.Parallel()
	used, spare := int64(999), int64(0)
	p := policy.New(policy.Options{Strangers: policy.Strangers{StoreBytes: 1000},
		Now: func() time.Time { return time.Unix(used, 0) },
		Health: func(context.Context) (kv.Health, error) {
			return kv.Health{FreeBytes: -1, UsedBytes: used, SpareBytes: spare}, nil
		}})
	if err := p.Space(t.Context()); err != nil {
		t.Error(err)
	}
	used = 1000
	if err := p.Space(t.Context()); mailstore.KindOf(err) != mailstore.NoSpace {
		t.Errorf("full: %v", err)
	}
	refused(t, p.Create(t.Context(), ask("192.0.2.1")), mailstore.NoSpace, "no room")
	if used, spare = 2000, 1001; p.Space(t.Context()) != nil {
		t.Error("space that is taken and not used counts")
	}
}

// Who asks for too many unknown names learns nothing more, neither yes nor no.
func TestProbe(t *testing.T) {
	t.Parallel()
	p := strange(policy.Strangers{Unknown: bus.Rate{Limit: 3, Per: time.Hour}})
	far, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for range 100 { // found ones do not count
		found, err := p.Probe(t.Context(), far)
		if err != nil {
			t.Fatal(err)
		}
		found()
	}
	for range 3 {
		if _, err := p.Probe(t.Context(), far); err != nil {
			t.Fatal(err)
		}
	}
	_, err := p.Probe(t.Context(), far)
	refused(t, err, mailstore.Limit, "unknown recipients")
	if _, err := p.Probe(t.Context(), other); err != nil {
		t.Error(err)
	}
}

func TestAccountRates(t *testing.T) {
	t.Parallel()
	r := bus.Rate{Limit: 2, Per: time.Hour}
	p := strange(policy.Strangers{Send: r, Inbound: r, LinkBytes: 1000})
	for range 2 {
		if p.Send(t.Context(), 7) != nil || p.Inbound(t.Context(), 7) != nil {
			t.Fatal("refused too early")
		}
	}
	refused(t, p.Send(t.Context(), 7), mailstore.Limit, "sent with this account")
	refused(t, p.Inbound(t.Context(), 7), mailstore.Limit, "came for this account")
	if p.Send(t.Context(), 8) != nil || p.Send(t.Context(), 0) != nil || p.Send(t.Context(), 0) != nil {
		t.Error("another account, or none")
	}
	if err := p.Linked(t.Context(), 7, 900); err != nil {
		t.Error(err)
	}
	refused(t, p.Linked(t.Context(), 7, 200), mailstore.Limit, "links of this account")
}

// What did not come is given back, for each account once, and never more than
// was counted.
func TestNotInbound(t *testing.T) {
	t.Parallel()
	p := strange(policy.Strangers{Inbound: bus.Rate{Limit: 2, Per: time.Hour}})
	for range 10 {
		for _, id := range []mailstore.AcctID{7, 8} {
			if err := p.Inbound(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		p.NotInbound(t.Context(), 7, 8)
		p.NotInbound(t.Context(), 7)
	}
	for range 2 {
		if err := p.Inbound(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, p.Inbound(t.Context(), 7), mailstore.Limit, "came for this account")
}

// A store that does not answer makes nobody wait for others: each call ends with its own context.
func TestSilentStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New()
		defer b.Close()
		silent := faultkv.Wrap(memkv.New(), 1)
		st, err := mailstore.Open(t.Context(), mailstore.Options{KV: silent, Bus: b})
		if err != nil {
			t.Fatal(err)
		}
		p := policy.New(policy.Options{Public: true, Store: st, Health: silent.Ping, Strangers: policy.Strangers{Accounts: 3}})
		silent.Add(faultkv.Fault{Ops: faultkv.All, Hang: true})
		const budget = 5 * time.Second
		var calls sync.WaitGroup
		for range 10 {
			for what, call := range map[string]func(context.Context) error{
				"Create": func(ctx context.Context) error { return p.Create(ctx, ask("192.0.2.1")) },
				"Space":  p.Space,
			} {
				calls.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), budget)
					defer cancel()
					began := time.Now()
					err := call(ctx)
					if d := time.Since(began); d > budget || (err == nil) != (what == "Space") {
						t.Errorf("%s: %v after %v", what, err, d)
					}
				})
			}
		}
		calls.Wait()
	})
}
