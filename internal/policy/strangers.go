package policy

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/census"
)

// Strangers are the limits on what strangers may use up. Zero: no limit.
type Strangers struct {
	CreateAddress bus.Rate // accounts made from one IPv4 address or IPv6 /64
	CreateNetwork bus.Rate // accounts made from one IPv4 /24 or IPv6 /48
	CreateAll     bus.Rate // accounts made from everywhere
	Accounts      int64    // that live, of all servers together
	StoreBytes    int64    // that the store takes, of all servers together
	Send          bus.Rate // messages that one account submits
	Inbound       bus.Rate // messages that one account gets at the MX
	Unknown       bus.Rate // recipients asked for at the MX that do not exist, from one address
	LinkBytes     int64    // read of one account by permalinks in a day
}

// Creation is what the operator has decided about making accounts.
type Creation struct {
	// Mode is "open", "token" or "off"; nil: open.
	Mode func() string
	// TokenOK checks a creation token.
	TokenOK func(string) bool
}

// countAge is how long one count of the accounts is believed.
const countAge = time.Second

// accountsRetry is when to ask again where there are too many accounts: unused
// ones go all the time.
const accountsRetry = 10 * time.Minute

// Refusal is a no with its reason, in words for who asked, and with the time
// after which it may be a yes. It is a mailstore.Error of its kind.
type Refusal struct {
	Kind   mailstore.Kind
	Reason string
	Retry  time.Duration // 0: asking again is no use
}

func (r *Refusal) Error() string { return "policy: " + r.Reason }

// Unwrap gives the kind to who maps kinds.
func (r *Refusal) Unwrap() error { return &mailstore.Error{Op: "policy", Kind: r.Kind} }

// Ask is a wish for an account.
type Ask struct {
	Peer     netip.Addr
	ViaProxy bool
	Token    string
	// Operator is for the operator's own commands, which only space limits.
	Operator bool
}

// Create says whether somebody may have an account made: nil, a *Refusal of
// Kind Limit, Permission or NoSpace, or trouble of the store. It counts the
// account as made. All rates and caps of creation are here; a refusal by mode
// costs no store read, one by rate at most the count of accounts, once a second.
func (p *Policy) Create(ctx context.Context, a Ask) error {
	if a.Operator {
		return p.Space(ctx)
	}
	if err := p.mayCreate(a.Token); err != nil {
		return err
	}
	if err := p.Space(ctx); err != nil {
		return &Refusal{Kind: mailstore.NoSpace, Retry: time.Minute,
			Reason: "This server has no room for more; try again later."}
	}
	giveBack, err := p.underAccounts(ctx)
	if err != nil {
		return err
	}
	if err := p.createRates(ctx, a); err != nil {
		giveBack()
		return err
	}
	return nil
}

// createRates counts an account as made and refuses it when there are too many
// of one address, of its network, or of all.
func (p *Policy) createRates(ctx context.Context, a Ask) error {
	if p.o.Limiter == nil {
		return nil
	}
	s := &p.o.Strangers
	host, network := Network(a.Peer, 32, 64), Network(a.Peer, 24, 48)
	hits := []bus.Hit{
		{Kind: "create/address", Key: host, N: 1, Rate: s.CreateAddress},
		{Kind: "create/network", Key: network, N: 1, Rate: s.CreateNetwork},
		{Kind: "create/all", N: 1, Rate: s.CreateAll},
	}
	wait, over := p.o.Limiter.Take(ctx, hits...)
	if wait <= 0 {
		return nil
	}
	from := [...]string{"from " + host, "from " + network, "on this server"}[over]
	r := hits[over].Rate
	return &Refusal{Kind: mailstore.Limit, Retry: wait, Reason: fmt.Sprintf(
		"Too many accounts were made %s (%d in %s are allowed); try again in %s.", from, r.Limit, span(r.Per), span(wait))}
}

// CreateMode is "open", "token" or "off".
func (p *Policy) CreateMode() string {
	if p.o.Creation.Mode == nil {
		return "open"
	}
	return p.o.Creation.Mode()
}

func (p *Policy) mayCreate(token string) error {
	switch p.CreateMode() {
	case "off":
		return &Refusal{Kind: mailstore.Permission, Reason: "Accounts cannot be made here: the operator makes them."}
	case "token":
		if p.o.Creation.TokenOK == nil || !p.o.Creation.TokenOK(token) {
			return &Refusal{Kind: mailstore.Permission, Reason: "Accounts are made here only for who has the operator's " +
				"token; send it as Authorization: Bearer TOKEN (with Nodemailer, set ETHEREAL_API_KEY)."}
		}
	}
	return nil
}

