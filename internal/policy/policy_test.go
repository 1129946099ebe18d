package policy_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/policy"
)

func prefixes(s ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestTrusted(t *testing.T) {
	t.Parallel()
	nets := prefixes("127.0.0.0/8", "::1/128", "::ffff:10.0.0.0/104", "fe80::/10")
	dev := policy.New(policy.Options{Trusted: nets})
	pub := policy.New(policy.Options{Trusted: nets, Public: true})
	for _, c := range []struct {
		addr string
		want bool
	}{
		{"127.0.0.1", true}, {"127.9.9.9", true}, {"::1", true}, {"::ffff:127.0.0.1", true}, {"10.1.2.3", true},
		{"fe80::1%eth0", true}, {"192.0.2.1", false}, {"2001:db8::1", false}, {"::", false}, {"0.0.0.0", false},
	} {
		a := netip.MustParseAddr(c.addr)
		if got := dev.Trusted(a, false); got != c.want {
			t.Errorf("Trusted(%s) = %v", c.addr, got)
		}
		if dev.Trusted(a, true) || pub.Trusted(a, false) || pub.Trusted(a, true) {
			t.Errorf("%s is trusted by proxy or in public mode", c.addr)
		}
		if dev.AuthInClear(a, false) != c.want {
			t.Errorf("AuthInClear(%s)", c.addr)
		}
	}
	if dev.Trusted(netip.Addr{}, false) {
		t.Error("no address at all is trusted")
	}
	if policy.New(policy.Options{}).Trusted(netip.MustParseAddr("127.0.0.1"), false) {
		t.Error("with no trusted nets nobody is trusted")
	}
}

func TestNeedAuth(t *testing.T) {
	t.Parallel()
	lo, far := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")
	dev := policy.New(policy.Options{Trusted: prefixes("127.0.0.0/8")})
	pub := policy.New(policy.Options{Trusted: prefixes("127.0.0.0/8"), Public: true})
	for _, c := range []struct {
		p    *policy.Policy
		f    policy.From
		want bool
	}{
		{dev, policy.From{Peer: lo}, false},
		{dev, policy.From{Peer: far}, true},
		{dev, policy.From{Peer: lo, ViaProxy: true}, true},
		{dev, policy.From{Peer: far, Acct: 7}, false},
		{dev, policy.From{Peer: far, Door: policy.MX}, false},
		{pub, policy.From{Peer: lo}, true},
		{pub, policy.From{Peer: lo, Acct: 7}, false},
		{pub, policy.From{Peer: far, Door: policy.LMTP}, false},
	} {
		if got := c.p.NeedAuth(c.f); got != c.want {
			t.Errorf("NeedAuth(%+v) = %v", c.f, got)
		}
	}
	if !dev.MakeRoom() || pub.MakeRoom() {
		t.Error("dev drops the oldest mail, public refuses")
	}
}

func TestRoute(t *testing.T) {
	t.Parallel()
	type ids = []mailstore.AcctID
	p := policy.New(policy.Options{CatchAll: 9})
	for _, c := range []struct{ in, want ids }{
		{ids{1}, ids{1}}, {ids{1, 1, 1}, ids{1}}, {ids{2, 1, 2}, ids{2, 1}},
		{ids{2, 9, 1, 9}, ids{9, 2, 1}}, {ids{9, 9}, ids{9}}, {ids{0, 3}, ids{3}}, {ids{3, 4, 9}, ids{9, 3, 4}},
	} {
		if got := p.Route(c.in); !slices.Equal(got, c.want) {
			t.Errorf("Route(%v) = %v, want %v", c.in, got, c.want)
		}
	}
}

func TestSpace(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	asked, h := 0, kv.Health{FreeBytes: 100, ReserveBytes: 50}
	var away error
	p := policy.New(policy.Options{
		Now:    func() time.Time { return now },
		Health: func(context.Context) (kv.Health, error) { asked++; return h, away },
	})
	check := func(want bool) {
		t.Helper()
		err := p.Space(t.Context())
		if (err == nil) != want || err != nil && mailstore.KindOf(err) != mailstore.NoSpace {
			t.Errorf("Space: %v", err)
		}
		if (p.Create(t.Context(), policy.Ask{Operator: true}) == nil) != want {
			t.Error("Create does not ask for space")
		}
	}
	check(true)
	h.FreeBytes = 49
	check(true) // believed for a second
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	now = now.Add(time.Second)
	check(false)
	now = now.Add(time.Second)
	away = errors.New("away")
	check(false) // the last answer stands
	away, h.FreeBytes = nil, -1
	check(true)
	if err := policy.New(policy.Options{}).Space(t.Context()); err != nil {
		t.Error(err)
	}
}
