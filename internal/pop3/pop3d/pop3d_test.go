package pop3d_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/policy"
	"github.com/eidermail/eider/internal/pop3"
	"github.com/eidermail/eider/internal/pop3/pop3d"
	"github.com/eidermail/eider/internal/secret"
	"github.com/eidermail/eider/internal/spool"
)

// fallible is a store that can be away.
type fallible struct {
	kv.Store
	away atomic.Bool
}

func (f *fallible) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	if f.away.Load() {
		return nil, kv.ErrUnavailable
	}
	return f.Store.GetMulti(ctx, keys...)
}

func (f *fallible) Update(ctx context.Context, g [][]byte, fn func(kv.Tx) error, o ...kv.Option) error {
	if f.away.Load() {
		return kv.ErrUnavailable
	}
	return f.Store.Update(ctx, g, fn, o...)
}

type world struct {
	t     testing.TB
	kv    *fallible
	store *mailstore.Store
	auth  *auth.Auth
	spool *spool.Pool
	ann   mailstore.AcctID
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, kv: &fallible{Store: memkv.New()}, spool: spool.New(spool.Options{Dir: t.TempDir()})}
	b := membus.New()
	t.Cleanup(func() { b.Close() })
	var err error
	if w.store, err = mailstore.Open(t.Context(), mailstore.Options{KV: w.kv, Bus: b}); err != nil {
		t.Fatal(err)
	}
	rings, err := secret.Open(t.Context(), secret.Options{KV: w.kv})
	if err != nil {
		t.Fatal(err)
	}
	if w.auth, err = auth.New(t.Context(), auth.Options{Store: w.store, Rings: rings, Domain: "d.example"}); err != nil {
		t.Fatal(err)
	}
	cred, err := w.auth.Seal(t.Context(), "secret word", account.Generated)
	if err != nil {
		t.Fatal(err)
	}
	a, err := w.store.CreateAccount(t.Context(), mailstore.NewAccount{Address: "ann@d.example", Credential: cred})
	if err != nil {
		t.Fatal(err)
	}
	w.ann = a.ID
	return w
}

func (w *world) add(text string) mailstore.Deposited {
	w.t.Helper()
	m := w.spool.Message()
	defer m.Close()
	io.WriteString(m, text)
	done, err := w.store.Deposit(w.t.Context(), []mailstore.AcctID{w.ann}, mailstore.Deposit{}, m)
	if err != nil {
		w.t.Fatal(err)
	}
	return done[0]
}

func (w *world) rows() []mailstore.Entry {
	w.t.Helper()
	box, err := w.store.Mailbox(w.t.Context(), w.ann, "INBOX")
	if err != nil {
		w.t.Fatal(err)
	}
	es, err := w.store.Entries(w.t.Context(), w.ann, box.ID, mailstore.Rows{})
	if err != nil {
		w.t.Fatal(err)
	}
	return es
}

type addressed struct {
	net.Conn
	peer string
}

func (a addressed) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a.peer))
}

type client struct {
	t    testing.TB
	nc   net.Conn
	r    *bufio.Reader
	done chan struct{}
}

