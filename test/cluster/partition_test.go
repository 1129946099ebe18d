package cluster_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/eidermail/eider/test/cluster/rig"
	"github.com/eidermail/eider/test/harness"
)

// inside is set in the process that runs in a network namespace of its own.
const inside = "EIDER_TEST_NETNS"

// TestPartition cuts one node after the other off from the store, from Redis
// and from its peers. The cluster's machines have networks of their own for it.
func TestPartition(t *testing.T) {
	if os.Getenv(inside) == "" {
		again(t)
		return
	}
	network, err := rig.NewNetwork()
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, rig.Options{Network: network})
	d := newDrill(t, c, 400*time.Millisecond)
	d.pace = senders
	one, two, three := c.Machines[0], c.Machines[1], c.Machines[2]
	// The longest budget is waited for once, and the others are without Redis meanwhile.
	d.fault("node 2 without store", func() error {
		return d.withoutStore(two, func() error { return errors.Join(d.withoutRedis(one), d.withoutRedis(three)) })
	}, nil)
	d.fault("node 1 without store", func() error { return d.withoutStore(one, nil) }, nil)
	d.fault("node 3 without store", func() error { return d.withoutStore(three, nil) }, nil)
	d.fault("node 2 without Redis", func() error { return d.withoutRedis(two) }, nil)
	for _, m := range c.Machines {
		d.fault(fmt.Sprintf("machine %d without peers", m.N), func() error { return d.withoutPeers(network, m) }, nil)
	}
	d.finish()
}

