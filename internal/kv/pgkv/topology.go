package pgkv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eidermail/eider/internal/kv"
)

// Time between two looks at a server, while all is well and while it is not.
const (
	calmLook  = time.Second
	alertLook = 200 * time.Millisecond
)

// Pace: time for a server to answer who it is.
const askWithin = time.Second

// Pace: time for a new primary to prove itself and to have its tables put in
// order. One that freezes meanwhile must not keep its watchers from the next.
const prepareWithin = 10 * time.Second

// Pace: looks in a row that may fail before the connections to a primary are cut.
const maxMisses = 3

// sight is what one look at a server found.
type sight struct {
	primary  bool
	readOnly bool
	timeline uint64
	system   string
	standbys string
	fsync    string
	err      error
}

// watched is one server that is looked at all the time.
type watched struct {
	name   string
	cfg    *pgxpool.Config
	kick   chan struct{}
	last   *sight
	misses int
}

// topology knows which of the servers is the primary: the one with the highest
// timeline among those that say they are, and never one of a timeline lower
// than was seen before, as a primary that was frozen and deposed comes back with.
type topology struct {
	cfg   *config
	log   *slog.Logger
	all   []*watched
	tasks sync.WaitGroup

	mu      sync.Mutex
	now     *primary
	lowest  uint64        // timelines below are of the past
	bare    bool          // commits wait for no standby, though there are other servers
	changed chan struct{} // closed when now changes
	ended   bool
	fatal   error // no waiting helps
}

func newTopology(cfg *config, log *slog.Logger) *topology {
	t := &topology{cfg: cfg, log: log, changed: make(chan struct{})}
	for _, s := range cfg.servers {
		t.all = append(t.all, &watched{name: address(s.ConnConfig.Host, s.ConnConfig.Port), cfg: s,
			kick: make(chan struct{}, 1)})
	}
	return t
}

// run looks at the servers until ctx ends.
func (t *topology) run(ctx context.Context) {
	for _, w := range t.all {
		t.tasks.Go(func() { t.watch(ctx, w) })
	}
}

// look makes all watchers look at once, because a call has failed.
func (t *topology) look() {
	for _, w := range t.all {
		select {
		case w.kick <- struct{}{}:
		default:
		}
	}
}

func (t *topology) watch(ctx context.Context, w *watched) {
	var c *pgx.Conn
	for ctx.Err() == nil {
		var s sight
		c, s = w.look(ctx, c)
		t.report(ctx, w, s)
		wait := calmLook
		if s.err != nil || t.name() == "" {
			wait = alertLook
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-w.kick:
			// Not at once again: a crowd of failing calls kicks all the time.
			sleep(ctx, alertLook/4)
		case <-timer.C:
		}
		timer.Stop()
	}
	if c != nil {
		closeSoon(c)
	}
}

// look asks the server over c, or over a new connection.
func (w *watched) look(ctx context.Context, c *pgx.Conn) (*pgx.Conn, sight) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	if c == nil || c.IsClosed() {
		var err error
		if c, err = pgx.ConnectConfig(ctx, w.cfg.ConnConfig); err != nil {
			return nil, sight{err: err}
		}
	}
	s, err := ask(ctx, c)
	if err != nil {
		closeSoon(c)
		return nil, sight{err: err}
	}
	return c, s
}

// closeSoon closes a connection that may hang.
func closeSoon(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	go func() {
		defer cancel()
		_ = c.Close(ctx) // it is given up
	}()
}

const sqlAsk = `select not pg_is_in_recovery(),
	case when pg_is_in_recovery() then '' else substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end,
	current_setting('transaction_read_only') = 'on',
	(select system_identifier::text from pg_control_system()),
	current_setting('synchronous_standby_names'), current_setting('fsync')`

// ask finds out who a server is.
func ask(ctx context.Context, c *pgx.Conn) (s sight, err error) {
	var timeline string
	err = c.QueryRow(ctx, sqlAsk).Scan(&s.primary, &timeline, &s.readOnly, &s.system, &s.standbys, &s.fsync)
	if err == nil && timeline != "" {
		s.timeline, err = strconv.ParseUint(timeline, 16, 64)
	}
	return s, err
}

// report takes in what was seen and changes the primary if need be.
func (t *topology) report(ctx context.Context, w *watched, s sight) {
	if ctx.Err() != nil {
		return
	}
	t.mu.Lock()
	w.last = &s
	w.misses++
	if s.err == nil {
		w.misses = 0
	}
	if p := t.now; p != nil && p.name == w.name {
		t.doubt(p, w)
		if t.now != nil && s.err == nil {
			t.note(w.name, s.standbys)
		}
	}
	best := t.best()
	if best == nil || t.now != nil && best.last.timeline <= t.now.timeline {
		t.mu.Unlock()
		return
	}
	found := *best.last
	t.mu.Unlock()
	t.welcome(ctx, best, found)
}

