package pgkv_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/pgkv"
	"github.com/eidermail/eider/test/postgres"
)

// add raises the number in a row by one.
func add(ctx context.Context, s kv.Store, key string) error {
	return s.Update(ctx, [][]byte{[]byte(key)}, func(tx kv.Tx) error {
		tx.Put([]byte(key), binary.BigEndian.AppendUint64(nil, count(tx.Guard(0))+1))
		return nil
	})
}

func count(it kv.Item) uint64 {
	if it.Rev == 0 {
		return 0
	}
	return binary.BigEndian.Uint64(it.Value)
}

func address(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// TestLostReplies: whichever messages of a commit and of the questions about
// its outcome are lost, the Update happens once and says so.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lost             string // events to cut at, in order, each once
		happened, fenced int64
	}{
		"reply of COMMIT":                        {"applied", 1, 0},
		"and the first reply about it":           {"applied resolved", 1, 0},
		"and the first three":                    {"applied resolved resolved resolved", 1, 0},
		"and the first question":                 {"applied resolve resolved", 1, 0},
		"COMMIT itself":                          {"apply", 0, 1},
		"and the first reply about that":         {"apply resolved", 0, 1},
		"and the first two":                      {"apply resolved resolved", 0, 1},
		"twice in a row":                         {"apply apply", 0, 2},
		"COMMIT, then the reply of its second":   {"apply applied", 1, 1},
		"COMMIT, question, reply, reply of next": {"apply resolve resolved applied resolved", 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			uri := fresh(t)
			rest := strings.Fields(c.lost)
			armed := false
			p := newProxy(t, address(server.Port), func(e event) bool {
				if !armed || len(rest) == 0 || rest[0] != string(e) {
					return false
				}
				rest = rest[1:]
				return true
			})
			s := open(t, strings.Replace(uri, address(server.Port), address(p.port), 1))
			if err := add(t.Context(), s, "n"); err != nil {
				t.Fatal(err)
			}
			p.mu.Lock()
			armed = true
			p.mu.Unlock()
			if err := add(t.Context(), s, "n"); err != nil {
				t.Fatal(err)
			}
			p.mu.Lock()
			left := len(rest)
			p.mu.Unlock()
			items, err := s.GetMulti(t.Context(), []byte("n"))
			if err != nil || count(items[0]) != 2 || left != 0 {
				t.Errorf("n is %d, want 2; %d losses did not come about (%v)", count(items[0]), left, err)
			}
			st := s.Stats()
			if st.Happened != c.happened || st.Fenced != c.fenced || st.Unknown != c.happened+c.fenced {
				t.Errorf("%+v, want %d happened, %d fenced", st, c.happened, c.fenced)
			}
		})
	}
}

// load delivers into a few accounts over several handles until it is stopped,
// and checks that each delivery that was acknowledged is there once.
type load struct {
	handles []*pgkv.Store
	each    sync.WaitGroup
	stop    chan struct{}
	mu      sync.Mutex
	acked   map[string]bool
	unknown int
	failed  []error
	longest time.Duration
	done    atomic.Int64
}

const accounts = 3

func startLoad(t *testing.T, workers int, handles ...*pgkv.Store) *load {
	t.Helper()
	l := &load{handles: handles, stop: make(chan struct{}), acked: map[string]bool{}}
	for w := range workers {
		s := handles[w%len(handles)]
		l.each.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				default:
				}
				l.deliver(s, w%accounts, fmt.Sprintf("%d/%d", w, i))
			}
		})
	}
	return l
}

