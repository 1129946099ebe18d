// Package operator keeps what the operator decides while servers run: who may
// make accounts, which networks are not served. It is one row of the store, so
// that it holds on all servers, also after a restart; a hint tells the others
// at once, and without one they look every few seconds.
//
// It decides nothing about mail or accounts themselves.
package operator

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/secret"
)

// Limit: networks that are blocked at once.
const MaxBlocks = 1000

// Limit: bytes of the reason kept of a block.
const MaxReason = 200

// pollEvery is how long a decision takes to reach a server that got no hint.
const pollEvery = 2 * time.Second

// topic is that of the hints: no account has the id 0.
const topic bus.Topic = 0

// Create is who may make accounts.
type Create string

// The ways of making accounts.
const (
	Open  Create = "open"  // everyone, within the limits
	Token Create = "token" // who has the token
	Off   Create = "off"   // the operator alone
)

// The errors of changes; their texts are meant for the operator.
var (
	ErrCreate  = errors.New("say open, token or off")
	ErrBlocks  = fmt.Errorf("%d networks are blocked already, no more are kept: unblock some", MaxBlocks)
	ErrNoBlock = errors.New("that network is not blocked")
)

// Block is a network that is not served.
type Block struct {
	Net    netip.Prefix `json:"net"`
	Since  time.Time    `json:"since"`
	Until  time.Time    `json:"until,omitzero"`
	Reason string       `json:"reason,omitempty"`
}

// Options configure an Operator.
type Options struct {
	KV    kv.Store
	Bus   bus.Bus // nil: no hints
	Rings *secret.Rings
	// Create is who may make accounts as long as the operator has not said otherwise.
	Create Create
	Log    *slog.Logger
	Now    func() time.Time
	// Changed is called after a change was read, by one goroutine at a time; nil: nobody.
	Changed func()
}

// Operator knows the decisions. All methods may be called at once.
type Operator struct {
	o     Options
	state atomic.Pointer[state]
}

// state is one reading of the row; it is replaced, never changed.
type state struct {
	rev    kv.Rev
	create Create // "": not decided
	token  uint32
	blocks []Block
}

// New reads the decisions.
func New(ctx context.Context, o Options) (*Operator, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Create == "" {
		o.Create = Open
	}
	p := &Operator{o: o}
	p.state.Store(&state{})
	return p, p.Refresh(ctx)
}

