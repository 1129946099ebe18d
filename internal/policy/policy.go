// Package policy answers what protocols ask: whom to trust, whether AUTH is
// needed and may be sent in clear, which accounts get a copy of a message,
// which Host names are ours, whether there is room.
//
// Two modes exist and are never guessed from an address. Dev mode trusts the
// peers in Options.Trusted; public mode trusts nobody. A connection through a
// PROXY listener, and a request with a forwarding header, is never trusted.
//
// A Policy decides; it never writes, and never speaks a protocol: every answer
// is a value or a mailstore error whose Kind the protocol has a code for.
package policy

import (
	"context"
	"net/netip"
	"time"

	"github.com/eidermail/eider/internal/addr"
	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore"
)

// Limit: accounts that one transaction can deliver to; more get 452 4.5.3.
const MaxAccounts = 100

// healthAge is how long one answer about free space is believed.
const healthAge = time.Second

// Options configure a Policy.
type Options struct {
	// Public serves strangers: nobody is trusted.
	Public bool
	// PublicHost is the name of the server in public mode.
	PublicHost string
	// AllowHost are further names that the Host header may have.
	AllowHost []string
	// Trusted are the peers that dev mode trusts.
	Trusted []netip.Prefix
	// Store finds accounts.
	Store *mailstore.Store
	// Health tells the free space, normally the Ping of the kv.Store; nil: never refuse.
	Health func(context.Context) (kv.Health, error)
	// CatchAll gets the mail of trusted peers that no account gets; 0: nobody does.
	CatchAll mailstore.AcctID
	// MessageLimit is the largest message in bytes.
	MessageLimit int64
	// Retention is how long mail is kept, for people to read; 0: for ever.
	Retention time.Duration
	// Strangers are the limits on what strangers may use up.
	Strangers Strangers
	// Limiter counts; nil: no rate limits anything.
	Limiter bus.Limiter
	// Creation is what the operator has decided; nil: everyone may make accounts.
	Creation Creation
	Now      func() time.Time // time.Now if nil
}

// Policy answers questions. All methods may be called at once.
type Policy struct {
	o       Options
	names   map[string]bool
	trusted []netip.Prefix

	health   *aged[kv.Health] // zero before the first answer: room enough
	accounts *aged[int64]     // how many there are
}

// New returns a Policy.
func New(o Options) *Policy {
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Policy{o: o, names: map[string]bool{}, health: newAged[kv.Health](), accounts: newAged[int64]()}
	for _, n := range append([]string{o.PublicHost}, o.AllowHost...) {
		if n != "" {
			p.names[hostKey(n)] = true
		}
	}
	for _, pre := range o.Trusted {
		if a := pre.Addr(); a.Is4In6() && pre.Bits() >= 96 {
			pre = netip.PrefixFrom(a.Unmap(), pre.Bits()-96)
		}
		p.trusted = append(p.trusted, pre.Masked())
	}
	return p
}

// Public tells the mode.
func (p *Policy) Public() bool { return p.o.Public }

// MessageLimit is the largest message in bytes, for SIZE.
func (p *Policy) MessageLimit() int64 { return p.o.MessageLimit }

// Retention is how long mail is kept; 0: for ever.
func (p *Policy) Retention() time.Duration { return p.o.Retention }

// MakeRoom tells whether a full account drops its oldest mail (dev mode)
// instead of refusing (public mode): mailstore.Deposit.MakeRoom.
func (p *Policy) MakeRoom() bool { return !p.o.Public }

// CatchAll is the account that gets what no other gets; 0: there is none.
func (p *Policy) CatchAll() mailstore.AcctID { return p.o.CatchAll }

// Trusted tells whether a peer has dev trust. viaProxy is set for a connection
// that came through a PROXY listener, and for an HTTP request that carries a
// Forwarded or X-Forwarded-* header: who is behind it cannot be known.
func (p *Policy) Trusted(peer netip.Addr, viaProxy bool) bool {
	if p.o.Public || viaProxy || !peer.IsValid() {
		return false
	}
	peer = peer.Unmap().WithZone("")
	for _, t := range p.trusted {
		if t.Contains(peer) {
			return true
		}
	}
	return false
}

