// Package cluster_test breaks a whole cluster, part by part and machine by
// machine, while mail flows through it, and counts what its clients notice.
package cluster_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/cluster/rig"
	"github.com/eidermail/eider/test/harness"
	"github.com/emersion/go-imap/v2"
)

func start(t testing.TB, o rig.Options) *rig.Cluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "eider-cluster-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	o.Dir, o.HAProxy = dir, filepath.Join(harness.Root(t), "deploy/haproxy/haproxy.cfg")
	if o.Binary == "" {
		o.Binary = harness.Binary(t)
	}
	began := time.Now()
	c, err := rig.Start(o)
	if rig.Missing(err) {
		harness.Missing(t, "%v", err)
	}
	t.Cleanup(func() {
		if c != nil {
			c.Close()
		}
		if !t.Failed() || os.Getenv("EIDER_KEEP") == "" {
			os.RemoveAll(dir)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the cluster serves after %v", time.Since(began).Round(100*time.Millisecond))
	return c
}

// drill runs faults one after the other under one load.
type drill struct {
	t    *testing.T
	c    *rig.Cluster
	l    *load
	rows []row
	pace int // messages that must flow after each fault
	few  int // fewer acknowledged in the end than this prove nothing
}

// newDrill starts the load and waits until it flows.
func newDrill(t *testing.T, c *rig.Cluster, pause time.Duration) *drill {
	t.Helper()
	d := &drill{t: t, c: c, l: startLoad(t, c, pause), pace: 2 * senders, few: 1000}
	d.flows("start")
	return d
}

// fault resets the counters, breaks something, lets mend make it whole again,
// and waits until the load flows.
func (d *drill) fault(name string, breaks func() error, mend func() error) *row {
	d.t.Helper()
	d.l.phase.Store(int64(len(d.rows)))
	for p := range d.l.meters {
		d.l.meters[p].reset()
	}
	d.l.dropped.Store(0)
	began := d.ledger()
	if err := breaks(); err != nil {
		d.t.Fatalf("%s: %v", name, err)
	}
	d.flows(name)
	if mend != nil {
		if err := mend(); err != nil {
			d.t.Fatalf("%s, mending: %v", name, err)
		}
		d.flows(name)
	}
	r := row{name: name, idleDropped: d.l.dropped.Load(), took: time.Since(began.at)}
	for p := range d.l.meters {
		var errs []string
		r.by[p], errs = d.l.meters[p].seen()
		r.errs = append(r.errs, errs...)
	}
	r.rivalry = d.rivalry(began)
	d.rows = append(d.rows, r)
	d.t.Log(r.String())
	return &d.rows[len(d.rows)-1]
}

// flows waits until each protocol has gone on for a while.
func (d *drill) flows(name string) {
	d.t.Helper()
	for p, n := range [protocols]int{d.pace, readers, poppers, 2} {
		m := &d.l.meters[p]
		from := m.goodSoFar()
		for end := time.Now().Add(2 * time.Minute); m.goodSoFar() < from+n; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				d.t.Fatalf("%s: %s does not flow again: %v\n%s", name, names[p], m.errs, d.c.Logs(30))
			}
		}
	}
}

// whole waits until nothing is left of a fault.
func (d *drill) whole() error { return d.c.AwaitWhole(3 * time.Minute) }

// errNobody: no machine has the role at the moment.
var errNobody = errors.New("nobody to break")

func (d *drill) kill(part string, who func() *rig.Machine) (func() error, func() error) {
	var m *rig.Machine
	return func() error {
			if m = who(); m == nil {
				return errNobody
			}
			m.Proc(part).Kill()
			return nil
		}, func() error {
			return errors.Join(m.Proc(part).Start(), d.whole())
		}
}

func (d *drill) machine(n int) func() *rig.Machine {
	return func() *rig.Machine { return d.c.Machines[n-1] }
}

// killMachine ends a whole machine; wiped, it comes back with empty disks.
func (d *drill) killMachine(who func() *rig.Machine, wiped bool) (func() error, func() error) {
	var m *rig.Machine
	return func() error {
			if m = who(); m == nil {
				return errNobody
			}
			m.Kill()
			return nil
		}, func() error {
			if wiped {
				if err := m.Wipe(); err != nil {
					return err
				}
			}
			return errors.Join(m.Start(), d.whole())
		}
}

