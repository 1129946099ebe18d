package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/census"
	"github.com/eidermail/eider/internal/obs"
	"github.com/eidermail/eider/internal/operator"
)

// Order is what the operator wants done. Which fields count depends on Do.
type Order struct {
	// Do is one of Orders.
	Do      string `json:"do"`
	Mode    string `json:"mode,omitempty"`    // create: open, token, off, or default
	Net     string `json:"net,omitempty"`     // block, unblock: CIDR or an address
	For     string `json:"for,omitempty"`     // block: how long
	Reason  string `json:"reason,omitempty"`  // block
	Account string `json:"account,omitempty"` // account-…: address, or id as account-show prints it
	Message string `json:"message,omitempty"` // message-purge: a MSGID, or the address of its page
}

// OrderError is an order that makes no sense, or is about something that is
// not there; its text is meant for the operator.
type OrderError struct {
	Text    string
	Missing bool // it is about something that is not there
}

func (e *OrderError) Error() string { return e.Text }

// Orders are what there is to be done, and whether it changes something: that
// gets a line in the log, with who did it.
var orders = map[string]struct {
	changes bool
	do      func(*core, context.Context, Order) (any, error)
}{
	"create":          {true, (*core).orderCreate},
	"token":           {false, (*core).orderToken},
	"token-new":       {true, (*core).orderNewToken},
	"key":             {false, (*core).orderKey},
	"block":           {true, (*core).orderBlock},
	"unblock":         {true, (*core).orderUnblock},
	"blocks":          {false, (*core).orderBlocks},
	"stats":           {false, (*core).orderStats},
	"account-show":    {false, (*core).orderShow},
	"account-disable": {true, (*core).orderDisable},
	"account-enable":  {true, (*core).orderEnable},
	"account-purge":   {true, (*core).orderPurge},
	"message-purge":   {true, (*core).orderPurgeMessage},
}

// Operate does an order at once, on all servers of the store, and leaves an
// audit line. by is who gave it: a door, never a secret.
func (c *core) Operate(ctx context.Context, by string, o Order) (any, error) {
	known, ok := orders[o.Do]
	if !ok {
		return nil, &OrderError{Text: fmt.Sprintf("there is no order %q", o.Do)}
	}
	out, err := known.do(c, ctx, o)
	if !known.changes {
		return out, err
	}
	args := []any{"order", o.Do, "by", by}
	for _, f := range [][2]string{{"mode", o.Mode}, {"net", o.Net}, {"for", o.For}, {"reason", o.Reason},
		{"account", o.Account}} {
		if f[1] != "" {
			args = append(args, f[0], obs.Outside(f[1]))
		}
	}
	if o.Message != "" { // the MSGID opens the message: it stands in no log
		if l, ok := c.auth.ParsePermalink(msgid(o.Message)); ok {
			args = append(args, "account", accountID(l.Acct), "message", strconv.FormatUint(uint64(l.Msg), 10))
		}
	}
	if err != nil {
		c.o.Log.Warn("audit: order failed", append(args, "err", err)...)
		return out, err
	}
	c.o.Log.Info("audit: order done", args...)
	return out, nil
}

func (c *core) orderCreate(ctx context.Context, o Order) (any, error) {
	mode := operator.Create(o.Mode)
	if mode == "default" {
		mode = ""
	}
	if err := c.operator.SetCreate(ctx, mode); err != nil {
		return nil, orderError(err)
	}
	out := map[string]string{"create": string(c.operator.Create())}
	if c.operator.Create() == operator.Token {
		out["token"] = c.operator.CreateToken()
	}
	return out, nil
}

func (c *core) orderToken(context.Context, Order) (any, error) {
	return map[string]string{"create": string(c.operator.Create()), "token": c.operator.CreateToken()}, nil
}

func (c *core) orderNewToken(ctx context.Context, o Order) (any, error) {
	if _, err := c.operator.NewCreateToken(ctx); err != nil {
		return nil, orderError(err)
	}
	return c.orderToken(ctx, o)
}

