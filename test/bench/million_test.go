package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/combine"
	"github.com/eidermail/eider/internal/kv/pebblekv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/spool"
	"github.com/eidermail/eider/test/harness"
)

var millionDir = flag.String("bench-million-dir", "", "keep the large store of TestMillion here, and use the one that is there")

var millionMany = flag.Int("bench-million", 1_000_000, "messages of the large store of TestMillion with EIDER_SOAK=1")

// million is one form of TestMillion.
type million struct {
	few, many int           // messages of the two stores
	probes    int           // timed calls of each kind at each store
	slice     time.Duration // of delivery that is measured at once
}

const (
	millionAccounts = 20
	// millionRatio is what a p99 may be at many messages, of what it is at few.
	millionRatio = 1.5
	// expiryCost is what delivery keeps while everything expires.
	expiryCost = 0.9
	// Limit: slices of delivery while a store expires; what is left then goes while it is idle.
	maxSlices = 12
	// Limit: time for the rest to go.
	idleTime = 10 * time.Minute
)

// TestMillion fills one store with few small messages and one with many, in 20
// accounts each, and times deliveries and lists at both by turns. Then all of
// the large store expires at once while mail goes on coming. EIDER_SOAK=1 does
// it with 10,000 and 1,000,000, and holds the figures to what is promised.
func TestMillion(t *testing.T) {
	m := million{few: 200, many: 2000, probes: 100, slice: time.Second}
	soak := os.Getenv("EIDER_SOAK") != ""
	if soak {
		m = million{few: 10_000, many: *millionMany, probes: 1500, slice: 20 * time.Second}
	}
	few, many := m.store(t, t.TempDir(), m.few), m.store(t, m.dir(t), m.many)
	for _, p := range m.time(t, few, many) {
		t.Log(p)
		if soak && p.ratio() > millionRatio {
			t.Errorf("%s: over %.1f times", p.what, millionRatio)
		}
	}
	few.Stop(t)
	before, during, after := m.expire(t, many)
	cost := during / ((before + after) / 2)
	t.Logf("delivery at 20 connections: %.0f messages/s before, %.0f while %d expire, %.0f after: %.2f of it",
		before, during, m.many, after, cost)
	if soak && cost < expiryCost {
		t.Errorf("expiry leaves %.2f of delivery, at least %.1f", cost, expiryCost)
	}
}

func (m *million) dir(t *testing.T) string {
	if *millionDir != "" {
		return *millionDir
	}
	return t.TempDir()
}

// filled is a server with mail and its accounts.
type filled struct {
	*harness.Server
	accounts []harness.Account
	loaded   int
	sent     atomic.Int64 // beside what was loaded
}

func (f *filled) target() Target {
	return Target{Addr: f.SMTP, Rcpt: func(int) string { return "u@bench.test" }, Login: func(c int) Login {
		a := f.accounts[c%len(f.accounts)]
		return Login{a.User, a.Pass}
	}}
}

