package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/combine"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/obs"
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
	Log     *slog.Logger     // discarded if nil
	Metrics *obs.Metrics     // made if nil
	Now     func() time.Time // time.Now if nil
	Version string
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
	advert    *advert.Advert
	provision *provision.Provisioner
	spool     *spool.Pool
	catch     provision.CatchAll
}

// openStore opens the mail in a store. On an error the store stays open; its
// owner closes it.
func openStore(ctx context.Context, o Options) (*core, error) {
	cfg := o.Config
	c := &core{o: o, kv: combine.New(measured{o.KV, o.Metrics}, combine.Options{}),
		spool: spool.New(spool.Options{Dir: o.ControlDir})}
	var err error
	c.mail, err = mailstore.Open(ctx, mailstore.Options{
		KV: c.kv, Bus: o.Bus, Log: o.Log, Now: o.Now, MessageLimit: int64(cfg.MessageLimit),
		Defaults: c.defaultLimits(),
		Unknown:  func(string) { o.Metrics.UnknownCommits.Inc() },
	})
	if err != nil {
		return nil, fmt.Errorf("open the mail store: %w", err)
	}
	if c.rings, err = secret.Open(ctx, secret.Options{KV: c.kv, Log: o.Log, Now: o.Now}); err != nil {
		return nil, fmt.Errorf("open the key rings: %w", err)
	}
	return c, nil
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
	c.auth, err = auth.New(ctx, auth.Options{Store: c.mail, Rings: c.rings, Domain: cfg.Domain, Log: o.Log, Now: o.Now,
		Trusted: func(a netip.Addr) bool { return c.policy.Trusted(a, false) }})
	if err != nil {
		return err
	}
	c.provision = provision.New(provision.Options{
		Store: c.mail, Auth: c.auth, Rings: c.rings, Advert: c.advert, Spool: c.spool, Domain: cfg.Domain,
		Retention: cfg.Retention.Std(), ExpireIdle: cfg.AccountIdle.Std(), MXEnabled: ports.MX != 0,
		Allow: func(ctx context.Context, peer netip.Addr, viaProxy bool) error {
			return c.policy.Create(ctx, peer, viaProxy)
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
		Retention: cfg.Retention.Std(), Now: o.Now,
	})
	return nil
}
