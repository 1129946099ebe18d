package mailstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/pebblekv"
	"github.com/eidermail/eider/internal/mailstore"
)

// drawStep is a random operation; some of them are refused.
func drawStep(r *rand.Rand, w *world, t tester) mailstore.Step {
	uids := make([]mailstore.UID, 1+r.IntN(4))
	for i := range uids {
		uids[i] = mailstore.UID(1 + r.IntN(9)) // some are not there
	}
	boxes := []string{"INBOX", "box", "nowhere", "box"}
	switch r.IntN(3) {
	case 0:
		c := mailstore.FlagChange{Op: mailstore.FlagOp(r.IntN(3)), Flags: mailstore.Flags(1 << r.IntN(5))}
		c.Keywords = [][]string{nil, nil, {"word"}, {"bad word"}}[r.IntN(4)]
		if r.IntN(3) == 0 {
			c.HasUnchangedSince, c.UnchangedSince = true, mailstore.ModSeq(5+r.IntN(20))
		}
		box := mailstore.MailboxID([]int{1, 1, 2, 99}[r.IntN(4)])
		return mailstore.Step{Flags: &mailstore.FlagStep{Mailbox: box, UIDs: uids, Change: c}}
	case 1:
		return mailstore.Step{Copy: &mailstore.CopyStep{Mailbox: 1, UIDs: uids, To: boxes[r.IntN(len(boxes))]}}
	}
	a := &mailstore.AppendStep{}
	box := boxes[r.IntN(len(boxes))]
	for range 1 + r.IntN(2) {
		b := mail(1000 + r.IntN(1000))
		if r.IntN(8) == 0 {
			b = append(b, make([]byte, mailstore.MaxInline)...)
		}
		a.In = append(a.In, mailstore.Incoming{Message: w.spool(t, b), Deposit: mailstore.Deposit{Mailbox: box,
			MakeRoom: r.IntN(2) == 0, Envelope: mailstore.Envelope{Received: w.clock.now()}}})
	}
	return mailstore.Step{Append: a}
}

// single does a step without a Group.
func single(ctx context.Context, w *world, st *mailstore.Step) {
	switch {
	case st.Flags != nil:
		st.Flags.Result, st.Err = w.SetFlags(ctx, w.id, st.Flags.Mailbox, st.Flags.UIDs, st.Flags.Change)
	case st.Copy != nil:
		st.Copy.Result, st.Err = w.Copy(ctx, w.id, st.Copy.Mailbox, st.Copy.UIDs, st.Copy.To)
	default:
		st.Append.Result, st.Err = w.Append(ctx, w.id, st.Append.In, nil)
	}
}

// outcome is what a step did, without what differs between two accounts.
func outcome(st *mailstore.Step) string {
	s := "failed: " + mailstore.KindOf(st.Err).String()
	switch {
	case st.Err != nil:
	case st.Flags != nil:
		s = fmt.Sprintf("%+v", st.Flags.Result)
	case st.Copy != nil:
		s = fmt.Sprintf("%+v", st.Copy.Result)
	default:
		s = ""
		for _, d := range st.Append.Result {
			d.Acct = 0
			s += fmt.Sprintf("%+v ", d)
		}
	}
	return s
}

func (w *world) entries(t tester) (all []mailstore.Entry) {
	for _, m := range []mailstore.MailboxID{1, 2} {
		es, err := w.Entries(context.Background(), w.id, m, mailstore.Rows{})
		must(t, err)
		all = append(all, es...)
	}
	return all
}

// TestGroupIsLikeSingles does the same operations together in one account and
// each by itself in another: every result and every row is the same.
func TestGroupIsLikeSingles(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(8) {
				a, b := newWorldOn(t, open(t)), newWorldOn(t, open(t))
				ra, rb := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 1))
				var group, singles []mailstore.Step
				for range 10 + ra.IntN(30) {
					group = append(group, drawStep(ra, a, t))
				}
				for range 10 + rb.IntN(30) {
					singles = append(singles, drawStep(rb, b, t))
				}
				a.Group(ctx, a.id, group)
				for i := range singles {
					single(ctx, b, &singles[i])
				}
				for i := range group {
					if got, want := outcome(&group[i]), outcome(&singles[i]); got != want {
						t.Fatalf("seed %d, step %d of %d:\n%s\nwant\n%s", seed, i, len(group), got, want)
					}
				}
				if got, want := a.entries(t), b.entries(t); !reflect.DeepEqual(got, want) {
					t.Fatalf("seed %d: rows\n%+v\nwant\n%+v", seed, got, want)
				}
				a.check(t)
			}
		})
	}
}

// stores makes a group of n STOREs, each of a keyword of its own.
func stores(n int) []mailstore.Step {
	steps := make([]mailstore.Step, n)
	for i := range steps {
		steps[i].Flags = &mailstore.FlagStep{Mailbox: 1, UIDs: []mailstore.UID{1}, Change: mailstore.FlagChange{
			Op: mailstore.FlagsReplace, Keywords: []string{fmt.Sprintf("k%02d", i)}}}
	}
	return steps
}