func (l *load) deliver(s *pgkv.Store, account int, what string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	head := fmt.Appendf(nil, "A%d", account)
	began := time.Now()
	err := s.Update(ctx, [][]byte{head}, func(tx kv.Tx) error {
		id := binary.BigEndian.AppendUint64(nil, count(tx.Guard(0))+1)
		tx.Put(head, id)
		tx.Put(append(fmt.Appendf(nil, "E%d/", account), id...), []byte(what))
		return nil
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.longest = max(l.longest, time.Since(began))
	switch {
	case err == nil:
		l.acked[what] = true
		l.done.Add(1)
	case errors.Is(err, kv.ErrUnknown):
		l.unknown++
	default:
		l.failed = append(l.failed, err)
	}
}

// end stops the load and checks what is there.
func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.each.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	found := map[string]int{}
	rows := 0
	for a := range accounts {
		next := uint64(1)
		prefix := fmt.Appendf(nil, "E%d/", a)
		for it, err := range l.handles[0].Scan(ctx, kv.Prefix(prefix)) {
			if err != nil {
				t.Fatal(err)
			}
			if id := binary.BigEndian.Uint64(it.Key[len(prefix):]); id != next {
				t.Fatalf("account %d: id %d where %d should be", a, id, next)
			}
			next++
			found[string(it.Value)]++
			rows++
		}
		head, err := l.handles[0].GetMulti(ctx, fmt.Appendf(nil, "A%d", a))
		if err != nil || count(head[0]) != next-1 {
			t.Errorf("account %d: head counts %d of %d (%v)", a, count(head[0]), next-1, err)
		}
	}
	lost, twice := 0, 0
	for what := range l.acked {
		if found[what] == 0 {
			lost++
		}
	}
	for _, n := range found {
		if n > 1 {
			twice++
		}
	}
	var sum pgkv.Stats
	for _, h := range l.handles {
		st := h.Stats()
		sum.Unknown += st.Unknown
		sum.Happened += st.Happened
		sum.Fenced += st.Fenced
	}
	t.Logf("%d acknowledged, %d lost, %d twice, %d unknown to the caller, %d failed, longest %v; "+
		"commits without reply: %d, of which %d had happened", len(l.acked), lost, twice, l.unknown, len(l.failed),
		l.longest.Round(time.Millisecond), sum.Unknown, sum.Happened)
	if lost > 0 || twice > 0 || l.unknown > 0 || len(l.failed) > 0 || len(l.acked) == 0 {
		t.Errorf("%d acknowledged, %d lost, %d twice, %d unknown, failures: %v", len(l.acked), lost, twice, l.unknown,
			l.failed[:min(3, len(l.failed))])
	}
	if rows > len(l.acked)+l.unknown {
		t.Errorf("%d rows for %d deliveries", rows, len(l.acked)+l.unknown)
	}
}

// TestRandomLosses: a load goes on while connections are cut at any point of a commit.
func TestRandomLosses(t *testing.T) {
	t.Parallel()
	uri := fresh(t)
	p := newProxy(t, address(server.Port), func(event) bool { return rand.IntN(12) == 0 })
	uri = strings.Replace(uri, address(server.Port), address(p.port), 1)
	l := startLoad(t, 12, open(t, uri), open(t, uri))
	time.Sleep(4 * time.Second)
	l.end(t)
	for _, h := range l.handles {
		if st := h.Stats(); st.Happened == 0 || st.Fenced == 0 {
			t.Errorf("the losses did not come about: %+v", st)
		}
	}
}

// waitFor waits until the load has moved on by n deliveries.
func (l *load) waitFor(t *testing.T, n int64) {
	t.Helper()
	from := l.done.Load()
	until(t, "the load does not go on", func() bool { return l.done.Load() >= from+n })
}

func until(t *testing.T, orElse string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(orElse)
		}
	}
}

// TestServerKilledAndFrozen: one server is killed with all its processes,
// started again, and frozen for longer than the store is patient.
func TestServerKilledAndFrozen(t *testing.T) {
	t.Parallel()
	own := postgres.Start(t, "shared_buffers=64MB")
	uri := inSchema(own.URI())
	l := startLoad(t, 12, open(t, uri), open(t, uri), open(t, uri))
	for range 3 {
		l.waitFor(t, 200)
		own.Kill()
		if err := own.Launch(); err != nil {
			t.Fatal(err)
		}
	}
	l.waitFor(t, 200)
	own.Signal(syscall.SIGSTOP)
	time.Sleep(5 * time.Second)
	own.Signal(syscall.SIGCONT)
	l.waitFor(t, 200)
	l.end(t)
}

