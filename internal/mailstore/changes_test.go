package mailstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/kv/pebblekv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// TestHotAccount: twenty writers on one mailbox, and readers that follow it by
// Changes; each must have every row at the end, and never saw a UID come late.
func TestHotAccount(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open openFunc) {
		e := newEnv(t, open(t), mailstore.Options{})
		ctx := context.Background()
		id := e.account(t, "a@b")
		_, err := e.CreateMailbox(ctx, id, "box", "")
		must(t, err)
		var followers []*follower
		for range 3 {
			f := &follower{e: e, acct: id, box: 1}
			f.snapshot(t)
			followers = append(followers, f)
		}
		var writers, readers sync.WaitGroup
		stop := make(chan struct{})
		for _, f := range followers {
			ch, cancel := e.Watch(id)
			defer cancel()
			readers.Go(func() {
				highest := mailstore.UID(0)
				for {
					before := highest
					c, err := e.Changes(ctx, id, 1, f.epoch, f.modseq)
					if err != nil || c.Resync {
						t.Errorf("changes: %+v, %v", c, err)
						return
					}
					for _, u := range c.Vanished {
						delete(f.rows, u)
					}
					for _, en := range c.Changed {
						if _, known := f.rows[en.UID]; !known && en.UID <= before {
							t.Errorf("UID %d shows after %d did", en.UID, before)
						}
						f.rows[en.UID] = en
						highest = max(highest, en.UID)
					}
					f.modseq = c.ModSeq
					select {
					case <-ch:
					case <-stop:
						return
					}
				}
			})
		}
		var delivered atomic.Int64
		for w := range 20 {
			writers.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(w), 1))
				for i := range 20 {
					e.deposit(t, mail(w*1000+i), mailstore.Deposit{}, id)
					delivered.Add(1)
					uid := mailstore.UID(rnd.IntN(int(delivered.Load())) + 1)
					switch rnd.IntN(4) {
					case 0:
						_, err := e.SetFlags(ctx, id, 1, []mailstore.UID{uid}, mailstore.FlagChange{
							Op: mailstore.FlagsAdd, Flags: mailstore.Flags(rnd.IntN(31))})
						must(t, err)
					case 1:
						_, err := e.Copy(ctx, id, 1, []mailstore.UID{uid}, "box")
						must(t, err)
					case 2:
						_, err := e.Move(ctx, id, 1, []mailstore.UID{uid}, "box")
						must(t, err)
					case 3:
						_, _, err := e.Expunge(ctx, id, 1, []mailstore.UID{uid}, false)
						must(t, err)
					}
				}
			})
		}
		writers.Wait()
		close(stop)
		readers.Wait()
		for _, f := range followers {
			if !f.follow(t) || f.resync > 1 {
				t.Fatal("follower lost its mailbox")
			}
			f.same(t)
		}
		e.check(t)
	})
}

// TestSnapshotEnds: reading a large mailbox ends although it never stands
// still, and is exact. EIDER_SOAK=1 does it with a larger one.
func TestSnapshotEnds(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ctx := context.Background()
	id := e.account(t, "a@b")
	rows := 5000
	if os.Getenv("EIDER_SOAK") == "1" {
		rows = 20_000
	}
	e.fill(t, id, rows)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	var commits atomic.Int64
	for w := range 4 {
		writers.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 2))
			for {
				select {
				case <-stop:
					return
				default:
				}
				uid := []mailstore.UID{mailstore.UID(rnd.IntN(rows) + 1)}
				var err error
				switch rnd.IntN(3) {
				case 0:
					_, err = e.SetFlags(ctx, id, 1, uid, mailstore.FlagChange{Flags: mailstore.Flags(rnd.IntN(31))})
				case 1:
					_, _, err = e.Expunge(ctx, id, 1, uid, false)
				default:
					e.deposit(t, nil, mailstore.Deposit{}, id)
				}
				must(t, err)
				commits.Add(1)
			}
		})
	}
	begun, n := time.Now(), 0
	for ; n < 3; n++ {
		f := &follower{e: e, acct: id, box: 1}
		f.snapshot(t) // checks that rows and counts agree
	}
	if per := float64(commits.Load()) / time.Since(begun).Seconds(); per < 1000 {
		t.Logf("only %.0f commits/s beside the snapshots", per)
	}
	close(stop)
	writers.Wait()
	f := &follower{e: e, acct: id, box: 1}
	f.snapshot(t)
	f.same(t)
	e.check(t)
}