func (c *core) orderKey(context.Context, Order) (any, error) {
	return map[string]string{"key": c.operator.Key()}, nil
}

func (c *core) orderBlock(ctx context.Context, o Order) (any, error) {
	n, err := prefixOf(o.Net)
	if err != nil {
		return nil, err
	}
	var d config.Duration
	if o.For != "" {
		if err := d.UnmarshalText([]byte(o.For)); err != nil {
			return nil, &OrderError{Text: err.Error()}
		}
	}
	if err := c.operator.Block(ctx, n, o.Reason, d.Std()); err != nil {
		return nil, orderError(err)
	}
	return c.orderBlocks(ctx, o)
}

func (c *core) orderUnblock(ctx context.Context, o Order) (any, error) {
	n, err := prefixOf(o.Net)
	if err != nil {
		return nil, err
	}
	if err := c.operator.Unblock(ctx, n); err != nil {
		return nil, orderError(err)
	}
	return c.orderBlocks(ctx, o)
}

func (c *core) orderBlocks(context.Context, Order) (any, error) {
	b := c.operator.Blocks()
	if b == nil {
		b = []operator.Block{}
	}
	return map[string]any{"blocks": b}, nil
}

// prefixOf reads a network; an address is a network of one.
func prefixOf(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	n, err := netip.ParsePrefix(s)
	if err != nil {
		return n, &OrderError{Text: fmt.Sprintf("%q is not a network: write 192.0.2.0/24, 2001:db8::/48 or an address",
			obs.Clean(s))}
	}
	return n, nil
}

// Stats sum up the store for the operator.
type Stats struct {
	Accounts    int64            `json:"accounts"`
	MaxAccounts int64            `json:"maxAccounts,omitempty"`
	StoreBytes  int64            `json:"storeBytes"` // -1: not known
	MaxBytes    int64            `json:"maxStoreBytes,omitempty"`
	FreeBytes   int64            `json:"freeBytes"` // -1: not known
	Create      string           `json:"create"`
	Blocks      int              `json:"blocks"`
	Time        time.Time        `json:"time"`
	Since       map[string]int64 `json:"sinceStart"` // of this server
}

func (c *core) orderStats(ctx context.Context, _ Order) (any, error) {
	n, err := census.Count(ctx, c.kv)
	if err != nil {
		return nil, err
	}
	h, err := c.kv.Ping(ctx)
	if err != nil {
		return nil, err
	}
	return Stats{Accounts: n, MaxAccounts: c.o.Config.MaxAccounts, StoreBytes: h.Taken(),
		MaxBytes: int64(c.o.Config.StoreMax), FreeBytes: h.FreeBytes, Create: string(c.operator.Create()),
		Blocks: len(c.operator.Blocks()), Time: c.o.Now().UTC(), Since: c.o.Metrics.Totals()}, nil
}

// AccountInfo is an account for the operator. It has no mail and no secrets.
type AccountInfo struct {
	ID       string    `json:"id"`
	Address  string    `json:"address"`
	Name     string    `json:"name,omitempty"`
	Label    string    `json:"label,omitempty"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"lastUsed,omitzero"` // the day
	Expires  time.Time `json:"expires,omitzero"`
	Messages int64     `json:"messages"`
	Bytes    int64     `json:"bytes"`
	Quota    int64     `json:"quota"`
	Disabled bool      `json:"disabled"`
	LinksOff bool      `json:"linksOff,omitempty"`
	CatchAll bool      `json:"catchAll,omitempty"`
}

func accountID(id mailstore.AcctID) string { return fmt.Sprintf("%016x", uint64(id)) }

