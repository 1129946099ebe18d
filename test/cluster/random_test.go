package cluster_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/cluster/rig"
)

// randomKills is how many TestRandomKills does in its long form; EIDER_KILLS names
// another number. TestFaults ends with a few.
const (
	randomKills = 500
	fewKills    = 2
)

// soak tells whether the long forms are asked for.
func soak() bool { return os.Getenv("EIDER_SOAK") != "" }

// graceForFinish is kept of the test's time for counting what is there.
const graceForFinish = 5 * time.Minute

// TestRandomKills breaks one thing after the other, each chosen by chance, and
// mends it. It has no short form of its own: see TestFaults.
func TestRandomKills(t *testing.T) {
	if !soak() {
		return
	}
	kills := int(number(t, "EIDER_KILLS", randomKills))
	c := start(t, rig.Options{})
	d := newDrill(t, c, 800*time.Millisecond)
	d.pace, d.few = senders, 20*kills
	chance := newChance(d)
	end, limited := t.Deadline()
	began := time.Now()
	for n := 1; n <= kills; n++ {
		if limited && time.Until(end) < graceForFinish {
			t.Errorf("time was up after %d of %d kills: give more (-timeout)", n-1, kills)
			break
		}
		chance.one(n)
		if n%100 == 0 {
			d.audit()
		}
	}
	t.Logf("%d kills in %v", len(d.rows), time.Since(began).Round(time.Second))
	d.finish()
	d.summary()
}

func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: %v", name, text, err)
	}
	return n
}

// chance chooses what to break.
type chance struct {
	d *drill
	r *rand.Rand
}

// newChance begins with EIDER_SEED, which repeats a run's choices, or anywhere.
func newChance(d *drill) *chance {
	d.t.Helper()
	seed := number(d.t, "EIDER_SEED", uint64(time.Now().UnixNano()))
	d.t.Logf("EIDER_SEED=%d", seed)
	return &chance{d, rand.New(rand.NewPCG(seed, 0))}
}

// targets are the parts of a machine by what they are at the moment. The store's
// three and whole machines are what failures are about; eider has the most clients.
//
//rules:allow var a table
var targets = []struct {
	name, part string
	weight     int
	who        func(*drill, *rand.Rand) *rig.Machine
}{
	{"eider", "eider", 6, anyone},
	{"HAProxy", "haproxy", 2, anyone},
	{"store primary", "postgres", 4, func(d *drill, _ *rand.Rand) *rig.Machine { return d.c.Primary() }},
	{"store standby", "postgres", 3, func(d *drill, _ *rand.Rand) *rig.Machine { return d.c.Standby() }},
	{"second standby", "postgres", 1, func(d *drill, _ *rand.Rand) *rig.Machine { return d.spare() }},
	{"Redis primary", "redis", 2, func(d *drill, _ *rand.Rand) *rig.Machine { return d.c.RedisPrimary() }},
	{"Redis", "redis", 1, anyone},
	{"Sentinel", "sentinel", 1, anyone},
	{"etcd", "etcd", 3, anyone},
	{"machine", "", 3, anyone},
	{"primary's machine", "", 1, func(d *drill, _ *rand.Rand) *rig.Machine { return d.c.Primary() }},
}

func anyone(d *drill, r *rand.Rand) *rig.Machine { return d.c.Machines[r.IntN(rig.Nodes)] }

// one breaks one thing in one way.
func (x *chance) one(n int) {
	x.d.t.Helper()
	sum := 0
	for _, t := range targets {
		sum += t.weight
	}
	pick, i := x.r.IntN(sum), 0
	for ; pick >= targets[i].weight; i++ {
		pick -= targets[i].weight
	}
	t := targets[i]
	// All numbers are drawn here, so that a seed repeats them.
	way, long, machine := x.r.IntN(4), time.Second+time.Duration(x.r.Int64N(int64(4*time.Second))), x.r.Uint64()
	who := func() *rig.Machine { return t.who(x.d, rand.New(rand.NewPCG(machine, 0))) }
	breaks, mend, how := x.way(t.part, who, way, long)
	x.d.fault(fmt.Sprintf("%d %s %s", n, t.name, how), breaks, mend)
}