// store starts a server and fills it, unless it is full already.
func (m *million) store(t *testing.T, dir string, n int) *filled {
	t.Helper()
	f := &filled{loaded: n}
	f.Server = harness.StartIn(t, dir, "--account-quota", "100GB", "--account-messages", "10000000")
	known := filepath.Join(dir, "accounts.json")
	if b, err := os.ReadFile(known); err == nil {
		if err := json.Unmarshal(b, &f.accounts); err != nil {
			t.Fatal(err)
		}
		return f
	}
	for range millionAccounts {
		f.accounts = append(f.accounts, f.NewAccount(t))
	}
	start := time.Now()
	f.fill(t, n)
	t.Logf("%d messages in %v", n, time.Since(start).Round(time.Second))
	b, err := json.Marshal(f.accounts)
	if err == nil {
		err = os.WriteFile(known, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// fill stores n messages, as many in each account, straight into the store, as
// an import does: a server would take many times as long.
func (f *filled) fill(t *testing.T, n int) {
	t.Helper()
	f.Stop(t)
	ctx := context.Background()
	engine, err := pebblekv.Open(pebblekv.Options{Dir: filepath.Join(f.Dir, "store"), Dense: row.Dense(), BallastBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	store := combine.New(engine, combine.Options{})
	mail, err := mailstore.Open(ctx, mailstore.Options{KV: store, Exclusive: true,
		Defaults: mailstore.AccountLimits{Retention: 7 * 24 * time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	pool := spool.New(spool.Options{})
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i, a := range f.accounts {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			id, err := mail.Lookup(ctx, a.User)
			if err != nil {
				t.Error(err)
				return
			}
			for k := i; k < n; {
				var in []mailstore.Incoming
				for ; k < n && len(in) < mailstore.MaxBatch; k += len(f.accounts) {
					m := pool.Message()
					_, _ = m.Write(bytes.TrimSuffix(small(k), []byte(".\r\n")))
					in = append(in, mailstore.Incoming{Message: m})
				}
				for j, out := range mail.DepositMany(ctx, id, in) {
					in[j].Message.Close()
					if out.Err != nil {
						t.Error(out.Err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if err := store.Close(); err != nil || t.Failed() {
		t.Fatal(err)
	}
	f.Restart(t)
}

// small is a small message that is like no other, as it goes over the wire,
// with the dot that ends it.
func small(i int) []byte {
	return fmt.Appendf(nil, "From: Shop <orders@shop.test>\r\nTo: u@bench.test\r\nSubject: Your order %d\r\n"+
		"Message-ID: <%d.%d@shop.test>\r\nDate: Thu, 26 Nov 2026 07:00:00 +0000\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: text/plain; charset=utf-8\r\n\r\nThank you for order %d.\r\n%s.\r\n",
		i, i, time.Now().UnixNano(), i, strings.Repeat("It will be with you in a few days.\r\n", i%8))
}

// flood sends small messages over all connections as long as more says, and
// returns messages a second.
func flood(t *testing.T, to Target, more func(i int) bool) float64 {
	t.Helper()
	var next atomic.Int64
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	start := time.Now()
	for n := range Connections {
		wg.Go(func() {
			c, err := dial(to, n)
			if err == nil {
				defer c.Close()
			}
			for err == nil {
				i := int(next.Add(1)) - 1
				if !more(i) {
					next.Add(-1)
					return
				}
				err = c.send(to.Rcpt(n), small(i))
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return float64(next.Load()) / time.Since(start).Seconds()
}

// pair are the times of one kind of call at both stores.
type pair struct {
	what      string
	few, many []time.Duration
}

func p99(d []time.Duration) time.Duration {
	s := slices.Clone(d)
	slices.Sort(s)
	return s[len(s)*99/100]
}

func (p *pair) ratio() float64 { return float64(p99(p.many)) / float64(p99(p.few)) }

func (p *pair) String() string {
	mid := func(d []time.Duration) time.Duration {
		s := slices.Clone(d)
		slices.Sort(s)
		return s[len(s)/2].Round(time.Microsecond)
	}
	return fmt.Sprintf("%-28s p99 %v at few, %v at many: %.2f times; medians %v, %v", p.what,
		p99(p.few).Round(time.Microsecond), p99(p.many).Round(time.Microsecond), p.ratio(), mid(p.few), mid(p.many))
}

// time does the same calls at both stores by turns.
func (m *million) time(t *testing.T, few, many *filled) []*pair {
	deliver, list, fetch := &pair{what: "deliver"}, &pair{what: "list 50 by the API"},
		&pair{what: "FETCH of the 50 newest"}
	a, b := few.probe(t), many.probe(t)
	both := func(p *pair, f func(*probe)) {
		for _, side := range []struct {
			p *probe
			d *[]time.Duration
		}{{a, &p.few}, {b, &p.many}} {
			start := time.Now()
			f(side.p)
			*side.d = append(*side.d, time.Since(start))
		}
	}
	for i := range m.probes {
		both(deliver, func(p *probe) { p.deliver(t, i) })
		both(list, func(p *probe) { p.list(t, i) })
		both(fetch, func(p *probe) { p.fetch(t) })
	}
	return []*pair{deliver, list, fetch}
}

// probe is one client at a store.
type probe struct {
	*filled
	smtp *conn
	imap *imapclient.Client
	n    uint32
}

func (f *filled) probe(t *testing.T) *probe {
	t.Helper()
	c, err := dial(f.target(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	p := &probe{filled: f, smtp: c, imap: f.login(t, 1)}
	box, err := p.imap.Select("INBOX", nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	if p.n = box.NumMessages; int(p.n) != f.loaded/millionAccounts {
		t.Errorf("account 1 has %d messages of %d", p.n, f.loaded)
	}
	return p
}

func (f *filled) login(t *testing.T, i int) *imapclient.Client {
	t.Helper()
	c, err := imapclient.DialInsecure(f.IMAP, nil)
	if err == nil {
		t.Cleanup(func() { c.Close() })
		err = c.Login(f.accounts[i].User, f.accounts[i].Pass).Wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (p *probe) deliver(t *testing.T, i int) {
	if err := p.smtp.send("u@bench.test", small(i)); err != nil {
		t.Fatal(err)
	}
	p.sent.Add(1)
}

func (p *probe) list(t *testing.T, i int) {
	req, err := http.NewRequest("GET", "http://"+p.HTTP+"/v1/messages?limit=50", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.accounts[i%millionAccounts].Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || len(b) < 1000 {
		t.Fatalf("list: %d %v %.200s", resp.StatusCode, err, b)
	}
}

func (p *probe) fetch(t *testing.T) {
	var set imap.SeqSet
	set.AddRange(p.n-min(p.n, 50)+1, p.n)
	got, err := p.imap.Fetch(set, &imap.FetchOptions{Flags: true, Envelope: true}).Collect()
	if err != nil || len(got) != int(min(p.n, 50)) {
		t.Fatalf("FETCH: %d messages, %v", len(got), err)
	}
}

// expire lets all that was loaded come due at once, and measures delivery
// before that, meanwhile, and afterwards.
func (m *million) expire(t *testing.T, f *filled) (before, during, after float64) {
	f.Stop(t)
	due := time.Now().Add(m.comeDue(t, f) + 2*m.slice + 5*time.Second)
	setDeadlines(t, f.Dir, due)
	if left := time.Until(due); left < m.slice+time.Second {
		t.Fatalf("%v are left before the mail comes due", left)
	}
	f.Restart(t)
	deliver := func() float64 {
		end := time.Now().Add(m.slice)
		rate := flood(t, f.target(), func(int) bool {
			f.sent.Add(1)
			return time.Now().Before(end)
		})
		f.sent.Add(-Connections) // each connection asked once in vain
		return rate
	}
	before = deliver()
	time.Sleep(time.Until(due) - time.Second) // an idle server would be through with many of them at once
	start := time.Now()
	left, n := m.many, 0
	for ; left > 0 && n < maxSlices; n++ {
		rate := deliver()
		during += rate
		was := left
		left = f.left(t)
		t.Logf("after %v: %.0f messages/s, %d expired meanwhile, %d left", time.Since(start).Round(time.Second), rate,
			was-left, left)
	}
	idle, was := time.Now(), left
	for left > 0 && time.Since(idle) < idleTime {
		time.Sleep(time.Second)
		left = f.left(t)
	}
	if t.Logf("%d expired in %v while nobody delivered", was-left, time.Since(idle).Round(time.Second)); left > 0 {
		t.Errorf("%d messages are left, %v after they came due", left, time.Since(due).Round(time.Second))
	}
	return before, during / float64(n), deliver()
}

// left is how many of the messages that were loaded are still there.
func (f *filled) left(t *testing.T) (n int) {
	for i := range f.accounts {
		c := f.login(t, i)
		st, err := c.Status("INBOX", &imap.StatusOptions{NumMessages: true}).Wait()
		if err != nil {
			t.Fatal(err)
		}
		n += int(*st.NumMessages)
		c.Close()
	}
	return max(n-int(f.sent.Load()), 0)
}

// comeDue is about how long setDeadlines takes.
func (m *million) comeDue(*testing.T, *filled) time.Duration {
	return time.Duration(m.many) * 150 * time.Microsecond
}

// setDeadlines moves the deadlines of all messages of a store that no server
// has open.
func setDeadlines(t *testing.T, dir string, due time.Time) {
	t.Helper()
	s, err := pebblekv.Open(pebblekv.Options{Dir: filepath.Join(dir, "store"), BallastBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, at := context.Background(), uint32(due.Unix())
	var batch []kv.Item
	flush := func() {
		err := s.Update(ctx, nil, func(tx kv.Tx) error {
			for _, it := range batch {
				k, _ := row.ParseKey(it.Key)
				e, err := row.DecodeEntry(it.Value)
				if err != nil {
					return err
				}
				if e.Expire != 0 {
					tx.Delete(row.Deadline(e.Expire, k.Acct, k.Mbox, k.UID))
				}
				e.Expire = at
				tx.Put(it.Key, e.Append(nil))
				tx.Put(row.Deadline(at, k.Acct, k.Mbox, k.UID), []byte{})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		batch = batch[:0]
	}
	for it, err := range s.Scan(ctx, kv.Prefix([]byte{row.TagEntry})) {
		if err != nil {
			t.Fatal(err)
		}
		if batch = append(batch, it); len(batch) == kv.MaxTxKeys/3 {
			flush()
		}
	}
	flush()
}