// TestContextEndsWhileAway: calls on a store that is away end with their
// context, say that nothing was written, and name the server.
func TestContextEndsWhileAway(t *testing.T) {
	t.Parallel()
	own := postgres.Start(t, "fsync=off")
	s := open(t, own.URI())
	if err := add(t.Context(), s, "n"); err != nil {
		t.Fatal(err)
	}
	own.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, getErr := s.GetMulti(ctx, []byte("n"))
	for what, err := range map[string]error{"Update": add(ctx, s, "n"), "GetMulti": getErr,
		"View": s.View(ctx, nil, func(kv.Reader, []kv.Item) error { return nil })} {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if !errors.Is(getErr, kv.ErrUnavailable) || !strings.Contains(getErr.Error(), address(own.Port)) {
		t.Errorf("GetMulti: %v", getErr)
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("Close hangs while the server is away")
	}
}

// TestCommitWaits: a commit that waits for a standby that is away outlives its
// caller, who is told that the outcome is unknown; reading goes on meanwhile.
func TestCommitWaits(t *testing.T) {
	t.Parallel()
	own := postgres.Start(t, "fsync=off")
	s := open(t, own.URI())
	if err := add(t.Context(), s, "n"); err != nil {
		t.Fatal(err)
	}
	set := func(names string) {
		if err := own.Reconfigure("synchronous_standby_names=" + names); err != nil {
			t.Fatal(err)
		}
	}
	set("nobody")
	time.Sleep(500 * time.Millisecond) // the checkpointer tells the others
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var wg sync.WaitGroup
	var answers [20]error // more than there are connections
	for i := range answers {
		wg.Go(func() { answers[i] = add(ctx, s, fmt.Sprint("m", i)) })
	}
	wg.Wait()
	if _, err := s.GetMulti(t.Context(), []byte("n")); err != nil {
		t.Errorf("reading while commits wait: %v", err)
	}
	set("")
	if err := add(t.Context(), s, "n"); err != nil {
		t.Errorf("when the standby is back: %v", err)
	}
	unwritten(t, s, answers[:])
}

// unwritten checks what callers were told whose context ended: only an unknown
// outcome may have been written, and all others say that time was up.
func unwritten(t *testing.T, s *pgkv.Store, answers []error) {
	t.Helper()
	unknown := 0
	for i, err := range answers {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("m%d: commit without standby: %v", i, err)
		}
		if errors.Is(err, kv.ErrUnknown) {
			unknown++
			continue
		}
		items, getErr := s.GetMulti(t.Context(), fmt.Append(nil, "m", i))
		if getErr != nil || items[0].Rev != 0 {
			t.Errorf("m%d was written although the answer was %v (%v)", i, err, getErr)
		}
	}
	if unknown == 0 {
		t.Error("no commit was under way when its caller's time was up")
	}
}