// findAccount finds an account by address or id.
func (c *core) findAccount(ctx context.Context, s string) (mailstore.Account, error) {
	id, err := c.mail.Lookup(ctx, s)
	if n, perr := strconv.ParseUint(s, 16, 64); perr == nil && len(s) == 16 {
		id, err = mailstore.AcctID(n), nil
	}
	if err == nil {
		var a mailstore.Account
		if a, err = c.mail.Account(ctx, id); err == nil {
			return a, nil
		}
	}
	if mailstore.KindOf(err) == mailstore.NotExist {
		return mailstore.Account{}, &OrderError{Missing: true, Text: fmt.Sprintf("there is no account %q", obs.Clean(s))}
	}
	return mailstore.Account{}, err
}

func (c *core) orderShow(ctx context.Context, o Order) (any, error) {
	a, err := c.findAccount(ctx, o.Account)
	if err != nil {
		return nil, err
	}
	return AccountInfo{ID: accountID(a.ID), Address: a.Address, Name: a.Name, Label: a.Label, Created: a.Created,
		LastUsed: a.LastUsed, Expires: a.ExpiresAt, Messages: a.Messages, Bytes: a.Bytes, Quota: a.Limits.Bytes,
		Disabled: a.Disabled, LinksOff: a.LinksOff, CatchAll: a.CatchAll}, nil
}

func (c *core) orderDisable(ctx context.Context, o Order) (any, error) {
	return c.setDisabled(ctx, o, true)
}
func (c *core) orderEnable(ctx context.Context, o Order) (any, error) {
	return c.setDisabled(ctx, o, false)
}

func (c *core) setDisabled(ctx context.Context, o Order, disabled bool) (any, error) {
	a, err := c.findAccount(ctx, o.Account)
	if err != nil {
		return nil, err
	}
	if err := c.mail.SetDisabled(ctx, a.ID, disabled); err != nil {
		return nil, err
	}
	return c.orderShow(ctx, Order{Account: accountID(a.ID)})
}

func (c *core) orderPurge(ctx context.Context, o Order) (any, error) {
	a, err := c.findAccount(ctx, o.Account)
	if err != nil {
		return nil, err
	}
	if a.CatchAll {
		return nil, &OrderError{Text: "the catch-all account is the server's own; purge its messages instead"}
	}
	if err := c.mail.DeleteAccount(ctx, a.ID); err != nil {
		return nil, err
	}
	return map[string]any{"purged": a.Address, "messages": a.Messages}, nil
}

// msgid takes a MSGID, or the address of a page that shows the message.
func msgid(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "?")
	s = strings.TrimRight(s, "/")
	if _, rest, ok := strings.Cut(s, "/message/"); ok {
		s, _, _ = strings.Cut(rest, "/")
	}
	return s
}

// orderPurgeMessage removes a message wherever its owner has it. The link may
// be one that the owner has ended.
func (c *core) orderPurgeMessage(ctx context.Context, o Order) (any, error) {
	l, ok := c.auth.ParsePermalink(msgid(o.Message))
	if !ok {
		return nil, &OrderError{Text: "that is no MSGID of this server: give the last part of the address of its page"}
	}
	copies := 0
	for range mailstore.MaxPlaces {
		box, e, err := c.mail.Place(ctx, l.Acct, l.Msg)
		if mailstore.KindOf(err) == mailstore.NotExist && err != nil {
			break
		}
		if err != nil {
			return nil, err
		}
		if _, _, err := c.mail.Expunge(ctx, l.Acct, box.ID, []mailstore.UID{e.UID}, false); err != nil {
			return nil, err
		}
		copies++
	}
	if copies == 0 {
		return nil, &OrderError{Missing: true, Text: "there is no such message (any more)"}
	}
	return map[string]any{"purged": copies, "account": accountID(l.Acct)}, nil
}

// orderError tells the operator's own mistakes from trouble.
func orderError(err error) error {
	for _, known := range []error{operator.ErrCreate, operator.ErrBlocks, operator.ErrNoBlock} {
		if errors.Is(err, known) {
			return &OrderError{Text: known.Error(), Missing: known == operator.ErrNoBlock}
		}
	}
	return err
}