// again runs the test in a process with namespaces of its own.
func again(t *testing.T) {
	t.Helper()
	cmd, err := rig.InOwnNamespace("-test.run=^TestPartition$", "-test.v", "-test.timeout=20m")
	if errors.Is(err, rig.ErrNoRight) && !harness.CI() {
		harness.NoRight(t, "%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), inside+"=1", "EIDER_BINARY="+harness.Binary(t))
	out, err := cmd.CombinedOutput()
	t.Logf("\n%s", out)
	if err != nil {
		t.Errorf("in a namespace of its own: %v", err)
	}
	if strings.Contains(string(out), "--- SKIP") {
		harness.Missing(t, "parts of a cluster (see above)")
	}
}

// until waits for something to come true and returns how long it took. On a
// machine that others use too it may take longer.
func (d *drill) until(what string, within time.Duration, ok func() bool) (time.Duration, error) {
	began := d.ledger()
	for !ok() {
		if time.Since(began.at) > within && d.over(began, within) {
			return 0, fmt.Errorf("%s: not within %v", what, within)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(began.at), nil
}

// others are the machines besides m.
func (d *drill) others(m *rig.Machine) []*rig.Machine {
	var out []*rig.Machine
	for _, o := range d.c.Machines {
		if o != m {
			out = append(out, o)
		}
	}
	return out
}

// withoutStore: the node's HAProxy neighbours take it out soon, and it comes back.
// With meanwhile, what it does itself ends in time with an answer that says "later".
func (d *drill) withoutStore(m *rig.Machine, meanwhile func() error) error {
	b := d.l.boxes[0]
	s, err := openSMTP(d.c, m, b)
	if err != nil {
		return err
	}
	defer s.c.Close()
	c, err := openIMAP(d.c, m, b)
	if err != nil {
		return err
	}
	defer c.Close()
	began := d.ledger()
	if err := m.CutStore(); err != nil {
		return err
	}
	joined := false
	defer func() {
		if !joined {
			_ = m.Join() // the test has failed
		}
	}()
	answers := make(chan error, 2)
	asked := 0
	if meanwhile != nil { // the whole budget of each protocol is spent
		asked = 2
		go func() { answers <- d.refusedSMTP(s, b) }()
		go func() { answers <- d.refusedIMAP(c) }()
		if err := d.refusedHTTP(m); err != nil {
			return err
		}
	}
	out, err := d.until("unready", 40*time.Second, func() bool { code, _, _ := m.Readyz(); return code == 503 })
	if err != nil {
		return err
	}
	for _, o := range d.others(m) {
		if _, err := d.until("taken out by HAProxy", 10*time.Second, func() bool { return !o.Passes(rig.Nodes) }); err != nil {
			return err
		}
	}
	if meanwhile != nil {
		if err := meanwhile(); err != nil {
			return err
		}
	}
	for range asked {
		if err := <-answers; err != nil {
			return err
		}
	}
	if err := m.Join(); err != nil {
		return err
	}
	joined = true
	back, err := d.until("ready again", 30*time.Second, m.Ready)
	d.t.Logf("node %d without store: unready after %.1f s, ready again %.1f s after it came back", m.N, out.Seconds(), back.Seconds())
	if err != nil {
		return err
	}
	if out > time.Duration(float64(15*time.Second)*d.rivalry(began)) {
		d.t.Errorf("node %d alone without store was ready for %v", m.N, out)
	}
	return d.c.AwaitReady(20 * time.Second)
}

// withoutRedis: mail flows, and the node says that it is worse off but ready.
func (d *drill) withoutRedis(m *rig.Machine) error {
	if err := m.CutRedis(); err != nil {
		return err
	}
	said := ""
	_, err := d.until("degraded", 30*time.Second, func() bool {
		code, text, _ := m.Readyz() // it is asked again
		said = fmt.Sprint(code, " ", text)
		return code == http.StatusOK && text != "ok"
	})
	if err == nil {
		var s *session
		if s, err = openSMTP(d.c, m, d.l.boxes[1]); err == nil {
			_, _, err = s.attempt(d.l.boxes[1], "without redis")
			s.c.Close()
		}
	}
	d.t.Logf("node %d without Redis says: %s", m.N, said)
	return errors.Join(err, m.Join())
}

// withoutPeers: the machine is alone. Whatever it held, the others go on without
// it, and it comes back by itself.
func (d *drill) withoutPeers(n *rig.Network, m *rig.Machine) error {
	held := ""
	if d.c.Primary() == m {
		held = ", which held the primary"
	}
	if err := n.Peers(m.N, true); err != nil {
		return err
	}
	for _, o := range d.others(m) {
		if _, err := d.until("taken out by HAProxy", 20*time.Second, func() bool { return !o.Passes(rig.Nodes) }); err != nil {
			return errors.Join(err, n.Peers(m.N, false))
		}
	}
	d.flows("without machine " + fmt.Sprint(m.N))
	if err := n.Peers(m.N, false); err != nil {
		return err
	}
	back, err := d.until("ready again", 60*time.Second, m.Ready)
	d.t.Logf("machine %d%s: ready again %.1f s after it came back", m.N, held, back.Seconds())
	return errors.Join(err, d.whole())
}

// openSMTP logs in on the machine's own eider.
func openSMTP(c *rig.Cluster, m *rig.Machine, b box) (*session, error) {
	conn, err := m.Dial(context.Background(), "smtps")
	if err != nil {
		return nil, err
	}
	return greet(conn, c.TLS(), "smtps", b, func() {})
}

// openIMAP logs in on the machine's own eider.
func openIMAP(c *rig.Cluster, m *rig.Machine, b box) (*imapclient.Client, error) {
	conn, err := m.Dial(context.Background(), "imaps")
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute)) // a new connection takes it
	client := imapclient.New(tls.Client(conn, c.TLS()), nil)
	if err := client.Login(b.User, b.Pass).Wait(); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// over tells whether something that began then has taken longer than its budget
// and some grace, on a machine that others use too.
func (d *drill) over(began ledger, limit time.Duration) bool {
	return time.Since(began.at) > time.Duration(float64(limit)*d.rivalry(began))
}

// refusedSMTP: 451 (or another "later") after at most the budget of a message.
func (d *drill) refusedSMTP(s *session, b box) error {
	began := d.ledger()
	_, _, err := s.attempt(b, "to a node without store")
	if took := time.Since(began.at); err == nil || !strings.HasPrefix(err.Error(), "4") || d.over(began, 65*time.Second) {
		return fmt.Errorf("SMTP without store: %w after %v", err, took.Round(time.Second))
	}
	return nil
}

// refusedIMAP: NO after at most the budget of a command.
func (d *drill) refusedIMAP(c *imapclient.Client) error {
	began := d.ledger()
	_, err := c.Select("INBOX", nil).Wait()
	if took := time.Since(began.at); err == nil || !strings.Contains(err.Error(), "UNAVAILABLE") || d.over(began, 30*time.Second) {
		return fmt.Errorf("IMAP without store: %w after %v", err, took.Round(time.Second))
	}
	return nil
}

// refusedHTTP: an error that says so after a few seconds.
func (d *drill) refusedHTTP(m *rig.Machine) error {
	began := d.ledger()
	_, err := register(context.Background(), web(d.c, m.Dial))
	if took := time.Since(began.at); err == nil || !strings.Contains(err.Error(), "away or busy") || d.over(began, 8*time.Second) {
		return fmt.Errorf("POST /user without store: %w after %v", err, took.Round(time.Second))
	}
	return nil
}