// freeze stops a part's processes for a while.
func (d *drill) freeze(part string, who func() *rig.Machine, long time.Duration) (func() error, func() error) {
	var m *rig.Machine
	return func() error {
		if m = who(); m == nil {
			return errNobody
		}
		m.Proc(part).Freeze()
		time.Sleep(long)
		m.Proc(part).Thaw()
		return nil
	}, d.whole
}

// gather moves every primary to one machine.
func (d *drill) gather() *rig.Machine {
	m := d.c.Primary()
	if m == nil {
		return nil
	}
	for range 30 {
		r := d.c.RedisPrimary()
		if r == m {
			return m
		}
		if r != nil {
			_ = r.FailoverRedis(m) // it is asked again
		}
		time.Sleep(500 * time.Millisecond)
	}
	return m
}

// midData kills the node that HAProxy chose for a message, in the middle of it,
// and sends the message again.
func (d *drill) midData() (func() error, func() error) {
	var node *rig.Machine
	return func() error {
			b := d.l.boxes[0]
			s, err := d.l.session(0, "smtps", b)
			if err != nil {
				return err
			}
			defer s.c.Close()
			for _, step := range []struct {
				want int
				cmd  string
			}{{250, "MAIL FROM:<" + b.User + ">"}, {250, "RCPT TO:<" + b.User + ">"}, {354, "DATA"}} {
				if _, err := s.cmd(step.want, "%s", step.cmd); err != nil {
					return err
				}
			}
			if err := s.t.PrintfLine("Subject: half\r\n\r\n%s", strings.Repeat("half a message ", 20000)); err != nil {
				return err
			}
			if node, err = d.c.Machines[0].NodeOf(s.c.LocalAddr().String()); err != nil {
				return err
			}
			began := d.ledger()
			node.Proc("eider").Kill()
			if _, err := s.cmd(250, "\r\n."); err == nil {
				return errors.New("half a message was acknowledged by a dead node")
			}
			if took := time.Since(began.at); float64(took) > float64(time.Second)*d.rivalry(began) {
				d.t.Errorf("the client learned after %v that its node died", took)
			}
			return nil
		}, func() error {
			return errors.Join(node.Proc("eider").Start(), d.whole())
		}
}

// rolling restarts one node after the other.
func (d *drill) rolling() error {
	for _, m := range d.c.Machines {
		if err := m.Proc("eider").Stop(30 * time.Second); err != nil {
			return err
		}
		if err := m.Proc("eider").Start(); err != nil {
			return err
		}
		if err := d.c.AwaitReady(30 * time.Second); err != nil {
			return err
		}
		time.Sleep(time.Second) // the other HAProxies see it too
	}
	return nil
}

func (d *drill) allRedis(do func(*rig.Proc) error) error {
	var err error
	for _, m := range d.c.Machines {
		err = errors.Join(err, do(m.Proc("redis")), do(m.Proc("sentinel")))
	}
	return err
}

// TestFaults is the list of what may die.
func TestFaults(t *testing.T) {
	c := start(t, rig.Options{Limited: true})
	d := newDrill(t, c, 250*time.Millisecond)
	do := func(name string, f func() (func() error, func() error)) *row {
		breaks, mend := f()
		return d.fault(name, breaks, mend)
	}
	pair := func(part string, who func() *rig.Machine) func() (func() error, func() error) {
		return func() (func() error, func() error) { return d.kill(part, who) }
	}
	quiet := d.fault("nothing", func() error { time.Sleep(2 * time.Second); return nil }, nil)
	mustBeQuiet(t, quiet)

	lostNode(t, do("eider killed", pair("eider", d.machine(1))), quiet)
	do("eider frozen 5 s", func() (func() error, func() error) { return d.freeze("eider", d.machine(2), 5*time.Second) })
	lostNode(t, do("node killed mid-DATA", d.midData), quiet)
	do("HAProxy killed", pair("haproxy", d.machine(3)))
	away(t, do("store primary killed", pair("postgres", c.Primary)), 7*time.Second)
	noDrops(t, do("store primary frozen 12 s", func() (func() error, func() error) {
		return d.freeze("postgres", c.Primary, 12*time.Second)
	}))
	noDrops(t, do("store standby killed", pair("postgres", c.Standby)))
	invisible(t, do("Redis primary killed", pair("redis", c.RedisPrimary)))
	invisible(t, d.fault("all of Redis killed",
		func() error { return d.allRedis(func(p *rig.Proc) error { p.Kill(); return nil }) },
		func() error { return d.allRedis((*rig.Proc).Start) }))
	invisible(t, do("one etcd killed", pair("etcd", d.machine(2))))
	lostNode(t, do("machine killed", func() (func() error, func() error) { return d.killMachine(d.spare, false) }), quiet)
	do("machine with all primaries wiped", func() (func() error, func() error) { return d.killMachine(d.gather, true) })
	smooth(t, d.fault("rolling restart", d.rolling, nil))
	chance := newChance(d)
	for n := range fewKills {
		chance.one(n + 1)
	}
	memory(t, c)
	d.finish()
}