// connect begins a session from near, or from far away.
func (w *world) connect(peer string) *client {
	w.t.Helper()
	p := policy.New(policy.Options{Store: w.store, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	b := pop3d.New(pop3d.Options{Store: w.store, Auth: w.auth, Policy: p})
	ours, theirs := net.Pipe()
	c := &client{t: w.t, nc: ours, r: bufio.NewReader(ours), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		defer theirs.Close()
		pop3.New(pop3.Options{NewSession: b.NewSession}).ServeConn(context.Background(), addressed{theirs, peer})
	}()
	w.t.Cleanup(func() { ours.Close(); <-c.done })
	if got := c.line(); !strings.HasPrefix(got, "+OK") {
		w.t.Fatal(got)
	}
	return c
}

func (w *world) login() *client {
	c := w.connect("127.0.0.1:4000")
	c.play([][2]string{{"USER ann@d.example\r\n", "+OK"}, {"PASS secret word\r\n", "+OK Logged in"}})
	return c
}

func (c *client) line() string {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "EOF"
	}
	return strings.TrimSuffix(line, "\r\n")
}

func (c *client) play(script [][2]string) {
	c.t.Helper()
	for _, s := range script {
		io.WriteString(c.nc, s[0])
		if got := c.line(); !strings.HasPrefix(got, s[1]) {
			c.t.Fatalf("%q: got %q, want %q", s[0], got, s[1])
		}
	}
}

func (c *client) many(cmd string) []string {
	c.t.Helper()
	c.play([][2]string{{cmd + "\r\n", "+OK"}})
	var lines []string
	for {
		l := c.line()
		if l == "." || l == "EOF" {
			return lines
		}
		lines = append(lines, l)
	}
}

// hangUp ends a session without QUIT.
func (c *client) hangUp() { c.nc.Close(); <-c.done }

func TestMaildrop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		w.add(fmt.Sprintf("Subject: %d\r\n\r\n.body\r\n", i))
	}
	c := w.login()
	if got := strings.Join(c.many("LIST"), "|"); got != "1 21|2 21|3 21" {
		t.Errorf("LIST %q", got)
	}
	ids := c.many("UIDL")
	if got := strings.Join(c.many("RETR 2"), "|"); got != "Subject: 1||..body" {
		t.Errorf("RETR %q", got)
	}
	c.play([][2]string{{"DELE 1\r\n", "+OK"}})
	c.hangUp()
	if es := w.rows(); len(es) != 3 || es[1].Flags != 0 {
		t.Fatalf("a dropped connection changed something: %+v", es)
	}

	c = w.login()
	c.many("RETR 2")
	c.play([][2]string{{"DELE 1\r\n", "+OK"}, {"QUIT\r\n", "+OK Bye"}})
	<-c.done
	es := w.rows()
	if len(es) != 2 || es[0].UID != 2 || es[0].Flags != mailstore.Seen || es[1].Flags != 0 {
		t.Fatalf("after QUIT: %+v", es)
	}
	c = w.login()
	var now []string
	for _, l := range c.many("UIDL") {
		now = append(now, l[2:])
	}
	if len(now) != 2 || now[0] != ids[1][2:] || now[1] != ids[2][2:] {
		t.Errorf("unique ids were %q, are %q", ids, now)
	}
}

// Two copies of one message are told apart, and a move out and back keeps its id.
func TestUIDL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.add("x\r\n")
	w.add("y\r\n")
	if _, err := w.store.Copy(t.Context(), w.ann, d.Mailbox, []mailstore.UID{d.UID}, "INBOX"); err != nil {
		t.Fatal(err)
	}
	before := w.login().many("UIDL")
	seen := map[string]bool{}
	for _, l := range before {
		_, id, _ := strings.Cut(l, " ")
		if seen[id] || !regexp.MustCompile(`^[!-~]{1,70}$`).MatchString(id) {
			t.Errorf("bad or doubled unique id %q in %q", id, before)
		}
		seen[id] = true
	}
	if len(seen) != 3 {
		t.Fatalf("UIDL %q", before)
	}
	other, err := w.store.CreateMailbox(t.Context(), w.ann, "Other", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Move(t.Context(), w.ann, d.Mailbox, []mailstore.UID{2}, "Other"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Move(t.Context(), w.ann, other.ID, []mailstore.UID{1}, "INBOX"); err != nil {
		t.Fatal(err)
	}
	after := w.login().many("UIDL")
	if len(after) != 3 || after[2][2:] != before[1][2:] {
		t.Errorf("before %q, after %q", before, after)
	}
}

// What another session deletes is gone here, and deleting it again is fine.
func TestTwoSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("x\r\n")
	w.add("y\r\n")
	a, b := w.login(), w.login()
	a.play([][2]string{{"DELE 1\r\n", "+OK"}, {"QUIT\r\n", "+OK"}})
	b.play([][2]string{{"STAT\r\n", "+OK 2"}, {"RETR 1\r\n", "-ERR The message is gone"}, {"DELE 1\r\n", "+OK"},
		{"DELE 2\r\n", "+OK"}, {"QUIT\r\n", "+OK"}})
	<-b.done
	if es := w.rows(); len(es) != 0 {
		t.Errorf("left: %+v", es)
	}
}