// Door is the kind of listener that mail comes in by.
type Door int

// The doors.
const (
	Submission Door = iota // RFC 6409
	MX                     // RFC 5321, from other servers
	LMTP                   // RFC 2033
)

// From is who brings mail.
type From struct {
	Door     Door
	Peer     netip.Addr
	ViaProxy bool
	// Acct is who logged in; 0: nobody.
	Acct mailstore.AcctID
}

// NeedAuth tells whether mail from f waits for AUTH (530 5.7.0). The MX and
// LMTP doors never ask for it, and a trusted peer needs none.
func (p *Policy) NeedAuth(f From) bool {
	return f.Door == Submission && f.Acct == 0 && !p.Trusted(f.Peer, f.ViaProxy)
}

// AuthInClear tells whether a peer may send a password without TLS (RFC 4954
// §4; IMAP LOGINDISABLED and POP3's USER hang on it too).
func (p *Policy) AuthInClear(peer netip.Addr, viaProxy bool) bool { return p.Trusted(peer, viaProxy) }

// Rcpt finds the account that gets a copy for one recipient:
//   - who logged in gets the message, whatever the recipient;
//   - at the submission door, for a trusted peer: the account of that address,
//     else the catch-all;
//   - at the MX and LMTP doors: the account of that address, else Kind NotExist
//     (550 5.1.1).
//
// A recipient of somebody who may not send at all is Kind Permission.
func (p *Policy) Rcpt(ctx context.Context, f From, to addr.Addr) (mailstore.AcctID, error) {
	if f.Door == Submission && f.Acct != 0 {
		return f.Acct, nil
	}
	if p.NeedAuth(f) {
		return 0, &mailstore.Error{Op: "route", Kind: mailstore.Permission}
	}
	id, err := p.o.Store.Lookup(ctx, to.String())
	if err == nil {
		return id, nil
	}
	unknown := mailstore.KindOf(err) == mailstore.NotExist || mailstore.KindOf(err) == mailstore.Invalid
	if !unknown {
		return 0, err
	}
	if f.Door == Submission && p.o.CatchAll != 0 {
		return p.o.CatchAll, nil
	}
	return 0, &mailstore.Error{Op: "route", Kind: mailstore.NotExist}
}

// Route folds the answers of Rcpt into the accounts that get one copy each:
// the catch-all first, because the reply's MSGID is that of the first, then
// the others in the order of their recipients. It never returns an empty list.
func (p *Policy) Route(accts []mailstore.AcctID) []mailstore.AcctID {
	out := make([]mailstore.AcctID, 0, min(len(accts), MaxAccounts))
	seen := make(map[mailstore.AcctID]bool, min(len(accts), MaxAccounts))
	for _, id := range accts {
		if id == 0 || seen[id] {
			continue
		}
		seen[id] = true
		out = append(out, id)
		if last := len(out) - 1; id == p.o.CatchAll {
			copy(out[1:], out[:last])
			out[0] = id
		}
	}
	return out
}

// Space refuses with Kind NoSpace when the store is below its reserve, or takes
// all the space it may take; what it takes and does not use does not count, for
// a database gives nothing back to its disk. Reads, deletes and expiry go on
// without asking. Where the store cannot be asked its last answer stands: the
// commit will tell.
func (p *Policy) Space(ctx context.Context) error {
	if p.o.Health == nil {
		return nil
	}
	_ = p.health.refresh(ctx, healthAge, p.o.Now, p.o.Health) // the last answer stands
	var h kv.Health
	p.health.use(func(last *kv.Health, _ time.Time) { h = *last })
	most := p.o.Strangers.StoreBytes
	if h.FreeBytes >= 0 && h.FreeBytes < h.ReserveBytes || most > 0 && h.Taken() >= most {
		return &mailstore.Error{Op: "space", Kind: mailstore.NoSpace}
	}
	return nil
}