// fill puts n empty messages into INBOX, many in a commit.
func (e *env) fill(t tester, id mailstore.AcctID, n int) {
	t.Helper()
	ctx := context.Background()
	// A message has a bounded number of copies, so there are several.
	const messages = 10
	for range messages {
		e.deposit(t, nil, mailstore.Deposit{}, id)
	}
	for have := messages; have < n; {
		group := make([]mailstore.UID, min(have, n-have, 500))
		for i := range group {
			group[i] = mailstore.UID(have - i)
		}
		_, err := e.Copy(ctx, id, 1, group, "INBOX")
		must(t, err)
		have += len(group)
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ctx := context.Background()
	id := e.account(t, "a@b")
	box, err := e.CreateMailbox(ctx, id, "box", "")
	must(t, err)
	s, err := e.Snapshot(ctx, id, 1)
	must(t, err)
	from := s.Mailbox.HighestModSeq
	for i := range 5 {
		e.deposit(t, mail(i), mailstore.Deposit{}, id)
	}
	_, err = e.SetFlags(ctx, id, 1, []mailstore.UID{2}, mailstore.FlagChange{Flags: mailstore.Seen})
	must(t, err)
	_, _, err = e.Expunge(ctx, id, 1, []mailstore.UID{1, 4}, false)
	must(t, err)
	c, err := e.Changes(ctx, id, 1, s.Epoch, from)
	must(t, err)
	if fmt.Sprint(uidsOf(c.Changed), c.Vanished) != "[2 3 5] [1 4]" || c.Resync || c.Gone {
		t.Errorf("changes %+v", c)
	}
	if again, err := e.Changes(ctx, id, 1, s.Epoch, c.ModSeq); err != nil || len(again.Changed)+len(again.Vanished) != 0 {
		t.Errorf("nothing happened, and yet %+v, %v", again, err)
	}
	if c, err := e.Changes(ctx, id, box.ID, s.Epoch, box.HighestModSeq); err != nil || c.Resync || len(c.Changed) != 0 {
		t.Errorf("the other mailbox: %+v, %v", c, err)
	}
	for what, c := range map[string]func() (mailstore.Changes, error){
		"another epoch":   func() (mailstore.Changes, error) { return e.Changes(ctx, id, 1, s.Epoch+1, from) },
		"before the log":  func() (mailstore.Changes, error) { return e.Changes(ctx, id, 1, s.Epoch, 0) },
		"from the future": func() (mailstore.Changes, error) { return e.Changes(ctx, id, 1, s.Epoch, 1<<40) },
	} {
		if c, err := c(); err != nil || !c.Resync {
			t.Errorf("%s: %+v, %v; want a resync", what, c, err)
		}
	}
	must(t, e.DeleteMailbox(ctx, id, "box"))
	if c, err := e.Changes(ctx, id, box.ID, s.Epoch, box.HighestModSeq); err != nil || !c.Gone {
		t.Errorf("deleted mailbox: %+v, %v", c, err)
	}
}

// TestLogIsTrimmed: old records go, a few in each commit, and who is behind is told.
func TestLogIsTrimmed(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ctx := context.Background()
	id := e.account(t, "a@b")
	e.deposit(t, nil, mailstore.Deposit{}, id)
	s, err := e.Snapshot(ctx, id, 1)
	must(t, err)
	toggle := func() {
		for _, op := range []mailstore.FlagOp{mailstore.FlagsAdd, mailstore.FlagsRemove} {
			_, err := e.SetFlags(ctx, id, 1, []mailstore.UID{1}, mailstore.FlagChange{Op: op, Flags: mailstore.Seen})
			must(t, err)
		}
	}
	records := func() int {
		n := 0
		for _, err := range e.kv.Scan(ctx, kv.Prefix(row.Logs(uint64(id), 1))) {
			must(t, err)
			n++
		}
		return n
	}
	for range mailstore.MaxLog/2 + 50 {
		toggle()
	}
	if n := records(); n < mailstore.MaxLog+100 {
		t.Errorf("%d records: young ones were trimmed", n)
	}
	e.clock.add(mailstore.LogYoung + time.Minute)
	for range 50 {
		toggle()
	}
	n := records()
	if n < mailstore.MaxLog || n > mailstore.MaxLog+40 {
		t.Errorf("%d records", n)
	}
	c, err := e.Changes(ctx, id, 1, s.Epoch, s.Mailbox.HighestModSeq)
	must(t, err)
	m, err := e.Mailbox(ctx, id, "INBOX")
	must(t, err)
	if !c.Resync || m.LogFloor <= s.Mailbox.HighestModSeq {
		t.Errorf("below the floor %d: %+v", m.LogFloor, c)
	}
	if c, err := e.Changes(ctx, id, 1, s.Epoch, m.LogFloor); err != nil || c.Resync || len(c.Changed) != 1 {
		t.Errorf("at the floor: %+v, %v", c, err)
	}
	e.check(t)
	e.clock.add(mailstore.LogOld)
	for range 400 {
		toggle()
	}
	if n := records(); n > 900 {
		t.Errorf("%d records, most of them too old", n)
	}
	e.check(t)
}

// TestEpoch: after an unclean stop nothing that was seen is used again.
func TestEpoch(t *testing.T) {
	t.Parallel()
	open := func(fs vfs.FS) *env {
		s, err := pebblekv.Open(pebblekv.Options{Dir: "data", FS: fs})
		must(t, err)
		return newEnv(t, s, mailstore.Options{})
	}
	crashable := vfs.NewCrashableMem()
	e := open(crashable)
	ctx := context.Background()
	id := e.account(t, "a@b")
	_, err := e.CreateMailbox(ctx, id, "box", "")
	must(t, err)
	last := e.deposit(t, mail(1), mailstore.Deposit{}, id)[0]
	box := e.deposit(t, mail(2), mailstore.Deposit{Mailbox: "box"}, id)[0]
	s, err := e.Snapshot(ctx, id, 1)
	must(t, err)

	e2 := open(crashable.CrashClone(vfs.CrashCloneCfg{}))
	s2, err := e2.Snapshot(ctx, id, 1)
	must(t, err)
	if len(s2.Entries) != 1 {
		t.Fatalf("%d rows after the crash", len(s2.Entries))
	}
	next := e2.deposit(t, mail(3), mailstore.Deposit{}, id)[0]
	if next.UID < last.UID+1024 || next.Msg < last.Msg+1024 || next.ModSeq < box.ModSeq+1024 {
		t.Errorf("after a crash UID %d, message %d, MODSEQ %d follow %d, %d, %d",
			next.UID, next.Msg, next.ModSeq, last.UID, last.Msg, box.ModSeq)
	}
	for _, m := range []mailstore.MailboxID{1, box.Mailbox} {
		c, err := e2.Changes(ctx, id, m, s.Epoch, s.Mailbox.HighestModSeq)
		must(t, err)
		if !c.Resync {
			t.Errorf("mailbox %d: no resync in a new epoch: %+v", m, c)
		}
	}
	made, err := e2.CreateMailbox(ctx, id, "new", "")
	must(t, err)
	if made.ID < 1024 {
		t.Errorf("mailbox id %d", made.ID)
	}
	for range 100 {
		// The records from before the crash are trimmed away.
		e2.deposit(t, nil, mailstore.Deposit{Mailbox: "box"}, id)
	}
	f := &follower{e: e2, acct: id, box: box.Mailbox}
	f.snapshot(t)
	e2.deposit(t, nil, mailstore.Deposit{Mailbox: "box"}, id)
	f.follow(t)
	f.same(t)
	e2.check(t)
	must(t, e2.kv.Close())

	// After a clean stop nothing jumps.
	e3 := newEnv(t, memkv.New(), mailstore.Options{})
	id = e3.account(t, "a@b")
	if d := e3.deposit(t, nil, mailstore.Deposit{}, id)[0]; d.UID != 1 {
		t.Errorf("UID %d in a new account", d.UID)
	}
}

// deafBus loses all hints.
type deafBus struct{ bus.Bus }

func (deafBus) Publish(context.Context, bus.Hint) {}

func TestWatchWithoutHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := mailstore.Open(context.Background(), mailstore.Options{KV: memkv.New(), Bus: deafBus{membus.New()}})
		must(t, err)
		ch, cancel := s.Watch(7)
		begun := time.Now()
		for range 3 {
			<-ch
		}
		if d := time.Since(begun); d > 3*mailstore.PollEvery+time.Second {
			t.Errorf("three values took %v", d)
		}
		cancel()
		cancel()
		if _, open := <-ch; open {
			if _, open := <-ch; open {
				t.Error("the channel is open after cancel")
			}
		}
		synctest.Wait()
	})
}

// The last change is never lost, however slow the reader is.
func TestWatchKeepsTheLast(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	id := e.account(t, "a@b")
	other := e.account(t, "c@d")
	ch, cancel := e.Watch(id)
	defer cancel()
	quiet, cancelQuiet := e.Watch(other)
	defer cancelQuiet()
	ch2, cancel2 := e.Watch(id)
	for range 50 {
		e.deposit(t, nil, mailstore.Deposit{}, id)
	}
	for seen := int64(0); seen < 50; {
		select {
		case <-ch:
		case <-time.After(5 * time.Second):
			t.Fatalf("waiting after %d of 50", seen)
		}
		a, err := e.Account(context.Background(), id)
		must(t, err)
		seen = a.Messages
	}
	<-ch2
	cancel2()
	select {
	case <-quiet:
		t.Error("a watcher of another account was woken")
	default:
	}
}
