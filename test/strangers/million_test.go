// Package strangers_test does to a server what many strangers together do:
// they make accounts by the million, and they flood it.
package strangers_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/fsck"
	"github.com/eidermail/eider/internal/janitor"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/combine"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/kv/pebblekv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/mailstore/census"
	"github.com/eidermail/eider/internal/provision"
	"github.com/eidermail/eider/internal/secret"
	"github.com/eidermail/eider/internal/spool"
)

// Limit: bytes that an account may cost until it is used.
const maxUnused = 1024

// makers are how many ask for accounts at once.
const makers = 256

// place is what stands behind POST /user, on a store.
type place struct {
	kv    kv.Store
	store *mailstore.Store
	auth  *auth.Auth
	prov  *provision.Provisioner
	now   atomic.Int64 // seconds
}

func newPlace(t *testing.T, db kv.Store) *place {
	t.Helper()
	p := &place{kv: combine.New(db, combine.Options{})}
	p.now.Store(1_900_000_000)
	clock := func() time.Time { return time.Unix(p.now.Load(), 0) }
	hints := membus.New()
	t.Cleanup(func() { hints.Close() })
	var err error
	if p.store, err = mailstore.Open(t.Context(), mailstore.Options{KV: p.kv, Bus: hints, Now: clock}); err != nil {
		t.Fatal(err)
	}
	rings, err := secret.Open(t.Context(), secret.Options{KV: p.kv})
	if err != nil {
		t.Fatal(err)
	}
	p.auth, err = auth.New(t.Context(), auth.Options{Store: p.store, Rings: rings, Domain: "d.test"})
	if err != nil {
		t.Fatal(err)
	}
	ad, err := advert.New(advert.Options{PublicHost: "d.test", Ports: advert.Ports{HTTPS: 443, SMTP: 587}})
	if err != nil {
		t.Fatal(err)
	}
	p.prov = provision.New(provision.Options{Store: p.store, Auth: p.auth, Rings: rings, Advert: ad, Domain: "d.test",
		Spool: spool.New(spool.Options{}), ExpireIdle: 30 * 24 * time.Hour, Now: clock})
	return p
}