// A new password, or a disabled account, ends the sessions that are logged in:
// nothing is read or deleted any more.
func TestStale(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*world) error{
		"new password": func(w *world) error {
			cred, err := w.auth.Seal(w.t.Context(), "another word", account.Generated)
			if err != nil {
				return err
			}
			return w.store.SetCredential(w.t.Context(), w.ann, cred)
		},
		"disabled": func(w *world) error { return w.store.SetDisabled(w.t.Context(), w.ann, true) },
		"deleted":  func(w *world) error { return w.store.DeleteAccount(w.t.Context(), w.ann) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.add("x\r\n\r\ny\r\n")
			retr, top, quit := w.login(), w.login(), w.login()
			for _, c := range []*client{retr, top, quit} {
				c.play([][2]string{{"DELE 1\r\n", "+OK"}})
			}
			retr.play([][2]string{{"RSET\r\n", "+OK"}})
			top.play([][2]string{{"RSET\r\n", "+OK"}})
			if err := end(w); err != nil {
				t.Fatal(err)
			}
			retr.play([][2]string{{"RETR 1\r\n", "-ERR [AUTH]"}, {"", "EOF"}})
			top.play([][2]string{{"TOP 1 0\r\n", "-ERR [AUTH]"}, {"", "EOF"}})
			quit.play([][2]string{{"QUIT\r\n", "-ERR [AUTH]"}, {"", "EOF"}})
			if name != "deleted" && len(w.rows()) != 1 {
				t.Error("the mail was deleted")
			}
		})
	}
}

func TestLogin_Refused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.connect("127.0.0.1:4000").play([][2]string{{"USER ann@d.example\r\n", "+OK"}, {"PASS wrong\r\n", "-ERR [AUTH] Authentication failed"},
		{"USER nobody@d.example\r\n", "+OK"}, {"PASS wrong\r\n", "-ERR [AUTH] Authentication failed"}})
	w.connect("192.0.2.1:4000").play([][2]string{{"USER ann@d.example\r\n", "-ERR Encryption required"}})
}

func TestStoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add("x\r\n")
		c := w.login()
		d := w.connect("127.0.0.1:4000")
		w.kv.away.Store(true)
		start := time.Now()
		d.play([][2]string{{"USER ann@d.example\r\n", "+OK"}, {"PASS secret word\r\n", "-ERR [SYS/TEMP]"}})
		if took := time.Since(start); took < pop3d.CommandBudget {
			t.Errorf("gave up after %v", took)
		}
		go func() { time.Sleep(20 * time.Second); w.kv.away.Store(false) }()
		if got := c.many("RETR 1"); len(got) != 1 || got[0] != "x" {
			t.Errorf("RETR over a failover: %q", got)
		}
		w.kv.away.Store(true)
		start = time.Now()
		c.play([][2]string{{"RETR 1\r\n", "-ERR [SYS/TEMP]"}})
		if took := time.Since(start); took < pop3d.CommandBudget || took > 2*pop3d.CommandBudget {
			t.Errorf("RETR gave up after %v", took)
		}
	})
}

// TestBudgets: QUIT waits for the store so long, and a message is sent for so long.
func TestBudgets(t *testing.T) {
	t.Parallel()
	t.Run("QuitBudget", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.add("x\r\n")
			c := w.login()
			c.play([][2]string{{"DELE 1\r\n", "+OK"}})
			w.kv.away.Store(true)
			start := time.Now()
			c.nc.SetDeadline(time.Time{})
			if _, err := io.WriteString(c.nc, "QUIT\r\n"); err != nil {
				t.Fatal(err)
			}
			line, _ := c.r.ReadString('\n')
			if d := time.Since(start); !strings.HasPrefix(line, "-ERR") || d < pop3d.QuitBudget || d > pop3d.QuitBudget+5*time.Second {
				t.Errorf("%q after %v", line, d)
			}
		})
	})
	t.Run("MessageBudget", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.add(strings.Repeat("0123456789\r\n", 500_000))
			c := w.login()
			c.play([][2]string{{"RETR 1\r\n", "+OK"}})
			start, got, b := time.Now(), 0, make([]byte, 40_000)
			c.nc.SetDeadline(time.Time{})
			for err := error(nil); err == nil; time.Sleep(50 * time.Second) {
				var n int
				n, err = io.ReadFull(c.nc, b)
				got += n
			}
			// What was read ahead is sent all the same.
			if d := time.Since(start); d < pop3d.MessageBudget || d > 3*pop3d.MessageBudget || got >= 6_000_000 {
				t.Errorf("%d bytes in %v", got, d)
			}
		})
	})
}