// Run reads the decisions again at each hint, and every few seconds, until ctx
// ends; it returns nil then. What cannot be read stays as it was.
func (p *Operator) Run(ctx context.Context) error {
	var hints <-chan bus.Hint
	if p.o.Bus != nil {
		ch, cancel := p.o.Bus.Subscribe(topic)
		defer cancel()
		hints = ch
	}
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for { // first at once: for what was decided before the hints were heard
		if err := p.Refresh(ctx); err != nil && ctx.Err() == nil {
			p.o.Log.Warn("the operator's decisions not read; the known ones hold", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-hints:
			if !ok {
				hints = nil
			}
		case <-t.C:
		}
	}
}

// Refresh reads the decisions now.
func (p *Operator) Refresh(ctx context.Context) error {
	items, err := p.o.KV.GetMulti(ctx, row.Operator())
	if err != nil {
		return fmt.Errorf("operator: %w", err)
	}
	if items[0].Rev == p.state.Load().rev {
		return nil
	}
	r, err := row.DecodeOperator(items[0].Value)
	if err != nil {
		return fmt.Errorf("operator: %w: %w", err, kv.ErrCorrupt)
	}
	p.state.Store(&state{rev: items[0].Rev, create: Create(r.Create), token: r.TokenGen, blocks: blocks(r.Blocks)})
	if p.o.Changed != nil {
		p.o.Changed()
	}
	return nil
}

func blocks(rows []row.BlockRow) []Block {
	out := make([]Block, 0, len(rows))
	for _, r := range rows {
		n, err := netip.ParsePrefix(r.Net)
		if err != nil {
			continue // of a later program
		}
		b := Block{Net: n, Since: time.Unix(r.Since, 0).UTC(), Reason: r.Reason}
		if r.Until != 0 {
			b.Until = time.Unix(r.Until, 0).UTC()
		}
		out = append(out, b)
	}
	return out
}

// change rewrites the row and reads it again, here and elsewhere.
func (p *Operator) change(ctx context.Context, f func(*row.OperatorRow) error) error {
	err := p.o.KV.Update(ctx, [][]byte{row.Operator()}, func(tx kv.Tx) error {
		r, err := row.DecodeOperator(tx.Guard(0).Value)
		if err != nil {
			return fmt.Errorf("operator: %w: %w", err, kv.ErrCorrupt)
		}
		now := p.o.Now().Unix()
		r.Blocks = slices.DeleteFunc(r.Blocks, func(b row.BlockRow) bool { return b.Until != 0 && b.Until <= now })
		if err := f(&r); err != nil {
			return err
		}
		tx.Put(row.Operator(), r.Append(nil))
		return nil
	}, kv.Reclaim())
	if err != nil {
		return err
	}
	if p.o.Bus != nil {
		p.o.Bus.Publish(ctx, bus.Hint{Topic: topic, Resync: true})
	}
	return p.Refresh(ctx)
}

// Create is who may make accounts now.
func (p *Operator) Create() Create {
	if c := p.state.Load().create; c != "" {
		return c
	}
	return p.o.Create
}

// SetCreate decides who may make accounts, on all servers from now on; "" goes
// back to how each was started.
func (p *Operator) SetCreate(ctx context.Context, c Create) error {
	switch c {
	case Open, Token, Off, "":
	default:
		return ErrCreate
	}
	return p.change(ctx, func(r *row.OperatorRow) error { r.Create = string(c); return nil })
}

// CreateToken is the token that lets one make accounts. It is derived from a
// secret of the store, so no server and no file keeps it.
func (p *Operator) CreateToken() string {
	return p.derive("create token", p.state.Load().token, "eider_create_")
}

// NewCreateToken ends the token and returns the next.
func (p *Operator) NewCreateToken(ctx context.Context) (string, error) {
	err := p.change(ctx, func(r *row.OperatorRow) error { r.TokenGen++; return nil })
	return p.CreateToken(), err
}

// TokenOK checks a creation token, in constant time.
func (p *Operator) TokenOK(token string) bool { return same(token, p.CreateToken()) }

// Key lets one act as the operator over a network.
func (p *Operator) Key() string { return p.derive("operator key", 0, "eider_admin_") }

// KeyOK checks an operator's key, in constant time.
func (p *Operator) KeyOK(key string) bool { return same(key, p.Key()) }

func same(a, b string) bool { return b != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// derive makes a secret of a purpose; "" if the store has lost its key.
func (p *Operator) derive(purpose string, gen uint32, prefix string) string {
	// The first key, not the current one: what is derived must not turn with the ring.
	k, ok := p.o.Rings.For(secret.CatchAll, 1)
	if !ok {
		return ""
	}
	mac := k.MAC([]byte(purpose), binary.BigEndian.AppendUint32(nil, gen))
	return prefix + base64.RawURLEncoding.EncodeToString(mac[:18])
}

// Block stops serving a network, for so long (0: for ever).
func (p *Operator) Block(ctx context.Context, n netip.Prefix, reason string, d time.Duration) error {
	n = clean(n)
	now := p.o.Now()
	b := row.BlockRow{Net: n.String(), Since: now.Unix(), Reason: reason[:min(len(reason), MaxReason)]}
	if d > 0 {
		b.Until = now.Add(d).Unix()
	}
	return p.change(ctx, func(r *row.OperatorRow) error {
		r.Blocks = slices.DeleteFunc(r.Blocks, func(o row.BlockRow) bool { return o.Net == b.Net })
		if len(r.Blocks) >= MaxBlocks {
			return ErrBlocks
		}
		r.Blocks = append(r.Blocks, b)
		return nil
	})
}

// Unblock serves a network again.
func (p *Operator) Unblock(ctx context.Context, n netip.Prefix) error {
	text := clean(n).String()
	return p.change(ctx, func(r *row.OperatorRow) error {
		had := len(r.Blocks)
		r.Blocks = slices.DeleteFunc(r.Blocks, func(o row.BlockRow) bool { return o.Net == text })
		if len(r.Blocks) == had {
			return ErrNoBlock
		}
		return nil
	})
}

// clean is the one way to write a network.
func clean(n netip.Prefix) netip.Prefix {
	if a := n.Addr(); a.Is4In6() && n.Bits() >= 96 {
		n = netip.PrefixFrom(a.Unmap(), n.Bits()-96)
	}
	return n.Masked()
}

// Blocks lists the networks that are not served now.
func (p *Operator) Blocks() []Block {
	now := p.o.Now()
	var out []Block
	for _, b := range p.state.Load().blocks {
		if b.Until.IsZero() || now.Before(b.Until) {
			out = append(out, b)
		}
	}
	return out
}

// Blocked tells whether a client is not to be served.
func (p *Operator) Blocked(a netip.Addr) bool {
	all := p.state.Load().blocks
	if len(all) == 0 || !a.IsValid() {
		return false
	}
	a = a.Unmap().WithZone("")
	now := p.o.Now()
	for i := range all {
		if all[i].Net.Contains(a) && (all[i].Until.IsZero() || now.Before(all[i].Until)) {
			return true
		}
	}
	return false
}