// underAccounts refuses when there are all the accounts that may be, and counts
// one more otherwise; giveBack is for when that one is not made after all. The
// count is at most a second old, so a few more can come to be.
func (p *Policy) underAccounts(ctx context.Context) (giveBack func(), err error) {
	most := p.o.Strangers.Accounts
	if most <= 0 {
		return func() {}, nil
	}
	err = p.accounts.refresh(ctx, countAge, p.o.Now, func(ctx context.Context) (int64, error) {
		return census.Count(ctx, p.o.Store.KV())
	})
	if err != nil {
		return nil, &mailstore.Error{Op: "policy", Kind: mailstore.Transient, Err: err}
	}
	room := false
	var counted time.Time
	p.accounts.use(func(n *int64, at time.Time) {
		if room = *n < most; room {
			*n++
		}
		counted = at
	})
	if !room {
		return nil, &Refusal{Kind: mailstore.Limit, Retry: accountsRetry, Reason: fmt.Sprintf(
			"This server has all the %d accounts it may have; unused ones go by themselves. Try again in %s.",
			most, span(accountsRetry))}
	}
	return func() {
		p.accounts.use(func(n *int64, at time.Time) {
			if at.Equal(counted) { // a newer count has not counted it
				*n--
			}
		})
	}, nil
}

// Send says whether an account may submit one more message.
func (p *Policy) Send(ctx context.Context, acct mailstore.AcctID) error {
	return p.rate(ctx, "send", acct, p.o.Strangers.Send, "messages were sent with this account")
}

// Inbound says whether an account may get one more message at the MX, and
// counts it.
func (p *Policy) Inbound(ctx context.Context, acct mailstore.AcctID) error {
	return p.rate(ctx, "inbound", acct, p.o.Strangers.Inbound, "messages came for this account")
}

// NotInbound takes back what Inbound has counted, because no message came: who
// only names recipients must not use up what they may get.
func (p *Policy) NotInbound(ctx context.Context, accts ...mailstore.AcctID) {
	r := p.o.Strangers.Inbound
	if p.o.Limiter == nil || !r.On() || len(accts) == 0 {
		return
	}
	hits := make([]bus.Hit, len(accts))
	for i, id := range accts {
		hits[i] = bus.Hit{Kind: "inbound", Key: rateKey(id), N: -1, Rate: r}
	}
	p.o.Limiter.Take(ctx, hits...)
}

func rateKey(acct mailstore.AcctID) string { return strconv.FormatUint(uint64(acct), 36) }

func (p *Policy) rate(ctx context.Context, kind string, acct mailstore.AcctID, r bus.Rate, what string) error {
	if p.o.Limiter == nil || !r.On() || acct == 0 {
		return nil
	}
	wait, _ := p.o.Limiter.Take(ctx, bus.Hit{Kind: kind, Key: rateKey(acct), N: 1, Rate: r})
	if wait <= 0 {
		return nil
	}
	return &Refusal{Kind: mailstore.Limit, Retry: wait,
		Reason: fmt.Sprintf("Too many %s, try again in %s", what, span(wait))}
}

// Probe is asked before a recipient is looked up at the MX for an address, and
// found afterwards if there is one. Whoever asked for too many that do not
// exist is told nothing more, neither yes nor no.
func (p *Policy) Probe(ctx context.Context, peer netip.Addr) (found func(), err error) {
	r := p.o.Strangers.Unknown
	if p.o.Limiter == nil || !r.On() {
		return func() {}, nil
	}
	hit := bus.Hit{Kind: "unknown", Key: Network(peer, 32, 64), N: 1, Rate: r}
	if wait, _ := p.o.Limiter.Take(ctx, hit); wait > 0 {
		return func() {}, &Refusal{Kind: mailstore.Limit, Retry: wait,
			Reason: "Too many unknown recipients from your address, try again in " + span(wait)}
	}
	return func() {
		hit.N = -1
		p.o.Limiter.Take(ctx, hit)
	}, nil
}

// Linked says whether strangers may read so many more bytes of an account by
// its permalinks today, and counts them.
func (p *Policy) Linked(ctx context.Context, acct mailstore.AcctID, n int64) error {
	r := bus.Rate{Limit: p.o.Strangers.LinkBytes, Per: 24 * time.Hour}
	if p.o.Limiter == nil || !r.On() {
		return nil
	}
	hit := bus.Hit{Kind: "link", Key: strconv.FormatUint(uint64(acct), 36), N: max(n, 1), Rate: r}
	if wait, _ := p.o.Limiter.Take(ctx, hit); wait > 0 {
		return &Refusal{Kind: mailstore.Limit, Retry: wait, Reason: fmt.Sprintf(
			"The links of this account were read too often today; try again in %s. Its owner can log in and read on.",
			span(wait))}
	}
	return nil
}

// Network is what clients are told apart by: the first bits of an address, so
// many of IPv4 and of IPv6.
func Network(peer netip.Addr, four, six int) string {
	peer = peer.Unmap().WithZone("")
	bits := four
	if peer.Is6() {
		bits = six
	}
	if !peer.IsValid() {
		return "an unknown address"
	}
	if bits == peer.BitLen() {
		return peer.String()
	}
	return netip.PrefixFrom(peer, bits).Masked().String()
}

// span writes a time for people, rounded up.
func span(d time.Duration) string {
	for _, u := range []struct {
		d    time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if n := (d + u.d - 1) / u.d; d >= u.d && n == 1 {
			return "1 " + u.name
		} else if d > u.d {
			return fmt.Sprintf("%d %ss", n, u.name)
		}
	}
	if n := (d + time.Second - 1) / time.Second; n > 1 {
		return fmt.Sprintf("%d seconds", n)
	}
	return "1 second"
}
