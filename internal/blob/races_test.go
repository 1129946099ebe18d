package blob_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/mailstore/row"
)

// system is a way to share a part between messages: ours, and those that lose
// mail. All are played by the same scheduler.
type system interface {
	// steps are those of two messages that come and go (look the part up or
	// store it; link it; unlink it) and of a clean-up.
	steps() [3][]func(t tester)
	// check fails if a message is without its part, or a part is lost to the clean-up.
	check(t tester, after fmt.Stringer)
	// end lets time pass and the clean-up work, and looks at what is left.
	end(t tester, after fmt.Stringer)
}

// failure is how a played order fails.
type failure string

type catcher struct{}

func (catcher) Helper()                        {}
func (catcher) Fatal(args ...any)              { panic(failure(fmt.Sprint(args...))) }
func (catcher) Fatalf(format string, a ...any) { panic(failure(fmt.Sprintf(format, a...))) }

// again added to an actor repeats the step that it did last: its reply was lost.
const again = 10

// play plays an order: which actor does its next step. It returns what went wrong.
func play(s system, order []int) (wrong string) {
	defer func() {
		if f, ok := recover().(failure); ok {
			wrong = string(f)
		}
	}()
	steps := s.steps()
	var done [3]int
	var tr trace
	for _, who := range order {
		if who >= again {
			who -= again
			done[who]--
		}
		tr = append(tr, fmt.Sprintf("%d.%d", who, done[who]))
		steps[who][done[who]](catcher{})
		done[who]++
		s.check(catcher{}, &tr)
	}
	s.end(catcher{}, &tr)
	return ""
}

// orders calls f with every order of so many steps of each actor.
func orders(left [3]int, f func(order []int)) {
	var order []int
	var next func()
	next = func() {
		if left == [3]int{} {
			f(order)
			return
		}
		for who := range left {
			if left[who] > 0 {
				left[who]--
				order = append(order, who)
				next()
				order = order[:len(order)-1]
				left[who]++
			}
		}
	}
	next()
}

// ours is package blob on a virtual clock, which the steps of the collector move.
type ours struct {
	w *world
	l [2]*linker
}

// shareable is the content that the messages share.
func shareable() []byte { return bytes.Repeat([]byte("shared"), 20) }

func newOurs() system {
	w := newWorld()
	o := &ours{w: w}
	for i := range o.l {
		o.l[i] = &linker{w: w, acct: uint64(i + 1), part: part(w.s, "", shareable())}
	}
	return o
}

func (o *ours) steps() [3][]func(tester) {
	var all [3][]func(tester)
	for i, l := range o.l {
		all[i] = []func(tester){l.stage, l.link, func(t tester) { o.w.unlink(t, l.part.ID, l.acct) }}
	}
	collect := func(t tester) {
		o.w.now = o.w.now.Add(grace/2 + time.Second)
		o.w.gc(t, o.w.s) // condemns, or deletes
		o.w.gc(t, o.w.s) // sees what is condemned
		o.w.now = o.w.now.Add(grace/2 + time.Second)
	}
	all[2] = []func(tester){collect, collect, collect, collect}
	return all
}

func (o *ours) check(t tester, after fmt.Stringer) { o.w.invariants(t, after) }

func (o *ours) end(t tester, after fmt.Stringer) {
	o.w.settle(t)
	o.w.invariants(t, after)
	if o.w.rows(t, row.TagLink) > 0 {
		if got := o.w.read(t, o.l[0].part.ID); !bytes.Equal(got, shareable()) {
			t.Fatalf("%v: the part comes back changed", after)
		}
	} else if n := o.w.rows(t, row.TagBlob, row.TagChunk, row.TagGarbage, row.TagUpload); n != 0 {
		t.Fatalf("%v: %d rows are left when all is over", after, n)
	}
}

// counting keeps a counter of references beside the content. Its clean-up finds
// what has none, deletes the record if it has none still, and then the content
// without a look at whether the record went.
type counting struct {
	n               int
	record, content bool
	mail            [2]bool
	seen            bool
}

func (c *counting) steps() (all [3][]func(tester)) {
	for i := range c.mail {
		all[i] = []func(tester){
			func(tester) {
				if !c.record {
					c.record, c.content, c.n = true, true, 0
				}
				c.n++
			},
			func(tester) { c.mail[i] = true },
			func(tester) { c.mail[i] = false; c.n-- },
		}
	}
	all[2] = []func(tester){
		func(tester) { c.seen = c.record && c.n <= 0 },
		func(tester) {
			if c.seen {
				c.record, c.content = c.record && c.n > 0, false
			}
		},
	}
	return all
}

