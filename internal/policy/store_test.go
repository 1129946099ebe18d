package policy_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/eidermail/eider/internal/addr"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/policy"
)

func TestRcpt(t *testing.T) {
	t.Parallel()
	b := membus.New()
	t.Cleanup(func() { b.Close() })
	st, err := mailstore.Open(t.Context(), mailstore.Options{KV: memkv.New(), Bus: b})
	if err != nil {
		t.Fatal(err)
	}
	make := func(address string) mailstore.AcctID {
		a, err := st.CreateAccount(t.Context(), mailstore.NewAccount{
			Address: address, Credential: account.Record{Class: account.Generated}.Encode()})
		if err != nil {
			t.Fatal(err)
		}
		return a.ID
	}
	ann, all := make("ann.lee@eider.test"), make("catch-all@eider.test")
	lo, far := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")
	nets := prefixes("127.0.0.0/8")
	dev := policy.New(policy.Options{Store: st, Trusted: nets, CatchAll: all})
	none := policy.New(policy.Options{Store: st, Trusted: nets})
	pub := policy.New(policy.Options{Store: st, Trusted: nets, Public: true, CatchAll: all})
	for _, c := range []struct {
		name string
		p    *policy.Policy
		f    policy.From
		to   string
		want mailstore.AcctID
		kind mailstore.Kind
	}{
		{"logged in", pub, policy.From{Acct: 5, Peer: far}, "anybody@example.org", 5, 0},
		{"logged in, to an account", dev, policy.From{Acct: 5, Peer: lo}, "ann.lee@eider.test", 5, 0},
		{"trusted, to an account", dev, policy.From{Peer: lo}, "Ann.Lee+x@eider.test", ann, 0},
		{"trusted, to nobody", dev, policy.From{Peer: lo}, "anybody@example.org", all, 0},
		{"trusted, no domain", dev, policy.From{Peer: lo}, "postmaster", all, 0},
		{"trusted, no catch-all", none, policy.From{Peer: lo}, "anybody@example.org", 0, mailstore.NotExist},
		{"stranger", dev, policy.From{Peer: far}, "ann.lee@eider.test", 0, mailstore.Permission},
		{"public, loopback", pub, policy.From{Peer: lo}, "ann.lee@eider.test", 0, mailstore.Permission},
		{"by proxy", dev, policy.From{Peer: lo, ViaProxy: true}, "ann.lee@eider.test", 0, mailstore.Permission},
		{"mx, known", pub, policy.From{Door: policy.MX, Peer: far}, "annlee@eider.test", ann, 0},
		{"mx, unknown", pub, policy.From{Door: policy.MX, Peer: far}, "bob@eider.test", 0, mailstore.NotExist},
		{"mx, unknown, dev", dev, policy.From{Door: policy.MX, Peer: lo}, "bob@eider.test", 0, mailstore.NotExist},
		{"lmtp, known", dev, policy.From{Door: policy.LMTP, Peer: lo}, "annlee@eider.test", ann, 0},
		{"lmtp, unknown", dev, policy.From{Door: policy.LMTP, Peer: lo}, "bob@eider.test", 0, mailstore.NotExist},
	} {
		to, err := addr.Parse(c.to)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.p.Rcpt(t.Context(), c.f, to)
		if got != c.want || (err == nil) != (c.want != 0) || err != nil && mailstore.KindOf(err) != c.kind {
			t.Errorf("%s: %d, %v", c.name, got, err)
		}
		var e *mailstore.Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("%s: %v has no kind", c.name, err)
		}
	}
}
