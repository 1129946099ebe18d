package mailstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/fsck"
	"github.com/eidermail/eider/internal/janitor"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/combine"
	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/kvtest"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/kv/pebblekv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/spool"
)

// tester is a testing.TB or a rapid.T.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Unix(1_760_000_000, 500_000_000)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// env is a mail store over an engine that checks guards, with faults on demand.
type env struct {
	*mailstore.Store
	kv    kv.Store // what the mail store is on
	fault *faultkv.Store
	guard *kvtest.GuardedStore
	clock *clock
	pool  *spool.Pool
	jan   *janitor.Janitor
}

// openFunc makes a store to test on.
type openFunc = func(t tester) kv.Store

// blobGrace is how long a part that nobody needs stays condemned in tests.
const blobGrace = 5 * time.Minute

// collect lets the janitor do all that there is to do: expiry, a look that
// condemns what nothing links, one that sees that, and one when the grace time
// is over.
func (e *env) collect(t tester) {
	t.Helper()
	for range 4 {
		if r, _ := e.jan.Pass(context.Background()); r.Failed > 0 {
			t.Fatalf("janitor: %+v", r)
		}
		e.clock.add(blobGrace + time.Second)
	}
}

// faultUpdates names the calls that write.
const faultUpdates = faultkv.Update

// engines are the stores that tests run on.
var engines = map[string]openFunc{
	"mem": func(tester) kv.Store { return memkv.New() },
	// Every function runs twice, as it does after a conflict.
	"rerun": func(tester) kv.Store { return kvtest.Rerun(memkv.Open(memkv.Options{Optimistic: true})) },
	"pebble": func(t tester) kv.Store {
		s, err := pebblekv.Open(pebblekv.Options{Dir: "data", FS: vfs.NewMem()})
		if err != nil {
			t.Fatalf("pebble: %v", err)
		}
		return s
	},
}

func onEngines(t *testing.T, f func(t *testing.T, open openFunc)) {
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, open)
		})
	}
}