// each runs f n times, as many callers do.
func each(t *testing.T, n int, f func() error) time.Duration {
	t.Helper()
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	start := time.Now()
	for range makers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

// make makes n accounts, as POST /user does.
func (p *place) make(t *testing.T, n int) time.Duration {
	t.Helper()
	return each(t, n, func() error {
		_, err := p.prov.Create(t.Context(), provision.Request{Requestor: "nodemailer"})
		return err
	})
}

// fill makes n accounts that share one password. The work on a password, most
// of what an account costs a processor, does not depend on how many accounts
// there are, and would hide what does.
func (p *place) fill(t *testing.T, n int) time.Duration {
	t.Helper()
	cred, err := p.auth.Seal(t.Context(), account.GeneratePassword(), account.Generated)
	if err != nil {
		t.Fatal(err)
	}
	return each(t, n, func() error {
		_, err := p.store.CreateAccount(t.Context(), mailstore.NewAccount{Address: account.NewName() + "@d.test",
			Label: "nodemailer", Credential: cred, ExpireIdle: 30 * 24 * time.Hour})
		return err
	})
}

// password is what the work on one password costs.
func (p *place) password(t *testing.T) time.Duration {
	t.Helper()
	const n = 100
	before := costs(t)
	for range n {
		if _, err := p.auth.Seal(t.Context(), account.GeneratePassword(), account.Generated); err != nil {
			t.Fatal(err)
		}
	}
	return costs(t).since(before).cpu / n
}

// cost is what this process took: of the processors, and what it wrote.
type cost struct {
	cpu     time.Duration
	written int64
}

func costs(t *testing.T) (c cost) {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	c.cpu = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	io, _ := os.ReadFile("/proc/self/io")
	for line := range strings.Lines(string(io)) {
		if n, ok := strings.CutPrefix(line, "wchar: "); ok {
			c.written, _ = strconv.ParseInt(strings.TrimSpace(n), 10, 64)
		}
	}
	return c
}

func (c cost) since(b cost) cost { return cost{c.cpu - b.cpu, c.written - b.written} }

// TestUnusedAccount: until it is used an account costs at most 1 KB of rows.
func TestUnusedAccount(t *testing.T) {
	db := memkv.New()
	p := newPlace(t, db)
	bytes := func() int64 {
		h, err := db.Ping(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return h.UsedBytes
	}
	p.make(t, 1000) // all shards of the count are there
	before := bytes()
	p.make(t, 1000)
	each := (bytes() - before) / 1000
	t.Logf("an unused account costs %d bytes of keys and values, at most %d", each, maxUnused)
	if each > maxUnused {
		t.Errorf("an unused account costs %d bytes", each)
	}
}

// accounts is how many the test makes: a million in its long form.
func accounts(t *testing.T) int {
	if n, err := strconv.Atoi(os.Getenv("EIDER_ACCOUNTS")); err == nil && n > 0 {
		return n
	}
	if os.Getenv("EIDER_SOAK") != "" {
		return 1_000_000
	}
	return 6_000
}

// TestMillionAccounts makes accounts and lets them all expire unused. The cost
// of an account must not rise by more than half from the first tenth to the
// last: in time of the processors, which does not depend on what else the
// machine does.
func TestMillionAccounts(t *testing.T) {
	n := accounts(t)
	dir := filepath.Join(t.TempDir(), "store")
	db, err := pebblekv.Open(pebblekv.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	p := newPlace(t, db)
	whole := max(n/500, 500) // made with all that POST /user does, at the beginning and at the end
	first := p.make(t, whole)
	password := p.password(t)
	tenth := n / 10
	var took []cost
	sizeBefore, start := db.Stats().DiskBytes, time.Now()
	for i := range 10 {
		before := costs(t)
		d := p.fill(t, tenth)
		c := costs(t).since(before)
		took = append(took, c)
		t.Logf("accounts %d to %d: %.0f a second; each %.0f µs of a processor, %d bytes written", i*tenth, (i+1)*tenth,
			float64(tenth)/d.Seconds(), float64(c.cpu.Microseconds())/float64(tenth), c.written/int64(tenth))
	}
	total := time.Since(start)
	last := p.make(t, whole)
	t.Logf("made %d accounts in %v: %.0f a second, %.0f bytes of disk each; with a password for each: "+
		"%.0f a second at the beginning, %.0f at the end", n, total.Round(time.Millisecond), float64(n)/total.Seconds(),
		float64(db.Stats().DiskBytes-sizeBefore)/float64(n), float64(whole)/first.Seconds(), float64(whole)/last.Seconds())
	// In the short form little is written to files: there only a cost that grows
	// with the number of accounts is told from when the engine cleans up.
	most := 1.5
	if n < 100_000 {
		most = 6
	}
	a, z := password+took[0].cpu/time.Duration(tenth), password+took[9].cpu/time.Duration(tenth)
	t.Logf("an account with its password costs %v of a processor at the beginning, %v at the end", a, z)
	if float64(z) > most*float64(a) {
		t.Errorf("the cost of an account rises by more than half")
	}
	// The engine writes everything once more on each of its levels, and these
	// come to be one by one.
	if a, z := took[0].written, took[9].written; z > 4*max(a, int64(tenth)<<10) {
		t.Errorf("%d accounts write %d bytes at the beginning, %d at the end", tenth, a, z)
	}
	n += 2 * whole
	if sum, err := census.Count(t.Context(), p.kv); err != nil || sum != int64(n) {
		t.Errorf("%d accounts are counted: %v", sum, err)
	}
	p.expire(t, n)
	sum, err := fsck.Run(t.Context(), db, func(f fsck.Fault) { t.Error(f) })
	if err != nil || sum.Accounts != 0 || sum.Deadlines != 0 {
		t.Errorf("left over: %+v %v", sum, err)
	}
}

// expire lets all accounts go.
func (p *place) expire(t *testing.T, n int) {
	t.Helper()
	p.now.Add(25 * 3600)
	j := janitor.New(janitor.Options{Store: p.store, KV: p.kv, Now: func() time.Time { return time.Unix(p.now.Load(), 0) }})
	start, gone, before := time.Now(), 0, costs(t)
	for gone < n {
		r, _ := j.Pass(t.Context())
		if r.Accounts == 0 || r.Failed > 0 {
			t.Fatalf("%d of %d gone, then %+v", gone, n, r)
		}
		gone += r.Accounts
	}
	d, c := time.Since(start), costs(t).since(before)
	t.Logf("%d accounts expired in %v: %.0f a second; each %.0f µs of a processor, %d bytes written", gone,
		d.Round(time.Millisecond), float64(gone)/d.Seconds(), float64(c.cpu.Microseconds())/float64(gone),
		c.written/int64(gone))
	if left, err := census.Count(t.Context(), p.kv); err != nil || left != 0 {
		t.Errorf("%d accounts are counted: %v", left, err)
	}
}