// spare is a machine that holds neither the database's primary nor its
// synchronous standby: its loss is that of a node and nothing else.
func (d *drill) spare() *rig.Machine {
	for _, m := range d.c.Machines {
		if m != d.c.Primary() && m != d.c.Standby() {
			return m
		}
	}
	return nil
}

func mustBeQuiet(t *testing.T, r *row) {
	t.Helper()
	for _, s := range r.by {
		if s.failed+s.reconnected > 0 || r.idleDropped > 0 {
			t.Errorf("%s: %s", r.name, r)
		}
	}
}

// What a lost node may cost; a test fails above twice that.
const (
	expectedWait   = 2 * time.Second // of a new connection
	expectedErrors = time.Second     // how long they last
)

// lostNode: a new connection waits and errors last no longer than is expected of
// a lost node, or at most twice that; more only by what a connection takes on
// this machine when nothing is lost.
func lostNode(t *testing.T, r, quiet *row) {
	t.Helper()
	for p, s := range r.by {
		busy := quiet.by[p].wait
		if s.wait > r.stretched(2*expectedWait+busy) {
			t.Errorf("%s: a new %s connection waited %v (%v when nothing is lost)", r.name, names[p], s.wait, busy)
		}
		if s.errors > r.stretched(2*expectedErrors+busy) {
			t.Errorf("%s: %s errors lasted %v: %v", r.name, names[p], s.errors, r.errs)
		}
		if s.wait > expectedWait+busy || s.errors > expectedErrors+busy {
			t.Logf("%s: longer than expected: a new %s connection waited %v, errors lasted %v (rivals %.1f)", r.name,
				names[p], s.wait, s.errors, r.rivalry)
		}
	}
}

// away: the store is back in less than twice the time that a failover should
// take, and no IMAP session was dropped for it.
func away(t *testing.T, r *row, expected time.Duration) {
	t.Helper()
	noDrops(t, r)
	for p, s := range r.by {
		if max(s.gap, s.errors) > r.stretched(2*expected) {
			t.Errorf("%s: %s stood still for %v, with errors for %v; expected %v, at most twice that (rivals %.1f)", r.name,
				names[p], s.gap, s.errors, expected, r.rivalry)
		}
	}
	t.Logf("%s: no send succeeded for %.1f s, expected %v", r.name, r.by[pSMTP].gap.Seconds(), expected)
}

// smooth: no send failed, not one.
func smooth(t *testing.T, r *row) {
	t.Helper()
	if n := r.by[pSMTP].failed; n > 0 {
		t.Errorf("%s failed %d sends: %v", r.name, n, r.errs)
	}
}

func noDrops(t *testing.T, r *row) {
	t.Helper()
	if r.idleDropped > 0 {
		t.Errorf("%s: %d IMAP sessions were dropped", r.name, r.idleDropped)
	}
}

// invisible: mail, reading and waiting go on as if nothing had happened.
func invisible(t *testing.T, r *row) {
	t.Helper()
	smtp, imap := r.by[pSMTP], r.by[pIMAP]
	if smtp.failed > 0 || imap.failed > 0 || r.idleDropped > 0 || smtp.gap > r.stretched(3*time.Second) {
		t.Errorf("%s was noticed: %s", r.name, r)
	}
}