func newEnv(t tester, engine kv.Store, o mailstore.Options) *env {
	t.Helper()
	e := &env{clock: newClock(), pool: spool.New(spool.Options{})}
	e.fault = faultkv.Wrap(engine, 1)
	e.guard = kvtest.Guarded(combine.New(e.fault, combine.Options{}), row.Domain)
	e.kv = e.guard
	o.KV, o.Bus = e.kv, membus.New()
	if o.Now == nil {
		o.Now = e.clock.now
	}
	start := e.clock.now()
	o.BlobGrace, o.Running = blobGrace, func() time.Duration { return e.clock.now().Sub(start) }
	s, err := mailstore.Open(context.Background(), o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	e.Store = s
	e.jan = janitor.New(janitor.Options{Store: s, KV: e.kv, Now: o.Now})
	return e
}

func (e *env) account(t tester, address string) mailstore.AcctID {
	t.Helper()
	a, err := e.CreateAccount(context.Background(), mailstore.NewAccount{Address: address, Credential: []byte("c")})
	if err != nil {
		t.Fatalf("create %s: %v", address, err)
	}
	return a.ID
}

func (e *env) spool(t tester, b []byte) *spool.Message {
	t.Helper()
	m := e.pool.Message()
	if _, err := m.Write(b); err != nil {
		t.Fatalf("spool: %v", err)
	}
	return m
}

// deposit stores a message and returns where it went.
func (e *env) deposit(t tester, b []byte, d mailstore.Deposit, ids ...mailstore.AcctID) []mailstore.Deposited {
	t.Helper()
	done, err := e.tryDeposit(t, b, d, ids...)
	if err != nil {
		t.Fatalf("deposit: %v", err)
	}
	return done
}

func (e *env) tryDeposit(t tester, b []byte, d mailstore.Deposit, ids ...mailstore.AcctID,
) ([]mailstore.Deposited, error) {
	t.Helper()
	m := e.spool(t, b)
	defer m.Close()
	return e.Deposit(context.Background(), ids, d, m)
}

// read returns a message's bytes.
func (e *env) read(t tester, id mailstore.AcctID, msg mailstore.MsgID) []byte {
	t.Helper()
	c, err := e.Content(context.Background(), id, msg)
	if err != nil {
		t.Fatalf("content of %d: %v", msg, err)
	}
	defer c.Close()
	b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	if err != nil {
		t.Fatalf("reading %d: %v", msg, err)
	}
	return b
}

func (e *env) wantContent(t tester, id mailstore.AcctID, msg mailstore.MsgID, want []byte) {
	t.Helper()
	if got := e.read(t, id, msg); !bytes.Equal(got, want) {
		t.Fatalf("message %d: %d bytes differ from the %d stored", msg, len(got), len(want))
	}
}

// check runs fsck, and asks whether anybody wrote outside its guards.
func (e *env) check(t tester) fsck.Summary {
	t.Helper()
	sum, err := fsck.Run(context.Background(), e.kv, func(f fsck.Fault) { t.Errorf("fsck: %s", f) })
	if err != nil {
		t.Fatalf("fsck: %v", err)
	}
	for _, f := range e.guard.Faults() {
		t.Errorf("guard: %v", f)
	}
	return sum
}

func wantKind(t tester, err error, kind mailstore.Kind) {
	t.Helper()
	if err == nil || mailstore.KindOf(err) != kind {
		t.Fatalf("error %v, want kind %v", err, kind)
	}
	var e *mailstore.Error
	if !errors.As(err, &e) || e.Op == "" {
		t.Fatalf("error %v names no operation", err)
	}
}

func must(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func uidsOf(es []mailstore.Entry) []mailstore.UID {
	uids := make([]mailstore.UID, 0, len(es))
	for _, e := range es {
		uids = append(uids, e.UID)
	}
	return uids
}

// mail is a small message of its own.
func mail(n int) []byte {
	return fmt.Appendf(nil, "Message-ID: <%d@test>\r\nSubject: message %d\r\n\r\nThis is the text of message %d.\r\n", n, n, n)
}

// follower keeps a mailbox's rows up to date by Changes alone, as a mail client does.
type follower struct {
	e      *env
	acct   mailstore.AcctID
	box    mailstore.MailboxID
	epoch  uint64
	modseq mailstore.ModSeq
	rows   map[mailstore.UID]mailstore.Entry
	resync int
}

func (f *follower) snapshot(t tester) {
	s, err := f.e.Snapshot(context.Background(), f.acct, f.box)
	if err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	if !slices.IsSortedFunc(s.Entries, func(a, b mailstore.Entry) int { return int(a.UID) - int(b.UID) }) {
		t.Fatalf("snapshot is not sorted")
	}
	if int(s.Mailbox.Exists) != len(s.Entries) {
		t.Fatalf("snapshot has %d rows, its mailbox counts %d", len(s.Entries), s.Mailbox.Exists)
	}
	f.epoch, f.modseq = s.Epoch, s.Mailbox.HighestModSeq
	f.rows = make(map[mailstore.UID]mailstore.Entry)
	for _, e := range s.Entries {
		if e.UID >= s.Mailbox.UIDNext {
			t.Fatalf("UID %d at UIDNEXT %d", e.UID, s.Mailbox.UIDNext)
		}
		f.rows[e.UID] = e
	}
	f.resync++
}

// follow reads what changed; false if the mailbox is gone.
func (f *follower) follow(t tester) bool {
	c, err := f.e.Changes(context.Background(), f.acct, f.box, f.epoch, f.modseq)
	if err != nil {
		t.Fatalf("changes: %v", err)
	}
	if c.Gone {
		return false
	}
	if c.Resync {
		f.snapshot(t)
		return true
	}
	if c.ModSeq < f.modseq {
		t.Fatalf("MODSEQ fell from %d to %d", f.modseq, c.ModSeq)
	}
	for _, u := range c.Vanished {
		delete(f.rows, u)
	}
	for _, e := range c.Changed {
		f.rows[e.UID] = e
	}
	f.modseq = c.ModSeq
	return true
}

// same compares what was followed with the rows as they are.
func (f *follower) same(t tester) {
	t.Helper()
	es, err := f.e.Entries(context.Background(), f.acct, f.box, mailstore.Rows{})
	must(t, err)
	for _, e := range es {
		if got, ok := f.rows[e.UID]; !ok || !sameEntry(got, e) {
			t.Fatalf("followed row %+v (%v), it is %+v", got, ok, e)
		}
	}
	if len(es) != len(f.rows) {
		t.Fatalf("followed %d rows, there are %d", len(f.rows), len(es))
	}
}

func sameEntry(a, b mailstore.Entry) bool {
	return a.UID == b.UID && a.Msg == b.Msg && a.Flags == b.Flags && slices.Equal(a.Keywords, b.Keywords) &&
		a.ModSeq == b.ModSeq && a.Size == b.Size && a.InternalDate.Equal(b.InternalDate) &&
		a.SaveDate.Equal(b.SaveDate) && a.ExpireAt.Equal(b.ExpireAt)
}