// doubt leaves the present primary if its server says or shows that it is none.
func (t *topology) doubt(p *primary, w *watched) {
	switch {
	case w.last.err == nil && w.last.primary && w.last.timeline == p.timeline:
		return
	case w.last.err != nil && errors.Is(w.last.err, context.DeadlineExceeded) && w.misses < maxMisses:
		return // busy, perhaps
	}
	t.log.Warn("store: the primary is lost", "server", p.name, "timeline", p.timeline, "saw", w.last.text())
	t.set(nil)
	go p.abandon()
}

// best is the server with the highest timeline of those that take writes.
func (t *topology) best() *watched {
	var best *watched
	for _, w := range t.all {
		if w.last == nil || w.last.err != nil || !w.last.primary || w.last.readOnly || w.last.timeline < t.lowest {
			continue
		}
		if best == nil || w.last.timeline > best.last.timeline {
			best = w
		}
	}
	return best
}

// welcome makes a new primary, once its tables are in order.
func (t *topology) welcome(ctx context.Context, w *watched, s sight) {
	p, err := newPrimary(w.cfg, w.name, s.timeline)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, prepareWithin)
		err = t.prepare(ctx, p, s)
		cancel()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil || t.ended || t.now != nil && t.now.timeline >= s.timeline {
		if p != nil {
			go p.abandon()
		}
		t.failed(w, err)
		return
	}
	t.note(w.name, s.standbys)
	if s.fsync != "on" {
		t.log.Warn("store: fsync is off: mail that was accepted can be lost in a crash", "server", w.name)
	}
	t.log.Info("store: primary", "server", w.name, "timeline", s.timeline, "epoch", p.epoch)
	if t.now != nil {
		go t.now.abandon()
	}
	t.lowest = s.timeline
	t.set(p)
}

// note says when the commits of the primary cease to wait for a standby, as
// Patroni has it without synchronous_mode_strict, and when they do again.
func (t *topology) note(server, standbys string) {
	bare := standbys == "" && len(t.all) > 1
	switch {
	case bare && !t.bare:
		t.log.Warn("store: the primary has no synchronous standby: mail that was accepted can be lost with it",
			"server", server)
	case !bare && t.bare:
		t.log.Info("store: commits wait for a standby", "server", server)
	}
	t.bare = bare
}

// alone tells whether commits wait for no standby, though there are other servers.
func (t *topology) alone() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bare
}

// failed keeps an error of preparing that no waiting can mend.
func (t *topology) failed(w *watched, err error) {
	if err == nil {
		return
	}
	w.last = &sight{err: err}
	if hopeless(err) && t.fatal == nil {
		t.fatal = err
		t.set(t.now) // wakes who waits
	}
}

// set changes the primary and wakes who waits.
func (t *topology) set(p *primary) {
	t.now = p
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *topology) name() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now == nil {
		return ""
	}
	return t.now.name
}

// await returns the primary, waiting for one as long as ctx lasts.
func (t *topology) await(ctx context.Context) (*primary, error) {
	for {
		t.mu.Lock()
		p, changed, ended := t.now, t.changed, t.ended
		t.mu.Unlock()
		switch {
		case ended:
			return nil, kv.ErrClosed
		case ctx.Err() != nil:
			return nil, unavailable(ctx, t.saw())
		case p != nil:
			return p, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// opened waits for the first primary, or for a reason why there will be none.
func (t *topology) opened(ctx context.Context) error {
	tick := time.NewTicker(alertLook)
	defer tick.Stop()
	for {
		t.mu.Lock()
		p, changed, err := t.now, t.changed, t.hopeless()
		t.mu.Unlock()
		if p != nil || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("no server takes writes: %w", t.saw())
		}
	}
}

// hopeless is an error that all servers give and no waiting mends.
func (t *topology) hopeless() error {
	if t.fatal != nil {
		return t.fatal
	}
	for _, w := range t.all {
		if w.last == nil || w.last.err == nil || !hopeless(w.last.err) {
			return nil
		}
	}
	return fmt.Errorf("no server lets us in: %w", t.tell())
}

// saw is what all servers said last, as an error.
func (t *topology) saw() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tell()
}

func (t *topology) tell() error {
	var b strings.Builder
	for i, w := range t.all {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(w.name + ": " + w.last.text())
		if w.last != nil && w.last.primary && w.last.timeline < t.lowest {
			fmt.Fprintf(&b, ", which is refused: timeline %d was the primary since, and what was "+
				"accepted on it is not here (a restart of eider takes what there is)", t.lowest)
		}
	}
	return errors.New(b.String())
}

func (s *sight) text() string {
	switch {
	case s == nil:
		return "not asked yet"
	case s.err != nil:
		return plain(s.err)
	case !s.primary:
		return "a standby"
	case s.readOnly:
		return "read-only (default_transaction_read_only is on)"
	}
	return fmt.Sprintf("primary of timeline %d", s.timeline)
}

// close ends everything; calls that wait get kv.ErrClosed.
func (t *topology) close() {
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return
	}
	t.ended = true
	p := t.now
	t.set(nil)
	t.mu.Unlock()
	if p != nil {
		p.abandon()
	}
}
