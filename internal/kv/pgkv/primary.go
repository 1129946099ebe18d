package pgkv

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// config is what the URI says, taken apart by server.
type config struct {
	servers  []*pgxpool.Config // one each, with the fallbacks of that server only
	schema   string
	maxConns int
}

// Pace: how long sent data may be unacknowledged, and a silent server unreachable,
// before a connection is given up: a COMMIT has no deadline of its own.
const deafTime = 10 * time.Second

// dialer makes connections that end when the way to their server does, though
// nobody says so: a firewall that forgot them, a machine that is gone.
var dialer = &net.Dialer{Control: giveUpAfter(deafTime),
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: deafTime / 2, Interval: deafTime / 5, Count: 3}}

// Pace: time to connect, where the URI does not name one (connect_timeout).
const connectTimeout = 2 * time.Second

// sessionParams hold on every connection. The planner's choice is fixed, as all
// statements are look-ups by key, however small the table was when it was analysed.
var sessionParams = map[string]string{
	"application_name":                    "eider",
	"client_min_messages":                 "warning", // one tells that a wait for the standby was cancelled
	"default_transaction_isolation":       "read committed",
	"enable_hashjoin":                     "off",
	"enable_mergejoin":                    "off",
	"enable_seqscan":                      "off",
	"idle_in_transaction_session_timeout": "5s",
	"idle_session_timeout":                "0",
	"jit":                                 "off",
	"lock_timeout":                        "5s",
	"plan_cache_mode":                     "force_generic_plan",
	"statement_timeout":                   "0", // it would cancel a COMMIT that waits for its standby
	"synchronous_commit":                  "on",
}

// parse reads the URI. Its errors never show the password.
func parse(uri string) (*config, error) {
	all, err := pgxpool.ParseConfig(uri)
	if err != nil {
		return nil, fmt.Errorf("the address of the database cannot be read: %w", redacted(uri, err))
	}
	all.MinConns, all.MinIdleConns = 0, 1
	all.MaxConnIdleTime = time.Minute
	all.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	c := &config{schema: "eider", maxConns: DefaultMaxConns}
	if n, ok := poolSize(uri); ok {
		c.maxConns = n
	}
	all.MaxConns = int32(c.maxConns)
	cc := all.ConnConfig
	if p := cc.RuntimeParams["search_path"]; p != "" {
		c.schema = p
	}
	for k, v := range sessionParams {
		cc.RuntimeParams[k] = v
	}
	cc.RuntimeParams["search_path"] = pgx.Identifier{c.schema}.Sanitize()
	cc.ValidateConnect = nil // the topology chooses
	if cc.ConnectTimeout <= 0 || cc.ConnectTimeout > time.Minute {
		cc.ConnectTimeout = connectTimeout
	}
	cc.OnNotice = noteWarning
	cc.DialFunc = dialer.DialContext
	c.servers = split(all)
	return c, nil
}

// split makes one configuration per server; the ways to reach the same one
// (with TLS, without) stay together.
func split(all *pgxpool.Config) []*pgxpool.Config {
	cc := all.ConnConfig
	ways := append([]*pgconn.FallbackConfig{{Host: cc.Host, Port: cc.Port, TLSConfig: cc.TLSConfig}}, cc.Fallbacks...)
	var out []*pgxpool.Config
	byName := map[string]*pgxpool.Config{}
	for _, w := range ways {
		name := address(w.Host, w.Port)
		if c := byName[name]; c != nil {
			c.ConnConfig.Fallbacks = append(c.ConnConfig.Fallbacks, w)
			continue
		}
		c := all.Copy()
		c.ConnConfig.Host, c.ConnConfig.Port, c.ConnConfig.TLSConfig = w.Host, w.Port, w.TLSConfig
		c.ConnConfig.Fallbacks = nil
		byName[name] = c
		out = append(out, c)
	}
	return out
}

func address(host string, port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }

// warned is the mark that noteWarning leaves on a connection.
const warned = "eider.warned"

// noteWarning remembers a warning: after a COMMIT it means that the wait for the
// standby was cancelled and the commit is not safe (its text is translated, and
// it has no code of its own).
func noteWarning(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" {
		c.CustomData()[warned] = true
	}
}

// takeWarning tells whether there was a warning, and forgets it.
func takeWarning(c *pgconn.PgConn) bool {
	_, yes := c.CustomData()[warned]
	delete(c.CustomData(), warned)
	return yes
}

// primary is a server that takes writes, in one of its timelines, with the
// connections to it. It is left, never mended: another timeline is another primary.
type primary struct {
	name     string
	timeline uint64
	epoch    uint64
	pool     *pgxpool.Pool

	mu   sync.Mutex
	cut  bool
	open map[net.Conn]struct{}
}

// newPrimary starts a pool of connections that all prove to be of this timeline.
func newPrimary(server *pgxpool.Config, name string, timeline uint64) (*primary, error) {
	p := &primary{name: name, timeline: timeline, open: map[net.Conn]struct{}{}}
	cfg := server.Copy()
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if p.isCut() {
			return nil, net.ErrClosed
		}
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return p.track(c)
	}
	cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		s, err := ask(ctx, c)
		if err == nil && (!s.primary || s.timeline != timeline) {
			err = fmt.Errorf("%w: %s is no longer the primary of timeline %d", errMoved, name, timeline)
		}
		return err
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, fmt.Errorf("pgkv: %s: %w", name, err)
	}
	p.pool = pool
	return p, nil
}

func (p *primary) isCut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut
}

// socket is a connection that can be cut from outside.
type socket struct {
	net.Conn
	p *primary
}

func (s *socket) Close() error {
	s.p.mu.Lock()
	delete(s.p.open, s.Conn)
	s.p.mu.Unlock()
	return s.Conn.Close()
}

func (p *primary) track(c net.Conn) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		_ = c.Close() // nothing was sent on it
		return nil, net.ErrClosed
	}
	p.open[c] = struct{}{}
	return &socket{c, p}, nil
}

// abandon cuts all connections at once, whatever waits on them: on a server that
// is frozen or gone nothing else ends a COMMIT, which has no deadline.
func (p *primary) abandon() {
	p.mu.Lock()
	p.cut = true
	for c := range p.open {
		_ = c.Close() // who uses it gets the error
	}
	p.mu.Unlock()
	go p.pool.Close() // it waits for those that are lent
}