// finish ends the load and checks that all is there, once and in order.
func (d *drill) finish() {
	d.t.Helper()
	began := time.Now()
	stage := func(what string) { d.t.Logf("%s after %.1f s", what, time.Since(began).Seconds()) }
	d.settle()
	stage("every listener has seen every message")
	close(d.l.stop)
	d.l.all.Wait()
	stage("the load has ended")
	for a := range accounts {
		if err := d.count(a); err != nil {
			d.t.Errorf("account %d: %v", a, err)
		}
	}
	d.newcomers()
	stage("all was counted")
	d.table()
	m := d.c.Machines[0]
	out, err := harness.TryRun(10*time.Minute, harness.Binary(d.t), "fsck", "--data", m.Data())
	if err != nil {
		d.t.Errorf("fsck: %v\n%s", err, out)
	}
	stage("fsck")
	d.t.Logf("fsck: %s", strings.TrimSpace(out))
}

// settle waits until every listener has seen every message.
func (d *drill) settle() {
	d.t.Helper()
	for end := time.Now().Add(45 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		late := ""
		for _, w := range d.l.watchers {
			d.l.mu.Lock()
			idle, stream := w.missing(d.l.acked[w.account])
			d.l.mu.Unlock()
			if idle+stream > 0 {
				late += fmt.Sprintf("node %d, account %d: IDLE misses %d, events miss %d; ", w.m.N, w.account, idle, stream)
			}
		}
		if late == "" {
			break
		}
		if time.Now().After(end) {
			d.t.Errorf("listeners did not see every message: %s", late)
			break
		}
		if end.Sub(time.Now()) < 40*time.Second {
			d.l.pause = time.Minute // no more news
		}
	}
	for _, w := range d.l.watchers {
		if len(w.faults) > 0 {
			d.t.Errorf("node %d, account %d: %v", w.m.N, w.account, w.faults)
		}
	}
}

// inbox counts an account's messages by subject; its UIDs must be in order.
func (d *drill) inbox(a int) (map[string]int, error) {
	c, err := openIMAP(d.c, d.c.Machines[a%rig.Nodes], d.l.boxes[a])
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		return nil, err
	}
	set := imap.UIDSet{}
	set.AddRange(1, 0)
	all, err := collect(c.Fetch(set, subjectItems))
	if err != nil {
		return nil, err
	}
	found := map[string]int{}
	last := uint32(0)
	for _, m := range all {
		if m.uid <= last {
			return nil, fmt.Errorf("UID %d follows %d", m.uid, last)
		}
		last = m.uid
		found[m.subject]++
	}
	return found, c.Logout().Wait()
}

// count compares an account with what was acknowledged.
func (d *drill) count(a int) error {
	found, err := d.inbox(a)
	if err != nil {
		return err
	}
	for id, s := range d.l.acked[a] {
		r := &d.rows[min(s.phase, len(d.rows)-1)]
		r.acked++
		if s.unsure {
			r.unsure++
		}
		switch n := found[id]; {
		case n == 0:
			r.lost++
		case n > 1 && s.unsure:
			r.repeated++
		case n > 1:
			r.twice++
		}
	}
	return nil
}

// newcomers logs in to some of the accounts that were made meanwhile.
func (d *drill) newcomers() {
	d.t.Helper()
	d.t.Logf("%d accounts were made meanwhile", len(d.l.made))
	for i := 0; i < len(d.l.made); i += 1 + len(d.l.made)/50 {
		c, err := d.l.openIMAP(i, "imaps", d.l.made[i])
		if err != nil {
			d.t.Errorf("an account that was made cannot be used: %v", err)
			continue
		}
		c.Close()
	}
}

// table prints what each fault did, and fails on any loss.
func (d *drill) table() {
	d.t.Helper()
	var b strings.Builder
	b.WriteString(header())
	sum := row{}
	for _, r := range d.rows {
		b.WriteString(r.line())
		sum.acked += r.acked
		sum.lost += r.lost
		sum.twice += r.twice
		sum.repeated += r.repeated
	}
	d.t.Logf("what the clients noticed (repeated: sent again after an answer of unknown outcome, of those so sent)\n%s", b.String())
	if sum.lost > 0 || sum.twice > 0 || sum.acked < d.few {
		d.t.Errorf("%d acknowledged, %d lost, %d twice", sum.acked, sum.lost, sum.twice)
	}
}