func (c *counting) check(t tester, after fmt.Stringer) {
	if (c.mail[0] || c.mail[1]) && !c.content {
		t.Fatalf("%v: a message without its part", after)
	}
}

func (c *counting) end(t tester, after fmt.Stringer) {
	for _, f := range c.steps()[2] {
		f(t)
	}
	c.check(t, after)
	if c.content && !c.mail[0] && !c.mail[1] {
		t.Fatalf("%v: a part that nobody needs is never collected", after)
	}
}

// purging keeps links, of messages and for a while of who is about to store one.
// Its clean-up scans for what has no link and later deletes it, without another look.
type purging struct {
	content    bool
	mail, soon [2]bool
	seen       bool
}

func (p *purging) steps() (all [3][]func(tester)) {
	for i := range p.mail {
		all[i] = []func(tester){
			func(tester) { p.soon[i], p.content = true, true },
			func(tester) { p.mail[i], p.soon[i] = true, false },
			func(tester) { p.mail[i] = false },
		}
	}
	all[2] = []func(tester){
		func(tester) { p.seen = p.content && p.mail == [2]bool{} && p.soon == [2]bool{} },
		func(tester) { p.content = p.content && !p.seen },
	}
	return all
}

func (p *purging) check(t tester, after fmt.Stringer) {
	if (p.mail[0] || p.mail[1]) && !p.content {
		t.Fatalf("%v: a message without its part", after)
	}
}

func (p *purging) end(t tester, after fmt.Stringer) {
	p.soon = [2]bool{} // their time is over
	for _, f := range p.steps()[2] {
		f(t)
	}
	p.check(t, after)
}

func newCounting() system { return &counting{} }
func newPurging() system  { return &purging{} }

// TestKnownRaces plays the orders by which other designs lose or leak parts:
// each must fail there, or it models nothing, and must not fail here.
func TestKnownRaces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		order []int // 0 and 1: the messages; 2: the clean-up
		other func() system
		wrong string
	}{
		{"a purge scans, a delivery finds the part and uploads nothing, the purge deletes",
			[]int{0, 0, 0, 2, 1, 2, 1}, newPurging, "without its part"},
		{"an orphan is found, referenced again, and its content deleted unasked",
			[]int{0, 0, 0, 2, 1, 1, 2}, newCounting, "without its part"},
		{"the same, the delivery being slower than the clean-up",
			[]int{0, 0, 0, 2, 1, 2, 1}, newCounting, "without its part"},
		{"a crash between the counter and the message",
			[]int{0, 1, 1, 1}, newCounting, "never collected"},
		{"a delete whose reply was lost is done again",
			[]int{0, 0, 1, 1, 0, 0 + again, 2, 2}, newCounting, "without its part"},
		{"a delivery whose reply was lost is done again",
			[]int{0, 0 + again, 0, 0}, newCounting, "never collected"},
	} {
		if wrong := play(c.other(), c.order); !strings.Contains(wrong, c.wrong) {
			t.Errorf("%s: the other design does %q: it models nothing", c.name, wrong)
		}
		if wrong := play(newOurs(), c.order); wrong != "" {
			t.Errorf("%s: %s", c.name, wrong)
		}
	}
}

// TestEveryOrder plays every order of the steps of two messages with the same
// part and of a collector, also those in which a process dies on the way: here
// none fails, and the scheduler finds the others' faults by itself.
func TestEveryOrder(t *testing.T) {
	t.Parallel()
	collects := 2
	if soak() {
		collects = 4
	}
	played, failed := 0, map[string]int{}
	for one := range 4 {
		for two := one; two < 4; two++ { // the messages are alike
			orders([3]int{one, two, collects}, func(order []int) {
				played++
				if wrong := play(newOurs(), order); wrong != "" {
					t.Fatal(wrong)
				}
			})
			orders([3]int{one, two, 2}, func(order []int) {
				for name, other := range map[string]func() system{"counting": newCounting, "purging": newPurging} {
					if play(other(), slices.Clone(order)) != "" {
						failed[name]++
					}
				}
			})
		}
	}
	t.Logf("%d orders; of them fail with counters %d, with an unguarded purge %d", played, failed["counting"],
		failed["purging"])
	if failed["counting"] == 0 || failed["purging"] == 0 {
		t.Error("the scheduler finds no fault in designs that have some")
	}
}