// TestCancelledWait: an administrator cancels a COMMIT that waits for its
// standby. The server says COMMIT and a warning; that is not taken for an answer.
func TestCancelledWait(t *testing.T) {
	t.Parallel()
	own := postgres.Start(t, "fsync=off")
	// What a role may have been given: the only sign of such an end is a warning.
	if err := own.Exec("alter role eider set client_min_messages = error"); err != nil {
		t.Fatal(err)
	}
	s := open(t, own.URI())
	if err := add(t.Context(), s, "n"); err != nil {
		t.Fatal(err)
	}
	exec := func(sql string) {
		if err := own.Exec(sql); err != nil {
			t.Error(err)
		}
	}
	if err := own.Reconfigure("synchronous_standby_names=nobody"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // the checkpointer tells the others
	answer := make(chan error, 1)
	go func() { answer <- add(t.Context(), s, "n") }()
	for range 5 {
		time.Sleep(200 * time.Millisecond)
		exec("select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'")
		select {
		case err := <-answer:
			t.Fatalf("the commit was acknowledged without its standby (%v)", err)
		default:
		}
	}
	if err := own.Reconfigure("synchronous_standby_names="); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.Happened != 1 {
		t.Errorf("%+v, want one commit that was found to have happened", st)
	}
	items, err := s.GetMulti(t.Context(), []byte("n"))
	if err != nil || count(items[0]) != 2 {
		t.Errorf("n is %d (%v)", count(items[0]), err)
	}
}

// TestTokens: an outcome is not guessed from a table that was emptied.
func TestTokens(t *testing.T) {
	t.Parallel()
	uri := fresh(t)
	s := open(t, uri)
	if err := add(t.Context(), s, "n"); err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	var slot int64
	row := func(sql string, args ...any) (b bool) {
		t.Helper()
		if err := c.QueryRow(t.Context(), sql, args...).Scan(&b); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return b
	}
	err = c.QueryRow(t.Context(), "select max(slot) from (table kvtok0 union all table kvtok1) as t").Scan(&slot)
	if err != nil {
		t.Fatal(err)
	}
	id := [16]byte{1}
	for range 3 {
		if row("select kv_resolve1($1, $2)", slot, id) {
			t.Error("a token that never was is said to have committed")
		}
	}
	for at, want := range map[float64]bool{float64(slot) + 0.9: false, float64(slot) + 1.2: false} {
		if row("select kv_trim1($1)", at) != want {
			t.Errorf("trim %.1f slots later is not %v", at-float64(slot), want)
		}
	}
	if !row("select kv_trim1($1)", float64(slot)+1.5) {
		t.Error("old tokens stay")
	}
	var pg interface{ SQLState() string }
	err = c.QueryRow(t.Context(), "select kv_resolve1($1, $2)", slot, id).Scan(nil)
	if !errors.As(err, &pg) || pg.SQLState() != "KV002" {
		t.Errorf("asked for a token that is forgotten: %v", err)
	}
	if err := add(t.Context(), s, "n"); err != nil {
		t.Errorf("after the trim: %v", err)
	}
	// A clock that was ten years ahead: its tokens go, nothing is guessed from their
	// absence, and tokens of the next slot, of a clock a little ahead, stay.
	const years = 350_000
	if _, err := c.Exec(t.Context(), fmt.Sprintf("insert into kvtok%d values (gen_random_uuid(), %d)", (slot+1)%2, slot+1+years)); err != nil {
		t.Fatal(err)
	}
	err = c.QueryRow(t.Context(), "select kv_resolve1($1, $2)", slot+1+years, id).Scan(nil)
	if !errors.As(err, &pg) || pg.SQLState() != "KV002" {
		t.Errorf("asked for a token of the future: %v", err)
	}
	next := fmt.Sprintf("insert into kvtok%d values (gen_random_uuid(), %d)", (slot+1)%2, slot+3)
	if _, err := c.Exec(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if row("select kv_trim1($1)", float64(slot)+2.5) {
		t.Error("tokens of the next slot were thrown away")
	}
	if !row("select kv_trim1($1)", float64(slot)+4.5) {
		t.Error("tokens of the future stay")
	}
	var forgotten int64
	if err := c.QueryRow(t.Context(), fmt.Sprintf("select forgotten[%d] from kvmeta", 1+(slot+1)%2)).Scan(&forgotten); err != nil || forgotten > slot+4 {
		t.Errorf("slots up to %d are forgotten, it is %d (%v)", forgotten, slot+4, err)
	}
}

// TestEpoch: what readers know is void where the data is another's.
func TestEpoch(t *testing.T) {
	t.Parallel()
	uri := fresh(t)
	epoch := func() uint64 {
		t.Helper()
		s := open(t, uri)
		h, err := s.Ping(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return h.Epoch
	}
	c, err := pgx.Connect(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	first := epoch()
	if again := epoch(); again != first {
		t.Errorf("the epoch went from %d to %d without a reason", first, again)
	}
	for _, sql := range []string{"update kvmeta set system = 'of a dump', timeline = 7", "select kv_raise_epoch()"} {
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		next := epoch()
		if next <= first {
			t.Errorf("%s: epoch %d after %d", sql, next, first)
		}
		first = next
	}
}

// TestRefusals: what cannot work is said at once and clearly.
func TestRefusals(t *testing.T) {
	t.Parallel()
	uri := fresh(t)
	if err := open(t, uri).Close(); err != nil {
		t.Fatal(err)
	}
	newer := fresh(t)
	if err := open(t, newer).Close(); err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(t.Context(), newer)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(t.Context(), "update kvmeta set format = 99"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ uri, want string }{
		"wrong password": {strings.Replace(uri, "not-a-secret", "another", 1), "password authentication failed"},
		"no such role":   {strings.Replace(uri, "eider:", "nobody:", 1), "password authentication failed"},
		"no database":    {strings.Replace(uri, "/eider?", "/nowhere?", 1), `database "nowhere" does not exist`},
		"newer format":   {newer, "format 99"},
		"nobody there":   {"postgres://a:b@127.0.0.1:1,127.0.0.1:2/x", "127.0.0.1:2: connect: connection refused"},
		"read-only":      {uri + "&default_transaction_read_only=on", "default_transaction_read_only"},
		"no TLS":         {strings.Replace(uri, "sslmode=disable", "sslmode=require", 1), "TLS"},
	} {
		began := time.Now()
		s, err := pgkv.Open(t.Context(), pgkv.Options{URI: c.uri, OpenWithin: 3 * time.Second})
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "another") {
			t.Errorf("%s: after %v: %v", name, time.Since(began).Round(time.Millisecond), err)
		}
	}
}
