package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/combine"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/node"
	"github.com/eidermail/eider/internal/obs"
	"github.com/eidermail/eider/internal/operator"
	"github.com/eidermail/eider/internal/policy"
	"github.com/eidermail/eider/internal/provision"
	"github.com/eidermail/eider/internal/secret"
	"github.com/eidermail/eider/internal/spool"
	"github.com/eidermail/eider/internal/web/api"
)

// Options configure a Server.
type Options struct {
	Config *config.Config
	// KV and Bus become the server's: it closes them.
	KV      kv.Store
	Bus     bus.Bus
	Limiter bus.Limiter      // counts for rates
	Shared  bool             // other servers may work on the same store
	Log     *slog.Logger     // discarded if nil
	Metrics *obs.Metrics     // made if nil
	Now     func() time.Time // time.Now if nil
	Version string
	// Snapshot is boot.Opened's: for backups of a store while it runs.
	Snapshot func(context.Context, func(kv.Reader) error) error
	// ACMELook is certs.ACME.LookEvery.
	ACMELook time.Duration
	// Compact is boot.Opened's: for rows that were written anew.
	Compact func(context.Context) error
	// ControlDir is where commands find the server's socket; none if empty.
	ControlDir string
	// Banner is a terminal that is told where everything is, the catch-all's
	// password too, once the server serves; the log is told if it is nil.
	Banner io.Writer
}

func (o *Options) fill() {
	if o.Log == nil {
		o.Log = obs.Discard()
	}
	if o.Metrics == nil {
		o.Metrics = obs.NewMetrics()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Version == "" {
		o.Version = "dev"
	}
}

// core is what stands on the store and listens to nobody.
type core struct {
	o         Options
	kv        kv.Store
	mail      *mailstore.Store
	rings     *secret.Rings
	auth      *auth.Auth
	policy    *policy.Policy
	operator  *operator.Operator
	gates     *gates
	advert    *advert.Advert
	provision *provision.Provisioner
	spool     *spool.Pool
	catch     provision.CatchAll
	commits   commits
	node      atomic.Pointer[node.Node] // once it is known
}

// now is the time by which mail is dated and expires: this machine's, and where that
// is far off the store's, another server expires by it.
func (c *core) now() time.Time {
	t := c.o.Now()
	if n := c.node.Load(); n != nil {
		if off := n.Skew(); off.Abs() > node.MaxSkew {
			return t.Add(-off)
		}
	}
	return t
}

// openStore opens the mail in a store. On an error the store stays open; its
// owner closes it.
func openStore(ctx context.Context, o Options) (*core, error) {
	cfg := o.Config
	c := &core{o: o, spool: spool.New(spool.Options{Dir: o.ControlDir})}
	c.commits.began = time.Now()
	c.kv = combine.New(measured{o.KV, o.Metrics, &c.commits}, combine.Options{})
	var err error
	c.mail, err = mailstore.Open(ctx, mailstore.Options{
		KV: c.kv, Bus: o.Bus, Log: o.Log, Now: c.now, MessageLimit: int64(cfg.MessageLimit),
		Defaults: c.defaultLimits(), DedupAccount: cfg.Dedup == "account", BlobGrace: cfg.PartGrace.Std(),
		Exclusive: !o.Shared,
		Unknown:   func(string) { o.Metrics.UnknownCommits.Inc() },
	})
	if err != nil {
		return nil, fmt.Errorf("open the mail store: %w", err)
	}
	if c.rings, err = secret.Open(ctx, secret.Options{KV: c.kv, Log: o.Log, Now: o.Now}); err != nil {
		return nil, fmt.Errorf("open the key rings: %w", err)
	}
	c.gates = newGates()
	c.operator, err = operator.New(ctx, operator.Options{KV: c.kv, Bus: o.Bus, Rings: c.rings,
		Create: operator.Create(cfg.Create), Log: o.Log, Now: o.Now, Changed: c.gates.drop})
	if err != nil {
		return nil, fmt.Errorf("read what the operator decided: %w", err)
	}
	c.gates.blocked = c.operator.Blocked
	return c, nil
}

// strangers are the limits on what strangers may use up.
func strangers(c *config.Config) policy.Strangers {
	rate := func(r config.Rate) bus.Rate { return bus.Rate{Limit: r.N, Per: r.Per} }
	return policy.Strangers{CreateAddress: rate(c.CreateRate), CreateNetwork: rate(c.CreateRateNet),
		CreateAll: rate(c.CreateRateAll), Accounts: c.MaxAccounts, StoreBytes: int64(c.StoreMax), Send: rate(c.SendRate),
		Inbound: rate(c.MXRate), Unknown: rate(c.MXUnknownRate), LinkBytes: int64(c.LinkDailyBytes)}
}

// defaultLimits are those of accounts without limits of their own.
func (c *core) defaultLimits() mailstore.AccountLimits {
	cfg := c.o.Config
	return mailstore.AccountLimits{Retention: cfg.Retention.Std(), Bytes: int64(cfg.AccountQuota),
		Messages: cfg.AccountMessages}
}

// people builds what knows clients: who they are, what they may do, and what
// they are told.
func (c *core) people(ctx context.Context, ports advert.Ports, startTLS bool) error {
	var err error
	o, cfg := c.o, c.o.Config
	c.advert, err = advert.New(advert.Options{PublicHost: cfg.PublicHost, Ports: ports, StartTLS: startTLS,
		Advertise: cfg.Advertise})
	if err != nil {
		return err
	}
	// Trust is asked for when somebody comes, and by then there is a policy.
	var limiter bus.Limiter // of several servers; one alone counts failed logins by itself
	if o.Shared {
		limiter = o.Limiter
	}
	c.auth, err = auth.New(ctx, auth.Options{Store: c.mail, Rings: c.rings, Domain: cfg.Domain, Log: o.Log, Now: o.Now,
		Limiter: limiter,
		Trusted: func(a netip.Addr) bool { return c.policy.Trusted(a, len(cfg.Proxy) > 0) }})
	if err != nil {
		return err
	}
	c.provision = provision.New(provision.Options{
		Store: c.mail, Auth: c.auth, Rings: c.rings, Advert: c.advert, Spool: c.spool, Domain: cfg.Domain,
		Retention: cfg.Retention.Std(), ExpireIdle: cfg.AccountIdle.Std(), MXEnabled: ports.MX != 0,
		Quota: int64(cfg.AccountQuota),
		Allow: func(ctx context.Context, r provision.Request) error {
			return c.policy.Create(ctx, policy.Ask{Peer: r.Peer, ViaProxy: r.ViaProxy, Token: r.Token, Operator: r.Operator})
		},
		Cursor: func(a mailstore.Account) string { return api.StartCursor(a.ID) },
		Log:    o.Log, Now: o.Now,
	})
	if !cfg.Public() {
		if c.catch, err = c.provision.CatchAll(ctx); err != nil {
			return fmt.Errorf("make the catch-all account: %w", err)
		}
	}
	c.policy = policy.New(policy.Options{
		Public: cfg.Public(), PublicHost: cfg.PublicHost, AllowHost: cfg.AllowHost, Trusted: cfg.TrustedNets,
		Store: c.mail, Health: c.kv.Ping, CatchAll: c.catch.Acct, MessageLimit: int64(cfg.MessageLimit),
		Retention: cfg.Retention.Std(), Strangers: strangers(cfg), Limiter: o.Limiter, Now: o.Now,
		Creation: policy.Creation{Mode: func() string { return string(c.operator.Create()) }, TokenOK: c.operator.TokenOK},
	})
	return nil
}