// way is how it is broken: killed (as often as the others together), frozen or
// restarted; a whole machine is killed, frozen, or comes back empty.
func (x *chance) way(part string, who func() *rig.Machine, way int, long time.Duration) (breaks, mend func() error, how string) {
	frozen := fmt.Sprintf("frozen %.1f s", long.Seconds())
	switch {
	case part == "" && way == 0:
		breaks, mend = x.d.freezeMachine(who, long)
		return breaks, mend, frozen
	case part == "" && way == 1:
		breaks, mend = x.d.killMachine(who, true)
		return breaks, mend, "wiped"
	case part == "":
		breaks, mend = x.d.killMachine(who, false)
		return breaks, mend, "killed"
	case way == 0:
		breaks, mend = x.d.freeze(part, who, long)
		return breaks, mend, frozen
	case way == 1:
		breaks, mend = x.d.restart(part, who)
		return breaks, mend, "restarted"
	}
	breaks, mend = x.d.kill(part, who)
	return breaks, mend, "killed"
}

// freezeMachine stops all processes of a machine for a while.
func (d *drill) freezeMachine(who func() *rig.Machine, long time.Duration) (func() error, func() error) {
	return func() error {
		m := who()
		if m == nil {
			return errNobody
		}
		for _, part := range rig.Parts {
			m.Proc(part).Freeze()
		}
		time.Sleep(long)
		for _, part := range rig.Parts {
			m.Proc(part).Thaw()
		}
		return nil
	}, d.whole
}

// restart ends a part as an administrator does, and starts it again at once.
func (d *drill) restart(part string, who func() *rig.Machine) (func() error, func() error) {
	return func() error {
		m := who()
		if m == nil {
			return errNobody
		}
		return errors.Join(m.Proc(part).Stop(40*time.Second), m.Proc(part).Start())
	}, d.whole
}

// audit counts amid the load, so that a loss is found near the kill that made it.
func (d *drill) audit() {
	d.t.Helper()
	for a := range accounts {
		d.l.mu.Lock()
		acked := make([]string, 0, len(d.l.acked[a]))
		for id := range d.l.acked[a] {
			acked = append(acked, id)
		}
		d.l.mu.Unlock()
		found, err := d.inbox(a)
		if err != nil {
			d.t.Errorf("account %d: %v", a, err)
			continue
		}
		lost := slices.DeleteFunc(acked, func(id string) bool { return found[id] > 0 })
		if len(lost) > 0 {
			d.t.Errorf("account %d lost %d messages, such as %s", a, len(lost), strings.Join(lost[:min(5, len(lost))], " "))
		}
	}
	d.t.Logf("after %d kills nothing is lost but what stands above", len(d.rows))
}

// summary is the table by kind of fault: how often, and the worst of each figure.
func (d *drill) summary() {
	d.t.Helper()
	kinds := map[string]*row{}
	times := map[string]int{}
	var order []string
	for _, r := range d.rows {
		_, kind, _ := strings.Cut(r.name, " ")
		if i := strings.Index(kind, " frozen"); i > 0 {
			kind = kind[:i] + " frozen"
		}
		k := kinds[kind]
		if k == nil {
			k = &row{}
			kinds[kind] = k
			order = append(order, kind)
		}
		times[kind]++
		k.worst(&r)
	}
	slices.Sort(order)
	var b strings.Builder
	b.WriteString(header())
	for _, kind := range order {
		kinds[kind].name = fmt.Sprintf("%d × %s", times[kind], kind)
		b.WriteString(kinds[kind].line())
	}
	d.t.Logf("by kind: counts added up, the longest of each time\n%s", b.String())
}

// worst adds the counts of another row, and keeps the longer times.
func (r *row) worst(o *row) {
	for p := range r.by {
		a, b := &r.by[p], o.by[p]
		a.failed += b.failed
		a.reconnected += b.reconnected
		a.gap, a.wait, a.errors = max(a.gap, b.gap), max(a.wait, b.wait), max(a.errors, b.errors)
	}
	r.idleDropped += o.idleDropped
	r.acked, r.unsure, r.lost = r.acked+o.acked, r.unsure+o.unsure, r.lost+o.lost
	r.twice, r.repeated = r.twice+o.twice, r.repeated+o.repeated
}

// TestSlowFailover kills the database's primary with the times of the recipe,
// where nobody hurries: the store is back within twice 21 s.
func TestSlowFailover(t *testing.T) {
	if !soak() {
		return
	}
	c := start(t, rig.Options{TTL: 20, Loop: 2, Retry: 8})
	d := newDrill(t, c, 250*time.Millisecond)
	d.few = 10 * senders // it is one fault, and most of its time nothing flows
	breaks, mend := d.kill("postgres", c.Primary)
	away(t, d.fault("store primary killed, ttl 20", breaks, mend), 21*time.Second)
	d.finish()
}