// TestGroupIsOneCommit: many small operations cost one commit, each has a
// MODSEQ of its own, and one that fails takes nobody with it.
func TestGroupIsOneCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	steps := stores(50)
	steps[20].Flags.Mailbox = 99
	before := w.fault.Calls(faultkv.Update)
	w.Group(context.Background(), w.id, steps)
	if n := w.fault.Calls(faultkv.Update) - before; n != 1 {
		t.Errorf("%d commits for %d operations", n, len(steps))
	}
	last := mailstore.ModSeq(0)
	for i := range steps {
		r := &steps[i].Flags.Result
		if i == 20 {
			wantKind(t, steps[i].Err, mailstore.NotExist)
			continue
		}
		must(t, steps[i].Err)
		if len(r.Changed) != 1 || r.ModSeq <= last || r.Changed[0].Keywords[0] != fmt.Sprintf("k%02d", i) {
			t.Fatalf("step %d: %+v", i, r)
		}
		last = r.ModSeq
	}
	w.check(t)
}

// TestGroupCrash loses power at each moment of a group: what was answered is
// there, and what is there is whole, in the order of the steps.
func TestGroupCrash(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for cut := range 3 {
		fs := vfs.NewCrashableMem()
		open := func(fs vfs.FS) kv.Store {
			s, err := pebblekv.Open(pebblekv.Options{Dir: "data", FS: fs})
			must(t, err)
			return s
		}
		w := newWorldOn(t, open(fs))
		var saved *vfs.MemFS
		steps := stores(30)
		if cut == 0 {
			saved = fs.CrashClone(vfs.CrashCloneCfg{})
		}
		w.Group(ctx, w.id, steps)
		for i := range steps {
			must(t, steps[i].Err)
		}
		if cut == 1 {
			saved = fs.CrashClone(vfs.CrashCloneCfg{})
		}
		more := stores(40)
		w.Group(ctx, w.id, more[30:])
		if cut == 2 {
			saved = fs.CrashClone(vfs.CrashCloneCfg{})
		}
		after := newEnv(t, open(saved), mailstore.Options{})
		es, err := after.Entries(ctx, w.id, 1, mailstore.Rows{})
		must(t, err)
		want := [][]string{nil, {"k29"}, {"k39"}}[cut]
		if !slices.Equal(es[0].Keywords, want) {
			t.Errorf("after a crash at %d the message has %q, want %q", cut, es[0].Keywords, want)
		}
		after.check(t)
	}
}

// TestGroupTrouble: a commit whose reply is lost is told to all that had a part
// in it and not repeated; on a full disk flags go on and copies do not.
func TestGroupTrouble(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	steps := append(stores(5), mailstore.Step{Copy: &mailstore.CopyStep{Mailbox: 1, UIDs: []mailstore.UID{2}, To: "box"}})
	before := len(w.entries(t))
	w.fault.LoseNth(1)
	w.Group(ctx, w.id, steps)
	for i := range steps {
		wantKind(t, steps[i].Err, mailstore.Transient)
		if !errors.Is(steps[i].Err, kv.ErrUnknown) {
			t.Errorf("step %d: %v", i, steps[i].Err)
		}
	}
	if n := len(w.entries(t)) - before; n != 1 {
		t.Errorf("a commit of unknown outcome made %d copies", n)
	}
	w.fault.Full(true)
	steps = append(stores(5), mailstore.Step{Copy: &mailstore.CopyStep{Mailbox: 1, UIDs: []mailstore.UID{2}, To: "box"}})
	w.Group(ctx, w.id, steps)
	for i := range 5 {
		must(t, steps[i].Err)
	}
	wantKind(t, steps[5].Err, mailstore.NoSpace)
	w.fault.Full(false)
	w.fault.Away(true)
	short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	steps = stores(5)
	w.Group(short, w.id, steps)
	for i := range steps {
		wantKind(t, steps[i].Err, mailstore.Transient)
	}
	w.fault.Away(false)
	w.check(t)
}

// groupMutation is a group for TestFailures.
func groupMutation(w *world, ctx context.Context) error {
	m := w.pool.Message()
	defer m.Close()
	if _, err := m.Write(mail(200)); err != nil {
		return err
	}
	steps := append(stores(3), mailstore.Step{Copy: &mailstore.CopyStep{Mailbox: 1, UIDs: []mailstore.UID{2, 4}, To: "box"}},
		mailstore.Step{Append: &mailstore.AppendStep{In: []mailstore.Incoming{{Message: m}}}})
	w.Group(ctx, w.id, steps)
	var errs []error
	for i := range steps {
		errs = append(errs, steps[i].Err)
	}
	return errors.Join(errs...)
}
